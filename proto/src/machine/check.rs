//! What makes a machine make sense, field by field.

use super::{MachineIdentity, VMIDS};
use crate::id::{SecretName, Sha256};
use crate::v1::{self, Firmware, MachineImageKind, MachineKind};

/// A machine that cannot be meant: where, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("machine field `{path}`: {reason}")]
pub struct InvalidMachine {
    /// The field, as `disks.0.storage`.
    pub path: String,
    /// Why it cannot be so.
    pub reason: String,
}

type Checked = Result<(), InvalidMachine>;

pub(super) fn machine(machine: &v1::Machine) -> Result<MachineIdentity, InvalidMachine> {
    let identity = MachineIdentity::parse(&machine.name, &machine.uuid)
        .map_err(|error| invalid("name", error.to_string()))?;
    require(
        machine.kind() != MachineKind::Unspecified,
        "kind",
        "is missing",
    )?;
    word("node", &machine.node)?;
    vmids(machine)?;
    within("cores", machine.cores, 1, 512)?;
    within("memory_mebibytes", machine.memory_mebibytes, 512, 1 << 24)?;
    word("cpu", &machine.cpu)?;
    require(
        machine.firmware() != Firmware::Unspecified,
        "firmware",
        "is missing",
    )?;
    disks(machine)?;
    networks(machine)?;
    image(machine)?;
    word("iso_storage", &machine.iso_storage)?;
    user_data(machine)?;
    for tag in &machine.tags {
        let valid = !tag.is_empty()
            && tag.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-+.".contains(&byte)
            })
            && !tag.starts_with(['-', '+', '.']);
        require(
            valid,
            "tags",
            "one is no tag of Proxmox: `[a-z0-9_][a-z0-9_+.-]*`",
        )?;
    }
    Ok(identity)
}

fn vmids(machine: &v1::Machine) -> Checked {
    let Some(range) = machine.vmid_range else {
        return Err(invalid("vmid_range", "is missing"));
    };
    require(
        VMIDS.contains(&range.first) && VMIDS.contains(&range.last) && range.first <= range.last,
        "vmid_range",
        "is empty, or leaves 100 to 999999999",
    )?;
    require(
        (range.first..=range.last).contains(&machine.vmid),
        "vmid",
        "is outside the range",
    )
}

fn disks(machine: &v1::Machine) -> Checked {
    require(
        (1..=14).contains(&machine.disks.len()),
        "disks",
        "there must be 1 to 14",
    )?;
    for (index, disk) in machine.disks.iter().enumerate() {
        word(&format!("disks.{index}.storage"), &disk.storage)?;
        let path = format!("disks.{index}.size_gibibytes");
        within(&path, disk.size_gibibytes, 1, 131_072)?;
    }
    if machine.firmware() == Firmware::Ovmf {
        word("firmware_storage", &machine.firmware_storage)?;
    }
    Ok(())
}

fn networks(machine: &v1::Machine) -> Checked {
    require(
        (1..=32).contains(&machine.networks.len()),
        "networks",
        "there must be 1 to 32",
    )?;
    for (index, network) in machine.networks.iter().enumerate() {
        word(&format!("networks.{index}.bridge"), &network.bridge)?;
        within(&format!("networks.{index}.vlan"), network.vlan, 0, 4094)?;
    }
    Ok(())
}

fn image(machine: &v1::Machine) -> Checked {
    let Some(image) = &machine.image else {
        return Err(invalid("image", "is missing"));
    };
    require(
        image.kind() != MachineImageKind::Unspecified,
        "image.kind",
        "is missing",
    )?;
    let sum: Result<Sha256, _> = image.sha256.parse();
    if let Err(error) = sum {
        return Err(invalid("image.sha256", error.to_string()));
    }
    let address = image.url.strip_prefix("https://");
    let address = address.or_else(|| image.url.strip_prefix("http://"));
    let sound = address.is_some_and(|rest| {
        !rest.is_empty()
            && !rest.contains([' ', '@', '"', '\\'])
            && !rest.contains(char::is_control)
    });
    require(
        sound,
        "image.url",
        "is no http:// or https:// address without a user",
    )?;
    word("image.storage", &image.storage)
}

fn user_data(machine: &v1::Machine) -> Checked {
    let Some(text) = &machine.user_data else {
        return Err(invalid("user_data", "is missing"));
    };
    for segment in &text.segments {
        match &segment.part {
            None => return Err(invalid("user_data", "holds an empty segment")),
            Some(v1::segment::Part::Literal(_)) => {}
            Some(v1::segment::Part::Secret(secret)) => secret_name("user_data", &secret.name)?,
        }
    }
    if machine.enrollment_secret.is_empty() {
        return Ok(());
    }
    require(
        machine.kind() == MachineKind::Host,
        "enrollment_secret",
        "only a host enrols",
    )?;
    secret_name("enrollment_secret", &machine.enrollment_secret)
}

fn secret_name(path: &str, name: &str) -> Checked {
    let parsed: Result<SecretName, _> = name.parse();
    parsed
        .map(drop)
        .map_err(|error| invalid(path, error.to_string()))
}

/// Whether a text can be a name of a node, storage, bridge or processor: such names stand in
/// property strings, and nothing in them may end a property.
pub fn is_hypervisor_word(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte))
}

fn word(path: &str, text: &str) -> Checked {
    require(
        is_hypervisor_word(text),
        path,
        "must be 1 to 100 letters, digits, `-`, `_`, `.` or `+`",
    )
}

fn within(path: &str, value: u32, least: u32, most: u32) -> Checked {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(invalid(
        path,
        format!("{value} is outside {least} to {most}"),
    ))
}

fn require(holds: bool, path: &str, reason: &str) -> Checked {
    if holds {
        Ok(())
    } else {
        Err(invalid(path, reason))
    }
}

fn invalid(path: &str, reason: impl Into<String>) -> InvalidMachine {
    InvalidMachine {
        path: path.to_owned(),
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use crate::machine::{CheckedMachine, examples};
    use crate::v1;

    /// The field that is named when a sound machine is changed so.
    fn refused(change: impl FnOnce(&mut v1::Machine)) -> String {
        let mut machine = examples::talos("cp-1");
        change(&mut machine);
        CheckedMachine::try_from(machine).unwrap_err().path
    }

    #[test]
    fn a_whole_machine_is_one() {
        let machine = CheckedMachine::try_from(examples::talos("cp-1")).unwrap();
        assert_eq!(machine.identity().name().as_str(), "cp-1");
        assert_eq!(machine.vmids(), 5000..=5099);
    }

    #[test]
    fn what_could_leave_its_property_is_refused() {
        let hostile = "local-lvm,import-from=/etc/shadow";
        assert_eq!(
            refused(|m| m.disks[0].storage = hostile.to_owned()),
            "disks.0.storage"
        );
        assert_eq!(
            refused(|m| m.networks[0].bridge = "vmbr0,tag=1".to_owned()),
            "networks.0.bridge"
        );
        assert_eq!(refused(|m| m.cpu = "host,flags=+aes".to_owned()), "cpu");
        assert_eq!(refused(|m| m.node = "pve1/qemu/100".to_owned()), "node");
        assert_eq!(refused(|m| m.iso_storage = String::new()), "iso_storage");
        assert_eq!(refused(|m| m.tags = vec!["a;b".to_owned()]), "tags");
    }

    #[test]
    fn each_bound_is_held() {
        assert_eq!(refused(|m| m.vmid = 4999), "vmid");
        assert_eq!(refused(|m| m.vmid_range = None), "vmid_range");
        let low = v1::VmidRange {
            first: 99,
            last: 5000,
        };
        assert_eq!(refused(|m| m.vmid_range = Some(low)), "vmid_range");
        assert_eq!(refused(|m| m.cores = 0), "cores");
        assert_eq!(refused(|m| m.memory_mebibytes = 511), "memory_mebibytes");
        assert_eq!(refused(|m| m.disks.clear()), "disks");
        assert_eq!(
            refused(|m| m.disks[0].size_gibibytes = 0),
            "disks.0.size_gibibytes"
        );
        assert_eq!(refused(|m| m.networks[0].vlan = 4095), "networks.0.vlan");
        assert_eq!(refused(|m| m.firmware_storage.clear()), "firmware_storage");
        assert_eq!(refused(|m| m.image = None), "image");
        assert_eq!(refused(|m| m.user_data = None), "user_data");
    }

    #[test]
    fn an_image_without_its_sum_or_with_a_password_is_refused() {
        let image = |change: fn(&mut v1::MachineImage)| {
            refused(move |machine| change(machine.image.as_mut().unwrap()))
        };
        assert_eq!(image(|image| image.sha256.clear()), "image.sha256");
        assert_eq!(
            image(|image| image.url = "file:///etc/shadow".to_owned()),
            "image.url"
        );
        assert_eq!(
            image(|image| image.url = "https://a:b@c/d".to_owned()),
            "image.url"
        );
    }

    #[test]
    fn only_hosts_enrol() {
        let enrols =
            |machine: &mut v1::Machine| "enrollment-idp".clone_into(&mut machine.enrollment_secret);
        assert_eq!(refused(enrols), "enrollment_secret");
    }
}
