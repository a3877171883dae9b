//! Serving gRPC on connections whose callers are known, until told to stop.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_stream::Stream;
use tonic::service::Routes;
use tonic::transport::Server;

use super::connection::Connection;
use super::gate::{Gate, GateLayer};

/// A caller that is silent for this long is asked whether it is there.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// And dropped when it does not say so within this time.
const KEEPALIVE_BOUND: Duration = Duration::from_secs(10);
/// Requests at the same time on one connection.
const STREAMS_MAXIMUM: u32 = 64;

/// Serves `routes` on every connection of `incoming` to whom `gate` admits. When `stop` is ready, no new request is
/// taken and the future ends with the last one; the caller bounds how long that may take.
pub async fn serve<Incoming, Bytes>(
    routes: Routes,
    gate: Arc<Gate>,
    incoming: Incoming,
    stop: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error>
where
    Incoming: Stream<Item = io::Result<Connection<Bytes>>>,
    Bytes: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_BOUND))
        .max_concurrent_streams(Some(STREAMS_MAXIMUM))
        .layer(GateLayer::new(gate))
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, stop)
        .await
}
