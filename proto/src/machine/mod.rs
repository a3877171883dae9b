//! A machine that makes sense, what makes it ours, and what must be done to get there.
//!
//! Where it is placed is the plan's choice; what Proxmox is told is the agent's.

mod check;
mod difference;
mod identity;

pub use check::{InvalidMachine, is_hypervisor_word};
pub use difference::{MachineAction, MachineChange, machine_difference};
pub use identity::{MACHINE_TAG, MachineIdentity, machine_uuid, marker};

use prost::Message as _;

use crate::id::Sha256;
use crate::v1;

/// VMIDs that Proxmox VE accepts.
///
/// Source: qemu-server's schema of `vmid`.
pub const VMIDS: std::ops::RangeInclusive<u32> = 100..=999_999_999;

/// A [`v1::Machine`] that was checked: it can be created as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedMachine {
    identity: MachineIdentity,
    wire: v1::Machine,
}

impl CheckedMachine {
    /// Which machine it is.
    pub const fn identity(&self) -> &MachineIdentity {
        &self.identity
    }

    /// The machine as it travels.
    pub const fn as_wire(&self) -> &v1::Machine {
        &self.wire
    }

    /// The VMIDs it may get, both ends included.
    pub fn vmids(&self) -> std::ops::RangeInclusive<u32> {
        let range = self.wire.vmid_range.unwrap_or_default();
        range.first..=range.last
    }

    /// The image it is made from.
    pub fn image(&self) -> &v1::MachineImage {
        self.wire
            .image
            .as_ref()
            .expect("a checked machine has an image")
    }
}

impl TryFrom<v1::Machine> for CheckedMachine {
    type Error = InvalidMachine;

    fn try_from(wire: v1::Machine) -> Result<Self, InvalidMachine> {
        let identity = check::machine(&wire)?;
        Ok(Self { identity, wire })
    }
}

/// The digest of a machine: over every field but where it was placed and which VMID was tried,
/// which do not make it another machine. Secrets count by name.
pub fn machine_digest(machine: &v1::Machine) -> Sha256 {
    let placed = v1::Machine {
        node: String::new(),
        vmid: 0,
        vmid_range: None,
        ..machine.clone()
    };
    Sha256::of(&placed.encode_to_vec())
}

#[cfg(test)]
pub(crate) mod examples {
    //! A machine for tests.

    use super::machine_uuid;
    use crate::id::DeploymentId;
    use crate::v1;

    /// A Talos machine.
    pub(crate) fn talos(name: &str) -> v1::Machine {
        v1::Machine {
            name: name.to_owned(),
            uuid: machine_uuid(deployment(), name, 0).to_string(),
            kind: v1::MachineKind::Talos.into(),
            node: "pve1".to_owned(),
            vmid: 5000,
            vmid_range: Some(v1::VmidRange {
                first: 5000,
                last: 5099,
            }),
            cores: 4,
            memory_mebibytes: 8192,
            cpu: "x86-64-v2-AES".to_owned(),
            firmware: v1::Firmware::Ovmf.into(),
            disks: vec![v1::Disk {
                storage: "local-lvm".to_owned(),
                size_gibibytes: 32,
                solid_state: true,
            }],
            networks: vec![v1::NetworkInterface {
                bridge: "vmbr0".to_owned(),
                ..v1::NetworkInterface::default()
            }],
            image: Some(v1::MachineImage {
                kind: v1::MachineImageKind::Iso.into(),
                url: "https://factory.talos.dev/image/metal-amd64.iso".to_owned(),
                sha256: "a".repeat(64),
                storage: "local".to_owned(),
            }),
            firmware_storage: "local-lvm".to_owned(),
            iso_storage: "local".to_owned(),
            user_data: Some(crate::stack::examples::secret("omni-join")),
            group: "control-plane".to_owned(),
            ..v1::Machine::default()
        }
    }

    /// The deployment of the examples.
    pub(crate) fn deployment() -> DeploymentId {
        "6a1f4d3e-5c0b-4a9e-8f27-0c9e5d2b7a11"
            .parse()
            .expect("a UUID")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_machine_is_placed_does_not_make_it_another() {
        let machine = examples::talos("cp-1");
        let moved = v1::Machine {
            node: "pve2".to_owned(),
            vmid: 5007,
            ..machine.clone()
        };
        let larger = v1::Machine {
            memory_mebibytes: 16384,
            ..machine.clone()
        };
        assert_eq!(machine_digest(&machine), machine_digest(&moved));
        assert_ne!(machine_digest(&machine), machine_digest(&larger));
    }
}
