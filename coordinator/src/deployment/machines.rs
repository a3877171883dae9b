//! `machines:` groups of machines, made before or after everything else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use omni_scale_proto::id::{HostName, SecretName};

use super::hosts::Hosts;
use super::model::{
    HostMachine, MachineDisk, MachineGroup, MachineImage, MachineKind, MachineNetwork, PackageFile,
    PackageRepository, Proxmox, StaticAddress,
};
use super::shared::Context;
use super::values::{HypervisorWord, NodeName, Size, SubnetAddress};
use super::{Files, secret};
use crate::document::{Entry, Fields, Location, Node, Report};

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
            check_host_name(fields, name, &entry.location, proxmox);
            if !known.is_some_and(|name| hosts.declares(&name)) {
                fields.report().add_with_hint(
                    &entry.location,
                    format!("the machine `{name}` is a host that nobody declares"),
                    format!("declare it: `hosts.{name}.roles`"),
                );
            }
            let host = fields.required_fields("host")?;
            read_host(files, context, host).map(MachineKind::Host)
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

/// The longest name of a machine that becomes a host: the secret with which it enrols is called
/// `enrollment-NAME`, and a secret's name has 63 characters at most.
const LONGEST_HOST: usize = 63 - "enrollment-".len();

fn check_host_name(fields: &Fields<'_>, name: &NodeName, place: &Location, proxmox: &Proxmox) {
    if name.as_str().len() > LONGEST_HOST {
        fields.report().add(
            place,
            format!(
                "the name of a machine that becomes a host has {LONGEST_HOST} characters at most"
            ),
        );
    }
    if name.as_str() == proxmox.host.as_str() {
        fields.report().add_with_hint(
            place,
            format!("the agent of `{name}` makes the machines, and cannot make its own"),
            "name another host in `proxmox.host`, one that is there",
        );
    }
}

fn read_host(files: &dyn Files, context: &Context<'_>, fields: Fields<'_>) -> Option<HostMachine> {
    let auth_key = secret::required(&fields, "auth_key");
    let address = read_address(&fields);
    let repositories = list(&fields, "repositories", |fields| {
        read_repository(files, context.directory, fields)
    });
    let packages = read_packages(&fields);
    let package_files = list(&fields, "files", |fields| {
        let url = fields.required_parsed("url");
        let sha256 = fields.required_parsed("sha256");
        fields.finish();
        Some(PackageFile {
            url: url?,
            sha256: sha256?,
        })
    });
    let ssh_keys = fields.texts("ssh_keys");
    fields.finish();
    Some(HostMachine {
        auth_key: auth_key?,
        address: address?,
        repositories: repositories?,
        packages: packages?,
        files: package_files?,
        ssh_keys: ssh_keys?.into_iter().map(|(_, key)| key).collect(),
    })
}

/// Outside: whether it could be read. Inside: whether there is one.
#[expect(
    clippy::option_option,
    reason = "a problem in the report and an absent key are different things"
)]
fn read_address(fields: &Fields<'_>) -> Option<Option<StaticAddress>> {
    let address = fields.optional("address");
    let gateway = fields.optional("gateway");
    let report = fields.report();
    match (address, gateway) {
        (None, None) => Some(None),
        (Some(address), Some(gateway)) => {
            let subnet: SubnetAddress = report.parsed(address)?;
            Some(Some(StaticAddress {
                address: subnet.address(),
                prefix_length: subnet.prefix_length(),
                gateway: report.parsed(gateway)?,
            }))
        }
        (Some(lonely), None) | (None, Some(lonely)) => {
            report.add(
                &lonely.location,
                "`address` and `gateway` come together; without both the machine asks DHCP",
            );
            None
        }
    }
}

fn read_repository(
    files: &dyn Files,
    directory: &Path,
    fields: Fields<'_>,
) -> Option<PackageRepository> {
    let name = fields.required_parsed("name");
    let url = fields.required_parsed("url");
    let suite: Option<HypervisorWord> = fields.required_parsed("suite");
    let components = read_components(&fields);
    let key = fields.required("key").and_then(|node| {
        let report = fields.report();
        let path = directory.join(report.text(node)?);
        match files.read(&path) {
            Ok(key) if key.contains("-----BEGIN PGP PUBLIC KEY BLOCK-----") => Some(key),
            Ok(_) => {
                report.add_with_hint(
                    &node.location,
                    format!(
                        "`{}` is no ASCII-armoured OpenPGP public key",
                        path.display()
                    ),
                    "`gpg --export --armor KEY` writes one",
                );
                None
            }
            Err(error) => {
                let message = format!("cannot read `{}`: {error}", path.display());
                report.add(&node.location, message);
                None
            }
        }
    });
    fields.finish();
    Some(PackageRepository {
        name: name?,
        url: url?,
        suite: suite?.into(),
        components: components?,
        key: key?,
    })
}

/// `main`, `contrib` …: at least one, each a word.
fn read_components(fields: &Fields<'_>) -> Option<Vec<String>> {
    let node = fields.required("components")?;
    let items = fields.report().items(node)?;
    if items.is_empty() {
        fields
            .report()
            .add(&node.location, "name at least one component, as `[main]`");
    }
    let word = |item| {
        fields
            .report()
            .parsed::<HypervisorWord>(item)
            .map(String::from)
    };
    items.iter().map(word).collect()
}

/// Names of Debian packages (Debian Policy §5.6.1).
fn read_packages(fields: &Fields<'_>) -> Option<Vec<String>> {
    let names = fields.texts("packages")?;
    for (location, name) in &names {
        let valid = name.len() >= 2
            && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && name.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte)
            });
        if !valid {
            fields
                .report()
                .add(location, format!("`{name}` is no name of a Debian package"));
        }
    }
    Some(names.into_iter().map(|(_, name)| name).collect())
}

fn read_disks(fields: &Fields<'_>, proxmox: &Proxmox) -> Option<Vec<MachineDisk>> {
    let disks = list(fields, "disks", |disk| {
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
    let networks = list(fields, "networks", |network| {
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

/// The mappings of a list; an absent key is an empty one.
fn list<T>(
    fields: &Fields<'_>,
    key: &'static str,
    mut read: impl FnMut(Fields<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    let Some(node) = fields.optional(key) else {
        return Some(Vec::new());
    };
    let report = fields.report();
    let items = report.items(node)?;
    let mut all = Vec::new();
    for item in items {
        let fields = Fields::of(item, fields.path_of(key), report);
        all.push(fields.and_then(&mut read));
    }
    all.into_iter().collect()
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
