//! A coordinator as it runs on the operator's machine, followed by its journal.

use serde_json::Value;

use super::hosts::{Lab, Ran};

/// How a coordinator was killed.
pub(crate) struct Killed {
    /// Whether it was in time: its rollout has not ended.
    pub(crate) unfinished: bool,
    /// The last record of its journal.
    pub(crate) last: String,
}

/// Runs `omni-scale` with these arguments and kills it, as soon as its journal has so many lines
/// (the first is the header). A rollout with fewer records comes to its end.
pub(crate) fn kill_at_line(lab: &Lab, arguments: &str, lines: u64) -> Killed {
    // Both files are followed by inotify; `tail` ends with the coordinator.
    let script = format!(
        r#"
        rm -f rollout.log; : >rollout.log
        omni-scale -v {arguments} >rollout.log 2>&1 & coordinator=$!
        follow() {{ tail --pid=$coordinator --sleep-interval=0.2 --lines=+1 --follow=name --retry "$1" 2>/dev/null; }}
        rollout=$(follow rollout.log | sed -n '/^rollout /{{s///p;q}}')
        [ "$rollout" ] || {{ cat rollout.log; exit 1; }}
        journal=$(echo ~/.local/state/omni-scale/*/rollouts)/$rollout.jsonl
        follow "$journal" | {{ head -n {lines} >/dev/null; kill -9 $coordinator 2>/dev/null; }}
        wait $coordinator
        tail -n 1 "$journal"
        "#
    );
    let last = lab
        .script("op", &script)
        .must("kill a coordinator by its journal");
    let record: Value = serde_json::from_str(&last).unwrap_or_default();
    let kind = record["event"]["kind"].as_str().unwrap_or_default();
    Killed {
        unfinished: !matches!(
            kind,
            "finished" | "refused" | "undone" | "stuck" | "aborted"
        ),
        last,
    }
}

/// Goes on with the rollout that was killed. There is one, unless it had ended.
pub(crate) fn resume(lab: &Lab, killed: &Killed) -> Ran {
    let ran = lab.on("op", &["omni-scale", "resume"]);
    let nothing = ran.output.contains("no rollout stands still");
    assert_eq!(nothing, !killed.unfinished, "after {}: {ran}", killed.last);
    ran
}
