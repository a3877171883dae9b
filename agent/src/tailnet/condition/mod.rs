//! The states of a node, told apart by tailscaled's states and codes, each with what to do.
//!
//! Texts are for people and change with versions: nothing is decided by them. A code that nobody
//! here knows makes a node degraded at most, and what tailscaled itself calls low is a note.
//! Source of the codes: tailscale/tailscale, health/warnings.go and ipn/ipnlocal.

mod codes;
mod device;
mod state;
#[cfg(test)]
mod tests;

use omni_scale_proto::v1::{self, NodeConditionKind as Kind};

pub use self::device::of_device;
use self::state::key_expires_soon;
pub use self::state::{KEY_EXPIRES_SOON_DAYS, is_suffixed, suffixed};
use super::{NodeStatus, Preferences, Warning};

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know; the node is healthy.
    Note,
    /// It works, but not as well as it should, or not for long.
    Degraded,
    /// Nobody can tell.
    Unknown,
    /// It does not work.
    Failed,
}

/// Something that is to be said about a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Which.
    pub kind: Kind,
    /// How bad it is.
    pub severity: Severity,
    /// What is so, without a subject: `is logged out`.
    pub summary: String,
    /// What to do. Empty: nothing.
    pub fix: String,
    /// tailscaled's code. Empty: it was told in another way.
    pub code: String,
}

/// What is known of a node. What is not known is left out, and then nothing is said about it.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// tailscaled's status.
    pub status: &'a NodeStatus,
    /// Its preferences.
    pub preferences: Option<&'a Preferences>,
    /// What it warns of.
    pub warnings: &'a [Warning],
    /// Whether an interface of the machine has the node's address.
    pub address_present: Option<bool>,
}

/// What is to be said about a node at `now` (milliseconds since the Unix epoch), the worst first.
pub fn conditions(evidence: Evidence<'_>, now: i64) -> Vec<Condition> {
    let mut found = Vec::new();
    let state = state::of_state(evidence, now);
    let runs = state.is_none();
    found.extend(state);
    if runs {
        found.extend(state::of_running(evidence, now));
    }
    for warning in evidence.warnings {
        let condition = codes::of_warning(warning, runs);
        let said = condition.as_ref().is_some_and(|condition| {
            condition.kind != Kind::Other
                && found
                    .iter()
                    .any(|known: &Condition| known.kind == condition.kind)
        });
        if !said {
            found.extend(condition);
        }
    }
    found.sort_by_key(|condition| std::cmp::Reverse(condition.severity));
    found
}

/// What is said of a node whose tailscaled tells nothing.
pub fn silent(reason: &str) -> Condition {
    Condition::new(Kind::Silent, Severity::Unknown, format!("is not known: {reason}"))
        .with_fix("`systemctl status tailscaled` on the host says more; `systemctl start tailscaled` starts it")
}

/// What is said when tailscaled tells its state, but not `what`: the node may have troubles that
/// nobody hears of.
pub fn untold(what: &str, reason: &str) -> Condition {
    let reason = one_line(reason);
    let summary = format!("does not tell {what}: {reason}");
    Condition::new(Kind::Other, Severity::Note, summary)
}

impl Condition {
    fn new(kind: Kind, severity: Severity, summary: impl Into<String>) -> Self {
        Self {
            kind,
            severity,
            summary: summary.into(),
            fix: String::new(),
            code: String::new(),
        }
    }

    fn with_fix(self, fix: impl Into<String>) -> Self {
        Self {
            fix: fix.into(),
            ..self
        }
    }

    fn with_code(self, code: &str) -> Self {
        Self {
            code: code.to_owned(),
            ..self
        }
    }
}

impl From<Condition> for v1::NodeCondition {
    fn from(condition: Condition) -> Self {
        let severity = match condition.severity {
            Severity::Note => v1::NodeConditionSeverity::Note,
            Severity::Degraded => v1::NodeConditionSeverity::Degraded,
            Severity::Unknown => v1::NodeConditionSeverity::Unknown,
            Severity::Failed => v1::NodeConditionSeverity::Failed,
        };
        Self {
            kind: condition.kind.into(),
            severity: severity.into(),
            summary: condition.summary,
            fix: condition.fix,
            code: condition.code,
        }
    }
}

/// Foreign text on one line, and no longer than a line.
fn one_line(text: &str) -> String {
    let printable = |character: char| {
        if character.is_control() {
            ' '
        } else {
            character
        }
    };
    let line: String = text.chars().take(200).map(printable).collect();
    line.trim().to_owned()
}
