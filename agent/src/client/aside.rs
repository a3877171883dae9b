//! Where what blocks runs.

use tokio::task::JoinError;

/// Runs what blocks on a thread of its own. It is finished even when the caller goes away.
#[cfg(not(test))]
pub(super) async fn aside<Answer: Send + 'static>(
    work: impl FnOnce() -> Answer + Send + 'static,
) -> Result<Answer, JoinError> {
    tokio::task::spawn_blocking(work).await
}

/// Runs it here, between two places where an agent can be killed: nothing of it goes on after the
/// kill, and the same seed is the same schedule.
#[cfg(test)]
pub(super) async fn aside<Answer>(work: impl FnOnce() -> Answer) -> Result<Answer, JoinError> {
    tokio::task::yield_now().await;
    let answer = work();
    tokio::task::yield_now().await;
    Ok(answer)
}
