//! Files of variables: `.env` and those of `env_file`.
//!
//! The rules are compose-go's (dotenv/parser.go): `export`, `KEY=VALUE` or `KEY: VALUE`, comments,
//! values in quotes over several lines, escapes and variables in double quotes and in values
//! without quotes, a bare `KEY` that is taken from outside. Stricter: a variable that is not set
//! is an error, and so are an empty name and a name with a space in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::interpolate::{InterpolationError, interpolate};
use crate::document::{Location, Problem, Problems};

/// Variables by name.
pub type Variables = BTreeMap<String, String>;

/// Reads `text`, the content of `file`. `outer` gives variables from outside, which go before
/// earlier lines of the file.
pub fn parse(
    file: &str,
    text: &str,
    outer: &dyn Fn(&str) -> Option<String>,
) -> Result<Variables, Problems> {
    let mut reader = Reader {
        file: file.into(),
        text: text.strip_prefix('\u{feff}').unwrap_or(text),
        position: 0,
        outer,
        variables: Variables::new(),
    };
    reader.read().map_err(Problems::from)?;
    Ok(reader.variables)
}

struct Reader<'a> {
    file: Arc<str>,
    text: &'a str,
    position: usize,
    outer: &'a dyn Fn(&str) -> Option<String>,
    variables: Variables,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.position..]
    }

    /// Goes on while characters are `wanted`, and returns them.
    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.position += end;
        &rest[..end]
    }

    fn problem(&self, position: usize, message: impl Into<String>) -> Problem {
        let before = &self.text[..position];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Problem {
            location: Location {
                file: Arc::clone(&self.file),
                line: before.matches('\n').count() + 1,
                column: before[line_start..].chars().count() + 1,
            },
            message: message.into(),
            hint: None,
        }
    }

    fn read(&mut self) -> Result<(), Problem> {
        loop {
            self.take_while(char::is_whitespace);
            if self.rest().is_empty() {
                return Ok(());
            }
            if self.rest().starts_with('#') {
                self.take_while(|c| c != '\n');
                continue;
            }
            self.statement()?;
        }
    }

    fn statement(&mut self) -> Result<(), Problem> {
        if let Some(after) = self.rest().strip_prefix("export")
            && after.starts_with(char::is_whitespace)
        {
            self.position += "export".len();
            self.take_while(is_blank);
        }
        let start = self.position;
        let name = self
            .take_while(|c| c != '=' && c != ':' && c != '\n')
            .trim_end();
        if name.is_empty() {
            return Err(self.problem(start, "a name must stand before the value"));
        }
        if let Some(offset) = name.find(|c: char| !is_name_character(c)) {
            return Err(self.problem(
                start + offset,
                "the name of a variable has letters, digits, `_`, `.`, `-`, `[` and `]`",
            ));
        }
        let value = if self.rest().starts_with(['=', ':']) {
            self.position += 1;
            self.take_while(is_blank);
            Some(self.value()?)
        } else {
            (self.outer)(name)
        };
        if let Some(value) = value {
            self.variables.insert(name.to_owned(), value);
        }
        Ok(())
    }

    fn value(&mut self) -> Result<String, Problem> {
        let start = self.position;
        if let Some(quote @ ('"' | '\'')) = self.rest().chars().next() {
            self.position += 1;
            let raw = self.quoted(quote, start)?;
            return if quote == '\'' {
                Ok(raw)
            } else {
                self.expand(&unescape(&raw), start)
            };
        }
        let line = self.take_while(|c| c != '\n');
        let value = line.split(" #").next().unwrap_or_default().trim_end();
        self.expand(value, start)
    }

    /// The text up to the closing quote. Escapes stay, but for that of the quote itself.
    fn quoted(&mut self, quote: char, start: usize) -> Result<String, Problem> {
        let mut raw = String::new();
        let mut escaped = false;
        for (offset, character) in self.rest().char_indices() {
            if character == quote && !escaped {
                self.position += offset + quote.len_utf8();
                return Ok(raw);
            }
            if character == '\\' && !escaped {
                escaped = true;
                continue;
            }
            if escaped && character != quote {
                raw.push('\\');
            }
            escaped = false;
            raw.push(character);
        }
        Err(self.problem(start, "a quote is not closed"))
    }

    fn expand(&self, text: &str, position: usize) -> Result<String, Problem> {
        let value_of =
            |name: &str| (self.outer)(name).or_else(|| self.variables.get(name).cloned());
        interpolate(text, &value_of).map_err(|error| {
            // What the error would quote is a piece of the value, which may be a secret.
            let message = match error {
                InterpolationError::Malformed { .. } => "a `$` in the value begins no variable",
                InterpolationError::Unset { .. } | InterpolationError::Required { .. } => {
                    "a `$` in the value begins a variable that is not set"
                }
                InterpolationError::TooDeep => "defaults in the value are nested too deeply",
            };
            Problem {
                hint: Some("in single quotes, a `$` stays as it is".to_owned()),
                ..self.problem(position, message)
            }
        })
    }
}

/// White space within a line, as compose-go has it.
fn is_blank(character: char) -> bool {
    matches!(
        character,
        '\t' | '\u{b}' | '\u{c}' | '\r' | ' ' | '\u{85}' | '\u{a0}'
    )
}

fn is_name_character(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '.' | '-' | '[' | ']')
}

/// The escapes of double quotes. Others stay as they are. `\$` becomes `$$`, which interpolation
/// turns into a dollar sign.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(backslash) = rest.find('\\') {
        out.push_str(&rest[..backslash]);
        let escape = &rest[backslash + 1..];
        let replaced = match escape.chars().next() {
            Some('$') => Some("$$"),
            Some('a') => Some("\u{7}"),
            Some('b') => Some("\u{8}"),
            Some('f') => Some("\u{c}"),
            Some('n') => Some("\n"),
            Some('r') => Some("\r"),
            Some('t') => Some("\t"),
            Some('v') => Some("\u{b}"),
            Some('"') => Some("\""),
            Some('\\') => Some("\\"),
            _ => None,
        };
        if let Some(replaced) = replaced {
            out.push_str(replaced);
            rest = &escape[1..];
        } else if let Some(digits) = escape.strip_prefix('0') {
            rest = octal(digits, &mut out);
        } else {
            out.push('\\');
            rest = escape;
        }
    }
    out.push_str(rest);
    out
}

/// `\0` and three octal digits are one character. With fewer, the `0` is lost and the rest stays,
/// as in compose-go.
fn octal<'a>(digits: &'a str, out: &mut String) -> &'a str {
    let count = digits
        .bytes()
        .take(3)
        .take_while(u8::is_ascii_digit)
        .count();
    let (number, rest) = digits.split_at(count);
    match u8::from_str_radix(number, 8) {
        Ok(value) if count == 3 => out.push(char::from(value)),
        _ => {
            out.push('\\');
            out.push_str(number);
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_where_and_never_a_value() {
        for text in [
            "A=1\nPASSWORD=hunter${2!x}",
            "A=1\nPASSWORD=hunter$hunter",
            "A=1\nPASSWORD=\"hunter${hunter:?hunter}\"",
        ] {
            let error = parse(".env", text, &|_| None).unwrap_err().to_string();
            assert!(error.contains(".env:2:10"), "{error}");
            assert!(!error.contains("hunter"), "{error}");
        }
    }

    fn outer(name: &str) -> Option<String> {
        (name == "OUTER").then(|| "outside".to_owned())
    }

    fn value(text: &str) -> String {
        let variables =
            parse(".env", text, &outer).unwrap_or_else(|error| panic!("{text}: {error}"));
        variables
            .get("K")
            .cloned()
            .unwrap_or_else(|| panic!("{text}: {variables:?}"))
    }

    #[test]
    fn values_are_read_as_compose_reads_them() {
        for (text, expected) in [
            ("K=v", "v"),
            ("K=v\n", "v"),
            ("K = v ", "v"),
            ("K: v", "v"),
            ("export K=v", "v"),
            ("export\tK=v", "v"),
            ("K=", ""),
            ("K=\nL=x", ""),
            ("# c\n\nK=v # c", "v"),
            ("K=v#c", "v#c"),
            ("K=a b", "a b"),
            ("K='a b' # c", "a b"),
            ("K='$OUTER'", "$OUTER"),
            ("K='a\\nb'", "a\\nb"),
            ("K='it\\'s'", "it's"),
            ("K=\"a\\nb\"", "a\nb"),
            ("K=\"a\nb\"", "a\nb"),
            ("K=\"a\\\"b\"", "a\"b"),
            ("K=\"a\\\\b\"", "a\\b"),
            ("K=\"\\$OUTER\"", "$OUTER"),
            ("K=\"\\0101\"", "A"),
            ("K=\"\\x\"", "\\x"),
            ("K=\"\\c\"", "\\c"),
            ("K=$OUTER", "outside"),
            ("A=1\nK=\"q ${A}\"", "q 1"),
            ("OUTER=inside\nK=$OUTER", "outside"),
            ("K=$$x", "$x"),
            ("K=a=b", "a=b"),
            ("\u{feff}K=v\r\nL=w\r\n", "v"),
            ("K=1\nK=2", "2"),
            ("K=\"a\"\nL='b'\n", "a"),
            ("L='b' \nK=x", "x"),
            ("K=ü", "ü"),
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
    }

    #[test]
    fn a_bare_name_is_taken_from_outside() {
        let variables = parse(".env", "OUTER\nNOWHERE\nK=v\nOUTER", &outer).unwrap();
        assert_eq!(variables["OUTER"], "outside");
        assert!(!variables.contains_key("NOWHERE"));
    }

    #[test]
    fn problems_have_their_place() {
        let problem = |text: &str| parse("a.env", text, &outer).unwrap_err().to_string();
        assert_eq!(problem("A=1\nK='x"), "a.env:2:3: a quote is not closed");
        assert_eq!(
            problem("A=1\n  =x"),
            "a.env:2:3: a name must stand before the value"
        );
        assert!(problem("A B=1").starts_with("a.env:1:2: the name of a variable"));
        assert_eq!(
            problem("K=$UNSET"),
            "a.env:1:3: a `$` in the value begins a variable that is not set\n  hint: in single quotes, a `$` stays as it is"
        );
    }
}
