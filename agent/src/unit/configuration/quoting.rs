//! How systemd reads an environment file, and how it splits `$VARIABLE` in `ExecStart=`.
//!
//! Environment file (systemd.exec(5), `src/basic/env-file.c`): inside double quotes a backslash
//! takes its meaning from `"`, `\`, `` ` `` and `$`, and stays before anything else; nothing is
//! expanded. Splitting (systemd.service(5), `src/basic/extract-word.c` with unquoting and without
//! C escapes): words end at white space; inside quotes and outside, a backslash makes the next
//! character literal. Verified on systemd 252 and 257.

/// A text that cannot be given to systemd as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it holds a line break or another control character")]
pub struct Unquotable;

/// One line of an environment file, with its line break.
pub(super) fn assignment(name: &str, value: &str) -> Result<String, Unquotable> {
    // systemd drops an assignment with most control characters, without failing.
    if value.chars().any(char::is_control) {
        return Err(Unquotable);
    }
    let mut line = format!("{name}=\"");
    for character in value.chars() {
        if matches!(character, '"' | '\\' | '`' | '$') {
            line.push('\\');
        }
        line.push(character);
    }
    line.push_str("\"\n");
    Ok(line)
}

/// Arguments as one text that systemd splits into exactly these. The error carries the index of the
/// argument.
pub(super) fn argument_line(arguments: &[String]) -> Result<String, (usize, Unquotable)> {
    let mut line = String::new();
    for (index, argument) in arguments.iter().enumerate() {
        if argument.chars().any(char::is_control) {
            return Err((index, Unquotable));
        }
        if index > 0 {
            line.push(' ');
        }
        push_word(&mut line, argument);
    }
    Ok(line)
}

fn push_word(line: &mut String, word: &str) {
    let plain =
        |character: char| character.is_ascii_alphanumeric() || "-_./:=,@+%".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        line.push_str(word);
        return;
    }
    line.push('"');
    for character in word.chars() {
        if matches!(character, '"' | '\\') {
            line.push('\\');
        }
        line.push(character);
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use omni_scale_noise::{Dice, hold_against, noise, thrown};
    use proptest::prelude::*;

    /// systemd's reading of the value of one line, when it begins with a double quote.
    fn read_value(line: &str) -> String {
        let (_, quoted) = line.split_once("=\"").unwrap();
        let mut value = String::new();
        let mut characters = quoted.chars();
        loop {
            match characters.next().expect("the quotes end") {
                '"' => break,
                '\\' => match characters.next().expect("a backslash is not last") {
                    escaped @ ('"' | '\\' | '`' | '$') => value.push(escaped),
                    other => value.extend(['\\', other]),
                },
                other => value.push(other),
            }
        }
        assert_eq!(characters.as_str(), "\n", "nothing follows the quotes");
        value
    }

    /// systemd's `extract_first_word` with EXTRACT_UNQUOTE and EXTRACT_RELAX, until the end.
    fn split(text: &str) -> Vec<String> {
        let mut words = Vec::new();
        let mut word: Option<String> = None;
        let mut quote = None;
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match (quote, character) {
                (_, '\\') => word.get_or_insert_default().extend(characters.next()),
                (Some(open), _) if character == open => quote = None,
                (None, '"' | '\'') => {
                    word.get_or_insert_default();
                    quote = Some(character);
                }
                (None, ' ' | '\t' | '\n' | '\r') => words.extend(word.take()),
                (Some(_) | None, _) => word.get_or_insert_default().push(character),
            }
        }
        words.extend(word);
        words
    }

    fn through(arguments: &[&str]) -> Vec<String> {
        let owned: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        let line = assignment("TSIDP_ARGS", &argument_line(&owned).unwrap()).unwrap();
        split(&read_value(&line))
    }

    #[test]
    fn hostile_arguments_arrive_as_they_are() {
        let hostile = [
            "-a",
            "b c",
            "",
            "\"",
            "'",
            "\\",
            "\\n",
            "$HOME",
            "${PATH}",
            "`id`",
            "%h",
            "a\"b'c\\d",
            "#",
            ";",
            "tail\\",
            " lead",
            "ünï",
            "-x=\"q\"",
            "--",
            "$$",
        ];
        assert_eq!(through(&hostile), hostile);
    }

    #[test]
    fn a_line_break_is_refused_wherever_it_is() {
        assert_eq!(assignment("A", "x\nB=y"), Err(Unquotable));
        assert_eq!(assignment("A", "x\0"), Err(Unquotable));
        let arguments = ["ok".to_owned(), "x\ny".to_owned()];
        assert_eq!(argument_line(&arguments), Err((1, Unquotable)));
    }

    #[test]
    fn simple_arguments_stay_readable() {
        let arguments = ["-hostname=tsidp", "-port", "443"].map(str::to_owned);
        assert_eq!(
            argument_line(&arguments).unwrap(),
            "-hostname=tsidp -port 443"
        );
    }

    #[test]
    fn noise_in_an_argument_arrives_or_is_refused() {
        let pieces = [
            "\"", "'", "\\", "`", "$", "${A}", "$(", " ", "\t", "\n", "%", "#", ";", "=", "-x",
            "ü", "\u{a0}",
        ];
        let make = |dice: &mut Dice| {
            let argument = |dice: &mut Dice| {
                if dice.once_in(4) {
                    noise(dice)
                } else {
                    thrown(dice, &pieces)
                }
            };
            (0..dice.roll(4))
                .map(|_| argument(dice))
                .collect::<Vec<_>>()
        };
        hold_against("arguments for systemd", make, |arguments| {
            let Ok(line) = argument_line(arguments) else {
                assert!(arguments.iter().any(|one| one.contains(char::is_control)));
                return;
            };
            let line = assignment("TSIDP_ARGS", &line).unwrap();
            assert_eq!(split(&read_value(&line)), *arguments);
        });
    }

    proptest! {
        #[test]
        fn every_argument_arrives(arguments in proptest::collection::vec("[^\\pC]{0,12}", 0..6)) {
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            prop_assert_eq!(through(&arguments), arguments);
        }

        #[test]
        fn every_value_arrives(value in "[^\\pC]{0,40}") {
            prop_assert_eq!(read_value(&assignment("A", &value).unwrap()), value);
        }
    }
}
