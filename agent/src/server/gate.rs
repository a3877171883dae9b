//! What stands before every RPC: the certificate's half, then the tailnet's. The lower role holds.
//!
//! An answer of tailscaled that cannot be had is a refusal (UNAVAILABLE), never a permission.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use omni_scale_proto::role::Role;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::authorisation::{Requirement, authorise, requirement};
use super::callers::{Callers, FRESH_FOR_CHANGES, FRESH_FOR_READS};
use super::grant::{Grant, bound, granted};
use super::guarded::GuardedBody;
use super::identity::Caller;
use super::refusals::Refusals;
use crate::clock;
use crate::config::TailnetPolicy;
use crate::identity::IdentityStore;
use crate::tailnet::{Peer, Tailnet};

/// How often an answer that goes on is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(15);
/// How long it goes on while nobody can tell who is calling: a tailscaled that restarts.
const TOLERANCE: Duration = Duration::from_secs(40);

/// The tailnet's half of who is calling. Each admitted request carries it as an extension.
#[derive(Debug, Clone, PartialEq)]
pub struct TailnetCaller {
    /// The device.
    pub peer: Arc<Peer>,
    /// What the tailnet gives it. `None`: no policy is configured.
    pub grant: Option<Grant>,
}

/// Both halves, and what they need to decide.
pub struct Gate {
    identities: Arc<IdentityStore>,
    callers: Callers,
    policy: TailnetPolicy,
    refusals: Arc<Refusals>,
}

impl Gate {
    /// Decides by the deny list of the identity in force, by what this node says of callers, and
    /// by root's policy.
    pub fn new(
        identities: Arc<IdentityStore>,
        tailnet: Arc<dyn Tailnet>,
        policy: TailnetPolicy,
    ) -> Self {
        Self {
            identities,
            callers: Callers::new(tailnet),
            policy,
            refusals: Arc::default(),
        }
    }

    /// Where refusals are noted, those before any request included.
    pub fn refusals(&self) -> Arc<Refusals> {
        self.refusals.clone()
    }

    /// Whether `caller` may call `path` now.
    pub async fn admit(
        &self,
        path: &str,
        caller: Option<&Caller>,
    ) -> Result<TailnetCaller, Status> {
        let identity = self.identities.current();
        authorise(path, caller, &identity.deny_list, clock::now_milliseconds())?;
        // A connection outlives an enrolment, and the right to it must not.
        if let Some(Caller::Operator(operator)) = caller
            && operator.authority.as_deref() != identity.authority()
        {
            return Err(Status::unauthenticated(format!(
                "this agent was enrolled anew, and the certificate of `{}` is of another deployment by now",
                operator.identity.name
            )));
        }
        let fresh = match requirement(path) {
            Some(Requirement::Role(Role::Viewer)) => FRESH_FOR_READS,
            _ => FRESH_FOR_CHANGES,
        };
        let peer = self.device(caller.and_then(Caller::peer), fresh).await?;
        let grant = match caller {
            Some(Caller::Operator(operator)) => {
                let name = &operator.identity.name;
                let refused = |why: String| {
                    Status::permission_denied(format!(
                        "the certificate of `{name}` is in order, the tailnet's half is not: {why}"
                    ))
                };
                bound(&self.policy, name, &peer).map_err(refused)?;
                let grant = granted(&self.policy, &peer).map_err(refused)?;
                if let (Some(grant), Some(Requirement::Role(needed))) = (&grant, requirement(path))
                    && grant.role < needed
                {
                    return Err(refused(format!(
                        "device {} has the role {} by {}; this needs {needed}",
                        peer.spoken(),
                        grant.role,
                        grant.source
                    )));
                }
                grant
            }
            // Whoever enrols has no role yet: the token decides, on a device of the tailnet.
            _ => None,
        };
        Ok(TailnetCaller { peer, grant })
    }

    async fn device(
        &self,
        address: Option<SocketAddr>,
        fresh: Duration,
    ) -> Result<Arc<Peer>, Status> {
        let Some(address) = address else {
            return Err(unknown("the connection has no address"));
        };
        let peer = match self.callers.behind(address, fresh).await {
            Ok(Some(peer)) => peer,
            Ok(None) => {
                return Err(Status::permission_denied(format!(
                    "{} is no device of this host's tailnet\nhint: call from one, by this host's tailnet address",
                    address.ip()
                )));
            }
            Err(reason) => return Err(unknown(&reason)),
        };
        let now = clock::now_milliseconds();
        if peer.expired || peer.key_expiry_milliseconds.is_some_and(|end| end <= now) {
            return Err(Status::permission_denied(format!(
                "the tailnet key of device {} has expired\nhint: log it in anew",
                peer.spoken()
            )));
        }
        Ok(peer)
    }

    /// Waits until `caller` may not call `path` any more, and says why.
    async fn lost(&self, path: &str, caller: Option<&Caller>) -> Status {
        let mut last_known = Instant::now();
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            match self.admit(path, caller).await {
                Ok(_) => last_known = Instant::now(),
                Err(status)
                    if status.code() == Code::Unavailable && last_known.elapsed() < TOLERANCE => {}
                Err(status) => return status,
            }
        }
    }
}

fn unknown(reason: &str) -> Status {
    Status::unavailable(format!(
        "this host cannot tell who is calling, so it does nothing: {reason}\nhint: `systemctl status tailscaled` there says more"
    ))
}

/// Puts a [`Gate`] before every RPC.
#[derive(Clone)]
pub struct GateLayer(Arc<Gate>);

impl GateLayer {
    /// Decides by this gate.
    pub const fn new(gate: Arc<Gate>) -> Self {
        Self(gate)
    }
}

impl<S> Layer<S> for GateLayer {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated {
            inner,
            gate: self.0.clone(),
        }
    }
}

/// A service that only admitted requests reach, and whose answers end when the right to them does.
#[derive(Clone)]
pub struct Gated<S> {
    inner: S,
    gate: Arc<Gate>,
}

impl<S, B> Service<http::Request<B>> for Gated<S>
where
    S: Service<http::Request<B>, Response = http::Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<B>) -> Self::Future {
        // The clone has not been asked whether it is ready; the one that was goes along.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let gate = self.gate.clone();
        async move {
            let path = request.uri().path().to_owned();
            let caller = request.extensions().get::<Caller>().cloned();
            match gate.admit(&path, caller.as_ref()).await {
                Ok(tailnet) => {
                    request.extensions_mut().insert(tailnet);
                    let response = inner.call(request).await?;
                    Ok(response.map(|body| {
                        let lost = async move {
                            let status = gate.lost(&path, caller.as_ref()).await;
                            gate.note(&path, caller.as_ref(), &status);
                            status
                        };
                        Body::new(GuardedBody::new(body, lost.boxed()))
                    }))
                }
                Err(status) => {
                    gate.note(&path, caller.as_ref(), &status);
                    Ok(status.into_http())
                }
            }
        }
        .boxed()
    }
}

impl Gate {
    fn note(&self, path: &str, caller: Option<&Caller>, status: &Status) {
        let peer = caller.and_then(Caller::peer);
        self.refusals.note(peer, path, status.message());
    }
}
