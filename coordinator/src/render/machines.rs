//! The machines that a deployment wants, in the words of the contract, without what a plan
//! decides.

use omni_scale_proto::v1::{self, SecretEncoding};

use super::text::TextBuilder;
use super::{
    enrollment_secret, host_network_configuration, host_user_data, talos_network_configuration,
};
use crate::deployment::{
    Deployment, MachineGroup, MachineKind, NodeName, Proxmox, ProxmoxTrust, machine_names,
};
use crate::plan::{DesiredGroup, DesiredMachines, DesiredStack, Purpose};

/// All of them, and the cluster. `None`: the deployment has no cluster. The machine that becomes
/// the host of Omni is told to allow the images of `stack`.
pub(super) fn render(deployment: &Deployment, stack: &DesiredStack) -> Option<DesiredMachines> {
    let proxmox = deployment.proxmox.as_ref()?;
    Some(DesiredMachines {
        host: proxmox.host.clone(),
        hypervisor: hypervisor(proxmox),
        vmids: vmids(proxmox),
        nameservers: proxmox
            .nameservers
            .iter()
            .map(ToString::to_string)
            .collect(),
        groups: deployment
            .machines
            .iter()
            .filter_map(|(name, members)| group(deployment, stack, proxmox, name, members))
            .collect(),
    })
}

fn hypervisor(proxmox: &Proxmox) -> v1::Hypervisor {
    let (pins, roots) = match &proxmox.trust {
        ProxmoxTrust::Pins(pins) => (pins.iter().map(ToString::to_string).collect(), ""),
        ProxmoxTrust::Authorities(pem) => (Vec::new(), pem.as_str()),
    };
    v1::Hypervisor {
        url: proxmox.url.to_string(),
        token_id: proxmox.token_id.clone(),
        token_secret: proxmox.token_secret.to_string(),
        certificate_sha256: pins,
        roots_pem: roots.to_owned(),
    }
}

const fn vmids(proxmox: &Proxmox) -> v1::VmidRange {
    v1::VmidRange {
        first: *proxmox.vmids.start(),
        last: *proxmox.vmids.end(),
    }
}

/// A group. The deployment was checked: the name of a host's group is the name of a host.
fn group(
    deployment: &Deployment,
    stack: &DesiredStack,
    proxmox: &Proxmox,
    name: &NodeName,
    members: &MachineGroup,
) -> Option<DesiredGroup> {
    let mut machine = alike(proxmox, name, members);
    let purpose = match &members.kind {
        MachineKind::Host(host_machine) => {
            let host = name.as_str().parse().ok()?;
            machine.set_kind(v1::MachineKind::Host);
            machine.set_firmware(v1::Firmware::Seabios);
            machine.user_data = Some(host_user_data(deployment, stack, &host, host_machine));
            machine.network_configuration = host_network_configuration(proxmox, host_machine);
            machine.enrollment_secret = enrollment_secret(&host).to_string();
            Purpose::Host(host)
        }
        MachineKind::Talos {
            join,
            control_plane,
        } => {
            machine.set_kind(v1::MachineKind::Talos);
            machine.set_firmware(v1::Firmware::Ovmf);
            proxmox.storage.clone_into(&mut machine.firmware_storage);
            let document = TextBuilder::default().secret(join, SecretEncoding::Raw);
            machine.user_data = Some(document.build());
            machine.network_configuration = talos_network_configuration(proxmox);
            Purpose::Talos {
                apart: *control_plane,
            }
        }
    };
    Some(DesiredGroup {
        name: name.to_string(),
        purpose,
        nodes: members.nodes.clone(),
        machines: machine_names(name, members.count)
            .into_iter()
            .map(|name| v1::Machine {
                name,
                ..machine.clone()
            })
            .collect(),
    })
}

/// What all machines of a group have in common, whatever they become.
fn alike(proxmox: &Proxmox, name: &NodeName, members: &MachineGroup) -> v1::Machine {
    let kind = if members.image.iso {
        v1::MachineImageKind::Iso
    } else {
        v1::MachineImageKind::Disk
    };
    v1::Machine {
        vmid_range: Some(vmids(proxmox)),
        cores: members.cores,
        memory_mebibytes: members.memory_mebibytes,
        cpu: members.cpu.clone(),
        disks: members
            .disks
            .iter()
            .map(|disk| v1::Disk {
                storage: disk.storage.clone(),
                size_gibibytes: disk.size_gibibytes,
                solid_state: true,
            })
            .collect(),
        networks: members
            .networks
            .iter()
            .map(|network| v1::NetworkInterface {
                bridge: network.bridge.clone(),
                vlan: network.vlan.unwrap_or_default().into(),
                firewall: false,
            })
            .collect(),
        image: Some(v1::MachineImage {
            kind: kind.into(),
            url: members.image.url.to_string(),
            sha256: members.image.sha256.to_string(),
            storage: proxmox.image_storage.clone(),
        }),
        iso_storage: proxmox.image_storage.clone(),
        start_on_boot: true,
        group: name.to_string(),
        ..v1::Machine::default()
    }
}
