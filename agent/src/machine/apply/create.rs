//! The creation itself: written down, asked for, waited for.
//!
//! The request takes the VMID or fails: that is the only reservation there is, so the range is tried in order.

use omni_scale_proto::machine::machine_digest;
use omni_scale_proxmox::{Complaint, Error, NodeName, VmSettings, Vmid, WaitError};

use super::Making;
use crate::clock;
use crate::machine::record::{Attempt, Place};
use crate::machine::settings::{first_boot_file, settings};
use crate::machine::survey::Survey;
use crate::machine::trouble::Trouble;
use crate::machine::work::unspeakable;

impl Making<'_> {
    /// Creates the machine. When this returns, there is something to look at.
    pub(super) async fn create(&mut self, survey: &Survey) -> Result<(), Trouble> {
        let node: NodeName = self
            .wire()
            .node
            .parse()
            .map_err(|error| unspeakable(&error))?;
        let vmid = self.vmid(survey)?;
        let settings = settings(self.machine, self.work.deployment, vmid);
        let settings = settings.map_err(|error| unspeakable(&error))?;
        self.bring_image(&node).await?;
        let begun = self
            .work
            .record()
            .is_some_and(|record| record.attempt.is_some());
        let made = self.make(&node, vmid, &settings).await;
        if let Err(Trouble::Final(_)) = &made {
            // What was sent before may be making it yet.
            let doubt = begun && self.doubt;
            self.withdraw_first_boot(&node, doubt).await;
        }
        made
    }

    /// Asks for it, once its first-boot data is there.
    async fn make(
        &mut self,
        node: &NodeName,
        vmid: Vmid,
        settings: &VmSettings,
    ) -> Result<(), Trouble> {
        self.bring_first_boot(node).await?;
        let place = Place {
            node: node.clone(),
            vmid,
        };
        let passage = self.work.enter(node, self.storages()).await?;
        self.intend(place).await?;
        self.work.stage(format!("creating VM {vmid} on {node}"));
        let task = match self.work.client.create(node, settings).await {
            Ok(task) => task,
            Err(error) => return self.not_created(vmid, error).await,
        };
        let name = task.to_string();
        self.work
            .keep(move |record| {
                if let Some(attempt) = &mut record.attempt {
                    attempt.task = Some(name);
                }
            })
            .await?;
        let ended = self.work.wait(&task).await;
        drop(passage);
        match ended {
            Ok(_) => {
                self.created = true;
                Ok(())
            }
            Err(WaitError::Failed(failed)) if failed.complaint == Complaint::AlreadyExists => {
                self.avoid(vmid).await
            }
            Err(error) => self.failed(error.into()).await,
        }
    }

    /// The first of the range that nobody is seen to have, the wanted one before all others.
    fn vmid(&self, survey: &Survey) -> Result<Vmid, Trouble> {
        let record = self.work.record();
        let begun = record.and_then(|record| Some(record.attempt?.place.vmid.get()));
        let wanted = [begun, Some(self.wire().vmid)].into_iter().flatten();
        let range = self.machine.vmids();
        let mut candidates = wanted
            .filter(|vmid| range.contains(vmid))
            .chain(range.clone());
        let free = candidates.find_map(|number| {
            let vmid = Vmid::new(number.into()).ok()?;
            let taken = self.avoided.contains(&vmid) || survey.node_of(vmid).is_some();
            (!taken).then_some(vmid)
        });
        free.ok_or_else(|| {
            let (first, last) = (range.start(), range.end());
            let failure = Trouble::permanent(format!(
                "no VMID is free for machine {}: all of {first} to {last} are taken",
                self.work.identity
            ))
            .failure();
            Trouble::Final(failure.with_hint("declare a wider range, or delete what is not needed"))
        })
    }

    /// Writes down what is about to be done.
    async fn intend(&mut self, place: Place) -> Result<(), Trouble> {
        let attempt = Attempt {
            uuid: self.work.uuid(),
            place,
            digest: machine_digest(self.wire()).to_string(),
            since_unix_seconds: u64::try_from(clock::now_milliseconds() / 1000).unwrap_or(0),
            task: None,
            not_begun: false,
        };
        let known = self.work.record().and_then(|record| record.attempt);
        // The same intent again: what was sent for it before may still have come about.
        let again = known.is_some_and(|known| known.place == attempt.place);
        self.doubt &= again;
        let incarnation = self.wire().incarnation;
        self.work
            .keep(move |record| {
                record.incarnation = incarnation;
                record.attempt = Some(attempt);
                // What there was before is gone: this one has its end still before it.
                record.place = None;
                record.complete = false;
                record.applied = None;
            })
            .await
    }

    /// The request brought no task: whether there is something to look at nevertheless.
    async fn not_created(&mut self, vmid: Vmid, error: Error) -> Result<(), Trouble> {
        match error.complaint() {
            // What was sent before may have made it: looked at once, and if it cannot be seen then, it is not ours.
            Some(Complaint::AlreadyExists) if self.doubt => {
                self.doubt = false;
                Ok(())
            }
            Some(Complaint::AlreadyExists) => self.avoid(vmid).await,
            Some(Complaint::NoWorker) => {
                self.work
                    .keep(|record| {
                        if let Some(attempt) = &mut record.attempt {
                            attempt.not_begun = true;
                        }
                    })
                    .await
            }
            _ => {
                let trouble = Trouble::from(error);
                if matches!(trouble, Trouble::Passing(_)) {
                    self.doubt = true;
                } else {
                    self.work.keep(|record| record.attempt = None).await?;
                }
                Err(trouble)
            }
        }
    }

    /// Somebody else has it.
    async fn avoid(&mut self, vmid: Vmid) -> Result<(), Trouble> {
        self.avoided.insert(vmid);
        self.work.keep(|record| record.attempt = None).await
    }

    /// The task failed: what it left is looked at before anything is said of it.
    async fn failed(&mut self, trouble: Trouble) -> Result<(), Trouble> {
        if let Trouble::Final(failure) = trouble {
            let (survey, found) = self.work.seek().await?;
            if found.is_none() {
                self.settle(&survey).await?;
                self.work.keep(|record| record.attempt = None).await?;
            }
            return Err(Trouble::Final(failure));
        }
        Err(trouble)
    }

    /// It is not made, for good: what it would have been told does not stay on the node. Otherwise that is told.
    async fn withdraw_first_boot(&self, node: &NodeName, doubt: bool) {
        let why = match self.work.seek().await {
            // It needs it.
            Ok((_, Some(_))) => return,
            Ok((_, None)) if !doubt => match self.work.withdraw_first_boot(node).await {
                Ok(()) => return,
                Err(why) => why,
            },
            Ok((_, None)) => "a creation may be under way yet".to_owned(),
            Err(trouble) => trouble.failure().message,
        };
        let file = first_boot_file(&self.work.uuid());
        let storage = &self.wire().iso_storage;
        self.work.warn(format!(
            "the first-boot data may lie on node {node}, secrets among it ({why}): another `apply` uses it, and \
             `pvesm free {storage}:iso/{file}` deletes it"
        ));
    }

    /// Every storage that a creation takes space from.
    fn storages(&self) -> impl Iterator<Item = &str> {
        let wire = self.wire();
        let firmware = Some(wire.firmware_storage.as_str()).filter(|storage| !storage.is_empty());
        let disks = wire.disks.iter().map(|disk| disk.storage.as_str());
        disks.chain(firmware)
    }
}
