//! Which machine is which.
//!
//! A VMID is recycled and a name is anybody's: acting on either has deleted other people's
//! machines (siderolabs/omni-infra-provider-proxmox#28, bpg/terraform-provider-proxmox#2925).
//! The SMBIOS UUID is ours to choose, survives migration, and is what Omni knows a machine by.

use std::fmt;

use uuid::Uuid;

use crate::id::{DeploymentId, InvalidId, MachineName};
use crate::v1;

/// Tag that every machine of omni-scale carries.
pub const MACHINE_TAG: &str = "omni-scale";

/// A machine's name, and the UUID that says which machine of this name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineIdentity {
    name: MachineName,
    uuid: Uuid,
}

impl MachineIdentity {
    /// Its name in the deployment.
    pub const fn name(&self) -> &MachineName {
        &self.name
    }

    /// The SMBIOS UUID.
    pub const fn uuid(&self) -> Uuid {
        self.uuid
    }

    pub(super) fn parse(name: &str, uuid: &str) -> Result<Self, InvalidId> {
        let name = name.parse()?;
        let parsed = Uuid::parse_str(uuid).ok();
        let parsed = parsed.filter(|parsed| !parsed.is_nil() && parsed.to_string() == uuid);
        let uuid = parsed.ok_or_else(|| InvalidId {
            text: uuid.chars().take(80).collect(),
            kind: "machine UUID",
            rule: "8-4-4-4-12 lower-case hex digits, not all of them 0",
        })?;
        Ok(Self { name, uuid })
    }
}

impl fmt::Display for MachineIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}` ({})", self.name, self.uuid)
    }
}

impl TryFrom<v1::MachineIdentity> for MachineIdentity {
    type Error = InvalidId;

    fn try_from(wire: v1::MachineIdentity) -> Result<Self, InvalidId> {
        Self::parse(&wire.name, &wire.uuid)
    }
}

impl From<MachineIdentity> for v1::MachineIdentity {
    fn from(identity: MachineIdentity) -> Self {
        Self {
            name: identity.name.into(),
            uuid: identity.uuid.to_string(),
        }
    }
}

/// The UUID of a machine: whoever computes it, from the same deployment, gets the same.
/// `incarnation` counts how often a machine of this name was deleted.
pub fn machine_uuid(deployment: DeploymentId, name: &str, incarnation: u32) -> Uuid {
    Uuid::new_v5(
        &deployment.uuid(),
        format!("omni-scale machine {name} {incarnation}").as_bytes(),
    )
}

/// The line in a machine's description by which a person, and the agent, sees whose it is.
pub fn marker(deployment: DeploymentId, identity: &MachineIdentity) -> String {
    format!(
        "omni-scale: machine {} of deployment {deployment}, {}",
        identity.name, identity.uuid
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::examples::deployment;

    #[test]
    fn the_uuid_is_the_same_for_everyone_and_another_for_each_incarnation() {
        let first = machine_uuid(deployment(), "cp-1", 0);
        assert_eq!(first, machine_uuid(deployment(), "cp-1", 0));
        assert_eq!(first.get_version_num(), 5);
        assert_ne!(first, machine_uuid(deployment(), "cp-1", 1));
        assert_ne!(first, machine_uuid(deployment(), "cp-2", 0));
        // Name and incarnation cannot run into each other.
        assert_ne!(
            machine_uuid(deployment(), "cp 1", 0),
            machine_uuid(deployment(), "cp", 10)
        );
    }

    #[test]
    fn names_and_uuids_have_one_form() {
        let uuid = machine_uuid(deployment(), "cp-1", 0).to_string();
        assert!(MachineIdentity::parse("cp-1", &uuid).is_ok());
        for name in [
            "",
            "Cp",
            "-cp",
            "cp-",
            "cp_1",
            "cp.example",
            &"a".repeat(64),
        ] {
            assert!(MachineIdentity::parse(name, &uuid).is_err(), "{name}");
        }
        for uuid in [
            "",
            "cp",
            &uuid.to_uppercase(),
            &uuid.replace('-', ""),
            "00000000-0000-0000-0000-000000000000",
        ] {
            assert!(MachineIdentity::parse("cp", uuid).is_err(), "{uuid}");
        }
    }
}
