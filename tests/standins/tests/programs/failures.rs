//! Every other way in which a start was seen to fail.

use omni_scale_standins::keys::{Flaw, encryption_key};
use rcgen::{KeyPair, generate_simple_self_signed};
use tokio::net::{TcpListener, UdpSocket};

use crate::world::World;

#[tokio::test]
async fn an_unknown_or_removed_flag() {
    let mut world = World::new().await;
    world.set("frontend-bind", "0.0.0.0:1");
    assert_eq!(world.fails().await, "unknown flag: --frontend-bind");
    world.set_environment("OMNI_STANDIN_VERSION", "v1.9.3");
    world.start().await.kill().await;
    world.set("log-storage-path", "x");
    assert_eq!(world.fails().await, "unknown flag: --log-storage-path");
}

#[tokio::test]
async fn what_is_required() {
    for (flag, path) in [
        ("sqlite-storage-path", ".storage.sqlite.path"),
        (
            "private-key-source",
            ".storage.default.etcd.privateKeySource",
        ),
    ] {
        let mut world = World::new().await;
        world.unset(flag);
        assert_eq!(
            world.fails().await,
            format!(
                "failed to validate config against JSON schema: - config value \"{path}\" or flag \"--{flag}\": is \
                 required but was not set"
            )
        );
    }
}

#[tokio::test]
async fn an_empty_account_id() {
    let mut world = World::new().await;
    world.set("account-id", "");
    assert!(
        world
            .fails()
            .await
            .ends_with("\"--account-id\": must not be empty")
    );
}

#[tokio::test]
async fn a_configuration_file_with_an_unknown_key() {
    let mut world = World::new().await;
    world.write("config.yaml", "auth:\n  oidc:\n    issuer: https://x\n");
    world.set("config-path", world.text("config.yaml"));
    let text = world.fails().await;
    assert!(
        text.contains("unknown keys found during decoding:\n"),
        "{text}"
    );
    assert_eq!(text.lines().last(), Some("        issuer: https://x"));
}

#[tokio::test]
async fn everything_in_one_file() {
    let mut world = World::new().await;
    let flag = |name: &str| {
        world
            .flags
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
            .unwrap_or_default()
    };
    let text = format!(
        "account: {{id: 6ba7b810-9dad-41d1-80b4-00c04fd430c8, name: omni}}\nservices:\n  api: {{endpoint: {}, \
         advertisedURL: https://omni.tail.test}}\n  kubernetesProxy: {{endpoint: {}, advertisedURL: \
         https://omni.tail.test:8100}}\n  machineAPI: {{endpoint: {}, advertisedURL: grpc://192.0.2.1:8090}}\n  metrics: \
         {{endpoint: {}}}\n  siderolink: {{eventSinkPort: 8091, joinTokensMode: strict, wireGuard: {{endpoint: {}, \
         advertisedEndpoint: 192.0.2.1:50180}}}}\n  localResourceService: {{enabled: false}}\nauth:\n  initialUsers: \
         [a@example.com]\n  oidc: {{enabled: true, providerURL: {}, clientID: x, clientSecret: y, scopes: [openid, \
         email]}}\nstorage:\n  sqlite: {{path: {}}}\n  default: {{etcd: {{embeddedDBPath: {}, privateKeySource: {}}}}}\n\
         eulaAccept: {{name: A B, email: a@example.com}}\n",
        flag("bind-addr"),
        flag("k8s-proxy-bind-addr"),
        flag("machine-api-bind-addr"),
        flag("metrics-bind-addr"),
        flag("siderolink-wireguard-bind-addr"),
        flag("auth-oidc-provider-url"),
        flag("sqlite-storage-path"),
        flag("etcd-embedded-db-path"),
        flag("private-key-source"),
    );
    world.write("config.yaml", &text);
    world.flags = vec![("config-path".to_owned(), world.text("config.yaml"))];
    let _running = world.start().await;
    let state = world.state().await;
    assert_eq!(state["account_id"], "6ba7b810-9dad-41d1-80b4-00c04fd430c8");
    assert_eq!(state["users"], serde_json::json!(["a@example.com"]));
    assert_eq!(state["eula_accepted"], true);
}

#[tokio::test]
async fn keys_that_cannot_be_used() {
    let mut world = World::new().await;
    world.set("private-key-source", world.text("omni.asc"));
    assert!(
        world
            .fails()
            .await
            .starts_with("unknown private key source '")
    );
    world.set("private-key-source", "file:///no/such/key");
    let text = world.fails().await;
    assert!(
        text.starts_with("failed to read private key file '/no/such/key': "),
        "{text}"
    );
    assert!(text.ends_with("no such file or directory"), "{text}");
    world.set(
        "private-key-source",
        format!("file://{}", world.text("omni.asc")),
    );
    for (flaw, end) in [
        (Flaw::NoEncryption, "has no valid encryption keys"),
        (Flaw::ExpiredEncryption, "has no valid encryption keys"),
        (Flaw::Passphrase, "private key checksum failure"),
    ] {
        world.write("omni.asc", &encryption_key("Omni <o@x>", flaw).unwrap());
        let text = world.fails().await;
        assert!(text.ends_with(end), "{text}");
    }
    world.write(
        "omni.asc",
        &encryption_key("Omni <o@x>", Flaw::None).unwrap(),
    );
    let poisoned = world.fails().await;
    assert!(
        poisoned.starts_with("slot 'Omni <o@x> ") && poisoned.ends_with("' not found"),
        "{poisoned}"
    );
}

#[tokio::test]
async fn no_authentication_or_half_of_it() {
    let mut world = World::new().await;
    world.unset("auth-oidc-client-secret");
    assert!(
        world
            .fails()
            .await
            .ends_with("OIDC is enabled by it's client secret is not set")
    );
    world.unset("auth-oidc-enabled");
    assert!(
        world
            .fails()
            .await
            .ends_with("no authentication is enabled")
    );
}

#[tokio::test]
async fn an_advertised_url_that_is_not_https() {
    let mut world = World::new().await;
    world.unset("advertised-api-url");
    assert!(
        world
            .fails()
            .await
            .ends_with("scheme for issuer must be `https`")
    );
}

#[tokio::test]
async fn certificates_that_are_absent_or_do_not_match() {
    let mut world = World::new().await;
    let made = generate_simple_self_signed(["omni.tail.test".to_owned()]).unwrap();
    world.write("tls.crt", &made.cert.pem());
    world.set("cert", world.text("tls.crt"));
    world.set("key", world.text("tls.key"));
    let text = world.fails().await;
    assert!(
        text.starts_with("failed to serve: failed to load certs: open "),
        "{text}"
    );
    world.write("tls.key", &KeyPair::generate().unwrap().serialize_pem());
    assert!(
        world
            .fails()
            .await
            .ends_with("tls: private key does not match public key")
    );
}

#[tokio::test]
async fn no_omnictl_directory() {
    let world = World::new().await;
    std::fs::remove_dir(world.path("omnictl")).unwrap();
    let text = world.fails().await;
    assert!(
        text.starts_with("failed to create mux: failed to read directory \"./omnictl/\": "),
        "{text}"
    );
}

#[tokio::test]
async fn no_tun_or_no_right_to_use_it() {
    let mut world = World::new().await;
    world.write("status", "CapEff:\t00000000a80425fb\n");
    assert!(
        world
            .fails()
            .await
            .ends_with("CreateTUN(\"siderolink\") failed; operation not permitted")
    );
    world.set_environment("OMNI_STANDIN_TUN", "/no/such/device");
    assert!(
        world
            .fails()
            .await
            .ends_with("CreateTUN(\"siderolink\") failed; /dev/net/tun does not exist")
    );
}

#[tokio::test]
async fn ports_that_are_taken() {
    let world = World::new().await;
    for (port, before) in [
        (8080, "failed to serve"),
        (2122, "failed to serve"),
        (8100, "failed to serve"),
        (8090, "failed to run server"),
        (2379, "failed to start embedded etcd"),
    ] {
        let address = format!("{}:{port}", world.address);
        let taken = TcpListener::bind(&address).await.unwrap();
        assert_eq!(
            world.fails().await,
            format!("{before}: listen tcp {address}: bind: address already in use")
        );
        drop(taken);
    }
}

#[tokio::test]
async fn the_local_resource_port_taken() {
    let mut world = World::new().await;
    let taken = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let held = TcpListener::bind(taken).await.unwrap();
    world.set("local-resource-server-enabled", "true");
    world.set(
        "local-resource-server-port",
        held.local_addr().unwrap().port().to_string(),
    );
    assert!(world.fails().await.ends_with("address already in use"));
}

#[tokio::test]
async fn the_wireguard_port_taken_shows_only_after_healthz_answered() {
    let mut world = World::new().await;
    let held = UdpSocket::bind((world.address.as_str(), 50180))
        .await
        .unwrap();
    // A fifth of the real time: it serves from 0.2 s to 1.4 s.
    world.set_environment("OMNI_STANDIN_PACE", "0.2");
    let mut running = world.start_until("starting HTTP server").await;
    assert!(world.get(8080, "/healthz").await.met);
    running.wait_for("failed to run Omni").await;
    let text = running.log.last().unwrap().clone();
    assert!(
        text.ends_with("error configuring Wireguard private key: read: wguser: errno=-98"),
        "{text}"
    );
    assert_eq!(running.ends().await, Some(1));
    drop(held);
}

#[tokio::test]
async fn the_event_sink_on_the_port_of_the_machine_api() {
    let mut world = World::new().await;
    let port = TcpListener::bind("0.0.0.0:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    world.set("machine-api-bind-addr", format!("0.0.0.0:{port}"));
    world.set("event-sink-port", port.to_string());
    let text = world.fails().await;
    assert!(
        text.ends_with(&format!("::1]:{port}: bind: address already in use")),
        "{text}"
    );
}
