//! A deployment for tests: tsidp on `idp`, the stack on `omni`, images by tag.

use std::collections::{BTreeMap, BTreeSet};

use omni_scale_proto::id::HostName;
use omni_scale_proto::role::HostRole;
use omni_scale_proto::v1::{self, network_mode::Mode, segment::Part};

use super::desired::{
    Desired, DesiredClient, DesiredHost, DesiredIdentity, DesiredSecret, DesiredStack, Wave,
};
use super::machines::{DesiredGroup, DesiredMachines, Purpose};

/// The tailnet of the examples.
pub const TAILNET: &str = "tail.example.net";

/// A host's name.
pub fn host(name: &str) -> HostName {
    name.parse().expect("examples use valid names")
}

/// A program's sum that is a repetition of `digit`.
pub fn sum(digit: char) -> String {
    digit.to_string().repeat(64)
}

/// What is wanted.
pub fn desired() -> Desired {
    let hosts = [("idp", HostRole::Tsidp), ("omni", HostRole::Omni)];
    Desired {
        deployment: "7f2c6a54-9f0e-4c1e-8f61-0a2d9f1f8a11"
            .parse()
            .expect("a UUID"),
        hosts: hosts
            .into_iter()
            .map(|(name, role)| {
                let wanted = DesiredHost {
                    roles: BTreeSet::from([role]),
                    dns_name: format!("{name}.{TAILNET}"),
                };
                (host(name), wanted)
            })
            .collect(),
        identity: DesiredIdentity::Tsidp {
            host: host("idp"),
            configuration: unit(),
            dns_name: format!("tsidp.{TAILNET}"),
        },
        stack: DesiredStack {
            host: host("omni"),
            stack: stack(),
            sidecar: "omni-tailscale".parse().expect("a service name"),
            omni: "omni".parse().expect("a service name"),
            provider: Some("proxmox-provider".parse().expect("a service name")),
            dns_name: format!("omni.{TAILNET}"),
            health_url: "http://127.0.0.1:8080/healthz".to_owned(),
        },
        client: None,
        machines: None,
        secrets: secrets(),
        extra_roots_pem: String::new(),
    }
}

fn secrets() -> Vec<DesiredSecret> {
    let secret = |of: &str, name: &str, wave, usage, one_time| DesiredSecret {
        host: host(of),
        name: name.parse().expect("a secret name"),
        usage,
        wave,
        one_time,
    };
    let opaque = v1::SecretUse::Opaque;
    let key = v1::SecretUse::OmniEncryptionKey;
    vec![
        secret("idp", "tsidp-auth-key", Wave::Identity, opaque, true),
        secret("omni", "omni-client-secret", Wave::Client, opaque, false),
        secret("omni", "sidecar-auth-key", Wave::Sidecar, opaque, true),
        secret("omni", "omni-encryption-key", Wave::Omni, key, false),
        secret("omni", "provider-key", Wave::Provider, opaque, false),
    ]
}

/// The same, with a client that is registered on the way.
pub fn with_client() -> Desired {
    let mut desired = desired();
    desired.client = Some(DesiredClient {
        client: v1::Client {
            issuer: format!("https://tsidp.{TAILNET}"),
            redirect_uri: format!("https://omni.{TAILNET}/oidc/consume"),
            client_name: omni_scale_proto::client::client_name(desired.deployment),
            id_secret: "omni-client-id".to_owned(),
            secret_secret: "omni-client-secret".to_owned(),
            extra_roots_pem: String::new(),
        },
        expected_emails: vec!["ada@example.net".to_owned()],
        unverified_email_accepted: false,
    });
    desired
}

/// The same, with control planes, and with a host `omni` that is a machine to be made. The agent of
/// `idp` reaches the cluster.
pub fn with_machines() -> Desired {
    let mut desired = desired();
    let secret = |name: &str, wave, one_time| DesiredSecret {
        host: host("idp"),
        name: name.parse().expect("a secret name"),
        usage: v1::SecretUse::Opaque,
        wave,
        one_time,
    };
    desired.secrets.extend([
        secret("proxmox-token", Wave::HostMachines, false),
        secret("omni-node-key", Wave::HostMachines, true),
        secret("omni-join", Wave::Machines, false),
    ]);
    if let Some(idp) = desired.hosts.get_mut(&host("idp")) {
        idp.roles.insert(HostRole::Proxmox);
    }
    desired.machines = Some(machines());
    desired
}

/// The same, without machines that become hosts.
pub fn with_control_planes() -> Desired {
    let mut desired = with_machines();
    if let Some(machines) = &mut desired.machines {
        machines.groups.retain(|group| group.name != "omni");
    }
    for secret in &mut desired.secrets {
        if secret.wave == Wave::HostMachines {
            secret.wave = Wave::Machines;
        }
    }
    desired
        .secrets
        .retain(|secret| secret.name.as_str() != "omni-node-key");
    desired
}

fn machines() -> DesiredMachines {
    let alike = v1::Machine {
        vmid_range: Some(VMIDS),
        cores: 4,
        memory_mebibytes: 8192,
        cpu: "x86-64-v2-AES".to_owned(),
        disks: vec![v1::Disk {
            storage: "local-lvm".to_owned(),
            size_gibibytes: 32,
            solid_state: true,
        }],
        networks: vec![v1::NetworkInterface {
            bridge: "vmbr0".to_owned(),
            ..v1::NetworkInterface::default()
        }],
        image: Some(v1::MachineImage {
            kind: v1::MachineImageKind::Disk.into(),
            url: "https://example.net/image.qcow2".to_owned(),
            sha256: sum('d'),
            storage: "local".to_owned(),
        }),
        firmware_storage: "local-lvm".to_owned(),
        iso_storage: "local".to_owned(),
        start_on_boot: true,
        ..v1::Machine::default()
    };
    let boots_with = |secret: &str| {
        Some(text(Part::Secret(v1::SecretReference {
            name: secret.to_owned(),
            encoding: v1::SecretEncoding::Raw.into(),
        })))
    };
    let group = |name: &str, purpose, names: &[&str], machine: v1::Machine| DesiredGroup {
        name: name.to_owned(),
        purpose,
        nodes: BTreeSet::new(),
        machines: names
            .iter()
            .map(|machine_name| v1::Machine {
                name: (*machine_name).to_owned(),
                group: name.to_owned(),
                ..machine.clone()
            })
            .collect(),
    };
    let planes = v1::Machine {
        kind: v1::MachineKind::Talos.into(),
        firmware: v1::Firmware::Ovmf.into(),
        user_data: boots_with("omni-join"),
        ..alike.clone()
    };
    let omni = v1::Machine {
        kind: v1::MachineKind::Host.into(),
        firmware: v1::Firmware::Seabios.into(),
        user_data: boots_with("omni-node-key"),
        enrollment_secret: "enrollment-omni".to_owned(),
        ..alike
    };
    DesiredMachines {
        host: host("idp"),
        hypervisor: v1::Hypervisor {
            url: "https://pve.example.net:8006".to_owned(),
            token_id: "omni-scale@pve!agent".to_owned(),
            token_secret: "proxmox-token".to_owned(),
            certificate_sha256: vec![sum('e')],
            roots_pem: String::new(),
        },
        vmids: VMIDS,
        nameservers: vec!["192.0.2.53".to_owned()],
        groups: vec![
            group(
                "control-plane",
                Purpose::Talos { apart: true },
                &["control-plane-1", "control-plane-2", "control-plane-3"],
                planes,
            ),
            group("omni", Purpose::Host(host("omni")), &["omni"], omni),
        ],
    }
}

const VMIDS: v1::VmidRange = v1::VmidRange {
    first: 5000,
    last: 5099,
};

/// The tsidp unit.
pub fn unit() -> v1::UnitConfiguration {
    v1::UnitConfiguration {
        artifact: Some(v1::Artifact {
            sha256: sum('a'),
            url: "https://example.net/tsidp".to_owned(),
        }),
        arguments: vec!["-hostname".to_owned(), "tsidp".to_owned()],
        environment: BTreeMap::new(),
        auth_key_secret: "tsidp-auth-key".to_owned(),
        issuer: format!("https://tsidp.{TAILNET}"),
        extra_roots_pem: String::new(),
    }
}

fn stack() -> v1::Stack {
    let mut sidecar = service("omni-tailscale", "tailscale/tailscale:v1.102");
    sidecar.network_mode = Some(on_network("default"));
    sidecar.environment = vec![
        variable("TS_HOSTNAME", "omni"),
        variable("TS_STATE_DIR", "/var/lib/tailscale"),
    ];
    sidecar.files = vec![secret_file("/run/key", "sidecar-auth-key", true)];
    sidecar.mounts = vec![volume_mount("/var/lib/tailscale", "tailscale-state")];
    sidecar.devices = vec![v1::Device {
        source: "/dev/net/tun".to_owned(),
        target: "/dev/net/tun".to_owned(),
        permissions: "rwm".to_owned(),
    }];
    sidecar.ports = vec![v1::PublishedPort {
        host_address: "192.0.2.10".to_owned(),
        host_port: 8090,
        container_port: 8090,
        protocol: v1::PortProtocol::Tcp.into(),
    }];
    sidecar.health_check = Some(v1::HealthCheck {
        test: vec!["CMD".to_owned(), "healthy".to_owned()],
        ..v1::HealthCheck::default()
    });

    let mut omni = sharer("omni", "siderolabs/omni:v1.4");
    omni.depends_on = vec![after("omni-tailscale", v1::DependencyCondition::Healthy)];
    omni.files = vec![
        secret_file("/etc/omni/client", "omni-client-secret", false),
        secret_file("/etc/omni/key.asc", "omni-encryption-key", false),
    ];
    omni.mounts = vec![volume_mount("/_out", "omni-data")];

    let mut provider = sharer("proxmox-provider", "siderolabs/provider:v0.3");
    provider.depends_on = vec![after("omni", v1::DependencyCondition::Started)];
    provider.files = vec![secret_file("/etc/provider", "provider-key", false)];
    v1::Stack {
        name: "omni".to_owned(),
        services: vec![sidecar, omni, provider],
        volumes: ["tailscale-state", "omni-data"].map(volume).into(),
        networks: vec![v1::Network {
            name: "default".to_owned(),
            engine_name: "omni_default".to_owned(),
            ..v1::Network::default()
        }],
    }
}

fn service(name: &str, image: &str) -> v1::Service {
    v1::Service {
        name: name.to_owned(),
        image: image.to_owned(),
        restart: v1::RestartPolicy::UnlessStopped.into(),
        ..v1::Service::default()
    }
}

fn sharer(name: &str, image: &str) -> v1::Service {
    v1::Service {
        network_mode: Some(v1::NetworkMode {
            mode: Some(Mode::Service("omni-tailscale".to_owned())),
        }),
        ..service(name, image)
    }
}

fn on_network(name: &str) -> v1::NetworkMode {
    let mode = Some(Mode::Networks(v1::NetworkMemberships {
        memberships: vec![v1::NetworkMembership {
            network: name.to_owned(),
            ..v1::NetworkMembership::default()
        }],
    }));
    v1::NetworkMode { mode }
}

fn after(name: &str, condition: v1::DependencyCondition) -> v1::Dependency {
    v1::Dependency {
        service: name.to_owned(),
        condition: condition.into(),
    }
}

fn variable(name: &str, value: &str) -> v1::EnvironmentVariable {
    v1::EnvironmentVariable {
        name: name.to_owned(),
        value: Some(text(Part::Literal(value.to_owned()))),
    }
}

fn secret_file(path: &str, secret: &str, one_time: bool) -> v1::File {
    v1::File {
        path: path.to_owned(),
        content: Some(text(Part::Secret(v1::SecretReference {
            name: secret.to_owned(),
            encoding: v1::SecretEncoding::Raw.into(),
        }))),
        mode: 0o400,
        one_time,
        ..v1::File::default()
    }
}

fn text(part: Part) -> v1::Text {
    v1::Text {
        segments: vec![v1::Segment { part: Some(part) }],
    }
}

fn volume(name: &str) -> v1::Volume {
    v1::Volume {
        name: name.to_owned(),
        engine_name: format!("omni_{name}"),
        ..v1::Volume::default()
    }
}

fn volume_mount(target: &str, volume: &str) -> v1::Mount {
    v1::Mount {
        target: target.to_owned(),
        read_only: false,
        source: Some(v1::mount::Source::Volume(volume.to_owned())),
    }
}
