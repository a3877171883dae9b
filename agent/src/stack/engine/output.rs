//! What programs print.

use omni_scale_proto::v1::LogStream;

/// What a command printed, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandOutput {
    /// Of the command.
    pub exit_code: i64,
    /// Standard output, at most 1 MiB.
    pub stdout: Vec<u8>,
    /// Standard error, at most 64 KiB.
    pub stderr: Vec<u8>,
}

/// Which part of a container's log is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogOptions {
    /// The last so many lines first.
    pub lines: u32,
    /// Go on with what is written from now on.
    pub follow: bool,
    /// Nothing before this second since the Unix epoch. 0: no bound.
    pub since_seconds: i32,
}

/// A piece of a log: often a line, but a long line comes in several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPiece {
    /// Where it was written.
    pub stream: LogStream,
    /// The text, with its newline if it has one. Not always UTF-8.
    pub bytes: Vec<u8>,
    /// Milliseconds since the Unix epoch. 0: the Engine did not say.
    pub time_milliseconds: i64,
}
