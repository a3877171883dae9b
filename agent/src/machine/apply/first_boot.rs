//! What a machine is told at its first boot: a NoCloud ISO of this host's own making, because only this host has the
//! secrets that stand in it.

use omni_scale_proto::enrollment::{EnrollmentSecret, SECRET_LENGTH};
use omni_scale_proto::id::{SecretName, Sha256};
use omni_scale_proto::machine::CheckedMachine;
use omni_scale_proto::v1::FailureClass;
use omni_scale_proxmox::{
    Checksum, ChecksumAlgorithm, ContentKind, NodeName, StorageId, Upload, UploadSource,
};
use rand::RngCore as _;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

use super::Making;
use crate::machine::record::Told;
use crate::machine::settings::{first_boot_file, first_boot_volume};
use crate::machine::trouble::Trouble;
use crate::machine::work::unspeakable;
use crate::nocloud::FirstBoot;
use crate::operation::Failure;
use crate::secrets::{SecretValue, Secrets};
use crate::stack::text;

/// An upload of a few hundred KiB; it passes through one node to another.
const UPLOAD_WITHIN: Duration = Duration::from_secs(60);

impl Making<'_> {
    /// Sees to it that the node has this machine's ISO, as it is to be now.
    pub(super) async fn bring_first_boot(&self, node: &NodeName) -> Result<(), Trouble> {
        let wire = self.wire();
        let uuid = self.work.uuid();
        let storage: StorageId = wire
            .iso_storage
            .parse()
            .map_err(|error| unspeakable(&error))?;
        let volume =
            first_boot_volume(&wire.iso_storage, &uuid).map_err(|error| unspeakable(&error))?;
        // Whoever deletes the machine must know of it, however the rest goes.
        let told = Told::of(wire);
        self.work
            .keep(move |record| record.told = Some(told))
            .await?;
        let mut bytes = self.first_boot().await?;
        let (sum, length) = (Sha256::of(&bytes), bytes.len() as u64);
        let _passage = self.work.enter(node, [wire.iso_storage.as_str()]).await?;
        self.work
            .stage(format!("uploading the first-boot data to {node}"));
        let upload = Upload {
            content: ContentKind::Iso,
            file_name: first_boot_file(&uuid),
            checksum: Checksum {
                algorithm: ChecksumAlgorithm::Sha256,
                hexadecimal: sum.to_string(),
            },
            source: UploadSource::Bytes(std::mem::take(&mut *bytes)),
        };
        let client = &self.work.client;
        let task = client.upload(node, &storage, upload, UPLOAD_WITHIN).await?;
        self.work.wait(&task).await?;
        let content = client
            .content(node, &storage, Some(&ContentKind::Iso), None)
            .await?;
        let arrived = content.iter().find(|file| file.volume == volume);
        match arrived.map(|file| file.size) {
            Some(size) if size.is_none_or(|size| size == length) => Ok(()),
            Some(_) => Err(Trouble::passing(format!(
                "`{volume}` on {node} is not the file that was uploaded"
            ))),
            None => Err(Trouble::passing(format!(
                "`{volume}` was uploaded to {node}, and is not there"
            ))),
        }
    }

    async fn first_boot(&self) -> Result<Zeroizing<Vec<u8>>, Trouble> {
        let machine = self.machine.clone();
        let secrets = self.work.machines.inner.secrets.clone();
        let made = crate::machine::aside::aside(move || make(&machine, &secrets)).await;
        let failed =
            made.unwrap_or_else(|error| Err(Failure::from_error(FailureClass::Bug, &error)));
        failed.map_err(Trouble::Final)
    }
}

/// The ISO's bytes. Makes the enrolment secret if there is none yet. Blocks.
fn make(checked: &CheckedMachine, secrets: &Arc<Secrets>) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let machine = checked.as_wire();
    if !machine.enrollment_secret.is_empty() {
        ensure_secret(&machine.enrollment_secret, secrets)?;
    }
    let user_data = machine.user_data.clone().unwrap_or_default();
    let user_data = text::expand(&user_data, secrets).map_err(|error| {
        let subject = format!(
            "cannot make the first-boot data of machine `{}`",
            machine.name
        );
        Failure::new(FailureClass::Permanent, format!("{subject}: {error}"))
            .with_hint("`omni-scale secret set HOST NAME` sets it")
    })?;
    let first_boot = FirstBoot {
        machine: checked.identity(),
        user_data: user_data.expose(),
        network_configuration: Some(machine.network_configuration.as_str())
            .filter(|configuration| !configuration.is_empty()),
    };
    first_boot
        .image()
        .map_err(|error| Failure::from_error(FailureClass::Permanent, &error))
}

/// Made here, and told to nobody but the machine and whoever enrols it.
fn ensure_secret(name: &str, secrets: &Arc<Secrets>) -> Result<(), Failure> {
    let name: SecretName = name
        .parse()
        .map_err(|error| Failure::from_error(FailureClass::Permanent, &error))?;
    if secrets.get(&name).is_some() {
        return Ok(());
    }
    let mut random = Zeroizing::new([0; SECRET_LENGTH]);
    rand::rngs::OsRng.fill_bytes(random.as_mut());
    let text = EnrollmentSecret::new(*random).reveal();
    let value = SecretValue::new(text.as_bytes().to_vec());
    secrets.put(&name, &value)?;
    Ok(())
}
