//! The table that goes into the README.

use std::fmt::Write as _;

use anyhow::Context as _;
use time::OffsetDateTime;

/// One promise and what came of it.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// What was promised. Empty: nothing.
    pub(crate) target: &'static str,
    /// Median, and least and greatest of how many.
    pub(crate) measured: String,
    /// Whether the target is met. `None`: there is none.
    pub(crate) met: Option<bool>,
}

/// The rows under a line about machine, day and load.
pub(crate) fn render(rows: &[Row]) -> anyhow::Result<String> {
    let mut text = format!(
        "{}, {}, load {}. Median (least–greatest).\n\n| | target | measured | |\n| --- | --- | --- | --- |\n",
        OffsetDateTime::now_utc().date(),
        machine()?,
        load()?,
    );
    for row in rows {
        let met = match row.met {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "",
        };
        let Row {
            what,
            target,
            measured,
            ..
        } = row;
        writeln!(text, "| {what} | {target} | {measured} | {met} |")?;
    }
    Ok(text)
}

/// The load of the last minute: what else ran on this machine.
pub(crate) fn load() -> anyhow::Result<String> {
    let load = read("/proc/loadavg")?;
    Ok(load.split(' ').next().unwrap_or_default().to_owned())
}

fn machine() -> anyhow::Result<String> {
    let processors = read("/proc/cpuinfo")?;
    let mut models = processors
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, model)| model);
    let model = models.next().unwrap_or("unknown processor").to_owned();
    let kernel = read("/proc/sys/kernel/osrelease")?;
    let count = 1 + models.count();
    Ok(format!(
        "{count} × {model}, Linux {}",
        kernel.trim().split('-').next().unwrap_or_default()
    ))
}

fn read(path: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}
