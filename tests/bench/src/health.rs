//! The agent's health service beside a bare one with the same TLS, on the same host in the same run.

use anyhow::Context as _;

use crate::lab::Lab;
use crate::load::{Pair, Round};
use crate::sample::Sample;
use crate::table::Row;

/// At least so much of the bare server's speed.
const TARGET: f64 = 0.8;
const FILES: &str = "/root/bench";

/// On `idp`: it has the least else to do.
pub(crate) async fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    let rounds = on_idp(lab, "load").await?;
    rows(&serde_json::from_str::<Vec<Pair>>(&rounds)?)
}

/// Runs a part of this program on `idp`, with the agent's and the operator's keys beside it. Returns what it prints.
pub(crate) async fn on_idp(lab: &Lab, part: &str) -> anyhow::Result<String> {
    let prepare = format!(
        "rm -rf {FILES}; install -d -m 0700 {FILES}; \
         cp /var/lib/omni-scale/identity/current/{{agent.key,agent.pem,authority.pem}} {FILES}; \
         cat >{FILES}/omni-scale-bench; chmod 0755 {FILES}/omni-scale-bench"
    );
    let own = std::fs::read(std::env::current_exe()?).context("cannot read this program")?;
    lab.given("idp", &["bash", "-euc", &prepare], &own).await?;
    for file in ["operator.pem", "operator.key"] {
        let find = format!("cat ~/.config/omni-scale/*/{file}");
        let contents = lab.script("op", &find).await?;
        let keep = format!("umask 077; cat >{FILES}/{file}");
        lab.given("idp", &["bash", "-euc", &keep], contents.as_bytes())
            .await?;
    }
    let run = format!("exec {FILES}/omni-scale-bench {part} {FILES} $(tailscale ip -4):7443");
    let printed = lab.script("idp", &run).await;
    lab.on("idp", &["rm", "-rf", FILES]).await?;
    printed
}

fn rows(pairs: &[Pair]) -> anyhow::Result<Vec<Row>> {
    // How many times as fast as the bare server: of a throughput as it is, of a time the other way round.
    let faster = |of: &dyn Fn(&Round) -> f64| {
        Sample::new(pairs.iter().map(|pair| of(&pair.agent) / of(&pair.bare)))
    };
    let all = |of: &dyn Fn(&Pair) -> f64| Sample::new(pairs.iter().map(of));
    let row = |what: &str, unit: &str, speed: Sample, agent: Sample, bare: Sample| Row {
        what: format!("health `Check`, {what}, beside bare tonic-health"),
        target: "≥ 80 %",
        measured: format!(
            "{:.0} %: {} {unit} beside {} {unit}",
            speed.median() * 100.0,
            agent.spread(0),
            bare.spread(0)
        ),
        met: Some(speed.median() >= TARGET),
    };
    let none = "there was no round";
    Ok(vec![
        row(
            "one call after the other",
            "µs",
            faster(&|round| 1.0 / round.median).context(none)?,
            all(&|pair| pair.agent.median).context(none)?,
            all(&|pair| pair.bare.median).context(none)?,
        ),
        row(
            "99th percentile of these",
            "µs",
            faster(&|round| 1.0 / round.percentile_99).context(none)?,
            all(&|pair| pair.agent.percentile_99).context(none)?,
            all(&|pair| pair.bare.percentile_99).context(none)?,
        ),
        row(
            "32 callers on one connection",
            "calls/s",
            faster(&|round| round.per_second).context(none)?,
            all(&|pair| pair.agent.per_second).context(none)?,
            all(&|pair| pair.bare.per_second).context(none)?,
        ),
    ])
}
