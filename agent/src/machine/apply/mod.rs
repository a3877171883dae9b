//! Makes a machine so: looks, and does what is missing, until it runs. A machine that was brought to its end once is
//! only started.
//!
//! Every round begins with a look. What a lost reply has done is thereby seen, and never done again blindly.

pub(super) mod attempt;
mod create;
mod finish;
mod first_boot;
mod image;

use std::collections::BTreeSet;

use omni_scale_proto::id::DeploymentId;
use omni_scale_proto::machine::{CheckedMachine, machine_uuid};
use omni_scale_proto::v1::{self, FailureClass};
use omni_scale_proxmox::Vmid;
use tokio::time::Instant;

pub(super) use attempt::{CREATION, clearing};

use super::Machines;
use super::survey::Found;
use super::trouble::Trouble;
use super::work::{Request, Work};
use crate::operation::{Done, Failure, Reporter};

/// A machine that shall be there and run.
#[derive(Debug, Clone)]
pub struct Apply {
    /// For whom.
    pub deployment: DeploymentId,
    /// On which cluster.
    pub hypervisor: v1::Hypervisor,
    /// What it shall be.
    pub machine: CheckedMachine,
    /// When it must have come to an end.
    pub deadline: Instant,
}

/// The making of one machine.
struct Making<'a> {
    work: Work<'a>,
    machine: &'a CheckedMachine,
    /// A request whose effect is not known has been sent for the attempt that is written down.
    doubt: bool,
    created: bool,
    /// VMIDs that somebody else has, though the token may not see it.
    avoided: BTreeSet<Vmid>,
}

impl Machines {
    /// Creates the machine if it is not there, and starts it.
    pub async fn apply(&self, apply: &Apply, reporter: &Reporter) -> Result<Done, Failure> {
        self.check_incarnation(apply)?;
        let request = Request {
            deployment: apply.deployment,
            hypervisor: apply.hypervisor.clone(),
            machine: apply.machine.identity().clone(),
            deadline: apply.deadline,
        };
        let mut making = Making {
            work: Work::begin(self, &request, reporter).await?,
            machine: &apply.machine,
            // An attempt of before a restart may have been sent.
            doubt: true,
            created: false,
            avoided: BTreeSet::new(),
        };
        let mut rounds = making.work.rounds();
        loop {
            match making.round().await {
                Ok((found, did)) => {
                    let place = format!("as VM {} on {}", found.vmid, found.node);
                    let summary = format!("machine {} {did} {place}", making.work.identity);
                    return Ok(Done {
                        summary,
                        warnings: making.work.warnings(),
                    });
                }
                Err(trouble) => making.work.rest(&mut rounds, trouble).await?,
            }
        }
    }

    /// Refuses an identity that is not this machine's, or not any more.
    fn check_incarnation(&self, apply: &Apply) -> Result<(), Failure> {
        let (wire, identity) = (apply.machine.as_wire(), apply.machine.identity());
        let refused = |message: String| Err(Failure::new(FailureClass::Refused, message));
        let uuid = machine_uuid(apply.deployment, &wire.name, wire.incarnation);
        if uuid != identity.uuid() {
            return refused(format!(
                "{identity} is not incarnation {} of that machine in deployment {}: that one is {uuid}",
                wire.incarnation, apply.deployment
            ));
        }
        let record = self.record(apply.deployment, identity.name());
        let current = record.map_or(0, |record| record.incarnation);
        if wire.incarnation < current {
            return Err(Failure::new(
                FailureClass::Permanent,
                format!("machine {identity} was deleted: incarnation {current} is the next"),
            )
            .with_hint("plan again"));
        }
        Ok(())
    }
}

impl Making<'_> {
    async fn round(&mut self) -> Result<(Found, &'static str), Trouble> {
        loop {
            let (survey, found) = self.work.seek().await?;
            if let Some(found) = found {
                self.check_the_same(&found)?;
                return self.finish(found).await;
            }
            if self.settle(&survey).await? {
                self.create(&survey).await?;
            }
        }
    }

    /// Two machines of one name must never be.
    fn check_the_same(&self, found: &Found) -> Result<(), Trouble> {
        if found.identity == self.work.identity {
            return Ok(());
        }
        let failure = Failure::new(
            FailureClass::Refused,
            format!(
                "machine {} is not made: VM {} on {} is machine {} already",
                self.work.identity, found.vmid, found.node, found.identity
            ),
        );
        Err(Trouble::Final(failure.with_hint(
            "plan again; if that one shall go, `omni-scale machines delete` it first",
        )))
    }

    fn wire(&self) -> &v1::Machine {
        self.machine.as_wire()
    }
}
