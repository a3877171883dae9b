//! Text that others wrote: log lines, evidence, names of Proxmox, messages of an Engine. A
//! terminal obeys what stands in it, so that its title, clipboard and screen would be theirs.
//!
//! [`harmless`] is used where such text enters. What leaves goes through [`with_our_colors`] once
//! more, so that a place that was forgotten can bring colours and nothing else.

use std::fmt::Write as _;

use super::Style;

/// Without control characters, C0 and C1, but line breaks and tabs.
pub fn harmless(text: &str) -> String {
    text.chars().filter(|one| !is_harmful(*one)).collect()
}

/// The same, with what [`Style::paint`] puts around text.
pub(super) fn with_our_colors(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(is_harmful) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let color = Style::sequences().find(|sequence| rest.starts_with(sequence.as_str()));
        let length = match color {
            Some(color) => {
                out.push_str(&color);
                color.len()
            }
            None => rest.chars().next().map_or(0, char::len_utf8),
        };
        rest = &rest[length..];
    }
    out.push_str(rest);
    out
}

/// JSON on one line, whose strings hold control characters only as escapes.
pub(super) fn escaped_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for one in json.chars() {
        if one.is_control() {
            // All of them have four digits.
            let _ = write!(out, "\\u{:04x}", u32::from(one));
        } else {
            out.push(one);
        }
    }
    out
}

fn is_harmful(one: char) -> bool {
    one.is_control() && !matches!(one, '\n' | '\t')
}

#[cfg(test)]
mod tests {
    use super::super::testing::Captured;
    use super::super::{Cell, Explanation, Stop, Table};
    use super::*;
    use crate::exit::Exit;

    /// Sets the clipboard (OSC 52), in both spellings, and clears the screen.
    const EVIL: &str = "a\u{1b}]52;c;ZXZpbA==\u{7}\u{9d}52;c;ZXZpbA==\u{9c}\u{1b}[2Jb\r\u{8}\u{7f}";

    #[test]
    fn control_characters_go_and_words_stay() {
        assert_eq!(harmless(EVIL), "a]52;c;ZXZpbA==52;c;ZXZpbA==[2Jb");
        assert_eq!(harmless("ä\tb\n日本"), "ä\tb\n日本");
    }

    #[test]
    fn our_own_colours_stay() {
        let painted = format!("{}{EVIL}", Style::Bad.paint("x", true));
        assert_eq!(
            with_our_colors(&painted),
            format!("\u{1b}[31mx\u{1b}[0m{}", harmless(EVIL))
        );
        assert_eq!(with_our_colors("\u{1b}[8m\u{1b}"), "[8m");
    }

    #[test]
    fn json_says_the_same_in_escapes() {
        let json = serde_json::json!({ "line": EVIL }).to_string();
        let escaped = escaped_json(&json);
        assert!(!escaped.chars().any(char::is_control), "{escaped}");
        let read: serde_json::Value = serde_json::from_str(&escaped).unwrap();
        assert_eq!(read["line"], EVIL);
    }

    #[test]
    fn nothing_of_others_moves_a_terminal() {
        let captured = Captured::default();
        let output = captured.output();
        output.data(EVIL).unwrap();
        output.say(EVIL);
        output.warn(EVIL);
        output.ask(EVIL);
        let stop = Stop::new(Exit::Failed, EVIL).hint(EVIL);
        output.fail(&stop.evidence([EVIL.to_owned()]).into());
        let shown = captured.data() + &captured.errors();
        assert!(!shown.chars().any(is_harmful), "{shown:?}");

        let mut table = Table::new(&["one"]);
        table.row([Cell::new(Style::Good, EVIL)]);
        let stop = Stop::new(Exit::Failed, EVIL).hint(EVIL);
        let explanation = Explanation::of(&stop.evidence([EVIL.to_owned()]).into());
        for line in table.lines(true).iter().chain(&explanation.lines(true)) {
            for foreign in ["\u{1b}]", "\u{9d}", "\u{7}", "\u{1b}[2J"] {
                assert!(!line.contains(foreign), "{line:?}");
            }
        }
    }
}
