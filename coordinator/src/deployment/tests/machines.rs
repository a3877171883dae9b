//! `proxmox` and `machines`.

use super::*;

/// A cluster, a host that is a machine of it, and control planes.
const MACHINES: &str = r#"
proxmox:
  host: idp-host
  url: https://pve.lan:8006
  token_id: omni-scale@pve!agent
  token_secret: { secret: proxmox-token }
  certificate_sha256: ["AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99"]
  vmids: 5000-5099
  storage: local-lvm
  image_storage: local
  bridge: vmbr0
  nameservers: [192.168.1.1]
  search: site.lan
machines:
  omni-host:
    host:
      auth_key: { secret: omni-host-auth-key }
      address: 192.168.1.20/24
      gateway: 192.168.1.1
      packages: [docker.io]
      files:
        - url: https://example.com/omni-scale-agent.deb
          sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
      repositories:
        - { name: tailscale, url: "https://pkgs.tailscale.com/stable/debian", suite: bookworm, components: [main], key: tailscale.asc }
    cores: 4
    memory: 8GiB
    disks: [{ size: 64GiB }]
    image:
      url: https://cloud.debian.org/images/debian-12-genericcloud-amd64.qcow2
      sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
    nodes: [pve1]
  control-plane:
    talos: { join: { secret: omni-join }, control_plane: true }
    count: 3
    cores: 4
    memory: 8GiB
    disks: [{ size: 32GiB, storage: nvme }]
    networks: [{ vlan: 20 }]
    image:
      url: https://factory.talos.dev/image/nocloud-amd64.iso
      sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
"#;

pub(super) fn with_machines() -> String {
    GOOD.replacen("roles: [tsidp]", "roles: [tsidp, proxmox]", 1) + MACHINES
}

pub(super) fn machine_files() -> BTreeMap<&'static str, &'static str> {
    let key = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----\n";
    BTreeMap::from([("roots.pem", ROOTS), ("tailscale.asc", key)])
}

/// The problems of the good machines after one replacement.
fn machine_problems_after(from: &str, to: &str) -> String {
    let good = with_machines();
    assert!(good.contains(from), "`{from}` is in the fixture");
    let text = good.replacen(from, to, 1);
    match read(&machine_files(), Path::new("deployment.yaml"), &text) {
        Ok(_) => panic!("`{to}` was accepted"),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn machines_are_read() {
    let deployment = read(
        &machine_files(),
        Path::new("deployment.yaml"),
        &with_machines(),
    )
    .unwrap();
    assert!(deployment.warnings.is_empty(), "{:?}", deployment.warnings);
    let proxmox = deployment.proxmox.unwrap();
    assert_eq!(proxmox.vmids, 5000..=5099);
    let ProxmoxTrust::Pins(pins) = proxmox.trust else {
        panic!()
    };
    assert!(pins[0].to_string().starts_with("aabbccddeeff00"));
    let host = &deployment.machines[&"omni-host".parse().unwrap()];
    assert_eq!((host.count, host.memory_mebibytes), (1, 8192));
    assert_eq!(host.disks[0].storage, "local-lvm");
    assert_eq!(host.networks[0].bridge, "vmbr0");
    assert!(!host.image.iso);
    let MachineKind::Host(installed) = &host.kind else {
        panic!()
    };
    assert_eq!(installed.address.as_ref().unwrap().prefix_length, 24);
    assert_eq!(installed.repositories[0].suite, "bookworm");
    let planes = &deployment.machines[&"control-plane".parse().unwrap()];
    assert_eq!(planes.count, 3);
    assert_eq!(planes.networks[0].vlan, Some(20));
    assert!(planes.image.iso);
}

#[test]
fn a_packed_image_is_refused_with_its_place() {
    for (from, to) in [
        ("genericcloud-amd64.qcow2", "genericcloud-amd64.raw.xz"),
        ("nocloud-amd64.iso", "nocloud-amd64.raw.ZST"),
        ("nocloud-amd64.iso", "nocloud-amd64.tar.gz"),
    ] {
        let problems = machine_problems_after(from, to);
        assert!(
            problems.contains("makes no machine from a packed image"),
            "{to}: {problems}"
        );
    }
}

#[test]
fn machines_that_cannot_be_meant_are_refused_with_their_place() {
    for (from, to, told) in [
        (
            "  omni-host:\n    host:",
            "  other:\n    host:",
            "a host that nobody declares",
        ),
        (
            "  omni-host:\n    host:\n      auth_key",
            "  idp-host:\n    host:\n      auth_key",
            "cannot make its own",
        ),
        (
            "    nodes: [pve1]\n",
            "    networks: [{}, {}]\n",
            "has one interface",
        ),
        (
            "components: [main]",
            "components: []",
            "at least one component",
        ),
        ("count: 3", "count: 0", "a whole number from 1 to 100"),
        ("memory: 8GiB", "memory: 8G", "is not a size like `8GiB`"),
        ("size: 32GiB", "size: 1500MiB", "whole gibibytes"),
        ("vlan: 20", "vlan: 4095", "a whole number from 1 to 4094"),
        (
            "vmids: 5000-5099",
            "vmids: 5099-5000",
            "is not a range of VMIDs",
        ),
        (
            "storage: local-lvm",
            "storage: a,b=c",
            "is not a name of Proxmox",
        ),
        (
            "bridge: vmbr0",
            "bridge: vmbr0/1",
            "is not a name of Proxmox",
        ),
        (
            "      gateway: 192.168.1.1\n",
            "",
            "`address` and `gateway` come together",
        ),
        (
            "packages: [docker.io]",
            "packages: [\"$(reboot)\"]",
            "is no name of a Debian package",
        ),
        (
            "key: tailscale.asc",
            "key: roots.pem",
            "is no ASCII-armoured OpenPGP public key",
        ),
        (
            "host: idp-host\n  url: https",
            "host: omni-host\n  url: https",
            "has not the role `proxmox`",
        ),
        (
            "url: https://pve.lan:8006\n",
            "url: https://pve.lan:8006/pve\n",
            "without a path",
        ),
        (
            "nameservers: [192.168.1.1]",
            "nameservers: []",
            "name at least one server",
        ),
        (
            "talos: { join: { secret: omni-join }, control_plane: true }",
            "labels: x",
            "does not say what it is",
        ),
        (
            "extra_roots: [roots.pem]",
            "capability: tailscale.com/cap/omni-scale",
            "is not a capability name: a domain of yours",
        ),
        (
            "search: site.lan",
            "search: site.lan.",
            "is not a search domain",
        ),
        (
            "token_secret: { secret: proxmox-token }",
            "token_secret: hunter2",
            "must not hold one",
        ),
    ] {
        let problems = machine_problems_after(from, to);
        assert!(problems.contains(told), "{to}: {problems}");
        assert!(problems.contains("deployment.yaml:"), "{problems}");
        assert!(!problems.contains("hunter2"), "{problems}");
        assert!(!problems.contains("unknown key `machines`"), "{problems}");
    }
}

#[test]
fn a_search_domain_may_be_one_label() {
    let text = with_machines().replacen("search: site.lan", "search: lan", 1);
    let deployment = read(&machine_files(), Path::new("deployment.yaml"), &text);
    assert_eq!(
        deployment.unwrap().proxmox.unwrap().search.to_string(),
        "lan"
    );
}

#[test]
fn two_machines_do_not_share_a_key_that_is_good_for_one_login() {
    let full = include_str!("../fixtures/full.yaml").replacen(
        "hosts:\n",
        "hosts:\n  pve:\n    roles: [proxmox]\n",
        1,
    );
    let text = full + include_str!("../fixtures/machines.yaml");
    assert!(read(&machine_files(), Path::new("deployment.yaml"), &text).is_ok());
    let text = text.replace("secret: idp-host-auth-key", "secret: omni-host-auth-key");
    let problems = read(&machine_files(), Path::new("deployment.yaml"), &text).unwrap_err();
    assert!(
        problems.to_string().contains(
            "`idp-host` and `omni-host` would both log in with the secret `omni-host-auth-key`"
        ),
        "{problems}"
    );
}

#[test]
fn machines_without_a_cluster_are_refused() {
    let text = GOOD.to_owned() + "\nmachines: {}\n";
    let problems = read_text(&text).unwrap_err().to_string();
    assert!(
        problems.contains("no place where `machines` could be made"),
        "{problems}"
    );
}
