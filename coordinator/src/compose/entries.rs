//! Values in the several forms that Compose allows for them.
//!
//! A value that is wrong is reported and then taken for absent: nothing comes of a document with a
//! problem in its report.

use crate::document::{Content, Fields, Location, Node, Report, ScalarKind};

/// A name, perhaps with a value, and where it stands.
pub(super) struct KeyValue<'a> {
    pub(super) location: &'a Location,
    pub(super) key: String,
    /// None: only the name was given.
    pub(super) value: Option<String>,
}

/// A list of `KEY=VALUE`, or a mapping.
pub(super) fn key_values<'a>(fields: &Fields<'a>, key: &'static str) -> Option<Vec<KeyValue<'a>>> {
    let Some(node) = fields.optional(key) else {
        return Some(Vec::new());
    };
    let report = fields.report();
    match &node.content {
        Content::Sequence(items) => items
            .iter()
            .map(|item| {
                let text = report.text(item)?;
                let (key, value) = match text.split_once('=') {
                    Some((key, value)) => (key, Some(value.to_owned())),
                    None => (text, None),
                };
                Some(KeyValue {
                    location: &item.location,
                    key: key.to_owned(),
                    value,
                })
            })
            .collect(),
        Content::Mapping(entries) => entries
            .iter()
            .map(|entry| {
                let value = if entry.value.is_null() {
                    None
                } else {
                    Some(text_or_number(&entry.value, report)?)
                };
                Some(KeyValue {
                    location: &entry.location,
                    key: entry.key.clone(),
                    value,
                })
            })
            .collect(),
        Content::Scalar(_) => {
            let found = node.describe();
            report.add(
                &node.location,
                format!("expected a list or a mapping, found {found}"),
            );
            None
        }
    }
}

/// One text, or a list of texts.
pub(super) fn text_or_list(fields: &Fields<'_>, key: &'static str) -> Option<Vec<String>> {
    let Some(node) = fields.optional(key) else {
        return Some(Vec::new());
    };
    let report = fields.report();
    match &node.content {
        Content::Sequence(items) => items
            .iter()
            .map(|item| report.text(item).map(str::to_owned))
            .collect(),
        Content::Scalar(_) | Content::Mapping(_) => Some(vec![report.text(node)?.to_owned()]),
    }
}

/// A list of texts.
pub(super) fn texts(fields: &Fields<'_>, key: &'static str) -> Option<Vec<String>> {
    let texts = fields.texts(key)?;
    Some(texts.into_iter().map(|(_, text)| text).collect())
}

/// Text, or a number or boolean that is written in the one way in which every reader of YAML
/// writes it back.
pub(super) fn text_or_number(node: &Node, report: &Report) -> Option<String> {
    let Content::Scalar(scalar) = &node.content else {
        report.text(node);
        return None;
    };
    let text = &scalar.text;
    let plain = match scalar.kind {
        ScalarKind::Text => true,
        ScalarKind::Boolean => text == "true" || text == "false",
        // As a program prints the number that it has read.
        ScalarKind::Integer => text
            .parse::<i32>()
            .is_ok_and(|number| number.to_string() == *text),
        ScalarKind::Float | ScalarKind::Date | ScalarKind::Null => false,
    };
    if plain {
        return Some(text.clone());
    }
    report.add_with_hint(
        &node.location,
        format!(
            "YAML reads {} here, and may write it in another way",
            node.describe()
        ),
        "put it in quotes",
    );
    None
}

/// A boolean, also as text: a variable may have given it. What is none is reported.
pub(super) fn boolean(fields: &Fields<'_>, key: &'static str) -> Option<bool> {
    let node = fields.optional(key)?;
    if let Content::Scalar(scalar) = &node.content
        && let Ok(value) = scalar.text.parse()
    {
        return Some(value);
    }
    fields.report().boolean(node)
}

/// A whole number, also as text: a variable may have given it. What is none is reported.
pub(super) fn integer(fields: &Fields<'_>, key: &'static str) -> Option<u32> {
    let node = fields.optional(key)?;
    if let Content::Scalar(scalar) = &node.content
        && scalar.text.bytes().all(|byte| byte.is_ascii_digit())
        && (scalar.text == "0" || !scalar.text.starts_with('0'))
        && let Ok(value) = scalar.text.parse()
    {
        return Some(value);
    }
    let found = node.describe();
    fields.report().add(
        &node.location,
        format!("expected a whole number, found {found}"),
    );
    None
}

/// A duration in milliseconds. What is none is reported.
pub(super) fn duration(fields: &Fields<'_>, key: &'static str) -> Option<u32> {
    let node = fields.optional(key)?;
    let milliseconds = super::quantity::milliseconds(fields.report().text(node)?);
    if milliseconds.is_none() {
        fields.report().add_with_hint(
            &node.location,
            "expected a duration of whole milliseconds",
            "for example `1m30s` or `500ms`",
        );
    }
    milliseconds
}
