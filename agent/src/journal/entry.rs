//! One entry of `journalctl --output=json`, as documented in systemd.journal-fields(7).
//!
//! Pure. A field may be a text, an array of bytes when it is not UTF-8, `null` when it is too long,
//! or an array of these when an entry has it several times.

use omni_scale_proto::v1::{LogLine, LogStream};
use serde::Deserialize;
use serde_json::Value;

/// The longest line that is passed on, in bytes. The rest is cut off.
const LONGEST: usize = 16 * 1024;

/// The most lines that one entry is split into.
const MOST_LINES: usize = 200;

/// An entry as it is needed: who said what, when, and where to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where reading can go on after it. Empty: nowhere.
    pub(super) cursor: String,
    unit: String,
    message: String,
    time_milliseconds: i64,
}

#[derive(Deserialize)]
struct Fields {
    #[serde(rename = "__CURSOR", default)]
    cursor: Value,
    #[serde(rename = "__REALTIME_TIMESTAMP", default)]
    microseconds: Value,
    #[serde(rename = "MESSAGE", default)]
    message: Value,
    /// Set by systemd when it speaks about a unit.
    #[serde(rename = "UNIT", default)]
    about_unit: Value,
    /// Set by journald: the unit that spoke.
    #[serde(rename = "_SYSTEMD_UNIT", default)]
    by_unit: Value,
}

impl Entry {
    /// Reads one line of the output. `None`: it is not an entry.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let fields: Fields = serde_json::from_slice(line).ok()?;
        let microseconds = text(&fields.microseconds).and_then(|text| text.parse::<i64>().ok());
        let unit = text(&fields.about_unit).or_else(|| text(&fields.by_unit));
        Some(Self {
            cursor: text(&fields.cursor).unwrap_or_default(),
            unit: unit.unwrap_or_default(),
            message: text(&fields.message)
                .unwrap_or_else(|| "(a line that journald did not pass on)".to_owned()),
            time_milliseconds: microseconds.unwrap_or_default() / 1000,
        })
    }

    /// The lines of the message, masked, without control characters, each of bounded length.
    pub(super) fn into_lines(self, mask: impl Fn(&str) -> String) -> Vec<LogLine> {
        // The whole is masked before it is split: a secret may have several lines.
        let masked = mask(&self.message);
        let lines = masked.lines().take(MOST_LINES);
        let lines = lines.map(|line| LogLine {
            source: self.unit.clone(),
            line: presentable(line),
            time_milliseconds: self.time_milliseconds,
            stream: LogStream::Journal.into(),
        });
        lines.collect()
    }
}

/// A field's value; the last one when there are several.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => match bytes(items) {
            Some(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            None => items.iter().rev().find_map(text),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

fn bytes(items: &[Value]) -> Option<Vec<u8>> {
    let bytes = items.iter().map(|item| u8::try_from(item.as_u64()?).ok());
    bytes.collect()
}

/// Control characters could do things to the terminal of whoever reads.
fn presentable(line: &str) -> String {
    let mut kept = String::with_capacity(line.len().min(LONGEST));
    for character in line.chars() {
        if kept.len() + character.len_utf8() > LONGEST {
            kept.push('…');
            break;
        }
        if character == '\t' || !character.is_control() {
            kept.push(character);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use omni_scale_noise::{Dice, damaged_bytes, damaged_json, hold_against};
    use proptest::prelude::*;

    fn lines(json: &str) -> Vec<LogLine> {
        Entry::parse(json.as_bytes())
            .unwrap()
            .into_lines(ToOwned::to_owned)
    }

    #[test]
    fn an_entry_of_a_program_is_read() {
        let json = r#"{"__CURSOR":"s=1;i=2","__REALTIME_TIMESTAMP":"1700000000123456",
            "MESSAGE":"tsidp server started","_SYSTEMD_UNIT":"tsidp.service"}"#;
        assert_eq!(Entry::parse(json.as_bytes()).unwrap().cursor, "s=1;i=2");
        let expected = LogLine {
            source: "tsidp.service".to_owned(),
            line: "tsidp server started".to_owned(),
            time_milliseconds: 1_700_000_000_123,
            stream: LogStream::Journal.into(),
        };
        assert_eq!(lines(json), [expected]);
    }

    #[test]
    fn what_systemd_says_about_a_unit_counts_as_the_units() {
        let json = r#"{"MESSAGE":"Started.","UNIT":"tsidp.service","_SYSTEMD_UNIT":"init.scope"}"#;
        assert_eq!(lines(json)[0].source, "tsidp.service");
    }

    #[test]
    fn a_message_may_be_bytes_or_missing_or_there_twice() {
        let message = |json: &str| lines(json)[0].line.clone();
        assert_eq!(message(r#"{"MESSAGE":[104,105,255]}"#), "hi\u{fffd}");
        assert_eq!(message(r#"{"MESSAGE":["one","two"]}"#), "two");
        assert_eq!(message(r#"{"MESSAGE":[[104,105],[111,107]]}"#), "ok");
        assert!(message(r#"{"MESSAGE":null}"#).contains("did not pass on"));
        assert!(message("{}").contains("did not pass on"));
    }

    #[test]
    fn a_terminal_is_not_told_what_to_do() {
        let json = r#"{"MESSAGE":"a\u001b[31mred\r\nb\tc"}"#;
        let lines: Vec<_> = lines(json).into_iter().map(|line| line.line).collect();
        assert_eq!(lines, ["a[31mred", "b\tc"]);
    }

    #[test]
    fn a_secret_of_several_lines_is_masked_before_it_is_split() {
        let entry = Entry::parse(br#"{"MESSAGE":"key: one\ntwo!"}"#).unwrap();
        let lines = entry.into_lines(|text| text.replace("one\ntwo", "[secret]"));
        assert_eq!(lines[0].line, "key: [secret]!");
    }

    #[test]
    fn a_long_line_is_cut() {
        let json = serde_json::json!({ "MESSAGE": "ä".repeat(LONGEST) }).to_string();
        let line = &lines(&json)[0].line;
        assert!(line.len() <= LONGEST + '…'.len_utf8());
        assert!(line.ends_with('…'));
    }

    #[test]
    fn noise_in_an_entry_breaks_nothing() {
        let samples = [
            serde_json::json!({
                "__CURSOR": "s=1;i=2", "__REALTIME_TIMESTAMP": "1700000000123456",
                "MESSAGE": "tsidp server started\nsecond line", "_SYSTEMD_UNIT": "tsidp.service",
            }),
            serde_json::json!({"MESSAGE": [104, 105, 255], "UNIT": ["a", "tsidp.service"]}),
            serde_json::json!({"MESSAGE": [[104, 105], null, "x"], "__REALTIME_TIMESTAMP": "-9223372036854775808"}),
        ];
        let make = |dice: &mut Dice| {
            let sample = &samples[dice.roll(samples.len())];
            let entry = damaged_json(dice, sample);
            let line = serde_json::to_vec(&entry).unwrap();
            if dice.once_in(4) {
                damaged_bytes(dice, &line)
            } else {
                line
            }
        };
        hold_against("journal entries", make, |line| {
            let Some(entry) = Entry::parse(line) else {
                return;
            };
            for line in entry.into_lines(ToOwned::to_owned) {
                assert!(line.line.len() <= LONGEST + '…'.len_utf8());
                assert!(!line.line.contains(|c: char| c.is_control() && c != '\t'));
            }
        });
    }

    proptest! {
        #[test]
        fn no_output_is_a_panic(line in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Entry::parse(&line);
        }

        #[test]
        fn every_message_comes_back_without_its_control_characters(message in "[^\\pC]{1,80}") {
            let json = serde_json::json!({ "MESSAGE": message }).to_string();
            let lines: Vec<_> = lines(&json).into_iter().map(|line| line.line).collect();
            prop_assert_eq!(lines.join("\n"), message);
        }

        #[test]
        fn a_message_of_bytes_is_the_same_as_one_of_text(message in "[ -~]{1,80}") {
            let text = serde_json::json!({ "MESSAGE": message }).to_string();
            let bytes = serde_json::json!({ "MESSAGE": message.as_bytes() }).to_string();
            prop_assert_eq!(lines(&text), lines(&bytes));
        }
    }
}
