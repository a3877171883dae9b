//! How a program gives up: its text, and how long after its start the real one does.

use std::{
    fmt,
    io::{Write, stderr},
    time::Duration,
};

use crate::pace::go_date;

/// The real program's own words for why it ends with exit code 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What follows `failed to run Omni: ` and `Error: `.
    pub text: String,
    /// How long after the start the real program was seen to give up.
    pub after: Duration,
}

impl Failure {
    pub(crate) fn new(after_milliseconds: u64, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            after: Duration::from_millis(after_milliseconds),
        }
    }

    /// Prints what Omni prints last: cobra's line, then that of Go's logger.
    pub fn print_as_omni(&self) {
        let _ = writeln!(
            stderr(),
            "Error: {}\n{} failed to run Omni: {}",
            self.text,
            go_date(),
            self.text
        );
    }

    /// Prints what the provider prints last: cobra's line alone.
    pub fn print_as_provider(&self) {
        let _ = writeln!(stderr(), "Error: {}", self.text);
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// An error of the operating system in Go's words, without the number that Rust adds.
pub(crate) fn go_error(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => "no such file or directory".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::AddrInUse => "address already in use".to_owned(),
        ErrorKind::AddrNotAvailable => "cannot assign requested address".to_owned(),
        ErrorKind::IsADirectory => "is a directory".to_owned(),
        ErrorKind::NotADirectory => "not a directory".to_owned(),
        ErrorKind::ReadOnlyFilesystem => "read-only file system".to_owned(),
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        _ => error.to_string(),
    }
}
