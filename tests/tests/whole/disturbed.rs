//! The way to the agents, with one disturbance at one request.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use omni_scale::agents::grpc::GrpcAgents;
use omni_scale::agents::{
    Action, AgentError, Agents, Control, LeaseGrant, LeaseRequest, ProgressSink, ReportSink,
};
use omni_scale::plan::MachinesScope;
use omni_scale_proto::id::{HostName, StackName};
use omni_scale_proto::operation::Operation;
use omni_scale_proto::v1;

use crate::site::Site;

/// How long a request runs before it is disturbed in its middle: long enough for it to arrive.
const MIDDLE: Duration = Duration::from_millis(300);
/// How long an agent that was killed is away.
const AWAY: Duration = Duration::from_secs(3);

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disturbance {
    /// The host's connections are cut before the request.
    CutBefore,
    /// They are cut while it runs.
    CutMeanwhile,
    /// The agent is killed before the request, and started again 3 s later.
    KillBefore,
    /// It is killed while the request runs.
    KillMeanwhile,
}

/// Agents over a way that is disturbed once.
pub(crate) struct Disturbed {
    inner: GrpcAgents,
    site: Arc<Site>,
    /// At which request, counted from 0. None: never.
    at: Option<(usize, Disturbance)>,
    asked: AtomicUsize,
}

impl std::fmt::Debug for Disturbed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Disturbed").finish_non_exhaustive()
    }
}

impl Disturbed {
    pub(crate) fn new(
        inner: GrpcAgents,
        site: &Arc<Site>,
        at: Option<(usize, Disturbance)>,
    ) -> Self {
        Self {
            inner,
            site: Arc::clone(site),
            at,
            asked: AtomicUsize::new(0),
        }
    }

    /// How many requests there were.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    async fn through<T>(&self, host: &HostName, request: impl Future<Output = T>) -> T {
        let number = self.asked.fetch_add(1, Ordering::SeqCst);
        let disturbance = self.at.filter(|(at, _)| *at == number);
        let host = self.site.host(host.as_str());
        match disturbance.map(|(_, disturbance)| disturbance) {
            None => request.await,
            Some(Disturbance::CutBefore) => {
                host.cut();
                request.await
            }
            Some(Disturbance::KillBefore) => {
                self.kill(host.name.as_str());
                request.await
            }
            Some(disturbance) => {
                let cause = async {
                    tokio::time::sleep(MIDDLE).await;
                    if disturbance == Disturbance::CutMeanwhile {
                        host.cut();
                    } else {
                        self.kill(host.name.as_str());
                    }
                };
                tokio::join!(request, cause).0
            }
        }
    }

    /// Kills an agent, which systemd starts again.
    fn kill(&self, name: &str) {
        let (site, name) = (Arc::clone(&self.site), name.to_owned());
        site.host(&name).kill();
        tokio::spawn(async move {
            tokio::time::sleep(AWAY).await;
            site.host(&name).start().await;
        });
    }
}

#[async_trait]
impl Agents for Disturbed {
    async fn describe(&self, host: &HostName) -> Result<v1::DescribeResponse, AgentError> {
        self.through(host, self.inner.describe(host)).await
    }

    async fn observe_unit(&self, host: &HostName) -> Result<v1::UnitObservation, AgentError> {
        self.through(host, self.inner.observe_unit(host)).await
    }

    async fn observe_stack(
        &self,
        host: &HostName,
        stack: &StackName,
        images: &[String],
    ) -> Result<v1::StackObservation, AgentError> {
        let request = self.inner.observe_stack(host, stack, images);
        self.through(host, request).await
    }

    async fn observe_client(
        &self,
        host: &HostName,
        client: &v1::Client,
    ) -> Result<v1::ClientObservation, AgentError> {
        self.through(host, self.inner.observe_client(host, client))
            .await
    }

    async fn observe_machines(
        &self,
        host: &HostName,
        asked: &MachinesScope,
    ) -> Result<v1::MachinesObservation, AgentError> {
        self.through(host, self.inner.observe_machines(host, asked))
            .await
    }

    async fn list_secrets(&self, host: &HostName) -> Result<Vec<v1::SecretStatus>, AgentError> {
        self.through(host, self.inner.list_secrets(host)).await
    }

    async fn run_checks(
        &self,
        host: &HostName,
        checks: &[v1::Check],
        reports: ReportSink<'_>,
    ) -> Result<Vec<v1::CheckReport>, AgentError> {
        let request = self.inner.run_checks(host, checks, reports);
        self.through(host, request).await
    }

    async fn acquire_lease(
        &self,
        host: &HostName,
        request: &LeaseRequest,
    ) -> Result<LeaseGrant, AgentError> {
        self.through(host, self.inner.acquire_lease(host, request))
            .await
    }

    async fn renew_lease(
        &self,
        host: &HostName,
        request: &LeaseRequest,
        epoch: u64,
    ) -> Result<Duration, AgentError> {
        self.through(host, self.inner.renew_lease(host, request, epoch))
            .await
    }

    async fn release_lease(
        &self,
        host: &HostName,
        request: &LeaseRequest,
        epoch: u64,
    ) -> Result<(), AgentError> {
        self.through(host, self.inner.release_lease(host, request, epoch))
            .await
    }

    async fn apply(
        &self,
        host: &HostName,
        operation: &Operation,
        action: &Action,
        progress: ProgressSink<'_>,
    ) -> Result<v1::Outcome, AgentError> {
        let request = self.inner.apply(host, operation, action, progress);
        self.through(host, request).await
    }

    async fn control(
        &self,
        host: &HostName,
        operation: &Operation,
        control: &Control,
        progress: ProgressSink<'_>,
    ) -> Result<v1::Outcome, AgentError> {
        let request = self.inner.control(host, operation, control, progress);
        self.through(host, request).await
    }
}
