//! Every reader of what a network or a person sends, given what nobody would send.
//!
//! A reader may refuse; it may not panic. How many inputs: the variable `OMNI_SCALE_FUZZ_INPUTS`, by default few
//! enough for a desk.

use omni_scale_proxmox::{
    Address, ApiToken, Complaint, DiskSize, Fingerprint, MacAddress, NodeName, PropertyString,
    Slot, Smbios, SshKeys, StorageId, TagList, Upid, VmName, Vmid, VolumeId,
    testing::read_everything,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

#[expect(
    clippy::disallowed_methods,
    reason = "the harness says how long to try"
)]
fn inputs() -> u32 {
    let wanted = std::env::var("OMNI_SCALE_FUZZ_INPUTS").ok();
    wanted.map_or(2_000, |wanted| {
        wanted.parse().expect("OMNI_SCALE_FUZZ_INPUTS is a number")
    })
}

fn for_all<T: std::fmt::Debug>(strategy: &impl Strategy<Value = T>, reader: impl Fn(T)) {
    let config = Config {
        cases: inputs(),
        failure_persistence: None,
        ..Config::default()
    };
    let result = TestRunner::new(config).run(strategy, |input| {
        reader(input);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

/// Random characters, of all planes.
fn noise() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<char>(), 0..24)
        .prop_map(|characters| characters.into_iter().collect())
}

const FRAGMENTS: &[&str] = &[
    "UPID:",
    "pve1",
    ":",
    "0000C3F1",
    "0A1B2C3D4",
    "65A1B2C3",
    "qmcreate",
    "105",
    "omni@pve!scale",
    "https://",
    "[",
    "]",
    "::1",
    "8006",
    "/",
    "/api2/json",
    "=",
    ",",
    ";",
    "order=",
    "scsi0",
    "ide2",
    "net",
    "virtio",
    "bridge=vmbr0",
    "size=",
    "32G",
    "4.5",
    "T",
    "uuid=",
    "3f2a0000-0000-5000-8000-000000000001",
    "base64=1",
    "serial=",
    "eA==",
    "%",
    "%20",
    "%zz",
    "local:",
    "iso/x.iso",
    "none",
    "media=cdrom",
    " ",
    "\n",
    "\u{0}",
    "ü",
    "99999999999999999999",
    "-1",
    ".",
    "-",
    "AB",
    "AB:CD",
    "VM is locked (",
    ")",
    "Permission check failed (",
    "/vms",
    "already exists",
];

fn fragments() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(FRAGMENTS), 0..16).prop_map(|parts| parts.concat())
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let keys = prop::sample::select(
        &[
            "data",
            "node",
            "status",
            "upid",
            "vmid",
            "digest",
            "smbios1",
            "scsi0",
            "net0",
            "tags",
            "memory",
            "volid",
            "type",
            "content",
            "storage",
            "id",
            "iface",
            "n",
            "t",
            "result",
            "name",
            "ip-addresses",
            "ip-address",
            "prefix",
            "next-id",
            "registered-tags",
            "exitstatus",
            "cpuinfo",
            "version",
            "errors",
            "message",
            "/vms",
        ][..],
    );
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        fragments().prop_map(Into::into),
        noise().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::vec((keys.clone(), inner), 0..6).prop_map(|pairs| {
                serde_json::Value::Object(
                    pairs
                        .into_iter()
                        .map(|(key, value)| (key.to_owned(), value))
                        .collect(),
                )
            }),
        ]
    })
}

#[test]
fn answers() {
    let address: Address = "https://pve.lan".parse().unwrap();
    let token: ApiToken = "omni@pve!scale=5f2c3a1e".parse().unwrap();
    let body = prop_oneof![
        4 => json().prop_map(|data| serde_json::json!({ "data": data }).to_string().into_bytes()),
        2 => json().prop_map(|body| body.to_string().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..64),
        1 => (1_usize..100_000).prop_map(|depth| "[".repeat(depth).into_bytes()),
    ];
    let status = prop_oneof![4 => Just(200_u16), 4 => 100_u16..1000];
    for_all(
        &(status, prop_oneof![noise(), fragments()], body),
        |(status, reason, body)| {
            read_everything(&address, &token, status, &reason, &body);
        },
    );
}

#[test]
fn names_of_tasks() {
    for_all(&prop_oneof![1 => noise(), 3 => fragments()], |text| {
        if let Ok(upid) = text.parse::<Upid>() {
            assert_eq!(upid.to_string(), text);
        }
    });
}

#[test]
fn values_and_names() {
    for_all(&prop_oneof![1 => noise(), 3 => fragments()], |text| {
        if let Ok(properties) = text.parse::<PropertyString>() {
            let again: PropertyString = properties.to_string().parse().unwrap();
            assert_eq!(again, properties);
        }
        if let Ok(address) = text.parse::<Address>() {
            assert_eq!(
                format!("https://{address}").parse::<Address>().unwrap(),
                address
            );
        }
        if let Ok(size) = text.parse::<DiskSize>() {
            assert_eq!(size.to_string().parse::<DiskSize>().unwrap(), size);
        }
        let _ = (
            text.parse::<Smbios>(),
            text.parse::<Slot>(),
            text.parse::<MacAddress>(),
            SshKeys::read(&text),
        );
        let _ = (
            text.parse::<ApiToken>(),
            text.parse::<Fingerprint>(),
            text.parse::<Vmid>(),
            TagList::new([&*text]),
        );
        let _ = (
            text.parse::<NodeName>(),
            text.parse::<StorageId>(),
            text.parse::<VolumeId>(),
            text.parse::<VmName>(),
        );
        let _ = Complaint::read(&text).class();
    });
}
