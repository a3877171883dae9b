//! Reading a mapping key by key, so that what nobody asked for is noticed.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::{Content, Entry, Location, Node, Report, ScalarKind, nearest};

/// A mapping that is being read. [`Fields::finish`] tells of the keys that nobody asked for.
pub struct Fields<'a> {
    location: &'a Location,
    path: String,
    entries: &'a [Entry],
    known: RefCell<Vec<&'static str>>,
    report: &'a Report,
}

impl<'a> Fields<'a> {
    /// Begins to read `node`, which stands at `path` (`omni.client`; empty: the whole document).
    /// None when it is no mapping, which is then in the report.
    pub fn of(node: &'a Node, path: impl Into<String>, report: &'a Report) -> Option<Self> {
        let Content::Mapping(entries) = &node.content else {
            report.add(
                &node.location,
                format!("expected a mapping, found {}", node.describe()),
            );
            return None;
        };
        Some(Self {
            location: &node.location,
            path: path.into(),
            entries,
            known: RefCell::new(Vec::new()),
            report,
        })
    }

    /// Where the mapping begins.
    pub fn location(&self) -> &'a Location {
        self.location
    }

    /// Where problems go.
    pub fn report(&self) -> &'a Report {
        self.report
    }

    /// The path of a key in here.
    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// The entry of a key, which is known from now on. None when it is absent or null.
    pub fn entry(&self, key: &'static str) -> Option<&'a Entry> {
        self.known.borrow_mut().push(key);
        self.entries
            .iter()
            .find(|entry| entry.key == key && !entry.value.is_null())
    }

    /// The value of a key that may be absent.
    pub fn optional(&self, key: &'static str) -> Option<&'a Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The value of a key that must be there. Its absence is reported.
    pub fn required(&self, key: &'static str) -> Option<&'a Node> {
        let value = self.optional(key);
        if value.is_none() {
            let location = self
                .entries
                .iter()
                .find(|entry| entry.key == key)
                .map_or(self.location, |entry| &entry.location);
            self.report
                .add(location, format!("`{}` is missing", self.path_of(key)));
        }
        value
    }

    /// The mapping of a key that may be absent.
    pub fn optional_fields(&self, key: &'static str) -> Option<Self> {
        Self::of(self.optional(key)?, self.path_of(key), self.report)
    }

    /// The mapping of a key that must be there.
    pub fn required_fields(&self, key: &'static str) -> Option<Self> {
        Self::of(self.required(key)?, self.path_of(key), self.report)
    }

    /// The text of a key that may be absent.
    pub fn optional_text(&self, key: &'static str) -> Option<String> {
        self.report.text(self.optional(key)?).map(str::to_owned)
    }

    /// The text of a key that must be there.
    pub fn required_text(&self, key: &'static str) -> Option<String> {
        self.report.text(self.required(key)?).map(str::to_owned)
    }

    /// A key that may be absent, as something that is written as text.
    pub fn optional_parsed<T>(&self, key: &'static str) -> Option<T>
    where
        T: FromStr<Err: std::fmt::Display>,
    {
        self.report.parsed(self.optional(key)?)
    }

    /// A key that must be there, as something that is written as text.
    pub fn required_parsed<T>(&self, key: &'static str) -> Option<T>
    where
        T: FromStr<Err: std::fmt::Display>,
    {
        self.report.parsed(self.required(key)?)
    }

    /// A boolean. Absent: `default`.
    pub fn boolean(&self, key: &'static str, default: bool) -> Option<bool> {
        match self.optional(key) {
            None => Some(default),
            Some(node) => self.report.boolean(node),
        }
    }

    /// A whole number within a range. Absent: `default`, or a problem when there is none.
    pub fn number(
        &self,
        key: &'static str,
        range: RangeInclusive<u32>,
        default: Option<u32>,
    ) -> Option<u32> {
        match (self.entry(key), default) {
            (Some(entry), _) => self.report.number(&entry.value, range),
            (None, Some(default)) => Some(default),
            (None, None) => self.report.number(self.required(key)?, range),
        }
    }

    /// A list of texts. Absent: empty.
    pub fn texts(&self, key: &'static str) -> Option<Vec<(&'a Location, String)>> {
        let Some(node) = self.optional(key) else {
            return Some(Vec::new());
        };
        let items = self.report.items(node)?;
        items
            .iter()
            .map(|item| Some((&item.location, self.report.text(item)?.to_owned())))
            .collect()
    }

    /// Tells of the keys that nobody asked for.
    pub fn finish(self) {
        self.finish_with(|_| false);
    }

    /// As [`Fields::finish`], but keys that begin with `x-` are anybody's, as in Compose files.
    pub fn finish_but_extensions(self) {
        self.finish_with(|key| key.starts_with("x-"));
    }

    fn finish_with(self, ignored: impl Fn(&str) -> bool) {
        let mut known = self.known.into_inner();
        let mut seen = BTreeSet::new();
        known.retain(|key| seen.insert(*key));
        self.report.note_keys(&self.path, &known);
        for entry in self.entries {
            if known.contains(&entry.key.as_str()) || ignored(&entry.key) {
                continue;
            }
            let key: String = entry.key.chars().take(80).collect();
            let message = if self.path.is_empty() {
                format!("unknown key `{key}`")
            } else {
                format!("unknown key `{key}` in `{}`", self.path)
            };
            let hint = match nearest(&entry.key, &known) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("known here: {}", quoted(&known)),
            };
            self.report.add_with_hint(&entry.location, message, hint);
        }
    }
}

/// `a`, `b`, `c`.
fn quoted(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}

impl Report {
    /// The text of a node. Anything else is reported.
    pub fn text<'a>(&self, node: &'a Node) -> Option<&'a str> {
        match &node.content {
            Content::Scalar(scalar) if scalar.kind == ScalarKind::Text => Some(&scalar.text),
            Content::Scalar(scalar) if scalar.kind != ScalarKind::Null => {
                self.add_with_hint(
                    &node.location,
                    format!("expected text, found {}", node.describe()),
                    "put it in quotes",
                );
                None
            }
            _ => {
                self.add(
                    &node.location,
                    format!("expected text, found {}", node.describe()),
                );
                None
            }
        }
    }

    /// A whole number within a range. Anything else is reported.
    pub fn number(&self, node: &Node, range: RangeInclusive<u32>) -> Option<u32> {
        let number = match &node.content {
            Content::Scalar(scalar) if scalar.kind == ScalarKind::Integer => {
                scalar.text.parse().ok()
            }
            _ => None,
        };
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            self.add(
                &node.location,
                format!(
                    "expected a whole number from {} to {}, found {}",
                    range.start(),
                    range.end(),
                    node.describe()
                ),
            );
        }
        number
    }

    /// A boolean. Anything else is reported.
    pub fn boolean(&self, node: &Node) -> Option<bool> {
        match &node.content {
            Content::Scalar(scalar) if scalar.kind == ScalarKind::Boolean => {
                Some(scalar.text.eq_ignore_ascii_case("true"))
            }
            _ => {
                self.add(
                    &node.location,
                    format!("expected `true` or `false`, found {}", node.describe()),
                );
                None
            }
        }
    }

    /// The parts of a list. Anything else is reported.
    pub fn items<'a>(&self, node: &'a Node) -> Option<&'a [Node]> {
        if let Content::Sequence(items) = &node.content {
            return Some(items);
        }
        self.add(
            &node.location,
            format!("expected a list, found {}", node.describe()),
        );
        None
    }

    /// The parts of a mapping. Anything else is reported.
    pub fn entries<'a>(&self, node: &'a Node) -> Option<&'a [Entry]> {
        if let Content::Mapping(entries) = &node.content {
            return Some(entries);
        }
        self.add(
            &node.location,
            format!("expected a mapping, found {}", node.describe()),
        );
        None
    }

    /// Something that is written as text. What cannot be read is reported.
    pub fn parsed<T>(&self, node: &Node) -> Option<T>
    where
        T: FromStr<Err: std::fmt::Display>,
    {
        match self.text(node)?.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.add(&node.location, error.to_string());
                None
            }
        }
    }
}
