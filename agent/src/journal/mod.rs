//! The port to the journal of the tsidp unit and of the agent itself: no other unit can be named.
//!
//! Lines are masked before they leave this module: tsidp prints a mistyped client secret.

mod child;
mod entry;
#[cfg(any(test, feature = "testing"))]
mod fake;
mod lines;

use std::fmt;
use std::io;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use omni_scale_proto::v1::{FailureClass, LogLine};

pub use self::child::JournalChild;
#[cfg(any(test, feature = "testing"))]
pub use self::fake::FakeJournal;
use crate::error::{Classified, Kind};
use crate::unit::units::TSIDP_UNIT;

/// The unit of the agent.
const AGENT_UNIT: &str = "omni-scale-agent.service";

/// The most lines of the past that can be asked for.
pub const MOST_LINES: u32 = 10_000;

/// The most lines of evidence that a failure carries.
const EVIDENCE_LINES: u32 = 30;

/// Whose journal can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JournalUnit {
    /// The tsidp unit.
    Tsidp,
    /// This agent.
    Agent,
}

impl JournalUnit {
    /// systemd's name of it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tsidp => TSIDP_UNIT,
            Self::Agent => AGENT_UNIT,
        }
    }
}

/// What is read of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selection {
    /// Lines of this unit.
    pub unit: JournalUnit,
    /// So many lines of the past, at most [`MOST_LINES`].
    pub lines: u32,
    /// Whether to go on with what comes.
    pub follow: bool,
}

/// The journal of this host.
pub trait Journal: fmt::Debug + Send + Sync {
    /// Reads lines, oldest first. An error is the last item. Dropping the stream ends the reading.
    fn read(&self, selection: Selection) -> BoxStream<'static, Result<LogLine, JournalError>>;
}

/// Why the journal could not be read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The reader could not be started, or its output not be read.
    #[error("cannot read the journal with `journalctl`")]
    Reader(#[source] io::Error),
    /// This user may not read the system's journal.
    #[error("the journal is not readable for the agent's user: {text}")]
    Denied {
        /// The reader's words.
        text: String,
    },
    /// The reader ended, and not well.
    #[error("`journalctl` ended with {status}: {text}")]
    Ended {
        /// How it ended.
        status: String,
        /// Its words.
        text: String,
    },
}

impl JournalError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Denied { .. } => {
                Some("the agent's unit needs `SupplementaryGroups=systemd-journal`")
            }
            Self::Reader(_) | Self::Ended { .. } => None,
        }
    }

    /// Decides about retrying.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Denied { .. } => FailureClass::Permanent,
            Self::Reader(_) | Self::Ended { .. } => FailureClass::Transient,
        }
    }
}

/// More lines of the past were asked for than there can be.
#[derive(Debug, thiserror::Error)]
#[error("{0} lines were asked for; {MOST_LINES} is the most")]
pub struct TooManyLines(u32);

impl Classified for TooManyLines {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

impl Selection {
    /// As a caller asks for it.
    pub const fn checked(
        unit: JournalUnit,
        lines: u32,
        follow: bool,
    ) -> Result<Self, TooManyLines> {
        if lines > MOST_LINES {
            return Err(TooManyLines(lines));
        }
        Ok(Self {
            unit,
            lines,
            follow,
        })
    }
}

impl Classified for JournalError {
    fn kind(&self) -> Kind {
        match self {
            Self::Denied { .. } => Kind::Unsupported,
            Self::Reader(_) | Self::Ended { .. } => Kind::Unavailable,
        }
    }
}

/// The last lines of one unit since a moment, as evidence. Never an error: without evidence a
/// failure is still a failure.
pub async fn evidence(
    journal: &dyn Journal,
    unit: JournalUnit,
    since_milliseconds: i64,
) -> Vec<String> {
    let lines = journal.read(Selection {
        unit,
        lines: EVIDENCE_LINES,
        follow: false,
    });
    let read = lines.filter_map(|line| async move {
        match line {
            Ok(line) if line.time_milliseconds < since_milliseconds => None,
            Ok(line) => Some(line.line),
            Err(error) => Some(format!("({})", crate::error::chain(&error))),
        }
    });
    read.collect().await
}
