//! The end of a first boot: the ISO ejected and deleted, the secrets in it used up. And until then, the one that the
//! machine enrols with, for the operator who does it.

use omni_scale_proto::id::SecretName;
use omni_scale_proto::machine::MachineIdentity;
use omni_scale_proto::v1::segment::Part;
use omni_scale_proto::v1::{self, FailureClass};
use omni_scale_proxmox::{
    Cdrom, Complaint, ContentKind, Error, NodeName, StorageId, VmChange, VolumeId, WaitError,
};

use super::Machines;
use super::record::Told;
use super::settings::{first_boot_file, first_boot_slot};
use super::survey::Found;
use super::trouble::Trouble;
use super::work::{Request, Work};
use crate::operation::{Done, Failure, Reporter};

impl Machines {
    /// Ejects and deletes the machine's own ISO, and uses its secrets up. Doing so twice is harmless.
    pub async fn finish_first_boot(
        &self,
        request: &Request,
        reporter: &Reporter,
    ) -> Result<Done, Failure> {
        let work = Work::begin(self, request, reporter).await?;
        let mut rounds = work.rounds();
        loop {
            match work.finish_first_boot().await {
                Ok(()) => {
                    return Ok(Done {
                        summary: format!("the first boot of machine {} is over", work.identity),
                        warnings: work.warnings(),
                    });
                }
                Err(trouble) => work.rest(&mut rounds, trouble).await?,
            }
        }
    }

    /// The secret with which a machine enrols, until its first boot is over.
    pub fn enrollment_secret(&self, machine: &MachineIdentity) -> Result<String, Failure> {
        let refused = |why: &str| {
            let message = format!("machine {machine} has no enrolment secret: {why}");
            Failure::new(FailureClass::Permanent, message)
        };
        let record = self
            .deployment()
            .and_then(|deployment| self.record(deployment, machine.name()))
            .ok_or_else(|| refused("this agent has not made it"))?;
        let applied = record
            .applied
            .filter(|applied| applied.uuid == machine.uuid().to_string())
            .ok_or_else(|| refused("it is not made yet, or another one by now"))?;
        let name: SecretName = applied
            .enrollment_secret
            .parse()
            .map_err(|_| refused("it does not enrol"))?;
        let value = self
            .inner
            .secrets
            .get(&name)
            .ok_or_else(|| refused("it was used, and is void"))?;
        String::from_utf8(value.expose().to_vec()).map_err(|_| refused("it is no text"))
    }

    /// Uses up what a machine needs no more. Blocks.
    fn use_up(&self, names: &[SecretName]) -> Result<(), Failure> {
        for name in names {
            self.inner.secrets.consume(name)?;
        }
        Ok(())
    }
}

impl Work<'_> {
    async fn finish_first_boot(&self) -> Result<(), Trouble> {
        let (_, found) = self.seek().await?;
        if found.is_none() {
            return Err(Trouble::permanent(format!(
                "there is no machine {}",
                self.identity
            )));
        }
        self.use_up_secrets().await?;
        let found = self.eject().await?;
        self.delete_first_boot(&found.node).await
    }

    /// What this very machine was told: the record may be of the next one of its name by now.
    pub(super) fn told(&self) -> Option<Told> {
        let record = self.record()?;
        // An earlier version wrote down no more than as what it was made, in the end.
        let made = record.applied.as_ref().map(Told::of);
        [record.told, made]
            .into_iter()
            .flatten()
            .find(|told| told.uuid == self.uuid())
    }

    /// Uses up the secrets that the machine was first booted with.
    pub(super) async fn use_up_secrets(&self) -> Result<(), Trouble> {
        let names = self.told().map(|told| told.secrets).unwrap_or_default();
        let machines = self.machines.clone();
        let used = super::aside::aside(move || machines.use_up(&names)).await;
        let used = used.unwrap_or_else(|error| Err(Failure::from_error(FailureClass::Bug, &error)));
        used.map_err(Trouble::Final)
    }

    /// Takes the ISO out of its drive. The empty drive stays: taking it away from a running VM may wait for its stop.
    async fn eject(&self) -> Result<Found, Trouble> {
        let found = self.own().await?;
        if self.first_boot_volume(&found).is_none() {
            return Ok(found);
        }
        self.stage("ejecting the first-boot data");
        let change = VmChange::of(found.digest()).drive(first_boot_slot(), &Cdrom::Empty);
        let task = self.client.change(&found.node, found.vmid, &change).await?;
        if let Some(task) = task {
            self.wait(&task).await?;
        }
        let found = self.own().await?;
        if self.first_boot_volume(&found).is_some() {
            return Err(Trouble::passing(
                "the first-boot data is still in its drive",
            ));
        }
        Ok(found)
    }

    /// The ISO of this very machine, if it is in its drive.
    fn first_boot_volume(&self, found: &Found) -> Option<VolumeId> {
        let file = format!("iso/{}", first_boot_file(&self.uuid()));
        let disks = found.config.disks();
        let drive = disks
            .into_iter()
            .find(|disk| disk.slot == first_boot_slot())?;
        drive.volume.filter(|volume| volume.path() == file)
    }

    /// Deletes the ISO wherever a storage of this node has it.
    pub(super) async fn delete_first_boot(&self, node: &NodeName) -> Result<(), Trouble> {
        for storage in self.iso_storages(node).await? {
            if let Some(volume) = self.first_boot_on(node, &storage).await? {
                self.delete_volume(node, &storage, &volume).await?;
            }
        }
        Ok(())
    }

    /// The storages of a node that may have ISOs.
    pub(super) async fn iso_storages(&self, node: &NodeName) -> Result<Vec<StorageId>, Trouble> {
        let storages = self.client.storages(node, Some(&ContentKind::Iso)).await?;
        let active = storages.into_iter().filter(|storage| storage.active);
        Ok(active.map(|storage| storage.storage).collect())
    }

    /// The ISO of this very machine, if this storage has it.
    pub(super) async fn first_boot_on(
        &self,
        node: &NodeName,
        storage: &StorageId,
    ) -> Result<Option<VolumeId>, Trouble> {
        let file = format!("iso/{}", first_boot_file(&self.uuid()));
        let kind = Some(&ContentKind::Iso);
        let content = self.client.content(node, storage, kind, None).await?;
        let mut volumes = content.into_iter().map(|content| content.volume);
        Ok(volumes.find(|volume| volume.path() == file))
    }

    /// Deletes a file of ours. One that is gone already is as good.
    pub(super) async fn delete_volume(
        &self,
        node: &NodeName,
        storage: &StorageId,
        volume: &VolumeId,
    ) -> Result<(), Trouble> {
        let _passage = self.enter(node, [storage.as_str()]).await?;
        self.stage(format!("deleting `{volume}`"));
        let deleted = match self.client.delete_content(node, volume).await {
            Ok(Some(task)) => self.wait(&task).await.map(drop),
            Ok(None) => Ok(()),
            Err(error) if is_gone(&error) => Ok(()),
            Err(error) => return Err(error.into()),
        };
        match deleted {
            Err(WaitError::Failed(failed)) if failed.complaint == Complaint::DoesNotExist => Ok(()),
            deleted => Ok(deleted?),
        }
    }
}

impl Told {
    /// What a machine that is made so is told.
    pub(super) fn of(machine: &v1::Machine) -> Self {
        Self {
            uuid: machine.uuid.clone(),
            secrets: one_time_secrets(machine),
            storage: machine.iso_storage.clone(),
        }
    }
}

/// What is good for one first boot: all that a host is told there. What a Talos machine is told serves the next one,
/// too.
fn one_time_secrets(machine: &v1::Machine) -> Vec<SecretName> {
    if machine.kind() != v1::MachineKind::Host {
        return Vec::new();
    }
    let told = machine.user_data.iter().flat_map(|text| &text.segments);
    let told = told.filter_map(|segment| match &segment.part {
        Some(Part::Secret(reference)) => Some(&reference.name),
        Some(Part::Literal(_)) | None => None,
    });
    told.chain([&machine.enrollment_secret])
        .filter_map(|name| name.parse().ok())
        .collect()
}

fn is_gone(error: &Error) -> bool {
    error.complaint() == Some(&Complaint::DoesNotExist)
}
