//! One agent's connection: made on demand, proven once, then kept.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use omni_scale_proto::id::HostName;
use omni_scale_proto::v1::host_service_client::HostServiceClient;
use omni_scale_proto::{API_VERSION_MAXIMUM, API_VERSION_MINIMUM, v1};
use tokio::sync::OnceCell;
use tokio_rustls::client::TlsStream;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use super::dial::{Dialer, Unconnected, Wire};
use super::status::{Call, within};
use crate::agents::AgentError;

/// A dead peer is noticed after at most twice this time.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Bound on an answer that needs no work on the host.
pub(super) const PROMPT: Duration = Duration::from_secs(20);

/// The connection to one agent.
pub(super) struct Connection {
    host: HostName,
    channel: Channel,
    proven: OnceCell<v1::DescribeResponse>,
}

impl Connection {
    /// Connects when it is first used.
    pub(super) fn new(dialer: Dialer) -> Self {
        Self {
            host: dialer.host.clone(),
            channel: channel(dialer),
            proven: OnceCell::new(),
        }
    }

    /// A call that is about to be made, for its errors.
    pub(super) fn call(&self, tried: impl Into<String>) -> Call {
        Call {
            host: self.host.clone(),
            tried: tried.into(),
            role: None,
        }
    }

    /// The channel, once the agent has answered and speaks our language.
    pub(super) async fn channel(&self, call: &Call) -> Result<Channel, AgentError> {
        let described = self
            .proven
            .get_or_try_init(|| async { self.describe(call).await.map_err(Call::unsent) })
            .await?;
        check_version(call, described)?;
        Ok(self.channel.clone())
    }

    /// Asks who is there. Also an agent of another version may answer.
    pub(super) async fn describe(&self, call: &Call) -> Result<v1::DescribeResponse, AgentError> {
        let mut client = HostServiceClient::new(self.channel.clone());
        let request = Request::new(v1::DescribeRequest {});
        within(call, PROMPT, client.describe(request)).await
    }
}

/// A channel over a dialer.
pub(super) fn channel(dialer: Dialer) -> Channel {
    // tonic wants a URI; where it leads is the dialer's business, and TLS is beneath it.
    Endpoint::from_static("http://agent")
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .connect_with_connector_lazy(service_fn(move |_| {
            let dialer = dialer.clone();
            async move {
                match dialer.dial().await {
                    Ok(stream) => Ok(TokioIo::new(stream)),
                    Err(error) => Err(Unconnected(Arc::new(error))),
                }
            }
        }))
}

/// A channel over one stream that is connected already. It does not connect again.
pub(super) async fn channel_over(
    stream: TlsStream<Wire>,
) -> Result<Channel, tonic::transport::Error> {
    let mut only = Some(TokioIo::new(stream));
    Endpoint::from_static("http://agent")
        .connect_with_connector(service_fn(move |_| {
            let stream = only
                .take()
                .ok_or_else(|| io::Error::other("the connection has ended"));
            std::future::ready(stream)
        }))
        .await
}

/// Contract versions must overlap.
fn check_version(call: &Call, described: &v1::DescribeResponse) -> Result<(), AgentError> {
    let (minimum, maximum) = (described.api_version_minimum, described.api_version_maximum);
    if minimum <= API_VERSION_MAXIMUM && maximum >= API_VERSION_MINIMUM {
        return Ok(());
    }
    let older = if minimum > API_VERSION_MAXIMUM {
        "this omni-scale"
    } else {
        "the agent's package on that host"
    };
    Err(AgentError::Refused {
        host: call.host.clone(),
        tried: call.tried.clone(),
        message: format!(
            "its agent ({}) speaks API {minimum} to {maximum}, this omni-scale ({}) speaks \
             {API_VERSION_MINIMUM} to {API_VERSION_MAXIMUM}",
            described.agent_version,
            env!("CARGO_PKG_VERSION"),
        ),
        hint: format!("upgrade {older}"),
    })
}
