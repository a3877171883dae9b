//! Starting, stopping and restarting a machine that is there, each at most once for one operation.

use std::time::Duration;

use omni_scale_proto::id::OperationId;
use omni_scale_proto::v1::FailureClass;
use omni_scale_proxmox::{Class, Complaint, PowerState, VmStatus, WaitError};

use super::Machines;
use super::record::Restart;
use super::survey::Found;
use super::trouble::Trouble;
use super::work::{Request, Work};
use crate::operation::{Done, Failure, Reporter};

/// How long a guest gets to shut down before its power is taken away.
const SHUTDOWN_WITHIN: Duration = Duration::from_secs(60);

/// What QEMU says of a guest that does not go on by itself.
const STILL: [&str; 3] = ["paused", "io-error", "internal-error"];

/// What is done to a machine's power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerAction {
    /// Runs.
    Start,
    /// Shut down, and off in the end.
    Stop,
    /// Off once, and runs again.
    Restart,
}

impl PowerAction {
    /// As it stands in the ledger.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }
}

impl Machines {
    /// Does `action` to a machine that is there.
    pub async fn control(
        &self,
        request: &Request,
        operation: &OperationId,
        action: PowerAction,
        reporter: &Reporter,
    ) -> Result<Done, Failure> {
        let work = Work::begin(self, request, reporter).await?;
        let mut rounds = work.rounds();
        loop {
            match work.control(operation, action).await {
                Ok(found) => {
                    let did = match action {
                        PowerAction::Start => "runs",
                        PowerAction::Stop => "is stopped",
                        PowerAction::Restart => "was restarted and runs",
                    };
                    let place = format!("VM {} on {}", found.vmid, found.node);
                    return Ok(Done {
                        summary: format!("machine {} ({place}) {did}", work.identity),
                        warnings: work.warnings(),
                    });
                }
                Err(trouble) => work.rest(&mut rounds, trouble).await?,
            }
        }
    }
}

impl Work<'_> {
    async fn control(
        &self,
        operation: &OperationId,
        action: PowerAction,
    ) -> Result<Found, Trouble> {
        let (_, found) = self.seek().await?;
        if found.is_none() {
            let failure = Failure::new(
                FailureClass::Permanent,
                format!("there is no machine {}", self.identity),
            );
            return Err(Trouble::Final(
                failure.with_hint("`omni-scale apply` makes it, if it is declared"),
            ));
        }
        match action {
            PowerAction::Start => self.power_on().await,
            PowerAction::Stop => self.power_off().await,
            PowerAction::Restart => self.restart(operation).await,
        }
    }

    /// Starts the machine unless it runs.
    pub(super) async fn power_on(&self) -> Result<Found, Trouble> {
        let found = self.own().await?;
        if self.runs(&found).await? {
            return Ok(found);
        }
        self.stage(format!("starting VM {} on {}", found.vmid, found.node));
        let task = self.client.start(&found.node, found.vmid).await?;
        match self.wait(&task).await {
            Err(WaitError::Failed(failed)) if failed.complaint == Complaint::Running => {}
            ended => drop(ended?),
        }
        self.seen(true).await
    }

    /// Shuts the machine down unless it is stopped; takes its power away when it does not go by itself.
    pub(super) async fn power_off(&self) -> Result<Found, Trouble> {
        let found = self.own().await?;
        if !self.has_power(&found).await? {
            return Ok(found);
        }
        self.stage(format!("shutting down VM {} on {}", found.vmid, found.node));
        let task = self
            .client
            .shutdown(&found.node, found.vmid, SHUTDOWN_WITHIN, true)
            .await?;
        match self.wait(&task).await {
            Ok(_) => return self.seen(false).await,
            Err(WaitError::Failed(failed)) if failed.complaint == Complaint::NotRunning => {
                return self.seen(false).await;
            }
            // The guest was never asked, or it is not known: the next round does it.
            Err(WaitError::Failed(failed)) if !is_deaf(&failed.complaint) => {
                return Err(WaitError::Failed(failed).into());
            }
            // A guest that does not listen, and a node that says so instead of ending it.
            Err(WaitError::Failed(failed)) => self.warn(failed.exit_status.clone()),
            Err(error) => return Err(error.into()),
        }
        let found = self.own().await?;
        if self.has_power(&found).await? {
            self.stage(format!("stopping VM {} on {}", found.vmid, found.node));
            let task = self.client.stop(&found.node, found.vmid).await?;
            self.wait(&task).await?;
        }
        self.seen(false).await
    }

    async fn restart(&self, operation: &OperationId) -> Result<Found, Trouble> {
        let intended = self.record().and_then(|record| record.restart);
        let stopped = match intended {
            Some(restart) if restart.operation == *operation => restart.stopped,
            _ => {
                self.note_restart(operation, false).await?;
                false
            }
        };
        if !stopped {
            self.power_off().await?;
            self.note_restart(operation, true).await?;
        }
        self.power_on().await
    }

    async fn note_restart(&self, operation: &OperationId, stopped: bool) -> Result<(), Trouble> {
        let restart = Restart {
            operation: operation.clone(),
            stopped,
        };
        self.keep(|record| record.restart = Some(restart)).await
    }

    /// Whether its guest runs. One that stands still is trouble, though it has power.
    pub(super) async fn runs(&self, found: &Found) -> Result<bool, Trouble> {
        let status = self.client.status(&found.node, found.vmid).await?;
        match status.detail.as_deref() {
            Some(detail) if status.state == PowerState::Running && STILL.contains(&detail) => {
                Err(stands_still(found, detail, status.lock.as_deref()))
            }
            _ => powered(found, &status),
        }
    }

    /// Whether it has power, its guest going on or not.
    async fn has_power(&self, found: &Found) -> Result<bool, Trouble> {
        let status = self.client.status(&found.node, found.vmid).await?;
        powered(found, &status)
    }

    /// The machine, if it runs or not as it should by now.
    async fn seen(&self, running: bool) -> Result<Found, Trouble> {
        let found = self.own().await?;
        let so = if running {
            self.runs(&found).await?
        } else {
            !self.has_power(&found).await?
        };
        if so {
            return Ok(found);
        }
        let state = if running {
            "does not run"
        } else {
            "still runs"
        };
        Err(Trouble::passing(format!(
            "VM {} on {} {state}",
            found.vmid, found.node
        )))
    }
}

fn powered(found: &Found, status: &VmStatus) -> Result<bool, Trouble> {
    match status.state {
        PowerState::Running => Ok(true),
        PowerState::Stopped => Ok(false),
        PowerState::Unknown => Err(Trouble::passing(format!(
            "Proxmox does not say whether VM {} on {} runs",
            found.vmid, found.node
        ))),
    }
}

fn stands_still(found: &Found, detail: &str, lock: Option<&str>) -> Trouble {
    let Found { node, vmid, .. } = found;
    let message = format!("VM {vmid} on {node} has power and stands still: it is `{detail}`");
    if let Some(lock) = lock {
        // Whoever has it locked lets it go on: a backup, for one.
        return Trouble::passing(format!("{message}, locked for `{lock}`"));
    }
    let failure = Trouble::permanent(message).failure();
    Trouble::Final(failure.with_hint(format!(
        "`qm resume {vmid}` on node {node} lets it go on, once what stopped it is mended: a full storage, for one"
    )))
}

/// Whether a shutdown that failed so leaves no way but to take the power away.
fn is_deaf(complaint: &Complaint) -> bool {
    match complaint {
        Complaint::GuestAgentSilent => true,
        // It has moved, and was not asked there.
        Complaint::DoesNotExist => false,
        complaint => matches!(complaint.class(), Class::Permanent | Class::Refused),
    }
}
