//! Faults that a test asks for.

use omni_scale_proto::id::HostName;

use crate::agents::Class;

/// The kind of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// `describe`.
    Describe,
    /// `observe_unit`.
    ObserveUnit,
    /// `observe_stack`.
    ObserveStack,
    /// `observe_client`.
    ObserveClient,
    /// `observe_machines`.
    ObserveMachines,
    /// `list_secrets`.
    ListSecrets,
    /// `run_checks`.
    RunChecks,
    /// `acquire_lease`.
    AcquireLease,
    /// `renew_lease`.
    RenewLease,
    /// `release_lease`.
    ReleaseLease,
    /// `apply`.
    Apply,
    /// `control`.
    Control,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: this call is let through.
    None,
    /// The request is never sent.
    Unreachable,
    /// The request arrives and has its effect; the reply is lost at once.
    LostReply,
    /// The request does not arrive, and the caller cannot know.
    LostRequest,
    /// The agent gets the request, does it, and never answers.
    Hang,
    /// The agent refuses.
    Refuse,
    /// The agent cannot now.
    Unavailable,
    /// The operation begins and ends in a failure, without any effect.
    Fails(Class),
    /// The operation begins, has half of its effect, and ends in a failure.
    FailsHalfWay(Class),
    /// The operation is done, and takes longer than a lease lasts.
    Slow,
    /// The operation is done, and its deadline came before its end was seen.
    NotSeen,
    /// The agent says that it is done, and nothing is.
    Lies,
    /// The agent dies before the work has an effect, and comes back 3 s later.
    AgentDies,
}

/// A fault, where it strikes, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scripted {
    pub(super) host: HostName,
    pub(super) call: Call,
    pub(super) fault: Fault,
    pub(super) times: u32,
}

/// The faults that are still to strike.
#[derive(Debug, Default)]
pub(super) struct Script {
    pub(super) faults: Vec<Scripted>,
}

impl Script {
    /// Takes the next fault for a call.
    pub(super) fn next(&mut self, host: &HostName, call: Call) -> Option<Fault> {
        let position = self
            .faults
            .iter()
            .position(|one| one.host == *host && one.call == call)?;
        let scripted = &mut self.faults[position];
        let fault = scripted.fault.clone();
        scripted.times -= 1;
        if scripted.times == 0 {
            self.faults.remove(position);
        }
        Some(fault)
    }
}
