//! A row of the table.

use super::view::HostView;
use crate::output::Style;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::commands) enum State {
    /// As it should be, proven.
    Good,
    /// On its way, or not proven.
    Attention,
    /// Not as it should be.
    Bad,
    /// Nobody can tell.
    Unknown,
}

impl State {
    /// The word for programs.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Attention => "attention",
            Self::Bad => "bad",
            Self::Unknown => "unknown",
        }
    }

    pub(in crate::commands) const fn style(self) -> Style {
        match self {
            Self::Good => Style::Good,
            Self::Attention => Style::Warning,
            Self::Bad | Self::Unknown => Style::Bad,
        }
    }
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) host: String,
    pub(super) target: String,
    pub(super) state: State,
    /// The word for people.
    pub(super) word: String,
    /// Milliseconds since the Unix epoch. 0: not known.
    pub(super) since: i64,
    pub(super) detail: String,
}

/// A row with nothing more to say.
pub(super) fn row(view: &HostView, target: &str, state: State, word: impl Into<String>) -> Row {
    Row {
        host: view.host.to_string(),
        target: target.to_owned(),
        state,
        word: word.into(),
        since: 0,
        detail: String::new(),
    }
}

pub(super) fn lost(view: &HostView, target: &str, reason: &str) -> Row {
    Row {
        detail: reason.to_owned(),
        ..row(view, target, State::Unknown, "unknown")
    }
}

pub(super) fn waiting(view: &HostView, target: &str) -> Row {
    lost(view, target, "not asked yet")
}
