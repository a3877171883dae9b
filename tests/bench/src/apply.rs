//! How long it takes to find that nothing is to be done: `apply` again, which observes, plans and ends.

use anyhow::{Context as _, ensure};

use crate::lab::{Lab, number, timed};
use crate::sample::Sample;
use crate::table::Row;

const ROUNDS: usize = 9;
/// In seconds.
const TARGET: f64 = 1.0;

/// On `op`, over the tailnet.
pub(crate) async fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    let said = lab.script("op", "omni-scale apply --yes 2>&1").await?;
    ensure!(
        said.contains("nothing to do"),
        "there is something to do: {said}"
    );
    let apply = timed("omni-scale apply --yes");
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        times.push(number(&lab.script("op", &apply).await?)?);
    }
    let sample = Sample::new(times).context("there was no round")?;
    Ok(vec![Row {
        what: format!("`apply` with nothing to do, {ROUNDS} times"),
        target: "≤ 1 s",
        measured: format!("{} s", sample.spread(2)),
        met: Some(sample.median() <= TARGET),
    }])
}
