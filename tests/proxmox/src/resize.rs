//! `PUT …/resize` (qemu-server `Qemu.pm` `resize_vm`): all of it in the task, shrinking refused there too.

use crate::access::Caller;
use crate::answer::{Handled, Success};
use crate::call::Call;
use crate::cluster::Cluster;
use crate::drive::Drive;
use crate::jobs::{Act, OnVm, Scratch, check_lock};
use crate::refusal::Refusal;
use crate::schema;
use crate::storage::split;

impl Cluster {
    pub(crate) fn resize_vm(&mut self, call: &Call) -> Handled {
        if call.flag("skiplock") && !call.caller.is_root() {
            return Err(Refusal::parameter(
                "skiplock",
                "Only root may use this option.",
            ));
        }
        let act = Act::Resize {
            disk: call.get("disk").unwrap_or_default().to_owned(),
            size: call.get("size").unwrap_or_default().to_owned(),
            digest: call
                .get("digest")
                .filter(|digest| !digest.is_empty())
                .map(str::to_owned),
            skip_lock: call.flag("skiplock"),
        };
        let job = OnVm::job(call.vmid(), act);
        self.spawn(
            &call.caller,
            call.node(),
            "resize",
            &call.vmid().to_string(),
            job,
        )
        .map(Success::new)
    }

    /// The work, under the configuration's lock. An absolute size that is there already changes nothing.
    pub(crate) fn resize(
        &mut self,
        scratch: &mut Scratch,
        vmid: u32,
        disk: &str,
        size: &str,
        digest: Option<&str>,
        skip_lock: bool,
    ) -> Result<(), String> {
        let node = scratch.node.clone();
        let vm = self.vm_on(&node, vmid)?;
        if digest.is_some_and(|digest| digest != vm.digest()) {
            return Err("checksum mismatch (file change by other user?)".to_owned());
        }
        check_lock(vm.lock(), skip_lock)?;
        let value = vm
            .config
            .get(disk)
            .ok_or_else(|| format!("disk '{disk}' does not exist"))?;
        let mut drive = Drive::parse(disk, value)?;
        if drive.is_cdrom() {
            return Err("you can't resize a cdrom".to_owned());
        }
        let (storage, _) =
            split(&drive.file).ok_or_else(|| format!("disk '{disk}' has no associated volume"))?;
        self.access
            .check(
                &Caller(scratch.user.clone()),
                &format!("/storage/{storage}"),
                &["Datastore.AllocateSpace"],
            )
            .map_err(|refusal| format!("403 {}", refusal.text()))?;
        let current = self
            .volume(&node, &drive.file)
            .map(|volume| volume.size)
            .ok_or_else(|| {
                format!(
                    "Could not determine current size of volume '{}'",
                    drive.file
                )
            })?;
        let wanted = match size.strip_prefix('+') {
            Some(more) => schema::parse_size(more).map(|more| more + current),
            None => schema::parse_size(size),
        };
        let wanted = wanted.ok_or("internal error")?;
        if wanted < current {
            return Err("shrinking disks is not supported".to_owned());
        }
        if wanted == current {
            return Ok(());
        }
        if self.available(&node, storage) < wanted - current {
            return Err(format!(
                "resize of '{}' failed: No space left on device",
                drive.file
            ));
        }
        if let Some(volume) = self.volume_mut(&node, &drive.file) {
            volume.size = wanted;
        }
        drive
            .options
            .insert("size".to_owned(), schema::print_size(wanted));
        if let Some(vm) = self.vms.get_mut(&vmid) {
            vm.config.insert(disk.to_owned(), drive.print());
        }
        Ok(())
    }
}
