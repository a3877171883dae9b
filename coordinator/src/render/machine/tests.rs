//! What a machine is given, whole.

use std::collections::BTreeMap;
use std::path::Path;

use omni_scale_proto::v1::{SecretEncoding, Text, segment::Part};

use super::*;
use crate::deployment::{Deployment, HostMachine, MachineKind, read};
use crate::plan::DesiredStack;

const FULL: &str = include_str!("../../deployment/fixtures/full.yaml");
const COMPOSE: &str = include_str!("../../deployment/fixtures/compose.yaml");
const MACHINES: &str = include_str!("../../deployment/fixtures/machines.yaml");

fn deployment(text: &str) -> Deployment {
    let files = BTreeMap::from([
        (
            "roots.pem",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n\n\
             -----BEGIN CERTIFICATE-----\nBBBB\n-----END CERTIFICATE-----\n",
        ),
        (
            "tailscale.asc",
            "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----\n",
        ),
    ]);
    read(&files, Path::new("deployment.yaml"), text).unwrap_or_else(|error| panic!("{error}"))
}

/// Two machines that become the hosts, made by the agent of a third.
fn full() -> Deployment {
    let capability = "tailnet:\n  capability: example.com/cap/omni-scale\n";
    let text = FULL.replacen("tailnet:\n", capability, 1);
    deployment(&(text.replacen("hosts:\n", "hosts:\n  pve:\n    roles: [proxmox]\n", 1) + MACHINES))
}

fn machine<'a>(deployment: &'a Deployment, name: &str) -> &'a HostMachine {
    match &deployment.machines[&name.parse().expect("a node's name")].kind {
        MachineKind::Host(machine) => machine,
        MachineKind::Talos { .. } => panic!("{name} is no host"),
    }
}

/// The text with the names of its secrets, each a JSON string as its value will be.
fn shown(text: &Text) -> String {
    text.segments
        .iter()
        .map(|segment| match segment.part.as_ref().expect("a part") {
            Part::Literal(literal) => literal.clone(),
            Part::Secret(secret) => {
                assert_eq!(secret.encoding(), SecretEncoding::JsonString);
                format!("\"SECRET {}\"", secret.name)
            }
        })
        .collect()
}

/// The stack; a Compose file of the user's has an image from elsewhere.
fn stack(deployment: &Deployment) -> DesiredStack {
    let compose = "name: own\nservices:\n  tailscale: {image: tailscale/tailscale:v1}\n  \
        omni: {image: registry.lab/omni:v1, network_mode: service:tailscale}\n  \
        provider: {image: alpine, profiles: [provider]}\n";
    let files = BTreeMap::from([("stack/compose.yaml", compose), ("stack/omni.env", "")]);
    crate::render::stack(&files, deployment).unwrap_or_else(|error| panic!("{error}"))
}

fn user_data(deployment: &Deployment, name: &str) -> String {
    let host = name.parse().expect("a host's name");
    let text = host_user_data(
        deployment,
        &stack(deployment),
        &host,
        machine(deployment, name),
    );
    shown(&text)
}

#[test]
fn the_machine_of_tsidp_is_given_all_that_it_needs() {
    insta::assert_snapshot!("idp_user_data", user_data(&full(), "idp-host"));
}

#[test]
fn the_machine_of_omni_is_given_all_that_it_needs() {
    insta::assert_snapshot!("omni_user_data", user_data(&full(), "omni-host"));
}

#[test]
fn two_secrets_are_in_it_and_no_argument_holds_one() {
    let text = user_data(&full(), "omni-host");
    assert_eq!(text.matches("SECRET").count(), 2);
    for secret in ["omni-host-auth-key", "enrollment-omni-host"] {
        assert!(
            text.contains(&format!(
                "permissions: \"0400\"\n    content: \"SECRET {secret}\"\n"
            )),
            "{text}"
        );
    }
}

#[test]
fn it_is_a_document_that_cloud_init_can_read() {
    for name in ["idp-host", "omni-host"] {
        let text = user_data(&full(), name);
        let report = crate::document::parse("user-data", &text);
        assert!(report.is_ok(), "{name}: {:?}", report.err());
    }
}

#[test]
fn a_second_try_does_not_use_the_key_again() {
    let text = user_data(&full(), "idp-host");
    let script: Vec<&str> = text.lines().map(str::trim).collect();
    let place = |wanted: &str| script.iter().position(|line| line.starts_with(wanted));
    let asked = place("if ! tailscale status --json").unwrap();
    assert_eq!(
        script[asked + 1],
        r#"set -- "$@" --auth-key=file:"$secrets"/auth-key"#
    );
    assert_eq!(script[asked + 2..asked + 4], ["fi", r#"tailscale up "$@""#]);
    assert_eq!(text.matches("--auth-key").count(), 1);
}

#[test]
fn what_the_agent_allows_by_itself_is_not_asked_for() {
    let deployment = full();
    let omni = user_data(&deployment, "omni-host");
    assert!(!omni.contains("--allow-image-repository"), "{omni}");
    let elsewhere =
        FULL.replacen("hosts:\n", "hosts:\n  pve:\n    roles: [proxmox]\n", 1) + MACHINES;
    let elsewhere = elsewhere.replace(
        "image: tailscale/tailscale:",
        "image: registry.lab:5000/tailscale:",
    );
    let omni = user_data(&self::deployment(&elsewhere), "omni-host");
    assert!(
        omni.contains(" --allow-image-repository 'registry.lab:5000/tailscale'\n"),
        "{omni}"
    );
    let full = self::full();
    let own = self::stack(&self::deployment(COMPOSE));
    let own = shown(&host_user_data(
        &full,
        &own,
        &"omni-host".parse().expect("a host's name"),
        machine(&full, "omni-host"),
    ));
    let allowed =
        " --allow-image-repository 'alpine' --allow-image-repository 'registry.lab/omni'\n";
    assert!(own.contains(allowed), "{own}");
    let released = "https://github.com/tailscale/tsidp/releases/download/v1/tsidp";
    let released = elsewhere.replace("http://10.77.0.2:8000/tsidp", released);
    let idp = user_data(&self::deployment(&released), "idp-host");
    assert!(!idp.contains("--allow-artifact"), "{idp}");
}

#[test]
fn a_machine_asks_dhcp_or_is_told_and_always_knows_its_name_servers() {
    let deployment = full();
    let proxmox = deployment.proxmox.as_ref().unwrap();
    insta::assert_snapshot!(
        host_network_configuration(proxmox, machine(&deployment, "idp-host")),
        @r#"
    version: 2
    ethernets:
      lan:
        match:
          name: "e*"
        dhcp4: true
        dhcp4-overrides:
          use-dns: false
          use-domains: false
        nameservers:
          addresses:
            - "192.168.1.1"
            - "192.168.1.2"
          search:
            - "site.lan"
    "#
    );
    insta::assert_snapshot!(
        host_network_configuration(proxmox, machine(&deployment, "omni-host")),
        @r#"
    version: 2
    ethernets:
      lan:
        match:
          name: "e*"
        addresses:
          - "192.168.1.20/24"
        routes:
          - to: "0.0.0.0/0"
            via: "192.168.1.1"
        nameservers:
          addresses:
            - "192.168.1.1"
            - "192.168.1.2"
          search:
            - "site.lan"
    "#
    );
    insta::assert_snapshot!(talos_network_configuration(proxmox), @r#"
    version: 1
    config:
      - type: nameserver
        address:
          - "192.168.1.1"
          - "192.168.1.2"
        search:
          - "site.lan"
    "#);
}
