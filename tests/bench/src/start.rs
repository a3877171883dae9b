//! How long the agent takes from its start to READY, as systemd's clock saw it.
//!
//! systemd's stamp of the start lies before it has made the sandbox, so this is a little more than from exec.

use std::collections::BTreeMap;

use anyhow::Context as _;

use crate::lab::{Lab, seconds};
use crate::sample::Sample;
use crate::table::Row;

const ROUNDS: usize = 9;
/// In milliseconds.
const TARGET: f64 = 100.0;
const HOSTS: [(&str, &str); 2] = [("idp", "tsidp"), ("omni", "omni")];

const RESTART: &str = "systemctl reset-failed omni-scale-agent; systemctl restart omni-scale-agent; \
    began=$(systemctl show -P ExecMainStartTimestampMonotonic omni-scale-agent); \
    ready=$(systemctl show -P ActiveEnterTimestampMonotonic omni-scale-agent); \
    echo $((ready - began))";

/// Restarts both agents, in turns.
pub(crate) async fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    let mut times: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for _ in 0..ROUNDS {
        for (host, role) in HOSTS {
            // Microseconds, for all that the name says.
            let microseconds = seconds(&lab.script(host, RESTART).await?)?;
            times.entry(role).or_default().push(microseconds / 1000.0);
        }
    }
    HOSTS
        .iter()
        .map(|(_, role)| {
            let sample = Sample::new(times.remove(role).unwrap_or_default())
                .context("there was no round")?;
            Ok(Row {
                what: format!("agent's start to READY, role `{role}`, {ROUNDS} restarts"),
                target: "≤ 100 ms",
                measured: format!("{} ms", sample.spread(0)),
                met: Some(sample.median() <= TARGET),
            })
        })
        .collect()
}
