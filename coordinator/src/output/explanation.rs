//! What an error means for a person: what failed, why, what to do, and how the program ends.
//!
//! This is the one place that knows the errors of all modules. It looks for them in the chain of
//! causes, the outermost first; what it does not know ends in [`Exit::Failed`].

use std::error::Error;
use std::fmt;
use std::io;

use serde_json::{Value, json};

use super::foreign::harmless;
use super::rollout::holder_line;
use super::{ClosedOutput, Style};
use crate::agents::grpc::{EnrollmentError, Unconnected};
use crate::agents::{AgentError, Class};
use crate::config::NoHome;
use crate::deployment::LoadError;
use crate::document::Problems;
use crate::exit::Exit;
use crate::journal::JournalError;
use crate::pki::{PassphraseError, PkiError};
use crate::plan::{PlanError, PlanFileError};
use crate::rollout::EngineError;

/// A command ends here, for a reason that no other module's error names.
#[derive(Debug)]
pub struct Stop {
    exit: Exit,
    message: String,
    hint: Option<String>,
    evidence: Vec<String>,
}

impl Stop {
    /// Ends with a message: a lower-case fragment that says what failed.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            hint: None,
            evidence: Vec::new(),
        }
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds lines that show why.
    #[must_use]
    pub fn evidence(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.evidence.extend(lines);
        self
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl Error for Stop {}

/// An error, explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// How the program ends.
    pub exit: Exit,
    /// What failed.
    pub message: String,
    /// Why: the chain of causes.
    pub causes: Vec<String>,
    /// What shows it: log lines, a list of what is in the way.
    pub evidence: Vec<String>,
    /// What to do.
    pub hints: Vec<String>,
    /// Whoever would read it is gone: a closed pipe.
    pub silent: bool,
}

impl Explanation {
    /// Explains an error.
    pub fn of(error: &anyhow::Error) -> Self {
        let mut explanation = Self {
            exit: Exit::Failed,
            message: error.to_string(),
            causes: error.chain().skip(1).map(ToString::to_string).collect(),
            evidence: Vec::new(),
            hints: Vec::new(),
            silent: false,
        };
        // An error that shows its cause as its own message would be said twice.
        explanation.causes.dedup();
        if explanation.causes.first() == Some(&explanation.message) {
            explanation.causes.remove(0);
        }
        // A context is not itself in the chain of causes.
        let mut known = false;
        if let Some(stop) = error.downcast_ref::<Stop>() {
            explanation.hints.extend(stop.hint.clone());
            explanation.evidence.extend(stop.evidence.iter().cloned());
            explanation.exit = stop.exit;
            known = true;
        }
        for cause in error.chain() {
            if let Some(exit) = explanation.look_at(cause) {
                if !known {
                    explanation.exit = exit;
                }
                known = true;
            }
        }
        explanation
    }

    /// Takes what is known of one error; returns how the program should end because of it.
    fn look_at(&mut self, error: &(dyn Error + 'static)) -> Option<Exit> {
        if let Some(error) = error.downcast_ref::<AgentError>() {
            self.hints.extend(error.hint().map(ToOwned::to_owned));
            self.evidence.extend(error.holder().map(holder_line));
            Some(exit_of_agent_error(error))
        } else if let Some(Unconnected(error)) = error.downcast_ref::<Unconnected>() {
            self.hints.extend(error.hint());
            None
        } else if let Some(error) = error.downcast_ref::<EnrollmentError>() {
            self.hints.extend(error.hint());
            None
        } else if let Some(EngineError::Journal { source }) = error.downcast_ref() {
            if matches!(
                source,
                JournalError::File { .. } | JournalError::Broken { .. }
            ) {
                self.hints.push(
                    "make room or repair the disk, then `omni-scale resume` goes on".to_owned(),
                );
            }
            // Acts before it may have changed hosts; what is under way is found by `resume`.
            Some(Exit::Held)
        } else if let Some(error) = error.downcast_ref::<PkiError>() {
            self.hints.extend(error.hint());
            Some(Exit::Usage)
        } else if let Some(error) = error.downcast_ref::<PassphraseError>() {
            self.hints.extend(error.hint());
            Some(Exit::Usage)
        } else if let Some(error) = error.downcast_ref::<PlanError>() {
            if let PlanError::Refused { refusals } = error {
                for refusal in refusals {
                    self.evidence.push(format!("- {refusal}"));
                    let hint = refusal.hint().map(|hint| format!("  hint: {hint}"));
                    self.evidence.extend(hint);
                }
            }
            Some(error.exit())
        } else if error.is::<PlanFileError>()
            || error.is::<LoadError>()
            || error.is::<Problems>()
            || error.is::<NoHome>()
        {
            Some(Exit::Usage)
        } else if let Some(error) = error.downcast_ref::<io::Error>() {
            let inner = error.get_ref();
            self.silent |= inner.is_some_and(<dyn Error + Send + Sync>::is::<ClosedOutput>);
            self.silent.then_some(Exit::Done)
        } else {
            None
        }
    }

    /// For people.
    pub fn lines(&self, colors: bool) -> Vec<String> {
        let message = harmless(&self.message);
        let mut message = message.lines();
        let word = Style::Bad.paint("error:", colors);
        let mut lines = vec![format!("{word} {}", message.next().unwrap_or_default())];
        lines.extend(message.map(ToOwned::to_owned));
        lines.extend(self.causes.iter().map(|cause| {
            let cause = harmless(cause).replace('\n', "\n    ");
            format!("  because: {cause}")
        }));
        let evidence = self.evidence.iter();
        lines.extend(evidence.map(|line| format!("  {}", harmless(line))));
        if !self.hints.is_empty() {
            lines.push(String::new());
        }
        let word = Style::Strong.paint("hint:", colors);
        let hints = self.hints.iter();
        lines.extend(hints.map(|hint| format!("{word} {}", harmless(hint))));
        lines
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        json!({
            "message": self.message,
            "causes": self.causes,
            "evidence": self.evidence,
            "hints": self.hints,
            "exit_code": self.exit.code(),
        })
    }
}

fn exit_of_agent_error(error: &AgentError) -> Exit {
    match error {
        AgentError::Unreachable { .. }
        | AgentError::Unknown { .. }
        | AgentError::Unavailable { .. } => Exit::Unreachable,
        AgentError::LeaseLost { .. } | AgentError::Held { .. } => Exit::Locked,
        AgentError::NotEnrolled { .. } => Exit::ChecksFailed,
        AgentError::Refused { .. } | AgentError::Faulty { .. } => {
            debug_assert!(error.class() != Class::Transient);
            Exit::Failed
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use anyhow::Context as _;

    use super::*;
    use crate::agents::grpc::DialError;

    fn unreachable() -> AgentError {
        let error = DialError::Connect {
            address: "100.64.0.3:7443".parse().unwrap(),
            source: io::Error::new(io::ErrorKind::ConnectionRefused, "connection refused"),
        };
        AgentError::Unreachable {
            host: "idp".parse().unwrap(),
            tried: "observe the unit".to_owned(),
            source: Box::new(Unconnected(Arc::new(error))),
        }
    }

    #[test]
    fn the_whole_chain_is_said_with_what_to_do() {
        let explanation = Explanation::of(&unreachable().into());
        assert_eq!(explanation.exit, Exit::Unreachable);
        insta::assert_snapshot!(explanation.lines(false).join("\n"), @r"
        error: could not observe the unit on host `idp`: its agent cannot be reached
          because: no connection to 100.64.0.3:7443
          because: connection refused

        hint: is the agent running? see `systemctl status omni-scale-agent` on the host
        ");
    }

    #[test]
    fn a_held_lease_is_told_with_its_holder_and_how_long() {
        let error = AgentError::Held {
            host: "idp".parse().unwrap(),
            tried: "take the lease".to_owned(),
            holder: crate::agents::Holder {
                holder: "ada@desk".to_owned(),
                rollout: "a-rollout".to_owned(),
                epoch: 3,
                since_milliseconds: 1_000,
                remaining_milliseconds: 21_500,
            },
        };
        let explanation = Explanation::of(&error.into());
        assert_eq!(explanation.exit, Exit::Locked);
        insta::assert_snapshot!(explanation.lines(false).join("\n"), @r"
        error: could not take the lease on host `idp`: `ada@desk` holds the lease
          - ada@desk holds it since 1970-01-01T00:00:01Z, for rollout a-rollout; it ends in 22 s unless it is kept
        ");
    }

    #[test]
    fn the_outermost_error_that_is_known_decides_the_exit_code() {
        let outer: anyhow::Result<()> =
            Err(unreachable()).context(Stop::new(Exit::Held, "the rollout is held"));
        let explanation = Explanation::of(&outer.unwrap_err());
        assert_eq!(explanation.exit, Exit::Held);
    }

    #[test]
    fn a_rollout_that_could_not_be_written_down_is_held() {
        let source = JournalError::File {
            tried: "write",
            name: "7f2c6a54.jsonl".to_owned(),
            source: io::Error::from(io::ErrorKind::StorageFull),
        };
        let explanation = Explanation::of(&EngineError::Journal { source }.into());
        assert_eq!(explanation.exit, Exit::Held);
        insta::assert_snapshot!(explanation.lines(false).join("\n"), @r"
        error: the rollout cannot be written down
          because: could not write the journal `7f2c6a54.jsonl`
          because: no storage space

        hint: make room or repair the disk, then `omni-scale resume` goes on
        ");
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let error = io::Error::new(io::ErrorKind::BrokenPipe, ClosedOutput);
        let explanation = Explanation::of(&error.into());
        assert!(explanation.silent && explanation.exit == Exit::Done);
        // A connection breaks in the same way, and that is one.
        let error = io::Error::from(io::ErrorKind::BrokenPipe);
        let explanation = Explanation::of(&error.into());
        assert!(!explanation.silent && explanation.exit == Exit::Failed);
    }

    #[test]
    fn what_is_not_known_is_a_plain_failure() {
        let explanation = Explanation::of(&anyhow::anyhow!("odd"));
        assert_eq!(explanation.exit, Exit::Failed);
        assert_eq!(explanation.lines(false), ["error: odd"]);
    }
}
