//! `machines:` groups of machines, made before or after everything else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use omni_scale_proto::id::{HostName, SecretName};

use super::hosts::Hosts;
use super::model::{MachineDisk, MachineGroup, MachineImage, MachineKind, MachineNetwork, Proxmox};
use super::shared::{Context, read_list};
use super::values::{HypervisorWord, NodeName, Size};
use super::{Files, host_machine, secret};
use crate::document::{Entry, Fields, Node, Report};

/// What every Proxmox VE node of the last ten years can give, and what can migrate between them.
/// The hypervisor's own default, kvm64, boots no Talos (siderolabs/talos#7202).
const DEFAULT_CPU: &str = "x86-64-v2-AES";

/// Reads all groups. `proxmox` is where they are made.
pub(super) fn read(
    files: &dyn Files,
    context: &Context<'_>,
    report: &Report,
    node: &Node,
    hosts: &Hosts<'_>,
    proxmox: &Proxmox,
) -> Option<BTreeMap<NodeName, MachineGroup>> {
    let mut groups = BTreeMap::new();
    for entry in report.entries(node)? {
        let Some(name) = parsed_key::<NodeName>(report, entry) else {
            continue;
        };
        let Some(fields) = Fields::of(&entry.value, "machines.NAME", report) else {
            continue;
        };
        if let Some(group) = read_group(files, context, fields, &name, hosts, proxmox) {
            groups.insert(name, group);
        }
    }
    check_names(report, node, &groups);
    check_auth_keys(report, node, &groups);
    Some(groups)
}

fn parsed_key<T>(report: &Report, entry: &Entry) -> Option<T>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    match entry.key.parse() {
        Ok(key) => Some(key),
        Err(error) => {
            report.add(&entry.location, error.to_string());
            None
        }
    }
}

fn read_group(
    files: &dyn Files,
    context: &Context<'_>,
    fields: Fields<'_>,
    name: &NodeName,
    hosts: &Hosts<'_>,
    proxmox: &Proxmox,
) -> Option<MachineGroup> {
    let kind = read_kind(files, context, &fields, name, hosts, proxmox);
    let count = fields.number("count", 1..=100, Some(1));
    if let (Some(MachineKind::Host(_)), Some(2..), Some(entry)) =
        (&kind, count, fields.entry("count"))
    {
        fields.report().add(
            &entry.value.location,
            "a host is one machine: each host is a group of its own",
        );
    }
    let cores = fields.number("cores", 1..=512, None);
    let memory: Option<Size> = fields.required_parsed("memory");
    let cpu = match fields.optional("cpu") {
        Some(node) => fields
            .report()
            .parsed::<HypervisorWord>(node)
            .map(String::from),
        None => Some(DEFAULT_CPU.to_owned()),
    };
    let disks = read_disks(&fields, proxmox);
    let networks = read_networks(&fields, proxmox);
    check_address(&fields, kind.as_ref(), networks.as_deref());
    let image = fields
        .required_fields("image")
        .and_then(|image| read_image(image, kind.as_ref()));
    let nodes: Option<BTreeSet<String>> = fields.optional("nodes").map_or_else(
        || Some(BTreeSet::new()),
        |node| {
            let items = fields.report().items(node)?;
            items
                .iter()
                .map(|item| {
                    fields
                        .report()
                        .parsed::<HypervisorWord>(item)
                        .map(String::from)
                })
                .collect()
        },
    );
    let memory_mebibytes = memory.map(Size::mebibytes);
    if let (Some(..512), Some(entry)) = (memory_mebibytes, fields.entry("memory")) {
        fields
            .report()
            .add(&entry.value.location, "a machine needs 512MiB at least");
    }
    fields.finish();
    Some(MachineGroup {
        count: count?,
        kind: kind?,
        cores: cores?,
        memory_mebibytes: memory_mebibytes?,
        cpu: cpu?,
        disks: disks?,
        networks: networks?,
        image: image?,
        nodes: nodes?,
    })
}

fn read_kind(
    files: &dyn Files,
    context: &Context<'_>,
    fields: &Fields<'_>,
    name: &NodeName,
    hosts: &Hosts<'_>,
    proxmox: &Proxmox,
) -> Option<MachineKind> {
    match (fields.entry("host"), fields.entry("talos")) {
        (Some(entry), None) => {
            let known: Option<HostName> = name.as_str().parse().ok();
            host_machine::check_name(fields, name, &entry.location, proxmox);
            if !known.is_some_and(|name| hosts.declares(&name)) {
                fields.report().add_with_hint(
                    &entry.location,
                    format!("the machine `{name}` is a host that nobody declares"),
                    format!("declare it: `hosts.{name}.roles`"),
                );
            }
            let host = fields.required_fields("host")?;
            host_machine::read(files, context, host).map(MachineKind::Host)
        }
        (None, Some(_)) => {
            let talos = fields.required_fields("talos")?;
            let join = secret::required(&talos, "join");
            let control_plane = talos.boolean("control_plane", false);
            talos.finish();
            Some(MachineKind::Talos {
                join: join?,
                control_plane: control_plane?,
            })
        }
        (Some(_), Some(second)) => {
            fields
                .report()
                .add(&second.location, "a machine is either `host` or `talos`");
            None
        }
        (None, None) => {
            fields.report().add_with_hint(
                fields.location(),
                format!("machine `{name}` does not say what it is"),
                "give it `host:` (Debian or Ubuntu with cloud-init) or `talos:`",
            );
            None
        }
    }
}

fn read_disks(fields: &Fields<'_>, proxmox: &Proxmox) -> Option<Vec<MachineDisk>> {
    let disks = read_list(fields, "disks", |disk| {
        let size: Option<Size> = disk.required_parsed("size");
        let gibibytes = size.and_then(Size::gibibytes);
        if let (Some(_), None, Some(entry)) = (size, gibibytes, disk.entry("size")) {
            disk.report().add(
                &entry.value.location,
                "the size of a disk is whole gibibytes, as `32GiB`",
            );
        }
        let storage = or_word(&disk, "storage", &proxmox.storage);
        disk.finish();
        Some(MachineDisk {
            size_gibibytes: gibibytes?,
            storage: storage?,
        })
    })?;
    if disks.is_empty() {
        fields.report().add_with_hint(
            fields.location(),
            format!("`{}` has no disk", fields.path_of("disks")),
            "for example `disks: [{ size: 32GiB }]`",
        );
    }
    Some(disks)
}

fn read_networks(fields: &Fields<'_>, proxmox: &Proxmox) -> Option<Vec<MachineNetwork>> {
    let networks = read_list(fields, "networks", |network| {
        let bridge = or_word(&network, "bridge", &proxmox.bridge);
        let vlan = match network.entry("vlan") {
            None => Some(None),
            Some(_) => network
                .number("vlan", 1..=4094, None)
                .and_then(|vlan| u16::try_from(vlan).ok())
                .map(Some),
        };
        network.finish();
        Some(MachineNetwork {
            bridge: bridge?,
            vlan: vlan?,
        })
    })?;
    if networks.is_empty() {
        return Some(vec![MachineNetwork {
            bridge: proxmox.bridge.clone(),
            vlan: None,
        }]);
    }
    Some(networks)
}

/// An address that is given is that of the one interface.
fn check_address(
    fields: &Fields<'_>,
    kind: Option<&MachineKind>,
    networks: Option<&[MachineNetwork]>,
) {
    let (Some(MachineKind::Host(host)), Some([_, _, ..])) = (kind, networks) else {
        return;
    };
    if let (Some(_), Some(entry)) = (&host.address, fields.entry("networks")) {
        fields.report().add(
            &entry.value.location,
            "a host whose `address` is given has one interface; with several it asks DHCP",
        );
    }
}

/// What Proxmox VE imports no disk from, and does not unpack when it fetches one: by how a file's name ends.
const PACKED: [&str; 6] = ["xz", "gz", "zst", "bz2", "zip", "tar"];

fn read_image(fields: Fields<'_>, kind: Option<&MachineKind>) -> Option<MachineImage> {
    let url = fields.required_parsed::<super::HttpUrl>("url");
    let sha256 = fields.required_parsed("sha256");
    let end = url
        .as_ref()
        .and_then(|url| Path::new(url.as_str()).extension()?.to_str());
    let iso = end == Some("iso");
    let packed =
        end.is_some_and(|end| PACKED.iter().any(|packed| end.eq_ignore_ascii_case(packed)));
    if let (true, Some(entry)) = (packed, fields.entry("url")) {
        fields.report().add_with_hint(
            &entry.value.location,
            "Proxmox VE makes no machine from a packed image",
            "name the `.qcow2`, `.raw` or `.iso` itself, with its own sum; what comes packed only is unpacked onto a \
             server that the nodes reach",
        );
    }
    if let (true, Some(MachineKind::Host(_)), Some(entry)) = (iso, kind, fields.entry("url")) {
        fields.report().add_with_hint(
            &entry.value.location,
            "an installer ISO asks questions; a host is made from a cloud image",
            "for example Debian's `debian-12-genericcloud-amd64.qcow2`",
        );
    }
    fields.finish();
    Some(MachineImage {
        url: url?,
        sha256: sha256?,
        iso,
    })
}

fn or_word(fields: &Fields<'_>, key: &'static str, default: &str) -> Option<String> {
    match fields.optional(key) {
        None => Some(default.to_owned()),
        Some(node) => fields
            .report()
            .parsed::<HypervisorWord>(node)
            .map(String::from),
    }
}

/// Names of single machines: that of the group, with a number when there are several.
pub fn machine_names(group: &NodeName, count: u32) -> Vec<String> {
    if count == 1 {
        return vec![group.to_string()];
    }
    (1..=count)
        .map(|number| format!("{group}-{number}"))
        .collect()
}

/// `worker-1` of two groups would be one machine.
fn check_names(report: &Report, node: &Node, groups: &BTreeMap<NodeName, MachineGroup>) {
    let mut owners: BTreeMap<String, &NodeName> = BTreeMap::new();
    for (group, members) in groups {
        for name in machine_names(group, members.count) {
            let Some(other) = owners.insert(name.clone(), group) else {
                continue;
            };
            report.add_with_hint(
                &node.location,
                format!("groups `{other}` and `{group}` would both have a machine `{name}`"),
                "rename one of them",
            );
        }
    }
}

/// A key is good for one login, and gone when its machine's first boot is over.
fn check_auth_keys(report: &Report, node: &Node, groups: &BTreeMap<NodeName, MachineGroup>) {
    let mut owners: BTreeMap<&SecretName, &NodeName> = BTreeMap::new();
    for (group, members) in groups {
        let MachineKind::Host(host) = &members.kind else {
            continue;
        };
        let Some(other) = owners.insert(&host.auth_key, group) else {
            continue;
        };
        report.add_with_hint(
            &node.location,
            format!(
                "`{other}` and `{group}` would both log in with the secret `{}`, which is good for \
                 one machine",
                host.auth_key
            ),
            "give each a secret of its own; with a reusable key they may have the same value",
        );
    }
}
