//! The calls that this model answers: method, path, who may, and every parameter.
//!
//! [`ROUTES`] is held to Proxmox VE's published schema by `tests/schema_gate.rs`. A call that is not here is answered
//! 501, as Proxmox VE answers one that it does not know.

use std::collections::BTreeMap;

use crate::request::Method;
use crate::schema::{Format, Kind, Property, VM, optional, required, with};

/// A call.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Its path below `/api2/json`, with `{name}` where a parameter stands.
    pub template: &'static str,
    /// Its parameters, those of the path too, in one or more tables.
    pub parameters: &'static [&'static [Property]],
    /// Who may call it, checked before the parameters are.
    pub permission: Permission,
    pub(crate) call: Call,
}

/// Who may call; `{name}` in a path is a parameter of the call.
#[derive(Clone, Copy, Debug)]
pub enum Permission {
    /// Everyone who is known; the call itself checks more.
    Everyone,
    /// All of these privileges on the path.
    All(&'static str, &'static [&'static str]),
    /// One of these privileges on the path.
    Any(&'static str, &'static [&'static str]),
    /// `download-url`: files on the storage, and the network of the node.
    Download,
    /// The network of the node.
    Network,
}

/// Which handler answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Version,
    Permissions,
    NextId,
    Resources,
    Options,
    Nodes,
    NodeStatus,
    Dns,
    Network,
    Storages,
    Content,
    DeleteContent,
    DownloadUrl,
    UrlMetadata,
    Upload,
    Vms,
    CreateVm,
    Config,
    UpdateConfig,
    UpdateConfigNow,
    Pending,
    Resize,
    Current,
    Start,
    Stop,
    Shutdown,
    DestroyVm,
    Interfaces,
    CloudInit,
    Tasks,
    TaskStatus,
    TaskLog,
    StopTask,
}

const VMID_LIMITS: Kind = Kind::Integer(Some(100), Some(999_999_999));
const NODE: Property = required("node", Kind::Format(Format::Node));
const VMID: Property = required("vmid", VMID_LIMITS);
const STORAGE: Property = required("storage", Kind::Format(Format::StorageId));
const UPID: Property = required("upid", Kind::Text(0));
const SKIPLOCK: Property = optional("skiplock", Kind::Boolean);
const DIGEST: Property = optional("digest", Kind::Text(40));
const ALGORITHMS: Kind =
    Kind::Enumeration(&["md5", "sha1", "sha224", "sha256", "sha384", "sha512"]);
const UPLOADED: Kind = Kind::Enumeration(&["iso", "vztmpl", "import"]);

const NOTHING: &[Property] = &[];
const ON_NODE: &[Property] = &[NODE];
const ON_VM: &[Property] = &[NODE, VMID];
const ON_TASK: &[Property] = &[NODE, UPID];
const FILE: &[Property] = &[
    NODE,
    STORAGE,
    required("content", UPLOADED),
    required("filename", Kind::Text(255)),
    with("checksum", Kind::Text(0), "checksum-algorithm"),
    with("checksum-algorithm", ALGORITHMS, "checksum"),
];
const CREATE: &[Property] = &[
    NODE,
    VMID,
    optional("bwlimit", Kind::Integer(Some(0), None)),
    optional("ha-managed", Kind::Boolean),
    optional("import-working-storage", Kind::Format(Format::StorageId)),
    optional("live-restore", Kind::Boolean),
    optional("pool", Kind::Format(Format::PoolId)),
    optional("start", Kind::Boolean),
    optional("storage", Kind::Format(Format::StorageId)),
];
const UPDATE: &[Property] = &[
    NODE,
    VMID,
    SKIPLOCK,
    DIGEST,
    optional("delete", Kind::Format(Format::ConfigIdList)),
    optional("revert", Kind::Format(Format::ConfigIdList)),
    with("force", Kind::Boolean, "delete"),
];
const UPDATE_LATER: &[Property] = &[
    optional("background_delay", Kind::Integer(Some(1), Some(30))),
    optional("import-working-storage", Kind::Format(Format::StorageId)),
];

/// What `config` needs one of (qemu-server `Qemu.pm` `$vm_config_perm_list`).
const CONFIG_PRIVILEGES: &[&str] = &[
    "VM.Config.Disk",
    "VM.Config.CDROM",
    "VM.Config.CPU",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.HWType",
    "VM.Config.Options",
    "VM.Config.Cloudinit",
];

macro_rules! routes {
    ($($method:ident $template:literal $call:ident $permission:expr, [$($table:expr),*];)*) => {
        &[$(Route {
            method: Method::$method,
            template: $template,
            parameters: &[$($table),*],
            permission: $permission,
            call: Call::$call,
        }),*]
    };
}

use Permission::{All, Any, Download, Everyone, Network};

/// Every call.
pub const ROUTES: &[Route] = routes! {
    Get "/version" Version Everyone, [NOTHING];
    Get "/access/permissions" Permissions Everyone,
        [&[optional("path", Kind::Text(0)), optional("userid", Kind::Text(0))]];
    Get "/cluster/nextid" NextId Everyone, [&[optional("vmid", VMID_LIMITS)]];
    Get "/cluster/resources" Resources Everyone,
        [&[optional("type", Kind::Enumeration(&["vm", "storage", "node", "sdn"]))]];
    Get "/cluster/options" Options Everyone, [NOTHING];
    Get "/nodes" Nodes Everyone, [NOTHING];
    Get "/nodes/{node}/status" NodeStatus All("/nodes/{node}", &["Sys.Audit"]), [ON_NODE];
    Get "/nodes/{node}/query-url-metadata" UrlMetadata Network, [ON_NODE, &[
        required("url", Kind::Pattern("https?://.*", web_address)),
        optional("verify-certificates", Kind::Boolean),
    ]];
    Get "/nodes/{node}/dns" Dns All("/nodes/{node}", &["Sys.Audit"]), [ON_NODE];
    Get "/nodes/{node}/network" Network Everyone, [ON_NODE, &[optional("type", Kind::Enumeration(&[
        "bridge", "bond", "eth", "alias", "vlan", "fabric", "OVSBridge", "OVSBond", "OVSPort", "OVSIntPort", "vnet",
        "any_bridge", "any_local_bridge", "include_sdn",
    ]))]];
    Get "/nodes/{node}/storage" Storages Everyone, [ON_NODE, &[
        optional("content", Kind::Format(Format::StorageContentList)),
        optional("enabled", Kind::Boolean),
        optional("format", Kind::Boolean),
        optional("storage", Kind::Format(Format::StorageId)),
        optional("target", Kind::Format(Format::Node)),
    ]];
    Get "/nodes/{node}/storage/{storage}/content" Content
        Any("/storage/{storage}", &["Datastore.Audit", "Datastore.AllocateSpace"]),
        [&[NODE, STORAGE, optional("content", Kind::Format(Format::StorageContent)), optional("vmid", VMID_LIMITS)]];
    Delete "/nodes/{node}/storage/{storage}/content/{volume}" DeleteContent Everyone, [&[
        NODE,
        optional("storage", Kind::Format(Format::StorageId)),
        required("volume", Kind::Text(0)),
        optional("delay", Kind::Integer(Some(1), Some(30))),
    ]];
    Post "/nodes/{node}/storage/{storage}/download-url" DownloadUrl Download, [FILE, &[
        required("url", Kind::Pattern("https?://.*", web_address)),
        optional("compression", Kind::Text(0)),
        optional("verify-certificates", Kind::Boolean),
    ]];
    Post "/nodes/{node}/storage/{storage}/upload" Upload
        All("/storage/{storage}", &["Datastore.AllocateTemplate"]), [FILE];
    Get "/nodes/{node}/qemu" Vms Everyone, [ON_NODE, &[optional("full", Kind::Boolean)]];
    Post "/nodes/{node}/qemu" CreateVm Everyone, [CREATE, VM];
    Get "/nodes/{node}/qemu/{vmid}/config" Config All("/vms/{vmid}", &["VM.Audit"]), [ON_VM, &[
        optional("current", Kind::Boolean),
        optional("snapshot", Kind::Format(Format::ConfigId)),
    ]];
    Post "/nodes/{node}/qemu/{vmid}/config" UpdateConfig Any("/vms/{vmid}", CONFIG_PRIVILEGES),
        [UPDATE, UPDATE_LATER, VM];
    Put "/nodes/{node}/qemu/{vmid}/config" UpdateConfigNow Any("/vms/{vmid}", CONFIG_PRIVILEGES), [UPDATE, VM];
    Get "/nodes/{node}/qemu/{vmid}/pending" Pending All("/vms/{vmid}", &["VM.Audit"]), [ON_VM];
    Put "/nodes/{node}/qemu/{vmid}/resize" Resize All("/vms/{vmid}", &["VM.Config.Disk"]), [&[
        NODE,
        VMID,
        SKIPLOCK,
        DIGEST,
        required("disk", Kind::Pattern("(ide|sata|scsi|virtio)N, efidisk0, tpmstate0", disk)),
        required("size", Kind::Pattern("\\+?\\d+(\\.\\d+)?[KMGT]?", size)),
    ]];
    Get "/nodes/{node}/qemu/{vmid}/status/current" Current All("/vms/{vmid}", &["VM.Audit"]), [ON_VM];
    Post "/nodes/{node}/qemu/{vmid}/status/start" Start All("/vms/{vmid}", &["VM.PowerMgmt"]),
        [ON_VM, &[SKIPLOCK, optional("timeout", Kind::Integer(Some(0), None))]];
    Post "/nodes/{node}/qemu/{vmid}/status/stop" Stop All("/vms/{vmid}", &["VM.PowerMgmt"]), [ON_VM, &[
        SKIPLOCK,
        optional("keepActive", Kind::Boolean),
        optional("overrule-shutdown", Kind::Boolean),
        optional("timeout", Kind::Integer(Some(0), None)),
    ]];
    Post "/nodes/{node}/qemu/{vmid}/status/shutdown" Shutdown All("/vms/{vmid}", &["VM.PowerMgmt"]), [ON_VM, &[
        SKIPLOCK,
        optional("forceStop", Kind::Boolean),
        optional("keepActive", Kind::Boolean),
        optional("timeout", Kind::Integer(Some(0), None)),
    ]];
    Delete "/nodes/{node}/qemu/{vmid}" DestroyVm All("/vms/{vmid}", &["VM.Allocate"]), [ON_VM, &[
        SKIPLOCK,
        optional("destroy-unreferenced-disks", Kind::Boolean),
        optional("purge", Kind::Boolean),
    ]];
    Get "/nodes/{node}/qemu/{vmid}/agent/network-get-interfaces" Interfaces
        Any("/vms/{vmid}", &["VM.GuestAgent.Audit", "VM.GuestAgent.Unrestricted"]), [ON_VM];
    Get "/nodes/{node}/qemu/{vmid}/cloudinit/dump" CloudInit All("/vms/{vmid}", &["VM.Audit"]),
        [ON_VM, &[required("type", Kind::Enumeration(&["user", "network", "meta"]))]];
    Get "/nodes/{node}/tasks" Tasks Everyone, [ON_NODE, &[
        optional("errors", Kind::Boolean),
        optional("limit", Kind::Integer(Some(0), None)),
        optional("since", Kind::Integer(None, None)),
        optional("source", Kind::Enumeration(&["archive", "active", "all"])),
        optional("start", Kind::Integer(Some(0), None)),
        optional("statusfilter", Kind::Format(Format::TaskStatusList)),
        optional("typefilter", Kind::Text(0)),
        optional("until", Kind::Integer(None, None)),
        optional("userfilter", Kind::Text(0)),
        optional("vmid", VMID_LIMITS),
    ]];
    Get "/nodes/{node}/tasks/{upid}/status" TaskStatus Everyone, [ON_TASK];
    Get "/nodes/{node}/tasks/{upid}/log" TaskLog Everyone, [ON_TASK, &[
        optional("download", Kind::Boolean),
        optional("limit", Kind::Integer(Some(0), None)),
        optional("start", Kind::Integer(Some(0), None)),
    ]];
    Delete "/nodes/{node}/tasks/{upid}" StopTask Everyone, [ON_TASK];
};

/// The route of a path, and what its segments say.
pub(crate) fn find(
    method: Method,
    segments: &[String],
) -> Option<(&'static Route, BTreeMap<String, String>)> {
    ROUTES
        .iter()
        .filter(|route| route.method == method)
        .find_map(|route| {
            let mut values = BTreeMap::new();
            let template: Vec<&str> = route
                .template
                .split('/')
                .filter(|part| !part.is_empty())
                .collect();
            let fits = template.len() == segments.len()
                && template.iter().zip(segments).all(|(part, segment)| {
                    match part
                        .strip_prefix('{')
                        .and_then(|part| part.strip_suffix('}'))
                    {
                        Some(name) => {
                            values.insert(name.to_owned(), segment.clone());
                            true
                        }
                        None => part == segment,
                    }
                });
            fits.then_some((route, values))
        })
}

fn web_address(value: &str) -> bool {
    value.starts_with("http://") || value.starts_with("https://")
}

fn disk(value: &str) -> bool {
    crate::schema::is_drive(value)
}

fn size(value: &str) -> bool {
    let value = value.strip_prefix('+').unwrap_or(value);
    let number = value.strip_suffix(['K', 'M', 'G', 'T']).unwrap_or(value);
    let mut parts = number.splitn(2, '.');
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|digit| digit.is_ascii_digit());
    parts.next().is_some_and(digits) && parts.next().is_none_or(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_its_route_and_its_values() {
        let segments: Vec<String> = [
            "nodes",
            "pve1",
            "storage",
            "local",
            "content",
            "local:iso/a.iso",
        ]
        .into_iter()
        .map(str::to_owned)
        .collect();
        let (route, values) = find(Method::Delete, &segments).unwrap();
        assert_eq!(route.call, Call::DeleteContent);
        assert_eq!(values["volume"], "local:iso/a.iso");
        assert!(find(Method::Put, &segments).is_none());
    }

    #[test]
    fn no_two_routes_are_the_same() {
        for (at, route) in ROUTES.iter().enumerate() {
            let same =
                |other: &&Route| other.method == route.method && other.template == route.template;
            assert_eq!(
                ROUTES.iter().position(|other| same(&other)),
                Some(at),
                "{}",
                route.template
            );
        }
    }

    /// qemu-server `Qemu.pm` `resize_vm`: the pattern of `size`.
    #[test]
    fn sizes_of_a_resize_have_one_letter_at_most() {
        assert!(size("32G") && size("+1.5T") && size("1024"));
        assert!(!size("64GB") && !size("-1G") && !size("1.") && !size(""));
    }
}
