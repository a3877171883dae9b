//! What it costs to ask who is calling: tailscaled's answer by itself, and a new connection with its first call
//! beside one to the bare server, which asks nobody. Later calls of a connection ask at most every ten seconds: what
//! they cost is in the rows of the health service.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use omni_scale_agent::tailnet::{DEFAULT_SOCKET, LocalApi, Tailnet as _};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::health;
use crate::lab::Lab;
use crate::load::{check, connect, serve};
use crate::sample::Sample;
use crate::table::Row;

/// Questions one after the other.
const QUESTIONS: usize = 1000;
/// New connections to each server, in turns.
const CONNECTIONS: usize = 100;

/// All times in microseconds.
#[derive(Debug, Serialize, Deserialize)]
struct Times {
    /// Of one question to tailscaled.
    questions: Vec<f64>,
    /// Of a connection to the agent with its first call.
    agent: Vec<f64>,
    /// The same to the bare server.
    bare: Vec<f64>,
}

/// Prints the times as JSON. On a lab host.
pub(crate) async fn run(files: &Path, agent: SocketAddr) -> anyhow::Result<()> {
    let tailscaled = LocalApi::new(DEFAULT_SOCKET);
    let mut questions = Vec::with_capacity(QUESTIONS);
    for _ in 0..QUESTIONS {
        let begun = Instant::now();
        let peer = tailscaled.whois(agent).await?;
        peer.context("tailscaled does not know its own node")?;
        questions.push(microseconds(begun));
    }
    let bare = SocketAddr::new(agent.ip(), agent.port() + 1);
    let mut server = serve(files, bare)?;
    // Once without counting: it also waits for the bare server.
    first_call(files, agent).await?;
    first_call(files, bare).await?;
    let mut times = Times {
        questions,
        agent: Vec::with_capacity(CONNECTIONS),
        bare: Vec::with_capacity(CONNECTIONS),
    };
    for _ in 0..CONNECTIONS {
        times.agent.push(first_call(files, agent).await?);
        times.bare.push(first_call(files, bare).await?);
    }
    server.kill().await?;
    serde_json::to_writer(std::io::stdout(), &times)?;
    Ok(())
}

async fn first_call(files: &Path, address: SocketAddr) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let mut client = connect(files, address).await?;
    check(&mut client).await?;
    Ok(microseconds(begun))
}

fn microseconds(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e6
}

/// On `idp`: it has the least else to do.
pub(crate) async fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    let times = health::on_idp(lab, "whois").await?;
    rows(&serde_json::from_str(&times)?)
}

fn rows(times: &Times) -> anyhow::Result<Vec<Row>> {
    let sample = |of: &[f64]| Sample::new(of.iter().copied()).context("nothing was measured");
    let (questions, agent, bare) = (
        sample(&times.questions)?,
        sample(&times.agent)?,
        sample(&times.bare)?,
    );
    let row = |what: &str, measured: String| Row {
        what: what.to_owned(),
        target: "",
        measured,
        met: None,
    };
    Ok(vec![
        row(
            "whois, one question to tailscaled (the first call of a connection, and changes)",
            format!(
                "{} µs, 99th percentile {:.0} µs",
                questions.spread(0),
                questions.percentile_99()
            ),
        ),
        row(
            "a new connection and its first health `Check`, with whois, beside bare tonic-health without",
            format!(
                "{} µs beside {} µs: {:+.0} µs",
                agent.spread(0),
                bare.spread(0),
                agent.median() - bare.median()
            ),
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_is_said() {
        let times = Times {
            questions: vec![200.0, 300.0, 250.0],
            agent: vec![2300.0],
            bare: vec![2000.0],
        };
        let rows = rows(&times).unwrap();
        assert!(rows[0].measured.starts_with("250 (200–300) µs"));
        assert!(rows[1].measured.ends_with(": +300 µs"));
    }
}
