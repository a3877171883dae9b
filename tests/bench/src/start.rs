//! How long the agent takes from exec to READY.
//!
//! systemd's stamp of the start lies before it has made the sandbox, so that a unit which differs from the agent's only
//! in its program, a shell that says READY, is measured in turns with it: the agent's own time is the difference.

use anyhow::Context as _;

use crate::lab::{Lab, number};
use crate::sample::Sample;
use crate::table::Row;

const ROUNDS: usize = 9;
/// In milliseconds.
const TARGET: f64 = 100.0;
const HOSTS: [(&str, &str); 2] = [("idp", "tsidp"), ("omni", "omni")];

const AGENT: &str = "omni-scale-agent";
const BARE: &str = "omni-scale-bench";

const MAKE_BARE: &str = r#"
    sed -e 's|^ExecStart=.*|ExecStart=/bin/sh -c "systemd-notify --ready; exec sleep infinity"|' \
        -e '/^WatchdogSec=/d' -e 's|^Type=notify|&\nNotifyAccess=all|' \
        "$(systemctl show -P FragmentPath omni-scale-agent)" >/run/systemd/system/omni-scale-bench.service
    systemctl daemon-reload"#;
const REMOVE_BARE: &str = "systemctl stop omni-scale-bench; \
    rm /run/systemd/system/omni-scale-bench.service; systemctl daemon-reload";

/// Restarts the agents and the bare units, in turns.
pub(crate) async fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (host, role) in HOSTS {
        lab.script(host, MAKE_BARE).await?;
        let times = times(lab, host).await;
        lab.script(host, REMOVE_BARE).await?;
        rows.push(row(role, &times?)?);
    }
    Ok(rows)
}

/// Milliseconds of the agent and of the bare unit, round by round.
async fn times(lab: &Lab, host: &str) -> anyhow::Result<Vec<(f64, f64)>> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let agent = restart(lab, host, AGENT).await?;
        times.push((agent, restart(lab, host, BARE).await?));
    }
    Ok(times)
}

async fn restart(lab: &Lab, host: &str, unit: &str) -> anyhow::Result<f64> {
    let script = format!(
        "systemctl reset-failed {unit} || true; systemctl restart {unit}; \
         began=$(systemctl show -P ExecMainStartTimestampMonotonic {unit}); \
         ready=$(systemctl show -P ActiveEnterTimestampMonotonic {unit}); \
         echo $((ready - began))"
    );
    let microseconds = number(&lab.script(host, &script).await?)?;
    Ok(microseconds / 1000.0)
}

fn row(role: &str, times: &[(f64, f64)]) -> anyhow::Result<Row> {
    let sample = |of: fn(&(f64, f64)) -> f64| {
        Sample::new(times.iter().map(of)).context("there was no round")
    };
    let own = sample(|(agent, bare)| agent - bare)?;
    Ok(Row {
        what: format!("agent from exec to READY, role `{role}`, {ROUNDS} restarts"),
        target: "≤ 100 ms",
        measured: format!(
            "{:.0} ms: {} ms by systemd's stamps, a shell in the same sandbox {} ms",
            own.median(),
            sample(|(agent, _)| *agent)?.spread(0),
            sample(|(_, bare)| *bare)?.spread(0),
        ),
        met: Some(own.median() <= TARGET),
    })
}
