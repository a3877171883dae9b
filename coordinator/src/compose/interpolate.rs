//! Variables in texts, as Compose puts their values in.
//!
//! `$NAME ${NAME} ${NAME:-d} ${NAME-d} ${NAME:?e} ${NAME?e} ${NAME:+a} ${NAME+a} $$`, defaults
//! nested at will. A `$` before anything else stays a `$`, as in compose-go
//! (template/template.go). In one thing this is stricter: a variable that is not set is an error
//! here, and an empty text with a warning there.

use std::fmt;

/// How deep defaults may be nested.
const MAXIMUM_DEPTH: usize = 32;

/// Why a text cannot be interpolated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InterpolationError {
    /// A `${` that is not followed by a name, an operator or `}`.
    Malformed {
        /// From the `${` on, shortened.
        text: String,
    },
    /// A variable has no value, and no default.
    Unset {
        /// Its name.
        variable: String,
    },
    /// A variable is demanded by `:?` or `?`.
    Required {
        /// Its name.
        variable: String,
        /// What the file says about it.
        reason: String,
    },
    /// Defaults are nested too deeply.
    TooDeep,
}

impl std::error::Error for InterpolationError {}

impl fmt::Display for InterpolationError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { text } => {
                write!(
                    formatter,
                    "`{text}` is not a variable; write `$$` for a dollar sign"
                )
            }
            Self::Unset { variable } => write!(formatter, "the variable `{variable}` is not set"),
            Self::Required { variable, reason } if reason.is_empty() => {
                write!(formatter, "the variable `{variable}` must be set")
            }
            Self::Required { variable, reason } => {
                write!(formatter, "the variable `{variable}` must be set: {reason}")
            }
            Self::TooDeep => {
                write!(
                    formatter,
                    "defaults are nested more than {MAXIMUM_DEPTH} deep"
                )
            }
        }
    }
}

/// Puts the values of variables into `text`.
pub fn interpolate(
    text: &str,
    value_of: &dyn Fn(&str) -> Option<String>,
) -> Result<String, InterpolationError> {
    expand(text, value_of, 0)
}

fn expand(
    text: &str,
    value_of: &dyn Fn(&str) -> Option<String>,
    depth: usize,
) -> Result<String, InterpolationError> {
    if depth > MAXIMUM_DEPTH {
        return Err(InterpolationError::TooDeep);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if rest.starts_with('{') {
            let malformed = || InterpolationError::Malformed {
                text: format!("${}", rest.chars().take(40).collect::<String>()),
            };
            let end = closing_brace(rest).ok_or_else(malformed)?;
            let body = &rest[1..end];
            let name = name_at_start(body).ok_or_else(malformed)?;
            let operation = Operation::parse(&body[name.len()..]).ok_or_else(malformed)?;
            out.push_str(&operation.apply(name, value_of, depth)?);
            rest = &rest[end + 1..];
        } else if let Some(name) = name_at_start(rest) {
            out.push_str(&set_value(name, value_of)?);
            rest = &rest[name.len()..];
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// What stands behind a name in braces.
enum Operation<'a> {
    Value,
    Default { text: &'a str, if_empty: bool },
    Required { reason: &'a str, if_empty: bool },
    Alternative { text: &'a str, if_empty: bool },
}

impl<'a> Operation<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::Value);
        }
        // Compose's own pattern ends at a line break.
        if text.contains('\n') {
            return None;
        }
        let (if_empty, operator) = match text.strip_prefix(':') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let mut characters = operator.chars();
        let operator = characters.next()?;
        let text = characters.as_str();
        match operator {
            '-' => Some(Self::Default { text, if_empty }),
            '?' => Some(Self::Required {
                reason: text,
                if_empty,
            }),
            '+' => Some(Self::Alternative { text, if_empty }),
            _ => None,
        }
    }

    fn apply(
        self,
        name: &str,
        value_of: &dyn Fn(&str) -> Option<String>,
        depth: usize,
    ) -> Result<String, InterpolationError> {
        let counts = |if_empty: bool, value: &String| !(if_empty && value.is_empty());
        match self {
            Self::Value => set_value(name, value_of),
            Self::Default { text, if_empty } => match value_of(name) {
                Some(value) if counts(if_empty, &value) => Ok(value),
                _ => expand(text, value_of, depth + 1),
            },
            Self::Required { reason, if_empty } => match value_of(name) {
                Some(value) if counts(if_empty, &value) => Ok(value),
                _ => Err(InterpolationError::Required {
                    variable: name.to_owned(),
                    reason: expand(reason, value_of, depth + 1)?,
                }),
            },
            Self::Alternative { text, if_empty } => match value_of(name) {
                Some(value) if counts(if_empty, &value) => expand(text, value_of, depth + 1),
                value => Ok(value.unwrap_or_default()),
            },
        }
    }
}

fn set_value(
    name: &str,
    value_of: &dyn Fn(&str) -> Option<String>,
) -> Result<String, InterpolationError> {
    value_of(name).ok_or_else(|| InterpolationError::Unset {
        variable: name.to_owned(),
    })
}

/// The name that `text` begins with.
fn name_at_start(text: &str) -> Option<&str> {
    if !text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return None;
    }
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(text.len());
    Some(&text[..end])
}

/// Where the brace that `text` begins with is closed.
fn closing_brace(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => open += 1,
            b'}' => {
                open -= 1;
                if open == 0 {
                    return Some(index);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value_of(name: &str) -> Option<String> {
        match name {
            "SET" => Some("value".to_owned()),
            "EMPTY" => Some(String::new()),
            "TRICKY" => Some("${SET}".to_owned()),
            _ => None,
        }
    }

    fn of(text: &str) -> String {
        interpolate(text, &value_of).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn every_form_gives_what_compose_gives() {
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("$SET", "value"),
            ("${SET}", "value"),
            ("a$SET-b", "avalue-b"),
            ("a${SET}b", "avalueb"),
            ("$$SET", "$SET"),
            ("$$$SET", "$value"),
            ("${SET:-d}", "value"),
            ("${EMPTY:-d}", "d"),
            ("${EMPTY-d}", ""),
            ("${UNSET-d}", "d"),
            ("${UNSET:-d}", "d"),
            ("${UNSET:-}", ""),
            ("${UNSET:-$SET}", "value"),
            ("${UNSET:-${UNSET-${SET}}}", "value"),
            ("${UNSET:-a${SET}b}c", "avaluebc"),
            ("${UNSET:-$$}", "$"),
            ("${UNSET:-{\"a\": 1}}", "{\"a\": 1}"),
            ("${SET:+a}", "a"),
            ("${EMPTY:+a}", ""),
            ("${EMPTY+a}", "a"),
            ("${UNSET+a}", ""),
            ("${UNSET:+a}", ""),
            ("${SET:+${SET}!}", "value!"),
            ("${SET:?no}", "value"),
            ("${EMPTY?no}", ""),
            ("$TRICKY", "${SET}"),
            ("costs 5$", "costs 5$"),
            ("costs $5", "costs $5"),
            ("$ $", "$ $"),
            ("ü$SET", "üvalue"),
            ("${UNSET:-ü}", "ü"),
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
    }

    #[test]
    fn an_unused_branch_need_not_be_set() {
        assert_eq!(of("${SET:-$UNSET}"), "value");
        assert_eq!(of("${UNSET:+$UNSET}"), "");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |text: &str| interpolate(text, &value_of).unwrap_err().to_string();
        assert_eq!(error("a $UNSET"), "the variable `UNSET` is not set");
        assert_eq!(error("${UNSET}"), "the variable `UNSET` is not set");
        assert_eq!(error("${UNSET?}"), "the variable `UNSET` must be set");
        assert_eq!(
            error("${EMPTY:?for $SET}"),
            "the variable `EMPTY` must be set: for value"
        );
        for text in [
            "${}",
            "${SET",
            "${5}",
            "${SET!x}",
            "${SET:x}",
            "${SET:-a\nb}",
            "${",
            "${ SET}",
        ] {
            assert!(error(text).contains("is not a variable"), "{text}");
        }
        let deep = format!("{}x{}", "${U:-".repeat(100), "}".repeat(100));
        assert!(error(&deep).contains("nested more than"));
    }
}
