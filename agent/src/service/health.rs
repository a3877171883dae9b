//! `grpc.health.v1`: health of each name by itself, nothing aggregated.
//!
//! Names: `""` the agent alone (not serving when it takes no change any more), `tailnet`, and what the roles of this host know: `tsidp`, `omni`,
//! `omni/SERVICE`, `provider`. A name that no role of this host knows is NOT_FOUND; lost evidence
//! is UNKNOWN, never SERVING.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio_stream::Stream;
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health as HealthApi, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// How long `Check` waits for evidence before it says UNKNOWN.
const CHECK_BOUND: Duration = Duration::from_secs(5);

/// Health of one name of the health service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Evidence is missing or lost. Never taken for healthy.
    Unknown,
    /// The product's own answer is as it should be.
    Serving,
    /// It answers otherwise, or not at all.
    NotServing,
}

/// A part of the agent that knows the health of names: `tsidp`, `omni`, `omni/SERVICE`, `provider`.
pub trait HealthSource: Send + Sync {
    /// Follows the health of a name. `None`: this source does not know the name.
    ///
    /// As long as a receiver lives, somebody watches: the source probes the product every 15 s. Without one it may
    /// rest. The first value may be `Unknown`; it becomes known within 5 s if it can be known.
    fn watch(&self, name: &str) -> Option<watch::Receiver<Health>>;
}

/// The health service over all sources of this host.
pub struct HealthService {
    /// The agent's own. It does not change while the agent runs, and a watch of it stays open.
    agent: watch::Sender<Health>,
    sources: Vec<Arc<dyn HealthSource>>,
}

impl HealthService {
    /// Asks these sources, in this order. `agent` is the agent's own health.
    pub fn server(
        agent: Health,
        sources: Vec<Arc<dyn HealthSource>>,
    ) -> HealthServer<impl HealthApi> {
        let agent = watch::Sender::new(agent);
        HealthServer::new(Self { agent, sources })
    }

    fn find(&self, name: &str) -> Option<watch::Receiver<Health>> {
        if name.is_empty() {
            return Some(self.agent.subscribe());
        }
        self.sources.iter().find_map(|source| source.watch(name))
    }
}

#[tonic::async_trait]
impl HealthApi for HealthService {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let name = request.into_inner().service;
        let Some(mut health) = self.find(&name) else {
            return Err(Status::not_found(format!(
                "no role of this host knows the health of `{name}`"
            )));
        };
        // Without evidence in time the last value stands, which is UNKNOWN.
        let _ = tokio::time::timeout(
            CHECK_BOUND,
            health.wait_for(|health| *health != Health::Unknown),
        )
        .await;
        let health = *health.borrow();
        Ok(Response::new(response(health)))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        // The protocol wants a watch of an unknown name to stay open and say so.
        let stream: Self::WatchStream = match self.find(&request.into_inner().service) {
            Some(health) => {
                let ended = tokio_stream::once(Ok(response(Health::Unknown)));
                Box::pin(
                    WatchStream::new(health)
                        .map(|health| Ok(response(health)))
                        .chain(ended),
                )
            }
            None => Box::pin(
                tokio_stream::once(Ok(of(ServingStatus::ServiceUnknown)))
                    .chain(tokio_stream::pending()),
            ),
        };
        Ok(Response::new(stream))
    }
}

fn response(health: Health) -> HealthCheckResponse {
    of(match health {
        Health::Unknown => ServingStatus::Unknown,
        Health::Serving => ServingStatus::Serving,
        Health::NotServing => ServingStatus::NotServing,
    })
}

fn of(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One(&'static str, watch::Sender<Health>);

    impl HealthSource for One {
        fn watch(&self, name: &str) -> Option<watch::Receiver<Health>> {
            (name == self.0).then(|| self.1.subscribe())
        }
    }

    fn service() -> (HealthService, Arc<One>) {
        let one = Arc::new(One("tsidp", watch::channel(Health::Unknown).0));
        (
            HealthService {
                agent: watch::Sender::new(Health::Serving),
                sources: vec![one.clone()],
            },
            one,
        )
    }

    fn asked(name: &str) -> Request<HealthCheckRequest> {
        Request::new(HealthCheckRequest {
            service: name.to_owned(),
        })
    }

    async fn check(service: &HealthService, name: &str) -> Result<ServingStatus, Status> {
        service
            .check(asked(name))
            .await
            .map(|response| response.into_inner().status())
    }

    #[tokio::test(start_paused = true)]
    async fn lost_evidence_is_unknown_and_a_foreign_role_not_found() {
        let (service, source) = service();
        assert_eq!(check(&service, "").await.unwrap(), ServingStatus::Serving);
        assert_eq!(
            check(&service, "tsidp").await.unwrap(),
            ServingStatus::Unknown
        );
        source.1.send_replace(Health::NotServing);
        assert_eq!(
            check(&service, "tsidp").await.unwrap(),
            ServingStatus::NotServing
        );
        assert_eq!(
            check(&service, "omni").await.unwrap_err().code(),
            tonic::Code::NotFound
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_that_takes_no_change_is_not_serving() {
        let (service, _source) = service();
        service.agent.send_replace(Health::NotServing);
        let answer = check(&service, "").await.unwrap();
        assert_eq!(answer, ServingStatus::NotServing);
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_waits_for_evidence_that_comes() {
        let (service, source) = service();
        let (status, ()) = tokio::join!(check(&service, "tsidp"), async {
            tokio::task::yield_now().await;
            source.1.send_replace(Health::Serving);
        });
        assert_eq!(status.unwrap(), ServingStatus::Serving);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_follows_changes_and_says_unknown_when_its_source_ends() {
        let (service, source) = service();
        source.1.send_replace(Health::Serving);
        let mut stream = service.watch(asked("tsidp")).await.unwrap().into_inner();
        assert_eq!(
            stream.next().await.unwrap().unwrap().status(),
            ServingStatus::Serving
        );
        source.1.send_replace(Health::NotServing);
        assert_eq!(
            stream.next().await.unwrap().unwrap().status(),
            ServingStatus::NotServing
        );
        drop((service, source));
        assert_eq!(
            stream.next().await.unwrap().unwrap().status(),
            ServingStatus::Unknown
        );
    }

    #[tokio::test]
    async fn a_watch_of_the_agent_stays_open() {
        let (service, _source) = service();
        let mut stream = service.watch(asked("")).await.unwrap().into_inner();
        assert_eq!(
            stream.next().await.unwrap().unwrap().status(),
            ServingStatus::Serving
        );
        assert!(futures_util::poll!(stream.next()).is_pending());
    }

    #[tokio::test]
    async fn a_watch_of_an_unknown_name_stays_open_and_says_so() {
        let (service, _source) = service();
        let mut stream = service.watch(asked("proxmox")).await.unwrap().into_inner();
        assert_eq!(
            stream.next().await.unwrap().unwrap().status(),
            ServingStatus::ServiceUnknown
        );
        assert!(futures_util::poll!(stream.next()).is_pending());
    }
}
