//! Calls about one task. Its node is asked, which is part of its name.

use crate::{Client, Error, LogLine, TaskStatus, Upid, calls, request::Request, task::Page};

impl Client {
    /// Whether a task is at work, or how it ended.
    pub async fn task_status(&self, upid: &Upid) -> Result<TaskStatus, Error> {
        self.ask(Request::new(
            &calls::TASK_STATUS,
            &[upid.node().as_str(), upid.as_str()],
        ))
        .await
    }

    /// Lines of a task's log, from `start` on (0 is the first), at most 500.
    pub async fn task_log(&self, upid: &Upid, start: usize) -> Result<Vec<LogLine>, Error> {
        self.task_log_page(upid, Page { start, limit: 500 }).await
    }

    pub(crate) async fn task_log_page(
        &self,
        upid: &Upid,
        page: Page,
    ) -> Result<Vec<LogLine>, Error> {
        let request = Request::new(&calls::TASK_LOG, &[upid.node().as_str(), upid.as_str()])
            .with("start", page.start)
            .with("limit", page.limit);
        self.ask(request).await
    }

    /// Stops a task that is at work. What it had done by then stays to be observed.
    pub async fn stop_task(&self, upid: &Upid) -> Result<(), Error> {
        let request = Request::new(&calls::STOP_TASK, &[upid.node().as_str(), upid.as_str()]);
        let _: serde::de::IgnoredAny = self.ask(request).await?;
        Ok(())
    }
}
