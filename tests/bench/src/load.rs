//! Callers of the health service: how long one call takes, and how many are answered in a second.
//!
//! Runs on a lab host, over its own tailnet address, which the kernel routes over loopback. The agent and the bare
//! server are asked in turns, over one connection each, and the order changes with every round.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::sample::Sample;
use crate::tls;

const ROUNDS: usize = 7;
/// Calls one after the other, for the latency.
const CALLS: usize = 1500;
/// Callers at the same time, for the throughput.
const CALLERS: usize = 32;
/// How long they call.
const CALLING: Duration = Duration::from_millis(1500);
/// The name in the certificate.
const HOST: &str = "idp";

/// One server in one round.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Round {
    /// Median of one call after the other, in microseconds.
    pub(crate) median: f64,
    /// 99 of 100 take no longer, in microseconds.
    pub(crate) percentile_99: f64,
    /// Calls answered in a second, by all callers together.
    pub(crate) per_second: f64,
}

/// The agent and the bare server in one round.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Pair {
    pub(crate) agent: Round,
    pub(crate) bare: Round,
}

/// Prints the rounds as JSON.
pub(crate) async fn run(files: &Path, agent: SocketAddr) -> anyhow::Result<()> {
    let bare = SocketAddr::new(agent.ip(), agent.port() + 1);
    let mut server = serve(files, bare)?;
    let (mut agent, mut bare) = (connect(files, agent).await?, connect(files, bare).await?);
    // Once without counting: what is touched for the first time is slow.
    round(&mut agent).await?;
    round(&mut bare).await?;
    let mut pairs = Vec::new();
    for number in 0..ROUNDS {
        pairs.push(if number % 2 == 0 {
            let agent = round(&mut agent).await?;
            let bare = round(&mut bare).await?;
            Pair { agent, bare }
        } else {
            let bare = round(&mut bare).await?;
            let agent = round(&mut agent).await?;
            Pair { agent, bare }
        });
    }
    server.kill().await?;
    serde_json::to_writer(std::io::stdout(), &pairs)?;
    Ok(())
}

/// The bare server, as a process of its own.
pub(crate) fn serve(files: &Path, address: SocketAddr) -> anyhow::Result<Child> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the bare server is a process of its own, as the agent is"
    )]
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("serve").arg(files).arg(address.to_string());
    Ok(command.kill_on_drop(true).spawn()?)
}

/// A new connection; waits for a server that has only just been started.
pub(crate) async fn connect(
    files: &Path,
    address: SocketAddr,
) -> anyhow::Result<HealthClient<Channel>> {
    let connector = TlsConnector::from(Arc::new(tls::client(files)?));
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        let connector = connector.clone();
        let connected = Endpoint::from_static("http://agent")
            .connect_with_connector(tower::service_fn(move |_| {
                let connector = connector.clone();
                async move {
                    let stream = TcpStream::connect(address).await?;
                    stream.set_nodelay(true)?;
                    let name = ServerName::try_from(HOST).map_err(std::io::Error::other)?;
                    connector.connect(name, stream).await.map(TokioIo::new)
                }
            }))
            .await;
        match connected {
            Ok(channel) => return Ok(HealthClient::new(channel)),
            // The bare server has only just been started.
            Err(_) if Instant::now() < until => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) => bail!("cannot connect to {address}: {error:?}"),
        }
    }
}

async fn round(client: &mut HealthClient<Channel>) -> anyhow::Result<Round> {
    let mut times = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let begun = Instant::now();
        check(client).await?;
        times.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    let times = Sample::new(times).context("there was no call")?;
    Ok(Round {
        median: times.median(),
        percentile_99: times.percentile_99(),
        per_second: throughput(client).await?,
    })
}

async fn throughput(client: &HealthClient<Channel>) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let mut client = client.clone();
        callers.spawn(async move {
            let mut answered = 0_u32;
            while begun.elapsed() < CALLING {
                check(&mut client).await?;
                answered += 1;
            }
            anyhow::Ok(answered)
        });
    }
    let mut answered = 0.0;
    while let Some(caller) = callers.join_next().await {
        answered += f64::from(caller??);
    }
    Ok(answered / begun.elapsed().as_secs_f64())
}

/// One call.
pub(crate) async fn check(client: &mut HealthClient<Channel>) -> anyhow::Result<()> {
    let answer = client.check(HealthCheckRequest::default()).await?;
    ensure!(
        answer.into_inner().status() == ServingStatus::Serving,
        "it does not serve"
    );
    Ok(())
}
