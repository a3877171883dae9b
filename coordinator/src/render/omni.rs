//! `omni`: Omni itself, in the sidecar's namespace, with its configuration in one file.
//!
//! The keys of that file, with their sources, are listed in `tests/standins/README.md`. Omni
//! refuses to start on a key that it does not know.

use std::net::SocketAddr;

use omni_scale_proto::v1::{
    self, Arguments, Dependency, DependencyCondition, Device, NetworkMode, SecretEncoding,
    network_mode::Mode,
};

use super::parts::{
    API_PORT, ETCD_VOLUME, KUBERNETES_PROXY_PORT, KUBERNETES_PUBLIC_PORT, MACHINE_API_PORT, OMNI,
    SIDECAR, SQLITE_VOLUME, WIREGUARD_PORT, base,
};
use super::text::{self, DIRECTORY, PRIVATE, TextBuilder, file, volume};
use super::{issuer, omni_dns_name};
use crate::deployment::{BuiltInStack, Deployment};

/// Omni's stop ends within five seconds as a rule; losing what etcd has not written costs more.
const STOP_GRACE_MILLISECONDS: u32 = 30_000;

const ETCD_DIRECTORY: &str = "/var/lib/omni/etcd";
const SQLITE_DIRECTORY: &str = "/var/lib/omni/sqlite";

pub(super) fn render(deployment: &Deployment, stack: &BuiltInStack) -> v1::Service {
    let configuration_file = format!("{DIRECTORY}/omni.yaml");
    let whole = |name| {
        TextBuilder::default()
            .secret(name, SecretEncoding::Raw)
            .build()
    };
    let mut service = v1::Service {
        command: Some(Arguments {
            values: vec!["--config-path".to_owned(), configuration_file.clone()],
        }),
        files: vec![
            file(
                &configuration_file,
                configuration(deployment, stack),
                PRIVATE,
            ),
            file(
                &encryption_key_file(),
                whole(&stack.encryption_key),
                PRIVATE,
            ),
        ],
        mounts: vec![
            volume(ETCD_VOLUME, ETCD_DIRECTORY),
            volume(SQLITE_VOLUME, SQLITE_DIRECTORY),
        ],
        // Omni makes a WireGuard interface of its own.
        devices: vec![Device {
            source: "/dev/net/tun".to_owned(),
            target: "/dev/net/tun".to_owned(),
            permissions: "rwm".to_owned(),
        }],
        capabilities_add: vec!["NET_ADMIN".to_owned()],
        network_mode: Some(NetworkMode {
            mode: Some(Mode::Service(SIDECAR.to_owned())),
        }),
        depends_on: vec![Dependency {
            service: SIDECAR.to_owned(),
            condition: DependencyCondition::Healthy.into(),
        }],
        stop_grace_milliseconds: Some(STOP_GRACE_MILLISECONDS),
        // No health check: the image has nothing in it that could run one.
        ..base(OMNI, &stack.image)
    };
    if let Some(machine_api) = &stack.machine_api {
        let (certificate, key) = machine_api_files();
        service
            .files
            .push(file(&certificate, whole(&machine_api.certificate), PRIVATE));
        service
            .files
            .push(file(&key, whole(&machine_api.key), PRIVATE));
    }
    text::trust(&mut service, &deployment.tailnet.extra_roots_pem);
    text::sorted(service)
}

fn encryption_key_file() -> String {
    format!("{DIRECTORY}/encryption-key.asc")
}

fn machine_api_files() -> (String, String) {
    (
        format!("{DIRECTORY}/machine-api/tls.crt"),
        format!("{DIRECTORY}/machine-api/tls.key"),
    )
}

fn configuration(deployment: &Deployment, stack: &BuiltInStack) -> v1::Text {
    let builder = account(TextBuilder::default(), deployment, stack);
    let builder = services(builder, deployment, stack);
    let builder = authentication(builder, deployment, stack);
    let mut builder = builder
        .literal("storage:\n  sqlite:\n")
        .yaml("    path", &format!("{SQLITE_DIRECTORY}/omni.db"))
        .literal("  default:\n    etcd:\n")
        .yaml("      embeddedDBPath", ETCD_DIRECTORY)
        .yaml(
            "      privateKeySource",
            &format!("file://{}", encryption_key_file()),
        );
    if let Some(eula) = &stack.eula {
        builder = builder
            .literal("eulaAccept:\n")
            .yaml("  name", &eula.name)
            .yaml("  email", eula.email.as_str());
    }
    builder.build()
}

fn account(builder: TextBuilder, deployment: &Deployment, stack: &BuiltInStack) -> TextBuilder {
    builder
        .literal("account:\n")
        .yaml("  id", &stack.account_id.to_string())
        .yaml("  name", deployment.omni.name.as_str())
}

/// What the sidecar serves, and what nobody else may reach, listens on loopback: everything else
/// in this namespace is open to the tailnet.
fn services(builder: TextBuilder, deployment: &Deployment, stack: &BuiltInStack) -> TextBuilder {
    let name = omni_dns_name(deployment);
    let lan = |port| SocketAddr::new(stack.lan_address.ip(), port).to_string();
    let loopback = |port: u16| format!("127.0.0.1:{port}");
    let everywhere = |port: u16| format!("0.0.0.0:{port}");
    let mut builder = builder
        .literal("services:\n  api:\n")
        .yaml("    endpoint", &loopback(API_PORT))
        .yaml("    advertisedURL", &format!("https://{name}"))
        .literal("  kubernetesProxy:\n")
        .yaml("    endpoint", &loopback(KUBERNETES_PROXY_PORT))
        .yaml(
            "    advertisedURL",
            &format!("https://{name}:{KUBERNETES_PUBLIC_PORT}"),
        )
        .literal("  machineAPI:\n")
        .yaml("    endpoint", &everywhere(MACHINE_API_PORT));
    if stack.machine_api.is_some() {
        let (certificate, key) = machine_api_files();
        builder = builder
            .yaml(
                "    advertisedURL",
                &format!("https://{}", lan(MACHINE_API_PORT)),
            )
            .yaml("    certFile", &certificate)
            .yaml("    keyFile", &key);
    } else {
        builder = builder.yaml(
            "    advertisedURL",
            &format!("grpc://{}", lan(MACHINE_API_PORT)),
        );
    }
    builder
        .literal("  siderolink:\n    wireGuard:\n")
        .yaml("      endpoint", &everywhere(WIREGUARD_PORT))
        .yaml("      advertisedEndpoint", &lan(WIREGUARD_PORT))
        // The default is the machine API's port, where Omni would meet itself.
        .literal("    eventSinkPort: 8091\n")
        .literal("  metrics:\n")
        .yaml("    endpoint", "127.0.0.1:2122")
        // It lets everything in the namespace read all resources, unasked.
        .literal("  localResourceService:\n    enabled: false\n")
}

fn authentication(
    builder: TextBuilder,
    deployment: &Deployment,
    stack: &BuiltInStack,
) -> TextBuilder {
    let mut builder = builder
        .literal("auth:\n  oidc:\n    enabled: true\n")
        .yaml("    providerURL", issuer(deployment).as_str())
        .yaml_secret("    clientID", &stack.client.id)
        .yaml_secret("    clientSecret", &stack.client.secret)
        .literal("    scopes: [openid, email, profile]\n");
    if stack.allow_unverified_email {
        builder = builder.literal("    allowUnverifiedEmail: true\n");
    }
    builder = builder.literal("  initialUsers:\n");
    for user in &stack.initial_users {
        let quoted = serde_json::Value::from(user.as_str()).to_string();
        builder = builder.literal(&format!("    - {quoted}\n"));
    }
    builder
}
