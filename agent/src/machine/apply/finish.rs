//! From a VM that is there to one that runs: its disk grown to its size, its first-boot data in place, started.

use omni_scale_proto::v1::MachineImageKind;
use omni_scale_proxmox::{Complaint, DiskSize, WaitError};

use super::Making;
use super::image::is_there;
use crate::machine::record::Place;
use crate::machine::settings::{disk_slot, first_boot_slot, first_boot_volume};
use crate::machine::survey::Found;
use crate::machine::trouble::Trouble;
use crate::machine::work::unspeakable;
use omni_scale_proxmox::{ContentKind, StorageId};

impl Making<'_> {
    /// Brings a VM that is there to its end, and says what was done.
    pub(super) async fn finish(&mut self, found: Found) -> Result<(Found, &'static str), Trouble> {
        self.check_owned(&found)?;
        self.note_place(&found).await?;
        let runs = self.work.runs(&found).await?;
        let complete = self.work.record().is_some_and(|record| record.complete);
        if !complete {
            // A disk grows under a VM that runs, too; whether that still needs its ISO cannot be told.
            self.grow().await?;
        }
        if !complete && !runs {
            self.mend_first_boot().await?;
        }
        if !runs {
            self.start().await?;
        }
        let found = self.work.own().await?;
        if !self.work.runs(&found).await? {
            return Err(Trouble::passing(format!(
                "VM {} on {} was started, and does not run",
                found.vmid, found.node
            )));
        }
        self.note_complete(&found).await?;
        let did = match (self.created, runs) {
            (true, _) => "was made and runs",
            (false, false) => "was started and runs",
            (false, true) => "runs",
        };
        Ok((found, did))
    }

    fn check_owned(&self, found: &Found) -> Result<(), Trouble> {
        found
            .check_owned(self.work.deployment, &self.work.identity)
            .map_err(Trouble::Final)
    }

    async fn note_place(&self, found: &Found) -> Result<(), Trouble> {
        let incarnation = self.wire().incarnation;
        let place = Place {
            node: found.node.clone(),
            vmid: found.vmid,
        };
        self.work
            .keep(move |record| {
                record.incarnation = incarnation;
                record.place = Some(place);
                record.attempt = None;
            })
            .await
    }

    async fn note_complete(&self, found: &Found) -> Result<(), Trouble> {
        self.note_place(found).await?;
        let machine = self.wire().clone();
        self.work
            .keep(move |record| {
                if !record.complete {
                    record.applied = Some(machine);
                    record.complete = true;
                }
            })
            .await
    }

    /// An imported disk has its image's size until it is told another one. To a size, not by one: it can be asked
    /// twice.
    async fn grow(&self) -> Result<(), Trouble> {
        if self.machine.image().kind() != MachineImageKind::Disk {
            return Ok(());
        }
        let (Some(slot), Some(disk)) = (disk_slot(0), self.wire().disks.first()) else {
            return Ok(());
        };
        let wanted = DiskSize::gibibytes(disk.size_gibibytes);
        let found = self.work.own().await?;
        let disks = found.config.disks();
        let size = disks
            .iter()
            .find(|disk| disk.slot == slot)
            .and_then(|disk| disk.size);
        if size.is_some_and(|size| size >= wanted) {
            return Ok(());
        }
        let _passage = self
            .work
            .enter(&found.node, [disk.storage.as_str()])
            .await?;
        let found = self.work.own().await?;
        self.work.stage(format!("growing {slot} to {wanted}"));
        let task = self
            .work
            .client
            .resize(&found.node, found.vmid, slot, wanted, Some(found.digest()))
            .await?;
        if let Some(task) = task {
            self.work.wait(&task).await?;
        }
        Ok(())
    }

    /// A VM that refers to its ISO does not start without it.
    async fn mend_first_boot(&self) -> Result<(), Trouble> {
        let found = self.work.own().await?;
        let wire = self.wire();
        let uuid = self.work.uuid();
        let volume =
            first_boot_volume(&wire.iso_storage, &uuid).map_err(|error| unspeakable(&error))?;
        let disks = found.config.disks();
        let refers = disks
            .iter()
            .any(|disk| disk.slot == first_boot_slot() && disk.volume.as_ref() == Some(&volume));
        let storage: StorageId = wire
            .iso_storage
            .parse()
            .map_err(|error| unspeakable(&error))?;
        let kind = ContentKind::Iso;
        if !refers || is_there(&self.work, &found.node, &storage, &kind, &volume).await? {
            return Ok(());
        }
        self.bring_first_boot(&found.node).await
    }

    async fn start(&self) -> Result<(), Trouble> {
        let found = self.work.own().await?;
        self.work
            .stage(format!("starting VM {} on {}", found.vmid, found.node));
        let task = self.work.client.start(&found.node, found.vmid).await?;
        match self.work.wait(&task).await {
            Err(WaitError::Failed(failed)) if failed.complaint == Complaint::Running => Ok(()),
            ended => Ok(ended.map(drop)?),
        }
    }
}
