//! Lines of a byte stream, of bounded length: what a child prints must not fill the memory.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

/// One line without its line break.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// All of it.
    Whole(Vec<u8>),
    /// It was longer than the bound, and is left out.
    TooLong,
}

/// Reads the next line of at most `longest` bytes. `None`: the stream has ended.
///
/// Cancelling it loses what was read of a line.
pub(super) async fn next_line(
    reader: &mut (impl AsyncBufRead + Unpin),
    longest: usize,
) -> io::Result<Option<Line>> {
    let mut line = Vec::new();
    let mut too_long = false;
    let mut anything = false;
    loop {
        let available = reader.fill_buf().await?;
        if available.is_empty() {
            break;
        }
        anything = true;
        let end = available.iter().position(|byte| *byte == b'\n');
        let part = &available[..end.unwrap_or(available.len())];
        too_long = too_long || line.len() + part.len() > longest;
        if !too_long {
            line.extend_from_slice(part);
        }
        let used = part.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some() {
            break;
        }
    }
    Ok(anything.then_some(if too_long {
        Line::TooLong
    } else {
        Line::Whole(line)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::BufReader;

    #[tokio::test]
    async fn a_long_line_is_left_out_and_the_next_one_is_whole() {
        // A buffer of 4 bytes, so that lines come in parts.
        let mut reader = BufReader::with_capacity(4, &b"one\n\nmuch too long\nlast"[..]);
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut reader, 5).await.unwrap() {
            lines.push(line);
        }
        let whole = |text: &str| Line::Whole(text.as_bytes().to_vec());
        assert_eq!(
            lines,
            [whole("one"), whole(""), Line::TooLong, whole("last")]
        );
    }
}
