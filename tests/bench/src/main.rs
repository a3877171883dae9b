//! Measures what omni-scale promises about memory and speed, on the lab's hosts and beside a baseline of the same run.
//!
//! Without arguments, or with the names of parts, it drives the lab (`tests/bench/run`). `load`, `whois` and `serve` are
//! what it runs of itself on a lab host, with files and an address: callers of the health service, the cost of knowing
//! who calls, and the bare server that the agent is compared with.
//! It judges nothing but whether a target is met, and it leaves the lab rolled out and green.

mod apply;
mod bare;
mod health;
mod lab;
mod load;
mod machines;
mod memory;
mod rollout;
mod sample;
mod start;
mod table;
mod tls;
mod whois;

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail};

use lab::Lab;
use table::Row;

const PARTS: [&str; 7] = [
    "memory", "start", "health", "whois", "apply", "rollout", "machines",
];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["load", files, agent] => load::run(Path::new(files), agent.parse()?).await,
        ["whois", files, agent] => whois::run(Path::new(files), agent.parse()?).await,
        ["serve", files, address] => bare::serve(Path::new(files), address.parse()?).await,
        parts => measure(parts).await,
    }
}

async fn measure(parts: &[&str]) -> anyhow::Result<()> {
    if let Some(unknown) = parts.iter().find(|part| !PARTS.contains(part)) {
        bail!(
            "there is no part `{unknown}`; there are {}",
            PARTS.join(", ")
        );
    }
    let lab = Lab::default();
    if parts != ["machines"] {
        lab.on("op", &["omni-scale", "status"])
            .await
            .context("the lab is not up and green: sudo tests/lab/up")?;
    }
    let mut rows: Vec<Row> = Vec::new();
    for part in PARTS {
        if !parts.is_empty() && !parts.contains(&part) {
            continue;
        }
        tell(&format!("measuring {part}"));
        rows.extend(
            match part {
                "memory" => memory::measure(&lab).await,
                "start" => start::measure(&lab).await,
                "health" => health::measure(&lab).await,
                "whois" => whois::measure(&lab).await,
                "apply" => apply::measure(&lab).await,
                "machines" => machines::measure(),
                _ => rollout::measure(&lab).await,
            }
            .with_context(|| format!("cannot measure {part}"))?,
        );
    }
    write!(std::io::stdout(), "{}", table::render(&rows)?)?;
    Ok(())
}

/// A line for whoever waits.
fn tell(line: &str) {
    // Nothing is left to tell that standard error is gone.
    let _ = writeln!(std::io::stderr(), "{line}");
}
