//! Where what blocks runs.

use tokio::task::JoinError;

/// Runs what blocks on a thread of its own.
#[cfg(not(test))]
pub(super) async fn aside<Answer: Send + 'static>(
    work: impl FnOnce() -> Answer + Send + 'static,
) -> Result<Answer, JoinError> {
    tokio::task::spawn_blocking(work).await
}

/// Runs it at once: a write that an agent had begun when it was killed must not come to its end after the next agent has
/// started, and the same seed must be the same schedule.
#[cfg(test)]
pub(super) fn aside<Answer>(
    work: impl FnOnce() -> Answer,
) -> std::future::Ready<Result<Answer, JoinError>> {
    std::future::ready(Ok(work()))
}
