//! A journal in memory, behind the port [`Journal`].

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use omni_scale_proto::v1::{LogLine, LogStream};

use super::{Journal, JournalError, JournalUnit, Selection};
use crate::clock;

/// A journal that says what it was told. Cheap to clone; all clones are the same.
#[derive(Debug, Clone, Default)]
pub struct FakeJournal {
    lines: Arc<Mutex<Vec<LogLine>>>,
}

impl FakeJournal {
    /// `unit` says a line now.
    pub fn say(&self, unit: JournalUnit, line: &str) {
        let line = LogLine {
            source: unit.name().to_owned(),
            line: line.to_owned(),
            time_milliseconds: clock::now_milliseconds(),
            stream: LogStream::Journal.into(),
        };
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(line);
    }
}

impl Journal for FakeJournal {
    /// Following ends with the lines that are there: nothing more is ever said.
    fn read(&self, selection: Selection) -> BoxStream<'static, Result<LogLine, JournalError>> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let chosen = lines.iter().rev();
        let chosen = chosen.filter(|line| line.source == selection.unit.name());
        let count = usize::try_from(selection.lines).unwrap_or(usize::MAX);
        let mut chosen: Vec<_> = chosen.take(count).cloned().map(Ok).collect();
        chosen.reverse();
        stream::iter(chosen).boxed()
    }
}
