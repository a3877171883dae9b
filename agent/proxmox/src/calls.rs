//! Every call that the client makes, with every parameter that it may send: one table, from which requests are built.
//!
//! Nothing can be sent that is not in the table ([`crate::request`] refuses it), and the table is held against the
//! published schema of the API, examples included (`tests/schema.rs`).

use std::fmt;

/// An HTTP method of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// Reads.
    Get,
    /// Creates or does.
    Post,
    /// Changes.
    Put,
    /// Removes.
    Delete,
}

impl Method {
    /// Whether the call may change something.
    pub fn mutates(self) -> bool {
        self != Self::Get
    }

    /// As on the wire, and in the schema.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// One call of the API.
#[derive(Debug)]
pub struct Call {
    /// The HTTP method.
    pub method: Method,
    /// The path as in the schema, `/nodes/{node}/qemu`.
    pub template: &'static str,
    /// What may be sent, the path's own parameters left out.
    pub parameters: &'static [Parameter],
}

/// One parameter that a call may send.
#[derive(Debug)]
pub struct Parameter {
    /// Its name; `scsi0` stands for every number, see [`Call::parameter`].
    pub name: &'static str,
    /// Values as we send them, one for each form.
    pub examples: &'static [&'static str],
    /// Whether every request has it.
    pub always: bool,
}

impl Call {
    /// The parameter of a name; numbered ones (`scsi1`, `net3`) are found under the number of the table.
    pub fn parameter(&self, name: &str) -> Option<&'static Parameter> {
        let family = |name: &str| {
            let family = name.trim_end_matches(|character: char| character.is_ascii_digit());
            (family.len() < name.len()).then(|| family.to_owned())
        };
        let exact = self
            .parameters
            .iter()
            .find(|parameter| parameter.name == name);
        exact.or_else(|| {
            let wanted = family(name)?;
            let numbered =
                |parameter: &&Parameter| family(parameter.name).as_deref() == Some(wanted.as_str());
            self.parameters.iter().find(numbered)
        })
    }
}

/// Values for the parameters in paths, for those who check the table.
pub const PATH_EXAMPLES: &[(&str, &str)] = &[
    ("node", "pve1"),
    ("vmid", "105"),
    ("storage", "local-lvm"),
    ("volume", "local:iso/seed-3f2a.iso"),
    (
        "upid",
        "UPID:pve1:0000C3F1:0A1B2C3D:65A1B2C3:qmcreate:105:omni@pve!scale:",
    ),
];

const fn call(method: Method, template: &'static str, parameters: &'static [Parameter]) -> Call {
    Call {
        method,
        template,
        parameters,
    }
}

/// A parameter that every request has.
const fn always(name: &'static str, examples: &'static [&'static str]) -> Parameter {
    Parameter {
        name,
        examples,
        always: true,
    }
}

/// A parameter that some requests have.
const fn maybe(name: &'static str, examples: &'static [&'static str]) -> Parameter {
    Parameter {
        name,
        examples,
        always: false,
    }
}

macro_rules! calls {
    ($($(#[$documentation:meta])* $name:ident = $call:expr;)*) => {
        $($(#[$documentation])* pub(crate) const $name: Call = $call;)*

        /// All of them.
        pub const CALLS: &[Call] = &[$($name),*];
    };
}

use Method::{Delete, Get, Post, Put};

const SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const DIGEST: &str = "0b1c2d3e4f5061728394a5b6c7d8e9f001122334";

calls! {
    VERSION = call(Get, "/version", &[]);
    PERMISSIONS = call(Get, "/access/permissions", &[maybe("path", &["/storage/local-lvm"])]);
    NEXT_ID = call(Get, "/cluster/nextid", &[maybe("vmid", &["105"])]);
    RESOURCES = call(Get, "/cluster/resources", &[maybe("type", &["vm", "storage", "node"])]);
    OPTIONS = call(Get, "/cluster/options", &[]);
    NODES = call(Get, "/nodes", &[]);
    NODE_STATUS = call(Get, "/nodes/{node}/status", &[]);
    NODE_DNS = call(Get, "/nodes/{node}/dns", &[]);
    NODE_NETWORK = call(Get, "/nodes/{node}/network", &[maybe("type", &["any_bridge"])]);
    /// What the node finds behind a URL: whether `download-url` would get out.
    URL_METADATA = call(Get, "/nodes/{node}/query-url-metadata", &[
        always("url", &["https://cloud.debian.org/images/cloud/trixie/debian-13-generic-amd64.qcow2"]),
    ]);
    STORAGES = call(Get, "/nodes/{node}/storage", &[
        maybe("content", &["images", "iso", "import"]),
        maybe("enabled", &["1"]),
    ]);
    CONTENT = call(Get, "/nodes/{node}/storage/{storage}/content", &[
        maybe("content", &["iso", "import", "images"]),
        maybe("vmid", &["105"]),
    ]);
    DELETE_CONTENT = call(Delete, "/nodes/{node}/storage/{storage}/content/{volume}", &[]);
    DOWNLOAD_URL = call(Post, "/nodes/{node}/storage/{storage}/download-url", &[
        always("content", &["iso", "import"]),
        always("filename", &["debian-13-3f2a.qcow2"]),
        always("url", &["https://cloud.debian.org/images/cloud/trixie/debian-13-generic-amd64.qcow2"]),
        always("checksum", &[SHA256]),
        always("checksum-algorithm", &["sha256", "sha512"]),
        always("verify-certificates", &["1"]),
    ]);
    UPLOAD = call(Post, "/nodes/{node}/storage/{storage}/upload", &[
        always("content", &["iso", "import"]),
        always("checksum-algorithm", &["sha256", "sha512"]),
        always("checksum", &[SHA256]),
        always("filename", &["seed-3f2a.iso"]),
    ]);
    /// Takes the VMID, or fails: the one compare-and-swap that there is.
    CREATE = call(Post, "/nodes/{node}/qemu", &[
        always("vmid", &["105"]),
        maybe("name", &["talos-1.lan"]),
        maybe("description", &["made by omni-scale\nid: 3f2a"]),
        maybe("tags", &["omni-scale;group_workers"]),
        maybe("pool", &["omni-scale"]),
        maybe("ostype", &["l26"]),
        maybe("machine", &["q35"]),
        maybe("bios", &["ovmf", "seabios"]),
        maybe("cpu", &["x86-64-v2-AES", "host"]),
        maybe("cores", &["4"]),
        maybe("sockets", &["1"]),
        maybe("memory", &["4096"]),
        maybe("balloon", &["0"]),
        maybe("scsihw", &["virtio-scsi-pci", "virtio-scsi-single"]),
        maybe("efidisk0", &["local-lvm:1,efitype=4m,pre-enrolled-keys=0"]),
        maybe("scsi0", &[
            "local-lvm:32,discard=on,ssd=1",
            "local-lvm:0,import-from=local:import/debian-13-3f2a.qcow2,discard=on,iothread=1",
            "local-lvm:cloudinit,media=cdrom",
            "local:iso/seed-3f2a.iso,media=cdrom",
        ]),
        maybe("ide2", &["local:iso/seed-3f2a.iso,media=cdrom", "none,media=cdrom"]),
        maybe("net0", &["virtio,bridge=vmbr0", "virtio=BC:24:11:2A:00:01,bridge=vmbr0,firewall=0,mtu=1400,tag=20"]),
        maybe("serial0", &["socket"]),
        maybe("vga", &["std", "serial0"]),
        maybe("agent", &["1", "0"]),
        maybe("boot", &["order=scsi0;ide2"]),
        maybe("onboot", &["1"]),
        maybe("protection", &["1"]),
        maybe("smbios1", &["uuid=3f2a0000-0000-5000-8000-000000000001"]),
        maybe("rng0", &["source=/dev/urandom"]),
        maybe("citype", &["nocloud"]),
        maybe("ciuser", &["omni"]),
        maybe("ciupgrade", &["0"]),
        maybe("sshkeys", &["ssh-ed25519%20AAAAC3Nz%20op%40lan%0A"]),
        maybe("ipconfig0", &["ip=dhcp", "ip=192.0.2.5/24,gw=192.0.2.1,ip6=auto"]),
        maybe("nameserver", &["192.0.2.53 2001:db8::53"]),
        maybe("searchdomain", &["lan"]),
    ]);
    VM_CONFIG = call(Get, "/nodes/{node}/qemu/{vmid}/config", &[maybe("current", &["1"])]);
    /// The form that returns a task; its sibling with `PUT` may block for longer than the proxy waits.
    CHANGE = call(Post, "/nodes/{node}/qemu/{vmid}/config", &[
        always("digest", &[DIGEST]),
        maybe("delete", &["ide2,protection"]),
        maybe("description", &["made by omni-scale\nid: 3f2a"]),
        maybe("tags", &["omni-scale;group_workers"]),
        maybe("cores", &["4"]),
        maybe("memory", &["4096"]),
        maybe("ide2", &["local:iso/seed-3f2a.iso,media=cdrom", "none,media=cdrom"]),
        maybe("scsi30", &["none,media=cdrom"]),
        maybe("boot", &["order=scsi0;ide2"]),
        maybe("onboot", &["1"]),
        maybe("protection", &["1", "0"]),
    ]);
    RESIZE = call(Put, "/nodes/{node}/qemu/{vmid}/resize", &[
        always("disk", &["scsi0"]),
        always("size", &["32G", "10240M"]),
        maybe("digest", &[DIGEST]),
    ]);
    VM_STATUS = call(Get, "/nodes/{node}/qemu/{vmid}/status/current", &[]);
    START = call(Post, "/nodes/{node}/qemu/{vmid}/status/start", &[]);
    STOP = call(Post, "/nodes/{node}/qemu/{vmid}/status/stop", &[]);
    SHUTDOWN = call(Post, "/nodes/{node}/qemu/{vmid}/status/shutdown", &[
        always("timeout", &["60"]),
        maybe("forceStop", &["1"]),
    ]);
    DELETE = call(Delete, "/nodes/{node}/qemu/{vmid}", &[
        always("purge", &["1"]),
        always("destroy-unreferenced-disks", &["0"]),
    ]);
    CLOUD_INIT = call(Get, "/nodes/{node}/qemu/{vmid}/cloudinit/dump", &[
        always("type", &["user", "network", "meta"]),
    ]);
    GUEST_INTERFACES = call(Get, "/nodes/{node}/qemu/{vmid}/agent/network-get-interfaces", &[]);
    TASKS = call(Get, "/nodes/{node}/tasks", &[
        always("source", &["all", "active"]),
        always("start", &["0"]),
        always("limit", &["500"]),
        maybe("vmid", &["105"]),
        maybe("typefilter", &["qmcreate"]),
        maybe("since", &["1700000000"]),
    ]);
    TASK_STATUS = call(Get, "/nodes/{node}/tasks/{upid}/status", &[]);
    TASK_LOG = call(Get, "/nodes/{node}/tasks/{upid}/log", &[
        always("start", &["0"]),
        always("limit", &["500"]),
    ]);
    STOP_TASK = call(Delete, "/nodes/{node}/tasks/{upid}", &[]);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_call_is_there_once_and_each_parameter_has_an_example() {
        let mut seen = BTreeSet::new();
        for call in CALLS {
            assert!(
                seen.insert((call.method, call.template)),
                "{} {}",
                call.method,
                call.template
            );
            let mut names = BTreeSet::new();
            for parameter in call.parameters {
                assert!(names.insert(parameter.name), "{}", parameter.name);
                assert!(!parameter.examples.is_empty(), "{}", parameter.name);
            }
        }
    }

    #[test]
    fn numbered_parameters_stand_for_their_family() {
        assert_eq!(CREATE.parameter("scsi3").unwrap().name, "scsi0");
        assert_eq!(CREATE.parameter("ide0").unwrap().name, "ide2");
        assert!(CREATE.parameter("scsi").is_none());
        assert!(CREATE.parameter("sata0").is_none());
        assert!(CREATE.parameter("name0").is_none());
    }
}
