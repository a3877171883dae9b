//! The tree.

use super::Location;

/// A part of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub location: Location,
    /// What it is.
    pub content: Content,
}

/// What a part of a document is.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Text, a number, a boolean or nothing.
    Scalar(Scalar),
    /// A list.
    Sequence(Vec<Node>),
    /// Values by name, in the document's order. Names are unique.
    Mapping(Vec<Entry>),
}

/// A name and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The name.
    pub key: String,
    /// Where the name stands.
    pub location: Location,
    /// The value.
    pub value: Node,
}

/// A value without parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// As written, after quotes and escapes.
    pub text: String,
    /// What YAML takes it for.
    pub kind: ScalarKind,
}

/// What YAML takes a scalar for: the core schema of 1.2, and what 1.1 adds to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScalarKind {
    /// Absent, `~` or `null`.
    Null,
    /// `true` or `false`.
    Boolean,
    /// A whole number: decimal, or with `0x`, `0o`, `0b` before it.
    Integer,
    /// Another number.
    Float,
    /// A date, as YAML 1.1 has it. Readers of that version would make something else of the text.
    Date,
    /// Anything else, and everything in quotes.
    Text,
}

impl ScalarKind {
    /// What a plain (unquoted) scalar is.
    pub fn of_plain(text: &str) -> Self {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => Self::Null,
            "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => Self::Boolean,
            _ if is_date(text) => Self::Date,
            // Readers of YAML 1.1 take `1_000` for a number.
            _ if text.contains('_')
                && text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+')) =>
            {
                Self::of_number(&text.replace('_', ""))
            }
            _ => Self::of_number(text),
        }
    }

    fn of_number(text: &str) -> Self {
        if is_integer(text) {
            Self::Integer
        } else if is_float(text) {
            Self::Float
        } else {
            Self::Text
        }
    }
}

/// `2026-01-31`, perhaps with a time behind it.
fn is_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let mut digits = |count: std::ops::RangeInclusive<usize>| {
        parts.next().and_then(|part| {
            let end = part
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(part.len());
            count.contains(&end).then(|| &part[end..])
        })
    };
    digits(4..=4) == Some("")
        && digits(1..=2) == Some("")
        && digits(1..=2).is_some_and(|rest| rest.is_empty() || rest.starts_with(['T', 't', ' ']))
}

fn is_integer(text: &str) -> bool {
    let all =
        |digits: &str, valid: fn(char) -> bool| !digits.is_empty() && digits.chars().all(valid);
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    match digits.get(..2) {
        Some("0x" | "0X") => all(&digits[2..], |c| c.is_ascii_hexdigit()),
        Some("0o" | "0O") => all(&digits[2..], |c| ('0'..='7').contains(&c)),
        Some("0b" | "0B") => all(&digits[2..], |c| matches!(c, '0' | '1')),
        _ => all(digits, |c| c.is_ascii_digit()),
    }
}

fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.contains(|c: char| c.is_ascii_digit())
        && unsigned
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '-' | '+'))
        && unsigned.parse::<f64>().is_ok()
}

impl Node {
    /// Whether nothing stands here.
    pub fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar(scalar) if scalar.kind == ScalarKind::Null)
    }

    /// What stands here, in a word or two, for messages.
    pub fn describe(&self) -> &'static str {
        match &self.content {
            Content::Sequence(_) => "a list",
            Content::Mapping(_) => "a mapping",
            Content::Scalar(scalar) => match scalar.kind {
                ScalarKind::Null => "nothing",
                ScalarKind::Boolean => "a boolean",
                ScalarKind::Integer | ScalarKind::Float => "a number",
                ScalarKind::Date => "a date",
                ScalarKind::Text => "text",
            },
        }
    }

    /// The value of a key. None when there is no such key, or this is no mapping.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.content {
            Content::Mapping(entries) => entries
                .iter()
                .find(|entry| entry.key == key)
                .map(|entry| &entry.value),
            Content::Scalar(_) | Content::Sequence(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        for (text, kind) in [
            ("", ScalarKind::Null),
            ("~", ScalarKind::Null),
            ("true", ScalarKind::Boolean),
            ("yes", ScalarKind::Text),
            ("12", ScalarKind::Integer),
            ("-0x1", ScalarKind::Integer),
            ("1_000", ScalarKind::Integer),
            ("_1", ScalarKind::Text),
            ("2026-01-31", ScalarKind::Date),
            ("2026-1-3T10:00:00Z", ScalarKind::Date),
            ("2026-01", ScalarKind::Text),
            ("2026-01-31x", ScalarKind::Text),
            ("0x1F", ScalarKind::Integer),
            ("0o17", ScalarKind::Integer),
            ("1.5", ScalarKind::Float),
            ("1e3", ScalarKind::Float),
            (".inf", ScalarKind::Float),
            ("1.10.4", ScalarKind::Text),
            ("infinity", ScalarKind::Text),
            (".", ScalarKind::Text),
            ("+", ScalarKind::Text),
            ("50180:50180", ScalarKind::Text),
        ] {
            assert_eq!(ScalarKind::of_plain(text), kind, "{text}");
        }
    }
}
