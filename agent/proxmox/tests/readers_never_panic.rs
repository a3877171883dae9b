//! Every reader of what a network or a person sends, given what nobody would send.
//!
//! A reader may refuse; it may not panic. How many inputs, and where they begin: see `omni_scale_noise`.

use omni_scale_noise::{damaged_json, hold_against};
use omni_scale_proxmox::{
    Address, ApiToken, Complaint, DiskSize, Fingerprint, MacAddress, NodeName, PropertyString,
    Slot, Smbios, SshKeys, StorageId, TagList, Upid, VmName, Vmid, VolumeId,
    testing::read_everything,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

fn for_all<T: std::fmt::Debug>(strategy: &impl Strategy<Value = T>, reader: impl Fn(T)) {
    let config = Config {
        cases: omni_scale_noise::inputs(),
        rng_seed: RngSeed::Fixed(omni_scale_noise::seed()),
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
fn noise_answers() {
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
fn noise_names_of_tasks() {
    for_all(&prop_oneof![1 => noise(), 3 => fragments()], |text| {
        if let Ok(upid) = text.parse::<Upid>() {
            assert_eq!(upid.to_string(), text);
        }
    });
}

#[test]
fn noise_values_and_names() {
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

/// Good answers with damage: closer to what a broken server would send than noise is.
#[test]
fn noise_damaged_answers() {
    let address: Address = "https://pve.lan".parse().unwrap();
    let token: ApiToken = "omni@pve!scale=5f2c3a1e".parse().unwrap();
    let samples = [
        r#"{"digest":"0b1c","name":"talos-1","memory":"4096","smbios1":"uuid=3f2a0000-0000-5000-8000-000000000001",
            "scsi0":"fast:vm-105-disk-1,size=32G","ide2":"none,media=cdrom","net0":"virtio=BC:24:11:2A:00:01,bridge=vmbr0",
            "tags":"a;b","lock":"create","protection":1}"#,
        r#"[{"node":"pve1","status":"online","maxcpu":8,"cpu":0.2,"maxmem":1e10,"mem":"10","ssl_fingerprint":"AB:CD"}]"#,
        r#"[{"type":"qemu","id":"qemu/105","vmid":105,"node":"pve1","status":"running","tags":"a;b","template":0}]"#,
        r#"[{"storage":"local","type":"dir","content":"iso,import","active":1,"avail":1,"shared":"0"}]"#,
        r#"[{"volid":"local:iso/x.iso","content":"iso","format":"iso","size":4,"vmid":"105"}]"#,
        r#"[{"upid":"UPID:pve1:0000C3F1:0A1B2C3D:65A1B2C3:qmcreate:105:omni@pve!scale:","status":"OK","endtime":1}]"#,
        r#"{"result":[{"name":"eth0","ip-addresses":[{"ip-address":"192.0.2.5","prefix":24}]}]}"#,
        r#"{"/vms":{"VM.Audit":1},"next-id":{"lower":"100"},"registered-tags":["a"],"status":"stopped","exitstatus":"OK"}"#,
    ];
    let samples = samples.map(|sample| serde_json::from_str::<serde_json::Value>(sample).unwrap());
    let body = |dice: &mut omni_scale_noise::Dice| {
        let sample = &samples[dice.roll(samples.len())];
        serde_json::json!({ "data": damaged_json(dice, sample) }).to_string()
    };
    hold_against("answers of Proxmox", body, |body| {
        read_everything(&address, &token, 200, "OK", body.as_bytes());
    });
    for sample in &samples {
        let body = serde_json::json!({ "data": sample }).to_string();
        assert!(
            read_everything(&address, &token, 200, "OK", body.as_bytes()) > 0,
            "{body}"
        );
    }
}
