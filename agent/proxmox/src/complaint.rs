//! What Proxmox means by what it says. Status 500 serves for nearly everything, so the text decides.
//!
//! The texts are those of PVE 8.4 and 9 (qemu-server, pve-guest-common, pve-storage, pve-cluster); the same ones
//! come as HTTP errors and as the exit status of tasks. What is not known is [`Complaint::Other`], and permanent:
//! only what is known to pass is worth another try.

use crate::Class;

/// A complaint that callers tell apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Complaint {
    /// A VMID, a file or a volume is taken: `VM 105 already exists on node 'pve1'`.
    AlreadyExists,
    /// The VM, its configuration or the volume is not there.
    DoesNotExist,
    /// The task is not known, or not yet: right after it was started.
    NoSuchTask,
    /// The VM's configuration carries a lock: `VM is locked (backup)`. It may be held for hours; `create` on a VM
    /// without a running task is a stub that only `qm unlock` on the host clears.
    Locked {
        /// What for: `backup`, `clone`, `create`, `migrate`, …
        by: String,
    },
    /// Another operation holds a file lock: `can't lock file '…' - got timeout`.
    LockTimeout,
    /// The cluster has no quorum, so nothing can be written.
    NoQuorum,
    /// The configuration is not the one whose digest was sent. Read it again before anything else.
    Modified,
    /// `got no worker upid - start worker failed`, `starting worker failed: …`, `unable to fork worker - …`. After a
    /// create the VM's stub is already written.
    NoWorker,
    /// The task's process died without a word: `unexpected status`.
    WorkerDied,
    /// The VM's protection flag is set.
    Protected,
    /// The VM runs, and must not for this: `VM 105 is running - destroy failed`, `VM 105 already running`.
    Running,
    /// The VM does not run, and must for this.
    NotRunning,
    /// Only `root@pam` may, not any token.
    RootOnly,
    /// A disk cannot become smaller.
    Shrinking,
    /// Other VMs are linked clones of it.
    LinkedClones,
    /// The storage is full.
    StorageFull,
    /// A download found another file of that name, and has no checksum to compare.
    RefusesToOverwrite,
    /// A file's checksum is not the one given.
    ChecksumDiffers,
    /// The VM's configuration has no guest agent.
    NoGuestAgent,
    /// The guest agent does not answer, or not yet.
    GuestAgentSilent,
    /// Anything else.
    Other,
}

impl Complaint {
    /// What `text` complains of.
    pub fn read(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        let has = |words: &str| text.contains(words);
        if let Some(by) = lock(&text) {
            return Self::Locked { by };
        }
        if has("no such task") {
            Self::NoSuchTask
        } else if has("no quorum") || has("not quorate") {
            Self::NoQuorum
        } else if has("no worker upid")
            || has("start worker failed")
            || has("starting worker failed")
            || has("unable to fork worker")
        {
            Self::NoWorker
        } else if has("unexpected status") {
            Self::WorkerDied
        // `missmatch` until PVE 8.
        } else if (has("checksum mis") && has("file change"))
            || has("detected modified configuration")
        {
            Self::Modified
        } else if has("checksum") && (has("mismatch") || has("differ") || has("wrong") || has("!="))
        {
            Self::ChecksumDiffers
        } else if has("can't lock")
            || has("unable to lock")
            || has("cfs-lock")
            || has("could not acquire lock")
        {
            Self::LockTimeout
        } else if has("refusing to override") {
            Self::RefusesToOverwrite
        } else if has("already exists") || has("file exists") {
            Self::AlreadyExists
        } else if has("no qemu guest agent configured") {
            Self::NoGuestAgent
        } else if has("guest agent is not running") || has("qga") || has("guest-ping") {
            Self::GuestAgentSilent
        } else if has("protection mode enabled") {
            Self::Protected
        } else if has("only root can") || has("only root may") || has("user != root@pam") {
            Self::RootOnly
        } else if has("shrinking disks is not supported") {
            Self::Shrinking
        } else if has("linked clone") {
            Self::LinkedClones
        } else if has("no space left")
            || has("not enough free space")
            || has("out of space")
            || has("insufficient free space")
        {
            Self::StorageFull
        } else if has("already running") || has("is running") {
            Self::Running
        } else if has("not running") {
            Self::NotRunning
        } else if has("does not exist") || has("doesn't exist") || has("no such") {
            Self::DoesNotExist
        } else {
            Self::Other
        }
    }

    /// What a caller may do about it.
    pub fn class(&self) -> Class {
        match self {
            Self::LockTimeout
            | Self::Locked { .. }
            | Self::NoQuorum
            | Self::Modified
            | Self::NoWorker
            | Self::GuestAgentSilent => Class::Transient,
            Self::WorkerDied => Class::Unknown,
            Self::RootOnly => Class::Refused,
            Self::AlreadyExists
            | Self::DoesNotExist
            | Self::NoSuchTask
            | Self::Protected
            | Self::Running
            | Self::NotRunning
            | Self::Shrinking
            | Self::LinkedClones
            | Self::StorageFull
            | Self::RefusesToOverwrite
            | Self::ChecksumDiffers
            | Self::NoGuestAgent
            | Self::Other => Class::Permanent,
        }
    }
}

/// `VM is locked (backup)` and `CT is locked (…)`.
fn lock(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("is locked (")?;
    rest.split_once(')').map(|(by, _)| by.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understood(class: Class, texts: &[(&str, Complaint)]) {
        for (text, complaint) in texts {
            assert_eq!(Complaint::read(text), *complaint, "{text}");
            assert_eq!(complaint.class(), class, "{text}");
        }
    }

    #[test]
    fn what_stays_wrong_is_permanent() {
        use Complaint::*;
        let texts = [
            (
                "unable to create VM 105 - VM 105 already exists on node 'pve2'",
                AlreadyExists,
            ),
            (
                "unable to create VM 105: config file already exists",
                AlreadyExists,
            ),
            (
                "Configuration file 'nodes/pve1/qemu-server/105.conf' does not exist",
                DoesNotExist,
            ),
            ("no such task", NoSuchTask),
            (
                "checksum mismatch: got 'ab' != expect 'cd'",
                ChecksumDiffers,
            ),
            ("can't remove VM 105 - protection mode enabled", Protected),
            ("VM 105 is running - destroy failed", Running),
            ("VM 105 already running", Running),
            ("VM 105 is not running", NotRunning),
            ("VM 105 not running", NotRunning),
            ("shrinking disks is not supported", Shrinking),
            (
                "base volume 'local:base-100-disk-0' is still in use by linked cloned",
                LinkedClones,
            ),
            (
                "refusing to override existing file 'x.iso'",
                RefusesToOverwrite,
            ),
            ("No QEMU guest agent configured", NoGuestAgent),
            ("write failed: No space left on device", StorageFull),
            (
                "lvcreate 'pve/vm-1' error: insufficient free space: 1 extents needed",
                StorageFull,
            ),
            ("you can't start a vm if it's a template", Other),
            ("", Other),
        ];
        understood(Class::Permanent, &texts);
    }

    #[test]
    fn what_passes_is_transient() {
        use Complaint::*;
        let locked = Locked {
            by: "backup".into(),
        };
        let texts = [
            ("VM is locked (backup)", locked),
            (
                "can't lock file '/var/lock/qemu-server/lock-105.conf' - got timeout",
                LockTimeout,
            ),
            ("cluster not ready - no quorum?", NoQuorum),
            ("checksum missmatch (file change by other user?)", Modified),
            ("checksum mismatch (file change by other user?)", Modified),
            (
                "detected modified configuration - file changed by other user? Try again.",
                Modified,
            ),
            ("got no worker upid - start worker failed", NoWorker),
            (
                "got invalid worker upid (UPID:) - start worker failed",
                NoWorker,
            ),
            (
                "starting worker failed: unable to create output file - No space left on device",
                NoWorker,
            ),
            ("unable to fork worker - Cannot allocate memory", NoWorker),
            ("QEMU guest agent is not running", GuestAgentSilent),
        ];
        understood(Class::Transient, &texts);
    }

    #[test]
    fn what_only_root_may_is_refused_and_a_dead_worker_leaves_doubt() {
        use Complaint::*;
        let texts = [
            ("only root can set 'lock' config", RootOnly),
            ("Only root may use this option.", RootOnly),
        ];
        understood(Class::Refused, &texts);
        understood(Class::Unknown, &[("unexpected status", WorkerDied)]);
    }
}
