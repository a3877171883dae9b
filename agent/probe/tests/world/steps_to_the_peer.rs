//! Resolve, connect and TLS.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use omni_scale_probe::{
    BodyExpectation, FailureClass, ProbeReport, ProbeRequest, Resolver, Step, probe,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    certificates::{Authority, HOST, VALID, Years},
    failure,
    nameserver::{self, Entry},
    steps,
    web::{always, answer, serve},
};

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

fn good() -> Vec<u8> {
    answer("200 OK", "", b"")
}

/// A plain request to `host`, resolved as told.
fn plain(host: &str, port: u16, resolver: Resolver) -> ProbeRequest {
    ProbeRequest::status(
        &format!("http://{host}:{port}/healthz"),
        200,
        BodyExpectation::Empty,
        "",
    )
    .with_resolver(resolver)
}

async fn resolved_by(entry: Entry) -> ProbeReport {
    let port = serve(always(good()), None).await.port();
    let zone = [
        (HOST, entry),
        ("real.tail.test", Entry::Addresses(vec![LOCAL])),
    ];
    let nameserver = nameserver::serve(zone).await;
    let resolver = Resolver::Nameservers {
        addresses: vec![nameserver],
    };
    let report = probe(&plain(HOST, port, resolver).with_timeout_milliseconds(5_000)).await;
    assert_eq!(report.nameservers, [nameserver]);
    report
}

#[tokio::test]
async fn a_name_is_resolved_and_asked() {
    let report = resolved_by(Entry::Addresses(vec![LOCAL, IpAddr::from([0_u16; 8])])).await;
    assert!(report.met, "{report:?}");
    assert_eq!(
        steps(&report),
        [Step::Resolve, Step::Connect, Step::Http, Step::Document]
    );
    assert_eq!(report.addresses, [LOCAL, IpAddr::from([0_u16; 8])]);
    assert_eq!(report.http_status, Some(200));
    assert_eq!(report.peer.map(|peer| peer.ip()), Some(LOCAL));
}

#[tokio::test]
async fn an_alias_and_an_answer_over_tcp_are_followed() {
    assert!(resolved_by(Entry::Alias("real.tail.test")).await.met);
    assert!(resolved_by(Entry::OnlyOverTcp(LOCAL)).await.met);
}

#[tokio::test]
async fn each_kind_of_dns_failure_has_its_words() {
    for (entry, class, message) in [
        (
            Entry::Code(3),
            FailureClass::NameNotFound,
            "NXDOMAIN for `idp.tail.test` from 127.0.0.1",
        ),
        (
            Entry::Code(2),
            FailureClass::NameserverFailed,
            "SERVFAIL from 127.0.0.1",
        ),
        (
            Entry::Nonsense,
            FailureClass::NameserverFailed,
            "an unreadable answer from 127.0.0.1",
        ),
        (
            Entry::Addresses(Vec::new()),
            FailureClass::NoAddress,
            "`idp.tail.test` exists and has no address, says 127.0.0.1",
        ),
        (
            Entry::Alias("gone.test"),
            FailureClass::NoAddress,
            "`idp.tail.test` exists and has no address, says 127.0.0.1",
        ),
    ] {
        assert_eq!(
            failure(&resolved_by(entry).await),
            (Step::Resolve, class, message.to_owned())
        );
    }
}

#[tokio::test]
async fn a_silent_nameserver_is_named_with_the_time_it_was_given() {
    let nameserver = nameserver::serve([(HOST, Entry::Silence)]).await;
    let resolver = Resolver::Nameservers {
        addresses: vec![nameserver],
    };
    let report = probe(&plain(HOST, 80, resolver).with_timeout_milliseconds(80)).await;
    let expected = "no answer from 127.0.0.1 within 80 ms".to_owned();
    assert_eq!(
        failure(&report),
        (Step::Resolve, FailureClass::NameserverSilent, expected)
    );
}

#[tokio::test]
async fn a_nameserver_that_is_not_there_refuses() {
    let gone = tokio::net::UdpSocket::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let report = probe(&plain(
        HOST,
        80,
        Resolver::Nameservers {
            addresses: vec![gone],
        },
    ))
    .await;
    let expected = "connection refused from 127.0.0.1".to_owned();
    assert_eq!(
        failure(&report),
        (Step::Resolve, FailureClass::NameserverFailed, expected)
    );
}

#[tokio::test]
async fn the_files_of_a_namespace_are_read() {
    let port = serve(always(good()), None).await.port();
    let directory = tempfile::tempdir().unwrap();
    let (path, hosts) = (
        directory.path().join("resolv.conf"),
        directory.path().join("hosts"),
    );
    let resolver = Resolver::ResolvConf {
        path: path.clone(),
        hosts_path: Some(hosts.clone()),
    };
    let request = plain(HOST, port, resolver);

    let (step, class, message) = failure(&probe(&request).await);
    assert_eq!((step, class), (Step::Resolve, FailureClass::NoNameserver));
    assert!(message.starts_with("cannot read `"), "{message}");

    std::fs::File::create(&path).unwrap();
    let (_, class, message) = failure(&probe(&request).await);
    assert_eq!(class, FailureClass::NoNameserver);
    assert!(
        message.ends_with("resolv.conf` names no nameserver"),
        "{message}"
    );

    std::io::Write::write_all(
        &mut std::fs::File::create(&hosts).unwrap(),
        b"127.0.0.1 idp.tail.test\n",
    )
    .unwrap();
    assert!(probe(&request).await.met);
}

#[tokio::test]
async fn the_system_resolves_what_it_knows() {
    let port = serve(always(good()), None).await.port();
    assert!(probe(&plain("localhost", port, Resolver::System)).await.met);
}

#[tokio::test]
async fn a_closed_port_refuses_and_the_next_address_is_tried() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let fixed = |addresses| Resolver::Fixed { addresses };
    let report = probe(&plain(HOST, closed.port(), fixed(vec![LOCAL]))).await;
    let expected = format!("{closed} refuses the connection");
    assert_eq!(
        failure(&report),
        (Step::Connect, FailureClass::ConnectionRefused, expected)
    );

    let port = serve(always(good()), None).await.port();
    let report = probe(&plain(HOST, port, fixed(vec![OTHER, LOCAL]))).await;
    assert_eq!(report.peer, Some(SocketAddr::new(LOCAL, port)));
}

/// Asks a TLS server with this certificate, trusting this root.
async fn handshake(authority: &Authority, name: &str, years: Years, roots: &str) -> ProbeReport {
    let address = serve(always(good()), Some(authority.server(name, years))).await;
    let url = format!("https://{HOST}:{}/", address.port());
    let request = ProbeRequest::status(&url, 200, BodyExpectation::Any, roots).with_resolver(
        Resolver::Fixed {
            addresses: vec![LOCAL],
        },
    );
    probe(&request).await
}

#[tokio::test]
async fn a_trusted_certificate_is_reported() {
    let authority = Authority::new("test root");
    let report = handshake(&authority, HOST, VALID, &authority.pem()).await;
    assert!(report.met, "{report:?}");
    assert_eq!(
        steps(&report),
        [Step::Resolve, Step::Connect, Step::Tls, Step::Http]
    );
    let certificate = report.certificate.unwrap();
    assert_eq!(certificate.names, [HOST]);
    assert_eq!(certificate.issuer, "CN=test root");
    assert_eq!(certificate.not_after_unix_seconds, 7_258_118_400);
}

#[tokio::test]
async fn a_certificate_of_another_root_is_refused_and_shown() {
    let (authority, other) = (Authority::new("their root"), Authority::new("our root"));
    let report = handshake(&authority, HOST, VALID, &other.pem()).await;
    let expected = "the certificate of `idp.tail.test` is not trusted: its issuer is `CN=their root`, and no chain from \
                    it leads to the root given";
    assert_eq!(
        failure(&report),
        (
            Step::Tls,
            FailureClass::CertificateUntrusted,
            expected.to_owned()
        )
    );
    assert_eq!(report.certificate.unwrap().issuer, "CN=their root");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let authority = Authority::new("test root");
    let report = handshake(&authority, "idp-1.tail.test", VALID, &authority.pem()).await;
    let expected =
        "the certificate does not name `idp.tail.test`, it names idp-1.tail.test".to_owned();
    assert_eq!(
        failure(&report),
        (Step::Tls, FailureClass::CertificateNameDiffers, expected)
    );
}

#[tokio::test]
async fn a_certificate_out_of_its_time_is_refused() {
    let authority = Authority::new("test root");
    for (years, class) in [
        (Years(2001, 2002), FailureClass::CertificateExpired),
        (Years(2190, 2200), FailureClass::CertificateNotYetValid),
    ] {
        let report = handshake(&authority, HOST, years, &authority.pem()).await;
        let (step, found, _) = failure(&report);
        assert_eq!((step, found), (Step::Tls, class));
    }
}

/// The port of a server that answers the first bytes it sees, whatever they are.
async fn blurting() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.readable().await.unwrap();
        stream
            .write_all(&answer("400 Bad Request", "", b""))
            .await
            .unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    });
    port
}

#[tokio::test]
async fn a_peer_without_tls_is_told_apart_from_one_that_says_nothing() {
    let authority = Authority::new("test root");
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ask = async |port: u16, milliseconds| {
        let url = format!("https://127.0.0.1:{port}/");
        let request = ProbeRequest::status(&url, 200, BodyExpectation::Any, authority.pem());
        failure(&probe(&request.with_timeout_milliseconds(milliseconds)).await)
    };
    let (step, class, message) = ask(blurting().await, 5_000).await;
    assert_eq!(
        (step, class),
        (Step::Tls, FailureClass::NotTls),
        "{message}"
    );
    let expected = "no TLS handshake with `127.0.0.1` within 80 ms".to_owned();
    assert_eq!(
        ask(silent.local_addr().unwrap().port(), 80).await,
        (Step::Tls, FailureClass::TimedOut, expected)
    );
}
