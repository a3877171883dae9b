//! A command in one text → its words, as Compose splits it.
//!
//! The rules are those of go-shellwords, which Compose uses: quotes group, a backslash makes the
//! next character plain (in double quotes too), nothing is expanded. Compose drops what follows an
//! unquoted `;`, `&`, `|`, `<` or `>` without a word; here that is an error.

/// Why a text cannot be split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// A quote has no end.
    #[error("a quote is not closed")]
    OpenQuote,
    /// A backslash has nothing behind it.
    #[error("a backslash stands at the end")]
    OpenEscape,
    /// A character that means something to a shell.
    #[error("`{character}` means something to a shell only, and no shell reads this")]
    Shell {
        /// The character.
        character: char,
    },
}

/// The words of `text`.
pub fn split(text: &str) -> Result<Vec<String>, SplitError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == '\\' && quote != Some('\'') {
            let plain = characters.next().ok_or(SplitError::OpenEscape)?;
            word.get_or_insert_default().push(plain);
            continue;
        }
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '"' | '\'') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, ' ' | '\t' | '\r' | '\n') => words.extend(word.take()),
            (None, ';' | '&' | '|' | '<' | '>' | '(' | ')' | '`') => {
                return Err(SplitError::Shell { character });
            }
            _ => word.get_or_insert_default().push(character),
        }
    }
    if quote.is_some() {
        return Err(SplitError::OpenQuote);
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_compose_splits_them() {
        for (text, expected) in [
            ("", &[] as &[&str]),
            ("  \n ", &[]),
            ("a b", &["a", "b"]),
            ("a\n  b\tc\n", &["a", "b", "c"]),
            ("--x='a b'", &["--x=a b"]),
            (
                "--source='file:///omni.asc'",
                &["--source=file:///omni.asc"],
            ),
            ("a \"b 'c'\" d", &["a", "b 'c'", "d"]),
            ("a ''", &["a", ""]),
            ("--x=", &["--x="]),
            (r"a\ b", &["a b"]),
            (r#""a\n\"b""#, &["an\"b"]),
            (r"'a\b'", &[r"a\b"]),
            ("a'b'\"c\"", &["abc"]),
            ("\"$(x); y\"", &["$(x); y"]),
            ("ü #x", &["ü", "#x"]),
        ] {
            assert_eq!(split(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_needs_a_shell_is_refused() {
        assert_eq!(split("a; b"), Err(SplitError::Shell { character: ';' }));
        assert_eq!(split("a $(b)"), Err(SplitError::Shell { character: '(' }));
        assert_eq!(split("a 'b"), Err(SplitError::OpenQuote));
        assert_eq!(split("a\\"), Err(SplitError::OpenEscape));
    }
}
