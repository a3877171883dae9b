//! Tasks: work that a node does after it has answered. Waiting for them, reading what they say, finding them again.

mod entry;
mod find;
mod log;
mod wait;

pub use entry::{TaskEntry, TaskState, TaskStatus};
pub use find::TaskQuery;
pub use log::LogLine;
pub use wait::{Patience, TaskEnd, TaskFailure, WaitError};

pub(crate) use log::Page;
