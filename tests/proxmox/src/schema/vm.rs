//! The configuration keys of a VM (qemu-server `QemuServer.pm` `$confdesc`), as create and config take them.

use super::drives::{DRIVE, EFI_DISK, IDE_DRIVE, TPM_STATE, VIRTIO_DRIVE};
use super::{
    Format, Key, Kind, Property, alias, family, key, key_default, key_default_optional, model,
    optional,
};

/// `net[n]`.
pub(crate) const NET: &[Key] = &[
    key("bridge", Kind::Format(Format::BridgeId)),
    key("firewall", Kind::Boolean),
    key("link_down", Kind::Boolean),
    key("macaddr", Kind::Format(Format::MacAddress)),
    key_default(
        "model",
        Kind::Enumeration(&[
            "e1000",
            "e1000-82540em",
            "e1000-82544gc",
            "e1000-82545em",
            "e1000e",
            "i82551",
            "i82557b",
            "i82559er",
            "ne2k_isa",
            "ne2k_pci",
            "pcnet",
            "rtl8139",
            "virtio",
            "vmxnet3",
        ]),
    ),
    key("mtu", Kind::Integer(Some(1), Some(65520))),
    key("queues", Kind::Integer(Some(0), Some(64))),
    key("rate", Kind::Number(Some(0), None)),
    key("tag", Kind::Integer(Some(1), Some(4094))),
    model("e1000"),
    model("e1000e"),
    model("rtl8139"),
    model("virtio"),
    model("vmxnet3"),
];

/// `agent`.
pub(crate) const AGENT: &[Key] = &[
    key_default("enabled", Kind::Boolean),
    key("freeze-fs", Kind::Boolean),
    alias("freeze-fs-on-backup", "freeze-fs"),
    alias("guest-fsfreeze", "freeze-fs"),
    key("fstrim_cloned_disks", Kind::Boolean),
    key("type", Kind::Enumeration(&["virtio", "isa"])),
];

/// `boot`.
pub(crate) const BOOT: &[Key] = &[
    key_default_optional("legacy", Kind::Pattern("[acdn]{1,4}", legacy_boot)),
    key("order", Kind::Format(Format::BootDeviceList)),
];

const IP_CONFIG: &[Key] = &[
    key("ip", Kind::Format(Format::Ipv4Config)),
    Key {
        property: super::with("gw", Kind::Format(Format::Ipv4), "ip"),
        default: false,
        alias: None,
        key_alias: None,
    },
    key("ip6", Kind::Format(Format::Ipv6Config)),
    Key {
        property: super::with("gw6", Kind::Format(Format::Ipv6), "ip6"),
        default: false,
        alias: None,
        key_alias: None,
    },
];

const MACHINE: &[Key] = &[
    key("aw-bits", Kind::Number(Some(32), Some(64))),
    key("enable-s3", Kind::Boolean),
    key("enable-s4", Kind::Boolean),
    key_default_optional("type", Kind::Pattern("(pc|q35|virt)(-…)?", machine_type)),
    key("viommu", Kind::Enumeration(&["intel", "virtio"])),
];

const MEMORY: &[Key] = &[key_default("current", Kind::Integer(Some(16), None))];

const RNG: &[Key] = &[
    key_default(
        "source",
        Kind::Enumeration(&["/dev/urandom", "/dev/random", "/dev/hwrng"]),
    ),
    key("max_bytes", Kind::Integer(None, None)),
    key("period", Kind::Integer(None, None)),
];

/// `smbios1`: `uuid` may be chosen by the caller (facts §1.4).
const SMBIOS: &[Key] = &[
    key("base64", Kind::Boolean),
    key("family", Kind::Text(0)),
    key("manufacturer", Kind::Text(0)),
    key("product", Kind::Text(0)),
    key("serial", Kind::Text(0)),
    key("sku", Kind::Text(0)),
    key(
        "uuid",
        Kind::Pattern(
            "[a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}",
            uuid_text,
        ),
    ),
    key("version", Kind::Text(0)),
];

const VGA: &[Key] = &[
    key("clipboard", Kind::Enumeration(&["vnc"])),
    key("memory", Kind::Integer(Some(4), Some(512))),
    key_default_optional(
        "type",
        Kind::Enumeration(&[
            "cirrus",
            "qxl",
            "qxl2",
            "qxl3",
            "qxl4",
            "none",
            "serial0",
            "serial1",
            "serial2",
            "serial3",
            "std",
            "virtio",
            "virtio-gl",
            "vmware",
        ]),
    ),
];

const WATCHDOG: &[Key] = &[
    key(
        "action",
        Kind::Enumeration(&["reset", "shutdown", "poweroff", "pause", "debug", "none"]),
    ),
    key_default_optional("model", Kind::Enumeration(&["i6300esb", "ib700"])),
];

const CUSTOM: &[Key] = &[
    key("meta", Kind::Format(Format::VolumeId)),
    key("network", Kind::Format(Format::VolumeId)),
    key("user", Kind::Format(Format::VolumeId)),
    key("vendor", Kind::Format(Format::VolumeId)),
];

const VIRTIOFS: &[Key] = &[key_default("dirid", Kind::Format(Format::ConfigId))];

/// The keys that this model knows. A key of the real schema that is not here is refused as unknown: a test that meets
/// that has found something to add.
pub(crate) const VM: &[Property] = &[
    optional("acpi", Kind::Boolean),
    optional("agent", Kind::PropertyString(AGENT)),
    optional("allow-ksm", Kind::Boolean),
    optional("args", Kind::Text(0)),
    optional("autostart", Kind::Boolean),
    optional("balloon", Kind::Integer(Some(0), None)),
    optional("bios", Kind::Enumeration(&["seabios", "ovmf"])),
    optional("boot", Kind::PropertyString(BOOT)),
    optional("cicustom", Kind::PropertyString(CUSTOM)),
    optional("cipassword", Kind::Text(0)),
    optional(
        "citype",
        Kind::Enumeration(&["configdrive2", "nocloud", "opennebula"]),
    ),
    optional("ciupgrade", Kind::Boolean),
    optional("ciuser", Kind::Text(0)),
    optional("cores", Kind::Integer(Some(1), None)),
    optional("cpu", Kind::Format(Format::Cpu)),
    optional("cpulimit", Kind::Number(Some(0), Some(128))),
    optional("cpuunits", Kind::Integer(Some(1), Some(262_144))),
    optional("description", Kind::Text(8192)),
    optional("efidisk0", Kind::PropertyString(EFI_DISK)),
    optional("hookscript", Kind::Format(Format::VolumeId)),
    optional("hotplug", Kind::Format(Format::Hotplug)),
    family("ide", 4, Kind::PropertyString(IDE_DRIVE)),
    family("ipconfig", 32, Kind::PropertyString(IP_CONFIG)),
    optional("kvm", Kind::Boolean),
    optional("localtime", Kind::Boolean),
    optional(
        "lock",
        Kind::Enumeration(&[
            "backup",
            "clone",
            "create",
            "migrate",
            "rollback",
            "snapshot",
            "snapshot-delete",
            "suspending",
            "suspended",
        ]),
    ),
    optional("machine", Kind::PropertyString(MACHINE)),
    optional("memory", Kind::PropertyString(MEMORY)),
    optional("name", Kind::Format(Format::DnsName)),
    optional("nameserver", Kind::Format(Format::AddressList)),
    family("net", 32, Kind::PropertyString(NET)),
    optional("numa", Kind::Boolean),
    optional("onboot", Kind::Boolean),
    optional(
        "ostype",
        Kind::Enumeration(&[
            "other", "wxp", "w2k", "w2k3", "w2k8", "wvista", "win7", "win8", "win10", "win11",
            "l24", "l26", "solaris",
        ]),
    ),
    optional("protection", Kind::Boolean),
    optional("reboot", Kind::Boolean),
    optional("rng0", Kind::PropertyString(RNG)),
    family("sata", 6, Kind::PropertyString(IDE_DRIVE)),
    family("scsi", 31, Kind::PropertyString(DRIVE)),
    optional(
        "scsihw",
        Kind::Enumeration(&[
            "lsi",
            "lsi53c810",
            "virtio-scsi-pci",
            "virtio-scsi-single",
            "megasas",
            "pvscsi",
        ]),
    ),
    optional("searchdomain", Kind::Text(0)),
    family("serial", 4, Kind::Pattern("(/dev/[^,]+|socket)", serial)),
    optional("shares", Kind::Integer(Some(0), Some(50_000))),
    optional("smbios1", Kind::PropertyString(SMBIOS)),
    optional("sockets", Kind::Integer(Some(1), None)),
    optional("sshkeys", Kind::Format(Format::UrlEncoded)),
    optional("startup", Kind::Format(Format::StartupOrder)),
    optional("tablet", Kind::Boolean),
    optional("tags", Kind::Format(Format::TagList)),
    optional("template", Kind::Boolean),
    optional("tpmstate0", Kind::PropertyString(TPM_STATE)),
    family("unused", 256, Kind::Text(0)),
    optional("vcpus", Kind::Integer(Some(1), None)),
    optional("vga", Kind::PropertyString(VGA)),
    family("virtio", 16, Kind::PropertyString(VIRTIO_DRIVE)),
    family("virtiofs", 10, Kind::PropertyString(VIRTIOFS)),
    optional(
        "vmgenid",
        Kind::Pattern(
            "(?:[a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}|[01])",
            generation,
        ),
    ),
    optional("vmstatestorage", Kind::Format(Format::StorageId)),
    optional("watchdog", Kind::PropertyString(WATCHDOG)),
];

/// Whether the configuration holds this key as a number (qemu-server `parse_vm_config` returns `int` for integers).
pub(crate) fn integer_key(name: &str) -> bool {
    super::lookup(&[VM], name).is_some_and(|property| matches!(property.kind, Kind::Integer(..)))
}

/// Whether the configuration holds this key as 0 or 1.
pub(crate) fn boolean_key(name: &str) -> bool {
    super::lookup(&[VM], name).is_some_and(|property| matches!(property.kind, Kind::Boolean))
}

fn legacy_boot(value: &str) -> bool {
    (1..=4).contains(&value.len()) && value.chars().all(|letter| "acdn".contains(letter))
}

fn machine_type(value: &str) -> bool {
    let known = ["pc", "pc-i440fx", "q35", "pc-q35", "virt"];
    value.len() <= 40
        && known.iter().any(|kind| {
            value.strip_prefix(kind).is_some_and(|rest| {
                rest.is_empty() && !kind.starts_with("pc-")
                    || rest
                        .strip_prefix('-')
                        .is_some_and(|version| version.starts_with(|at: char| at.is_ascii_digit()))
            })
        })
}

fn uuid_text(value: &str) -> bool {
    let groups: Vec<usize> = value.split('-').map(str::len).collect();
    groups == [8, 4, 4, 4, 12]
        && value
            .chars()
            .all(|digit| digit == '-' || digit.is_ascii_hexdigit())
}

fn generation(value: &str) -> bool {
    value == "0" || value == "1" || uuid_text(value)
}

fn serial(value: &str) -> bool {
    value == "socket"
        || value
            .strip_prefix("/dev/")
            .is_some_and(|rest| !rest.is_empty() && !rest.contains(','))
}
