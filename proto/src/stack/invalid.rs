//! How a stack is told to be wrong.

/// A stack that cannot be meant: where, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stack field `{path}`: {reason}")]
pub struct InvalidStack {
    /// The field, as `services.omni.image`.
    pub path: String,
    /// Why it cannot be so.
    pub reason: String,
}

impl InvalidStack {
    pub(super) fn new(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            reason: reason.into(),
        }
    }
}
