//! What stands in the way, and whether it may pass: the only place where the client's errors become failures.

use std::time::Duration;

use omni_scale_proto::v1::FailureClass;
use omni_scale_proxmox::{
    Class, Complaint, ConnectError, Error, TaskFailure, TrustError, WaitError,
};
use tokio::time::{Instant, sleep};

use crate::error::chain;
use crate::files::FileError;
use crate::operation::{Failure, Reporter};

/// The first rest after something that may pass.
const FIRST_REST: Duration = Duration::from_secs(1);
/// Between later ones.
const LONGEST_REST: Duration = Duration::from_secs(15);

/// Why a round did not come to its end.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It may pass, or it is not known what was done: worth another look.
    Passing(Failure),
    /// It will not pass by itself.
    Final(Failure),
}

impl Trouble {
    /// Something that will not pass.
    pub(super) fn permanent(message: impl Into<String>) -> Self {
        Self::Final(Failure::new(FailureClass::Permanent, message))
    }

    /// Something that may pass.
    pub(super) fn passing(message: impl Into<String>) -> Self {
        Self::Passing(Failure::new(FailureClass::Transient, message))
    }

    /// The failure, whatever may become of it.
    pub(super) fn failure(self) -> Failure {
        match self {
            Self::Passing(failure) | Self::Final(failure) => failure,
        }
    }

    fn of(class: Class, failure: Failure) -> Self {
        match class {
            Class::Transient | Class::Unknown => Self::Passing(failure),
            Class::Refused | Class::Permanent => Self::Final(failure),
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        // A machine that is elsewhere by now is looked for again; a storage that is not there stays so.
        let about_a_machine = error.asked().path.contains("/qemu/");
        let moved = about_a_machine && error.complaint().is_some_and(may_have_moved);
        let class = if moved {
            Class::Transient
        } else {
            error.class()
        };
        Self::of(class, failure(&error))
    }
}

impl From<WaitError> for Trouble {
    fn from(error: WaitError) -> Self {
        let moved = |failed: &TaskFailure| {
            failed.upid.kind() != "qmcreate" && may_have_moved(&failed.complaint)
        };
        let class = match &error {
            WaitError::Failed(failed) if moved(failed) => Class::Transient,
            _ => error.class(),
        };
        let message = chain(&error);
        let mut lines = message.lines().map(str::trim);
        let first = lines.next().unwrap_or_default().to_owned();
        let failure = Failure::new(failure_class(class), first)
            .with_evidence(lines.map(str::to_owned).collect());
        Self::of(class, failure)
    }
}

/// What is said of a machine that was moved, started or stopped since it was looked at.
fn may_have_moved(complaint: &Complaint) -> bool {
    matches!(
        complaint,
        Complaint::DoesNotExist | Complaint::Running | Complaint::NotRunning
    )
}

impl From<FileError> for Trouble {
    fn from(error: FileError) -> Self {
        Self::Final(Failure::from_error(FailureClass::Permanent, &error))
    }
}

const fn failure_class(class: Class) -> FailureClass {
    match class {
        Class::Transient | Class::Unknown => FailureClass::Transient,
        Class::Refused => FailureClass::Refused,
        Class::Permanent => FailureClass::Permanent,
    }
}

/// A call that failed, in words for an operator.
pub(super) fn failure(error: &Error) -> Failure {
    let failure = Failure::new(failure_class(error.class()), chain(error));
    match hint(error) {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

fn hint(error: &Error) -> Option<String> {
    match error {
        Error::Unauthorized { .. } => Some(
            "is the token's secret the one that Proxmox showed once, and the token not expired? \
             `omni-scale secret set HOST NAME` sets it again"
                .to_owned(),
        ),
        Error::Forbidden {
            missing: Some(missing),
            ..
        } => Some(format!(
            "give user and token a role with `{}` on `{}` (Datacenter, Permissions)",
            missing.privilege, missing.path
        )),
        Error::Forbidden { .. } => Some(
            "give user and token a role with what it takes (Datacenter, Permissions)".to_owned(),
        ),
        Error::Unreachable {
            source: ConnectError::Trust(trust),
            ..
        } => Some(trust_hint(trust)),
        _ => match error.complaint()? {
            Complaint::NoQuorum => {
                Some("`pvecm status` on a node says which nodes are missing".to_owned())
            }
            Complaint::Protected => {
                Some("somebody protects the VM: take the protection away in its options".to_owned())
            }
            _ => None,
        },
    }
}

fn trust_hint(trust: &TrustError) -> String {
    match trust {
        TrustError::WrongFingerprint { found, .. } => format!(
            "if `pvenode cert info` on that node shows {found} too, its certificate was renewed: pin it, or give the \
             cluster's authority instead"
        ),
        TrustError::Expired { .. } => {
            "renew the node's certificate: `pvenode cert info`, `pvecm updatecerts`".to_owned()
        }
        TrustError::UnknownIssuer { found, .. } => format!(
            "give `/etc/pve/pve-root-ca.pem` of the cluster as its authority, or pin {found} after comparing it with \
             `pvenode cert info`"
        ),
        TrustError::NameDiffers { .. } => {
            "name the cluster in its URL as the certificate does, or pin the certificate".to_owned()
        }
        _ => "compare with `pvenode cert info` on the node".to_owned(),
    }
}

/// Tries until a moment: rests between rounds, and gives up with the last reason.
pub(super) struct Rounds {
    deadline: Instant,
    rest: Duration,
}

impl Rounds {
    pub(super) fn until(deadline: Instant) -> Self {
        Self {
            deadline,
            rest: FIRST_REST,
        }
    }

    /// Rests after what may pass. An error ends the work.
    pub(super) async fn rest(
        &mut self,
        trouble: Trouble,
        subject: &str,
        reporter: &Reporter,
    ) -> Result<(), Failure> {
        let failure = match trouble {
            Trouble::Final(failure) => return Err(failure),
            Trouble::Passing(failure) => failure,
        };
        if Instant::now() + self.rest >= self.deadline {
            return Err(failure);
        }
        reporter.stage(subject, format!("looking again soon: {}", failure.message));
        sleep(self.rest).await;
        self.rest = (self.rest * 2).min(LONGEST_REST);
        Ok(())
    }
}
