//! What a started Omni answers, and how it ends.

use omni_scale_probe::{BodyExpectation, ProbeRequest, Resolver, probe};
use rcgen::generate_simple_self_signed;

use crate::world::World;

#[tokio::test]
async fn only_healthz_is_empty() {
    let world = World::new().await;
    let running = world.start().await;
    let empty =
        |path: &str| ProbeRequest::status(&world.url(8080, path), 200, BodyExpectation::Empty, "");
    assert!(probe(&empty("/healthz")).await.met);
    let page = probe(&empty("/healthzz")).await;
    assert_eq!(page.http_status, Some(200));
    assert_eq!(
        page.failure().unwrap().message,
        "an HTML page of 612 bytes instead of an empty body"
    );
    let (head, body) = world.ask("HEAD", 8080, "/healthz").await;
    assert!(
        head.starts_with("HTTP/1.1 200") && body.is_empty(),
        "{head}"
    );
    assert!(
        world
            .ask("POST", 8080, "/healthz")
            .await
            .0
            .starts_with("HTTP/1.1 405")
    );
    assert_eq!(running.stop().await, Some(0));
}

#[tokio::test]
async fn every_port_answers_in_its_own_way() {
    let world = World::new().await;
    let _running = world.start().await;
    let (head, _) = world.ask("GET", 8080, "/login").await;
    assert!(head.starts_with("HTTP/1.1 302"), "{head}");
    let location = format!(
        "location: {}/authorize?client_id=client&redirect_uri=https%3A%2F%2Fomni.tail.test%2Foidc%2Fconsume",
        world.issuer.url
    );
    assert!(head.contains(&location), "{head}");
    let (_, body) = world
        .ask("GET", 8080, "/oidc/.well-known/openid-configuration")
        .await;
    assert!(
        body.contains("\"issuer\":\"https://omni.tail.test/oidc\""),
        "{body}"
    );
    for (port, path, status) in [(8100, "/", 401), (8090, "/", 415), (2122, "/metrics", 200)] {
        assert_eq!(world.get(port, path).await.http_status, Some(status));
    }
    let (head, body) = world
        .ask("POST", 8080, "/api/auth.AuthService/RegisterPublicKey")
        .await;
    assert!(
        head.starts_with("HTTP/1.1 400") && body.contains("\"code\":9"),
        "{head}\n{body}"
    );
    assert!(
        body.contains("EULA has not been accepted") && body.contains("https://omni.tail.test/eula"),
        "{body}"
    );
}

#[tokio::test]
async fn the_log_holds_the_client_secret() {
    let world = World::new().await;
    let running = world.start().await;
    assert!(
        running
            .log
            .iter()
            .any(|line| line.contains("\"clientSecret\":\"s3cret\""))
    );
}

#[tokio::test]
async fn a_certificate_without_a_key_is_plain_http() {
    let mut world = World::new().await;
    world.set("cert", "/no/such/file");
    let _running = world.start().await;
    assert!(world.get(8080, "/healthz").await.met);
}

#[tokio::test]
async fn a_certificate_is_taken_up_without_a_restart_but_not_by_the_machine_api() {
    let mut world = World::new().await;
    let install = |world: &World| {
        let made = generate_simple_self_signed(["omni.tail.test".to_owned()]).unwrap();
        for (name, text) in [
            ("tls.crt", made.cert.pem()),
            ("tls.key", made.signing_key.serialize_pem()),
        ] {
            world.write(&format!("{name}.new"), &text);
            std::fs::rename(world.path(&format!("{name}.new")), world.path(name)).unwrap();
        }
        made.cert.pem()
    };
    let first = install(&world);
    for (flag, file) in [
        ("cert", "tls.crt"),
        ("key", "tls.key"),
        ("machine-api-cert", "tls.crt"),
        ("machine-api-key", "tls.key"),
    ] {
        world.set(flag, world.text(file));
    }
    let mut running = world.start().await;
    let address = world.address.parse().unwrap();
    let trusted = async |port: u16, code: u16, roots: &str| {
        let url = format!("https://omni.tail.test:{port}/healthz");
        let request = ProbeRequest::status(&url, code, BodyExpectation::Any, roots).with_resolver(
            Resolver::Fixed {
                addresses: vec![address],
            },
        );
        probe(&request).await.met
    };
    assert!(
        trusted(8080, 200, &first).await
            && trusted(8100, 401, &first).await
            && trusted(8090, 415, &first).await
    );
    let second = install(&world);
    // Two endpoints follow the files; a pair may be seen half replaced first, which is logged and mended.
    running.wait_for("reloaded certs").await;
    running.wait_for("reloaded certs").await;
    assert!(trusted(8080, 200, &second).await && trusted(8100, 401, &second).await);
    assert!(trusted(8090, 415, &first).await && !trusted(8090, 415, &second).await);
}
