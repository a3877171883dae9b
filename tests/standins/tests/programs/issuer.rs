//! An identity provider on loopback, and what becomes of a start when it is not as it should be.

use std::sync::{Arc, Mutex};

use rcgen::generate_simple_self_signed;
use rustls::{ServerConfig, crypto::ring};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
};
use tokio_rustls::TlsAcceptor;

use crate::world::World;

pub(crate) struct Issuer {
    pub(crate) url: String,
    /// The issuer that the document names.
    named: Arc<Mutex<String>>,
}

impl Issuer {
    pub(crate) async fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let named = Arc::new(Mutex::new(url.clone()));
        let (shared, own) = (named.clone(), url.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4096];
                let length = stream.read(&mut request).await.unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                let issuer = shared.lock().unwrap().clone();
                let body = match request.split(' ').nth(1) {
                    Some("/.well-known/openid-configuration") => {
                        format!(r#"{{"issuer":"{issuer}","jwks_uri":"{own}/keys"}}"#)
                    }
                    _ => r#"{"keys":[{"kty":"RSA"}]}"#.to_owned(),
                };
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { url, named }
    }
}

async fn closed() -> String {
    TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string()
}

#[tokio::test]
async fn an_issuer_that_refuses_is_fatal() {
    let mut world = World::new().await;
    let address = closed().await;
    world.set("auth-oidc-provider-url", format!("http://{address}"));
    let text = world.fails().await;
    assert_eq!(
        text,
        format!(
            "failed to run server: Get \"http://{address}/.well-known/openid-configuration\": dial tcp {address}: \
             connect: connection refused"
        )
    );
}

#[tokio::test]
async fn an_issuer_without_an_answer_times_out() {
    let mut world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.set(
        "auth-oidc-provider-url",
        format!("https://{}", listener.local_addr().unwrap()),
    );
    let made = generate_simple_self_signed(["x".to_owned()]).unwrap();
    world.write("roots.pem", &made.cert.pem());
    let roots = world.text("roots.pem");
    world.set_environment("SSL_CERT_FILE", &roots);
    assert!(
        world
            .fails()
            .await
            .ends_with("net/http: TLS handshake timeout")
    );
}

#[tokio::test]
async fn an_issuer_of_another_root_is_not_trusted() {
    let mut world = World::new().await;
    let made = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.set(
        "auth-oidc-provider-url",
        format!("https://{}", listener.local_addr().unwrap()),
    );
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let _ = TlsAcceptor::from(Arc::new(config)).accept(stream).await;
    });
    let other = generate_simple_self_signed(["x".to_owned()]).unwrap();
    world.write("roots.pem", &other.cert.pem());
    let roots = world.text("roots.pem");
    world.set_environment("SSL_CERT_FILE", &roots);
    assert!(
        world
            .fails()
            .await
            .ends_with("x509: certificate signed by unknown authority")
    );
}

#[tokio::test]
async fn an_issuer_that_calls_itself_otherwise_is_fatal() {
    let mut world = World::new().await;
    let url = world.issuer.url.clone();
    world.set("auth-oidc-provider-url", format!("{url}/"));
    let text = world.fails().await;
    assert_eq!(
        text,
        format!(
            "failed to run server: oidc: issuer URL provided to client (\"{url}/\") did not match the issuer URL \
             returned by provider (\"{url}\")"
        )
    );
    world.set("auth-oidc-provider-url", url);
    *world.issuer.named.lock().unwrap() = "https://idp-1.tail.test".to_owned();
    assert!(
        world
            .fails()
            .await
            .ends_with("returned by provider (\"https://idp-1.tail.test\")")
    );
}

#[tokio::test]
async fn a_name_that_cannot_be_resolved_is_fatal() {
    let mut world = World::new().await;
    world.set("auth-oidc-provider-url", "https://idp.tail.test");
    // Nobody listens on port 53 of this address.
    let nameserver = world.address.clone();
    world.write("resolv.conf", &format!("nameserver {nameserver}\n"));
    let text = world.fails().await;
    assert_eq!(
        text,
        format!(
            "failed to run server: Get \"https://idp.tail.test/.well-known/openid-configuration\": dial tcp: lookup \
             idp.tail.test on {nameserver}:53: server misbehaving"
        )
    );
    // Where port 53 may be taken, the other words can be had too.
    let Ok(socket) = UdpSocket::bind((nameserver.as_str(), 53)).await else {
        return;
    };
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            buffer[2] = 0x81;
            buffer[3] = 0x83;
            socket.send_to(&buffer[..length], from).await.unwrap();
        }
    });
    assert!(
        world
            .fails()
            .await
            .ends_with(&format!("idp.tail.test on {nameserver}:53: no such host"))
    );
}
