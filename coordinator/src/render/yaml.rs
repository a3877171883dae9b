//! Writing YAML for people: block style, two spaces, text in double quotes.

use serde_json::Value;

/// Writes a document of mappings. Whatever was opened must be closed.
#[derive(Debug)]
pub(super) struct Writer {
    out: String,
    depth: usize,
}

impl Writer {
    /// Begins a document with `head`, which is comments.
    pub(super) fn new(head: &str) -> Self {
        Self {
            out: head.to_owned(),
            depth: 0,
        }
    }

    /// The document.
    pub(super) fn finish(self) -> String {
        self.out
    }

    fn line(&mut self, depth: usize, text: &str) {
        self.out.push_str(&"  ".repeat(depth));
        self.out.push_str(text);
        self.out.push('\n');
    }

    /// Begins a mapping.
    pub(super) fn open(&mut self, key: &str) {
        if self.depth == 0 {
            self.out.push('\n');
        }
        self.line(self.depth, &format!("{key}:"));
        self.depth += 1;
    }

    /// Ends it.
    pub(super) fn close(&mut self) {
        self.depth -= 1;
    }

    /// A key without a value.
    pub(super) fn empty(&mut self, key: &str) {
        self.line(self.depth, &format!("{key}:"));
    }

    /// A key and a text.
    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.raw(key, &Value::from(value).to_string());
    }

    /// A key and a value that is YAML already.
    pub(super) fn raw(&mut self, key: &str, value: &str) {
        self.line(self.depth, &format!("{key}: {value}"));
    }

    /// A key and a list of texts. Nothing for an empty list.
    pub(super) fn list(&mut self, key: &str, values: &[String]) {
        if values.is_empty() {
            return;
        }
        self.empty(key);
        for value in values {
            self.line(
                self.depth + 1,
                &format!("- {}", Value::from(value.as_str())),
            );
        }
    }

    /// A key and a list of mappings, whose values are YAML already. Nothing for an empty list.
    pub(super) fn mappings(&mut self, key: &str, mappings: &[Vec<(&str, String)>]) {
        if mappings.is_empty() {
            return;
        }
        self.empty(key);
        for mapping in mappings {
            for (index, (key, value)) in mapping.iter().enumerate() {
                let lead = if index == 0 { "- " } else { "  " };
                self.line(self.depth + 1, &format!("{lead}{key}: {value}"));
            }
        }
    }

    /// A key and a text of several lines, as it is. Text that a block cannot hold is put in quotes.
    pub(super) fn block(&mut self, key: &str, value: &str) {
        let body = value.strip_suffix('\n').unwrap_or(value);
        let fits = !body.is_empty()
            && !body.starts_with(char::is_whitespace)
            && !body.ends_with('\n')
            && !body.contains(|c: char| c.is_control() && c != '\n');
        if !fits {
            self.text(key, value);
            return;
        }
        let sign = if value.ends_with('\n') { "|" } else { "|-" };
        self.raw(key, sign);
        for line in body.split('\n') {
            if line.is_empty() {
                self.out.push('\n');
            } else {
                self.line(self.depth + 1, line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Content, parse};

    #[test]
    fn every_text_comes_back_as_it_was() {
        for text in [
            "",
            "a",
            "a\n",
            "a\n\n",
            "\na",
            " a",
            "a: b #c\n\n  d\n",
            "a\tb\n",
            "\"'\\",
            "ü\u{7}",
            "---\n...\n",
        ] {
            let mut writer = Writer::new("# head\n");
            writer.open("outer");
            writer.block("block", text);
            writer.text("text", text);
            writer.list("list", &[text.to_owned()]);
            writer.close();
            let document = writer.finish();
            let tree = parse("f.yaml", &document).unwrap();
            let outer = tree.get("outer").unwrap();
            let Content::Sequence(items) = &outer.get("list").unwrap().content else {
                panic!()
            };
            for node in [
                outer.get("block").unwrap(),
                outer.get("text").unwrap(),
                &items[0],
            ] {
                let Content::Scalar(scalar) = &node.content else {
                    panic!()
                };
                assert_eq!(scalar.text, text, "{document}");
            }
        }
    }
}
