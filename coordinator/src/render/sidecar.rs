//! `omni-tailscale`: the tailnet node whose network namespace the others share.
//!
//! Facts of containerboot, the image's entry point, are from tailscale/tailscale
//! `cmd/containerboot` at v1.102.3.

use omni_scale_proto::v1::{
    self, Device, HealthCheck, NetworkMembership, NetworkMemberships, NetworkMode, PortProtocol,
    PublishedPort, SecretEncoding, network_mode::Mode,
};
use serde_json::json;

use super::parts::{
    API_PORT, DEFAULT_NETWORK, KUBERNETES_PROXY_PORT, KUBERNETES_PUBLIC_PORT, MACHINE_API_PORT,
    SIDECAR, STATE_VOLUME, WIREGUARD_PORT, base,
};
use super::text::{self, DIRECTORY, PRIVATE, PUBLIC, TextBuilder, file, plain, variable, volume};
use crate::deployment::{BuiltInStack, Deployment};

const AUTH_KEY_FILE: &str = "/run/omni-scale/tailscale-auth-key";

pub(super) fn render(deployment: &Deployment, stack: &BuiltInStack) -> v1::Service {
    let sidecar = &stack.sidecar;
    let serve_file = format!("{DIRECTORY}/serve/serve.json");
    let mut service = v1::Service {
        mounts: vec![volume(STATE_VOLUME, "/var/lib/tailscale")],
        devices: vec![Device {
            source: "/dev/net/tun".to_owned(),
            target: "/dev/net/tun".to_owned(),
            permissions: "rwm".to_owned(),
        }],
        capabilities_add: vec!["NET_ADMIN".to_owned()],
        ports: published_ports(stack),
        network_mode: Some(NetworkMode {
            mode: Some(Mode::Networks(NetworkMemberships {
                memberships: vec![NetworkMembership {
                    network: DEFAULT_NETWORK.to_owned(),
                    aliases: Vec::new(),
                }],
            })),
        }),
        health_check: Some(health_check()),
        ..base(SIDECAR, &stack.sidecar.image)
    };
    service.environment = vec![
        variable("TS_HOSTNAME", deployment.omni.name.as_str()),
        variable("TS_STATE_DIR", "/var/lib/tailscale"),
        // Omni's own traffic must reach the tailnet, not only the sidecar's.
        variable("TS_USERSPACE", "false"),
        // Omni must resolve the issuer's name when it starts.
        variable("TS_ACCEPT_DNS", "true"),
        // A login at every start would fail once the key has expired.
        variable("TS_AUTH_ONCE", "true"),
        variable("TS_ENABLE_HEALTH_CHECK", "true"),
        // The default is all addresses, the tailnet's among them.
        variable("TS_LOCAL_ADDR_PORT", "127.0.0.1:9002"),
        variable("TS_SERVE_CONFIG", &serve_file),
    ];
    for (name, value) in &sidecar.environment {
        service.environment.push(variable(name, value));
    }
    let login_server = deployment
        .tailnet
        .control_url
        .iter()
        .map(|url| format!("--login-server={url}"));
    let arguments: Vec<String> = login_server
        .chain(sidecar.extra_args.iter().cloned())
        .collect();
    if !arguments.is_empty() {
        service
            .environment
            .push(variable("TS_EXTRA_ARGS", &arguments.join(" ")));
    }
    if let Some(auth_key) = &sidecar.auth_key {
        // The variable stays when the key is gone: it is read only while the node is unknown.
        service
            .environment
            .push(variable("TS_AUTHKEY", &format!("file:{AUTH_KEY_FILE}")));
        let content = TextBuilder::default()
            .secret(auth_key, SecretEncoding::Trimmed)
            .build();
        service.files.push(v1::File {
            one_time: true,
            ..file(AUTH_KEY_FILE, content, PRIVATE)
        });
    }
    // containerboot watches the file's directory, which therefore holds nothing else.
    service
        .files
        .push(file(&serve_file, plain(&serve_configuration()), PUBLIC));
    text::trust(&mut service, &deployment.tailnet.extra_roots_pem);
    text::sorted(service)
}

/// TLS ends in the sidecar, so that certificates renew by themselves. `serve` speaks h2c to a
/// plain backend when the request is gRPC (ipn/ipnlocal/serve.go, shouldProxyViaH2C).
fn serve_configuration() -> String {
    let proxy =
        |port: u16| json!({ "Handlers": { "/": { "Proxy": format!("http://127.0.0.1:{port}") } } });
    let public = KUBERNETES_PUBLIC_PORT;
    let configuration = json!({
        "TCP": {
            "443": { "HTTPS": true },
            public.to_string(): { "HTTPS": true },
        },
        "Web": {
            "${TS_CERT_DOMAIN}:443": proxy(API_PORT),
            format!("${{TS_CERT_DOMAIN}}:{public}"): proxy(KUBERNETES_PROXY_PORT),
        },
    });
    format!("{configuration:#}\n")
}

/// Talos machines are not on the tailnet: two ports, on the LAN's address and no other.
fn published_ports(stack: &BuiltInStack) -> Vec<PublishedPort> {
    [
        (MACHINE_API_PORT, PortProtocol::Tcp),
        (WIREGUARD_PORT, PortProtocol::Udp),
    ]
    .map(|(port, protocol)| PublishedPort {
        host_address: stack.lan_address.ip().to_string(),
        host_port: port.into(),
        container_port: port.into(),
        protocol: protocol.into(),
    })
    .into()
}

/// `tailscale wait` (v1.96 or later) ends in 0 when the node is running and its address is on the
/// interface; `tailscale status` does so while the node is still starting. Every image that can be
/// a sidecar has it, and not every one has an HTTP client for containerboot's own `/healthz`.
fn health_check() -> HealthCheck {
    HealthCheck {
        test: [
            "CMD",
            "tailscale",
            "--socket=/tmp/tailscaled.sock",
            "wait",
            "--timeout=4s",
        ]
        .map(str::to_owned)
        .into(),
        interval_milliseconds: 15_000,
        timeout_milliseconds: 6_000,
        // containerboot itself gives up after 60 s.
        start_period_milliseconds: 90_000,
        start_interval_milliseconds: 1_000,
        retries: 3,
    }
}
