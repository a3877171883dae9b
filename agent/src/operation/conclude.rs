//! From the end of a piece of work to what is written down: masked, bounded, and never better than what was seen.

use omni_scale_proto::v1::FailureClass;
use tokio::task::JoinError;

use super::failure::{Done, Failure};
use crate::ledger::{Conclusion, FailureRecord, OperationBook};
use crate::secrets::Secrets;

/// The longest text that is kept, in bytes.
const LONGEST_TEXT: usize = 4096;
/// The longest line of evidence, in bytes.
const LONGEST_LINE: usize = 512;
/// The most lines of evidence, or of warnings.
const MOST_LINES: usize = 50;

/// `ended` is `None` when the deadline came first.
pub(super) fn conclude(
    ended: Option<Result<Result<Done, Failure>, JoinError>>,
    deadline_seconds: u32,
    secrets: &Secrets,
) -> Conclusion {
    match ended {
        Some(Ok(Ok(done))) => Conclusion::Succeeded {
            summary: bounded(&secrets.mask(&done.summary), LONGEST_TEXT),
            warnings: lines(&done.warnings, LONGEST_TEXT, secrets),
        },
        Some(Ok(Err(failure))) => Conclusion::Failed(record(&failure, secrets)),
        Some(Err(panicked)) => {
            let message =
                format!("outcome unknown: the operation ended in a fault of the agent: {panicked}");
            Conclusion::Unknown(record(&Failure::new(FailureClass::Bug, message), secrets))
        }
        None => {
            let message =
                format!("outcome unknown: not done within the deadline of {deadline_seconds} s");
            let failure = Failure::new(FailureClass::Transient, message)
                .with_hint("ask again: the agent looks at what is there before it acts");
            Conclusion::Unknown(record(&failure, secrets))
        }
    }
}

/// The work has ended, and how could not be written down: the next one to ask must have it looked at.
pub(super) fn not_written(error: &str) -> Conclusion {
    Conclusion::Unknown(FailureRecord {
        class: FailureClass::Transient.into(),
        message: format!("outcome unknown: it could not be written down: {error}"),
        hint: String::new(),
        evidence: Vec::new(),
    })
}

/// Whether nobody saw the end of an operation that does not run.
pub(super) fn is_unknown(operation: &OperationBook) -> bool {
    matches!(operation.conclusion, None | Some(Conclusion::Unknown(_)))
}

fn record(failure: &Failure, secrets: &Secrets) -> FailureRecord {
    FailureRecord {
        class: failure.class.into(),
        message: bounded(&secrets.mask(&failure.message), LONGEST_TEXT),
        hint: bounded(
            &secrets.mask(failure.hint.as_deref().unwrap_or_default()),
            LONGEST_TEXT,
        ),
        evidence: lines(&failure.evidence, LONGEST_LINE, secrets),
    }
}

/// The last lines: what led to the end stands there.
fn lines(lines: &[String], longest: usize, secrets: &Secrets) -> Vec<String> {
    lines[lines.len().saturating_sub(MOST_LINES)..]
        .iter()
        .map(|line| bounded(&secrets.mask(line), longest))
        .collect()
}

fn bounded(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let mut end = longest;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::secrets::SecretValue;

    #[test]
    fn what_is_written_down_is_masked_and_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let secrets = Secrets::open(directory.path()).unwrap();
        let value = SecretValue::new(b"hunter2!".to_vec());
        secrets.put(&"client".parse().unwrap(), &value).unwrap();
        let failure = Failure::new(FailureClass::Permanent, "hunter2! ".repeat(2000))
            .with_evidence((0..90).map(|line| format!("{line} hunter2!")).collect());
        let Conclusion::Failed(record) = conclude(Some(Ok(Err(failure))), 1, &secrets) else {
            panic!("a failure is no success");
        };
        assert!(record.message.len() <= LONGEST_TEXT + 3);
        assert!(!record.message.contains("hunter2"));
        assert_eq!(record.evidence.len(), MOST_LINES);
        assert_eq!(record.evidence[49], "89 [secret client]");
    }
}
