//! What containers wrote, in whole lines, with known secret values hidden.
//!
//! Omni prints its authentication configuration and tools print mistyped secrets, so a line is
//! masked before anything else is done with it. A line is bounded: what is longer is cut after
//! masking, so that a secret is never cut in half and shown.

mod read;

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use omni_scale_proto::v1::{self, LogStream};

use super::engine::{Engine, EngineError, LogOptions, LogPiece};
use crate::secrets::Secrets;

pub use read::ReadLogs;

/// The longest line that is shown, in bytes.
const LONGEST_SHOWN: usize = 16 * 1024;
/// The most that is kept of a line before it is masked, in bytes.
const LONGEST_KEPT: usize = 64 * 1024;

/// The log of one container as lines.
pub async fn read(
    engine: &dyn Engine,
    secrets: Arc<Secrets>,
    service: &str,
    container: &str,
    options: LogOptions,
) -> Result<BoxStream<'static, Result<v1::LogLine, EngineError>>, EngineError> {
    let pieces = engine.logs(container, options).await?;
    let service = service.to_owned();
    let mut lines = Lines::default();
    // An end that is no newline still ends a line.
    let pieces = pieces.map(Some).chain(stream::iter([None]));
    let lines = pieces.flat_map(move |piece| {
        let whole = match piece {
            Some(Ok(piece)) => lines.take(&piece),
            Some(Err(error)) => return stream::iter(vec![Err(error)]),
            None => lines.rest(),
        };
        let shown = whole
            .into_iter()
            .map(|line| Ok(line.show(&service, &secrets)));
        stream::iter(shown.collect::<Vec<_>>())
    });
    Ok(lines.boxed())
}

/// The last lines of a container's log, for evidence. Empty when they cannot be had.
pub async fn tail(
    engine: &dyn Engine,
    secrets: &Arc<Secrets>,
    container: &str,
    lines: u32,
) -> Vec<String> {
    let options = LogOptions {
        lines,
        follow: false,
        since_seconds: 0,
    };
    let Ok(stream) = read(engine, secrets.clone(), "", container, options).await else {
        return Vec::new();
    };
    stream
        .filter_map(|line| std::future::ready(line.ok().map(|line| line.line)))
        .collect()
        .await
}

/// Puts pieces together to lines, each stream for itself.
#[derive(Default)]
struct Lines {
    stdout: Partial,
    stderr: Partial,
}

#[derive(Default)]
struct Partial {
    bytes: Vec<u8>,
    time_milliseconds: i64,
}

struct Line {
    bytes: Vec<u8>,
    time_milliseconds: i64,
    stream: LogStream,
}

impl Lines {
    fn take(&mut self, piece: &LogPiece) -> Vec<Line> {
        let (partial, stream) = match piece.stream {
            LogStream::Stderr => (&mut self.stderr, LogStream::Stderr),
            _ => (&mut self.stdout, LogStream::Stdout),
        };
        let mut whole = Vec::new();
        for part in piece.bytes.split_inclusive(|byte| *byte == b'\n') {
            if partial.bytes.is_empty() {
                partial.time_milliseconds = piece.time_milliseconds;
            }
            let (part, ends) = match part.strip_suffix(b"\n") {
                Some(part) => (part, true),
                None => (part, false),
            };
            let room = LONGEST_KEPT.saturating_sub(partial.bytes.len());
            partial
                .bytes
                .extend_from_slice(&part[..part.len().min(room)]);
            if ends {
                whole.push(partial.line(stream));
            }
        }
        whole
    }

    fn rest(&mut self) -> Vec<Line> {
        let mut whole = Vec::new();
        for (partial, stream) in [
            (&mut self.stdout, LogStream::Stdout),
            (&mut self.stderr, LogStream::Stderr),
        ] {
            if !partial.bytes.is_empty() {
                whole.push(partial.line(stream));
            }
        }
        whole
    }
}

impl Partial {
    fn line(&mut self, stream: LogStream) -> Line {
        Line {
            bytes: std::mem::take(&mut self.bytes),
            time_milliseconds: self.time_milliseconds,
            stream,
        }
    }
}

impl Line {
    fn show(&self, service: &str, secrets: &Secrets) -> v1::LogLine {
        let text = String::from_utf8_lossy(&self.bytes);
        let mut line = secrets.mask(text.trim_end_matches('\r'));
        if line.len() > LONGEST_SHOWN {
            let end = (0..=LONGEST_SHOWN)
                .rev()
                .find(|end| line.is_char_boundary(*end));
            line.truncate(end.unwrap_or_default());
            line.push_str(" […]");
        }
        v1::LogLine {
            source: service.to_owned(),
            line,
            time_milliseconds: self.time_milliseconds,
            stream: self.stream.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::SecretValue;

    fn piece(stream: LogStream, text: &str) -> LogPiece {
        LogPiece {
            stream,
            bytes: text.as_bytes().to_vec(),
            time_milliseconds: 1,
        }
    }

    fn texts(lines: &[Line]) -> Vec<String> {
        let text = |line: &Line| String::from_utf8_lossy(&line.bytes).into_owned();
        lines.iter().map(text).collect()
    }

    #[test]
    fn pieces_of_two_streams_become_lines_of_each() {
        let mut lines = Lines::default();
        assert!(lines.take(&piece(LogStream::Stdout, "one ")).is_empty());
        let error = lines.take(&piece(LogStream::Stderr, "fault\nanother\nhalf"));
        assert_eq!(texts(&error), ["fault", "another"]);
        let whole = lines.take(&piece(LogStream::Stdout, "line\n\n"));
        assert_eq!(texts(&whole), ["one line", ""]);
        assert_eq!(texts(&lines.rest()), ["half"]);
    }

    #[test]
    fn a_long_line_is_masked_before_it_is_cut() {
        let directory = tempfile::tempdir().unwrap();
        let secrets = Secrets::open(directory.path()).unwrap();
        let value = SecretValue::new(b"hunter2hunter2".to_vec());
        secrets.put(&"key".parse().unwrap(), &value).unwrap();
        let text = format!("{}hunter2hunter2 end\n", "x".repeat(LONGEST_SHOWN - 5));
        let mut lines = Lines::default();
        let whole = lines.take(&piece(LogStream::Stdout, &text));
        let shown = whole[0].show("omni", &secrets);
        assert!(!shown.line.contains("hunter"), "the value is cut in half");
        assert!(shown.line.ends_with(" […]"));
        assert_eq!(shown.source, "omni");
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let mut lines = Lines::default();
        for _ in 0..100 {
            lines.take(&piece(LogStream::Stdout, &"x".repeat(4096)));
        }
        assert_eq!(lines.rest()[0].bytes.len(), LONGEST_KEPT);
    }
}
