//! Deleting a machine of ours: stopped, gone, confirmed. Twice is as good as once, and nothing else is ever touched.

use omni_scale_proto::machine::MachineIdentity;
use omni_scale_proto::v1::FailureClass;
use omni_scale_proxmox::{Complaint, Vmid, WaitError};

use super::Machines;
use super::apply::attempt::{Fate, clearing, look};
use super::survey::{Found, Reading, Scope, Survey, incarnation_of};
use super::trouble::Trouble;
use super::work::{Request, Work};
use crate::operation::{Done, Failure, Reporter};

/// What the deletion of a machine was.
enum Deletion {
    /// It was there.
    Deleted(Vmid),
    /// It was not.
    NotThere,
}

/// Refuses a deletion unless a person typed the very name.
pub fn check_typed_name(machine: &MachineIdentity, typed: &str) -> Result<(), Failure> {
    if typed == machine.name().as_str() {
        return Ok(());
    }
    let message = format!("machine {machine} is not deleted: its name was not typed");
    Err(Failure::new(FailureClass::Refused, message)
        .with_hint(format!("type `{}`", machine.name())))
}

impl Machines {
    /// Stops and deletes the machine with its disks and its first-boot data.
    pub async fn delete(&self, request: &Request, reporter: &Reporter) -> Result<Done, Failure> {
        let Some(incarnation) = incarnation_of(request.deployment, &request.machine) else {
            let message = format!(
                "{} is no machine of deployment {}: it is not deleted",
                request.machine, request.deployment
            );
            return Err(Failure::new(FailureClass::Refused, message));
        };
        let work = Work::begin(self, request, reporter).await?;
        let mut rounds = work.rounds();
        loop {
            match work.delete(incarnation).await {
                Ok(deletion) => {
                    let summary = match deletion {
                        Deletion::Deleted(vmid) => {
                            format!("machine {}, VM {vmid}, is deleted", work.identity)
                        }
                        Deletion::NotThere => format!("there is no machine {}", work.identity),
                    };
                    return Ok(Done {
                        summary,
                        warnings: work.warnings(),
                    });
                }
                Err(trouble) => work.rest(&mut rounds, trouble).await?,
            }
        }
    }
}

impl Work<'_> {
    async fn delete(&self, incarnation: u32) -> Result<Deletion, Trouble> {
        let (survey, found) = self.seek().await?;
        let Some(found) = found.filter(|found| found.identity == self.identity) else {
            self.abandon_attempt(&survey).await?;
            self.tell_of_others(&survey);
            self.clean_up().await?;
            self.note_deleted(incarnation).await?;
            // An earlier round may have deleted it, and not have heard so.
            return Ok(self.pinned().map_or(Deletion::NotThere, Deletion::Deleted));
        };
        found
            .check_owned(self.deployment, &self.identity)
            .map_err(Trouble::Final)?;
        self.pin(&found)?;
        let vmid = found.vmid;
        self.power_off().await?;
        self.destroy().await?;
        self.confirm_gone(vmid).await?;
        self.clean_up().await?;
        self.note_deleted(incarnation).await?;
        Ok(Deletion::Deleted(vmid))
    }

    /// Deletes the VM with the disks that its configuration names: all that was made for it stands there.
    async fn destroy(&self) -> Result<(), Trouble> {
        let found = self.own().await?;
        let storages = storages(&found);
        let _passage = self
            .enter(&found.node, storages.iter().map(String::as_str))
            .await?;
        let found = self.own().await?;
        if found.config.protected() {
            let failure = Failure::new(
                FailureClass::Refused,
                format!("VM {} on {} is protected", found.vmid, found.node),
            );
            return Err(Trouble::Final(failure.with_hint(
                "take the protection away in its options, if it shall really go",
            )));
        }
        self.stage(format!("deleting VM {} on {}", found.vmid, found.node));
        let task = self.client.delete(&found.node, found.vmid).await?;
        match self.wait(&task).await {
            Err(WaitError::Failed(failed)) if failed.complaint == Complaint::DoesNotExist => Ok(()),
            ended => Ok(ended.map(drop)?),
        }
    }

    /// Nothing has its identity any more. A copy that has it is told of, and was not asked for.
    async fn confirm_gone(&self, vmid: Vmid) -> Result<(), Trouble> {
        let survey = self.survey(Scope::All).await?;
        let mut left = survey.all(&self.identity);
        if left.is_empty() {
            // Nor without its marker, nor where nothing could be read.
            let found = self.seek().await?.1;
            left.extend(found.filter(|found| found.identity == self.identity));
        }
        if let Some(found) = left.iter().find(|found| found.vmid == vmid) {
            let message = format!("VM {vmid} on {} was deleted, and is there", found.node);
            return Err(Trouble::passing(message));
        }
        left.iter().try_for_each(|copy| self.check_pinned(copy))
    }

    /// A creation that is under way makes something yet: it is waited for.
    async fn abandon_attempt(&self, survey: &Survey) -> Result<(), Trouble> {
        let Some(attempt) = self.record().and_then(|record| record.attempt) else {
            return Ok(());
        };
        if attempt.uuid != self.uuid() {
            return Ok(());
        }
        let node = survey
            .node_of(attempt.place.vmid)
            .unwrap_or(&attempt.place.node)
            .clone();
        match look(self, &node, &attempt).await? {
            Fate::Nothing | Fate::Theirs => Ok(()),
            Fate::Whole => Err(Trouble::passing("it has just been made")),
            Fate::Running(task) => {
                self.stage("waiting for its creation, which is under way");
                let _ = self.wait(&task).await;
                Err(Trouble::passing("its creation has just ended"))
            }
            Fate::Stub(place) => {
                self.warn(format!(
                    "a creation left VM {} on {} half-made: `{}` on that node clears it",
                    place.vmid,
                    place.node,
                    clearing(place.vmid)
                ));
                self.keep(move |record| record.add_stub(place)).await
            }
        }
    }

    /// Says whose VM has the VMID that was ours.
    fn tell_of_others(&self, survey: &Survey) {
        let places = self.record().into_iter().filter_map(|record| record.place);
        for place in places {
            if let Some((node, Reading::Config(config))) = survey.reading(place.vmid) {
                let uuid = config.uuid().unwrap_or_default();
                self.warn(format!(
                    "VM {} on {node} is another one by now, with UUID {uuid}: nothing was done to it",
                    place.vmid
                ));
            }
        }
    }

    /// The next machine of this name is another one.
    async fn note_deleted(&self, incarnation: u32) -> Result<(), Trouble> {
        self.keep(move |record| {
            if record.incarnation <= incarnation {
                record.incarnation = incarnation + 1;
                record.place = None;
                record.attempt = None;
                record.complete = false;
                record.applied = None;
                record.told = None;
                record.restart = None;
            }
        })
        .await
    }
}

/// Every storage that a VM has disks on.
fn storages(found: &Found) -> Vec<String> {
    let disks = found.config.disks().into_iter();
    disks
        .filter(|disk| !disk.cdrom)
        .filter_map(|disk| Some(disk.volume?.storage().to_owned()))
        .collect()
}
