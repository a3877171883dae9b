//! What an agent's ledger knows of one target, with the contract's rules of admission.

use std::collections::BTreeMap;

use omni_scale_proto::id::OperationId;
use omni_scale_proto::operation::Operation;
use omni_scale_proto::v1;
use tokio::sync::watch;

/// A target in the ledger.
#[derive(Debug, Default)]
pub struct TargetModel {
    /// Set when an operation begins, whatever becomes of it.
    pub generation: u64,
    /// What runs.
    pub running: Option<Running>,
    /// Began, and its end is not known: the agent died in between.
    pub unfinished: Option<OperationId>,
    /// Ends that are known.
    pub outcomes: BTreeMap<OperationId, v1::Outcome>,
}

/// An operation that runs.
#[derive(Debug, Clone)]
pub struct Running {
    /// Its id.
    pub id: OperationId,
    /// Its end, once there is one.
    pub outcome: watch::Receiver<Option<v1::Outcome>>,
}

/// What becomes of a request.
#[derive(Debug)]
pub(super) enum Admission {
    /// Answered from the ledger.
    Known(Box<v1::Outcome>),
    /// It runs already.
    Attached(watch::Receiver<Option<v1::Outcome>>),
    /// It begins. The sender is told the end.
    Begun(
        watch::Sender<Option<v1::Outcome>>,
        watch::Receiver<Option<v1::Outcome>>,
    ),
    /// Another one runs.
    Busy(OperationId),
    /// Something newer was done.
    Stale {
        /// The target's generation.
        current: u64,
    },
}

impl TargetModel {
    pub(super) fn admit(&mut self, operation: &Operation) -> Admission {
        if let Some(outcome) = self.outcomes.get(&operation.id) {
            return Admission::Known(Box::new(v1::Outcome {
                replayed: true,
                ..outcome.clone()
            }));
        }
        if let Some(running) = &self.running {
            return if running.id == operation.id {
                Admission::Attached(running.outcome.clone())
            } else {
                Admission::Busy(running.id.clone())
            };
        }
        let again = self.unfinished.as_ref() == Some(&operation.id);
        if operation.generation <= self.generation && !again {
            return Admission::Stale {
                current: self.generation,
            };
        }
        let (sender, receiver) = watch::channel(None);
        self.generation = self.generation.max(operation.generation);
        self.unfinished = None;
        self.running = Some(Running {
            id: operation.id.clone(),
            outcome: receiver.clone(),
        });
        Admission::Begun(sender, receiver)
    }

    /// An operation that nobody in this story has begun, and that does not end.
    pub fn pretend_running(&mut self) {
        let (_, outcome) = watch::channel(None);
        self.generation += 1;
        self.running = Some(Running {
            id: omni_scale_proto::operation::random_operation_id([7; 32]),
            outcome,
        });
    }

    pub(super) fn end(&mut self, outcome: v1::Outcome) {
        if let Some(running) = self.running.take() {
            self.outcomes.insert(running.id, outcome);
        }
    }

    /// The agent died: what ran is left without an end.
    pub fn interrupt(&mut self) {
        if let Some(running) = self.running.take() {
            self.unfinished = Some(running.id);
        }
    }

    pub(super) fn status(&self, name: &str) -> v1::TargetStatus {
        v1::TargetStatus {
            target: name.to_owned(),
            generation: self.generation,
            running_operation_id: self
                .running
                .as_ref()
                .map(|running| running.id.to_string())
                .unwrap_or_default(),
            outcome_unknown: self.unfinished.is_some(),
        }
    }
}
