//! A task's log, read page by page: live while it works, to its end when it has ended.

use std::collections::VecDeque;

use serde::Deserialize;

use crate::{answer::clean, tolerant};

/// Lines asked for at a time; the API's own default is 50.
const PAGE: usize = 500;

/// Lines kept for an error.
const TAIL: usize = 12;

/// Pages read of one log before giving up on its end: 100,000 lines.
const MOST_PAGES: usize = 200;

/// A line of a task's log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LogLine {
    /// From 1.
    #[serde(rename = "n", deserialize_with = "tolerant::required")]
    pub number: u64,
    /// Without its line break.
    #[serde(rename = "t", deserialize_with = "tolerant::required")]
    pub text: String,
}

/// Which page to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) start: usize,
    pub(crate) limit: usize,
}

/// What has been read of a log.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    read: usize,
    pages: usize,
    tail: VecDeque<String>,
    pub(crate) warnings: Vec<String>,
}

impl Reader {
    /// The page to ask for next; `None` when enough has been read for ever.
    pub(crate) fn next(&self) -> Option<Page> {
        (self.pages < MOST_PAGES).then_some(Page {
            start: self.read,
            limit: PAGE,
        })
    }

    /// Takes a page in, and says whether there may be more by now.
    pub(crate) fn take(
        &mut self,
        lines: Vec<LogLine>,
        watch: &mut (dyn FnMut(&LogLine) + Send),
    ) -> bool {
        // What an empty log answers, to please the web interface (pve-common, `dump_logfile`).
        let lines = match lines.as_slice() {
            [line] if self.read == 0 && line.text == "no content" => Vec::new(),
            _ => lines,
        };
        let full = lines.len() >= PAGE;
        if full {
            self.pages += 1;
        }
        self.read += lines.len();
        for mut line in lines {
            line.text = clean(&line.text);
            watch(&line);
            if line.text.starts_with("WARN") {
                self.warnings.push(line.text.clone());
            }
            if self.tail.len() == TAIL {
                self.tail.pop_front();
            }
            self.tail.push_back(line.text);
        }
        full
    }

    /// The last lines.
    pub(crate) fn tail(self) -> Vec<String> {
        self.tail.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(range: std::ops::Range<u64>) -> Vec<LogLine> {
        let line = |number: u64| LogLine {
            number: number + 1,
            text: if number == 3 {
                "WARN: thin pool\n".into()
            } else {
                format!("line {number}")
            },
        };
        range.map(line).collect()
    }

    #[test]
    fn the_last_lines_and_the_warnings_are_kept() {
        let mut reader = Reader::default();
        let mut seen = 0;
        assert!(reader.take(lines(0..500), &mut |_| seen += 1));
        assert_eq!(
            reader.next().unwrap(),
            Page {
                start: 500,
                limit: 500
            }
        );
        assert!(!reader.take(lines(500..520), &mut |_| seen += 1));
        assert_eq!(seen, 520);
        assert_eq!(reader.warnings, ["WARN: thin pool"]);
        let tail = reader.tail();
        assert_eq!(
            (tail.len(), tail.last().unwrap().as_str()),
            (TAIL, "line 519")
        );
    }

    #[test]
    fn an_empty_log_has_no_line() {
        let mut reader = Reader::default();
        let empty = LogLine {
            number: 1,
            text: "no content".into(),
        };
        assert!(!reader.take(vec![empty], &mut |_| panic!("there is no line")));
        assert_eq!(reader.next().unwrap().start, 0);
    }

    #[test]
    fn a_log_without_end_is_given_up() {
        let mut reader = Reader::default();
        while reader.next().is_some() {
            reader.take(lines(0..500), &mut |_| {});
        }
        assert_eq!(reader.read, 100_000);
    }
}
