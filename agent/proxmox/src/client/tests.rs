//! The client against a node on loopback: trust, what goes over the wire, and what comes of every way to fail.

use std::{collections::BTreeSet, error::Error as _, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use serde_json::json;

use crate::{
    Bounds, CALLS, Cdrom, Checksum, ChecksumAlgorithm, Class, Client, Complaint, ConnectError,
    ContentKind, DiskSize, Download, Error, Fingerprint, LostReply, NodeName, TaskQuery, Trust,
    TrustError, UnreadableAnswer, Upid, Upload, UploadSource, VmChange, Vmid,
    scripted::{Identity, Reply, SECRET, Scripted, hasty},
};

const UPID: &str = "UPID:pve1:0000C3F1:0A1B2C3D:65A1B2C3:qmcreate:105:omni@pve!scale:";

fn node() -> NodeName {
    "pve1".parse().unwrap()
}

fn vmid() -> Vmid {
    Vmid::new(105).unwrap()
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

fn trust_error(error: &Error) -> &TrustError {
    match error {
        Error::Unreachable {
            source: ConnectError::Trust(error),
            ..
        } => error,
        other => panic!("{}", chain(other)),
    }
}

fn version() -> Reply {
    Reply::data(json!({ "version": "9.2.11", "release": "9.2", "repoid": "ab" }))
}

#[tokio::test]
async fn a_pinned_node_is_believed_and_gets_the_token() {
    let server = Scripted::start(|_| version()).await;
    let others = Fingerprint::of(b"another node");
    let client = server.client_with(
        &Trust::Pins(vec![others, server.fingerprint]),
        Bounds::default(),
    );
    assert_eq!(client.version().await.unwrap().major_minor(), Some((9, 2)));
    let request = &server.received()[0];
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("GET", "/api2/json/version")
    );
    assert_eq!(
        request.header("authorization"),
        Some(format!("PVEAPIToken=omni@pve!scale={SECRET}").as_str())
    );
    assert_eq!(
        request.header("host"),
        Some(server.address().to_string().as_str())
    );
    assert_eq!(request.header("content-length"), None);
    assert_eq!(
        client.certificate().unwrap().fingerprint,
        server.fingerprint
    );
    assert!(!format!("{client:?}").contains(SECRET));
}

#[tokio::test]
async fn a_wrong_pin_names_what_was_found_and_nothing_is_sent() {
    let server = Scripted::start(|_| version()).await;
    let pin = Fingerprint::of(b"another node");
    let error = server
        .client_with(&Trust::Pins(vec![pin]), Bounds::default())
        .version()
        .await
        .unwrap_err();
    assert_eq!(error.class(), Class::Refused);
    let words = chain(&error);
    assert!(
        words.contains(&format!("has the fingerprint {}", server.fingerprint)),
        "{words}"
    );
    assert!(words.contains(&format!("pinned: {pin}")), "{words}");
    assert!(server.received().is_empty());
}

fn past(parameters: &mut CertificateParams) {
    parameters.not_before = date_time_ymd(2020, 1, 1);
    parameters.not_after = date_time_ymd(2021, 1, 1);
}

#[tokio::test]
async fn an_expired_certificate_is_accepted_under_its_pin_and_can_be_warned_of() {
    let server = Scripted::start_as(&Identity::self_signed(past), |_| version()).await;
    let client = server.client();
    client.version().await.unwrap();
    assert_eq!(
        client.certificate().unwrap().not_after_unix_seconds,
        Some(1_609_459_200)
    );
}

/// An authority, and a certificate of it for `localhost`.
fn authority(change: impl FnOnce(&mut CertificateParams)) -> (String, Identity) {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = parameters.self_signed(&key).unwrap();
    let issuer = Issuer::new(parameters, key);
    let key = KeyPair::generate().unwrap();
    let mut parameters =
        CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    change(&mut parameters);
    let certificate = parameters.signed_by(&key, &issuer).unwrap();
    let identity = Identity {
        certificate: certificate.der().clone(),
        key,
    };
    (root.pem(), identity)
}

#[tokio::test]
async fn an_authority_is_believed_for_names_and_dates_that_are_right() {
    let (pem, identity) = authority(|_| {});
    let server = Scripted::start_as(&identity, |_| version()).await;
    server
        .client_with(&Trust::Authority(pem), Bounds::default())
        .version()
        .await
        .unwrap();

    let (pem, identity) = authority(past);
    let server = Scripted::start_as(&identity, |_| version()).await;
    let error = server
        .client_with(&Trust::Authority(pem), Bounds::default())
        .version()
        .await
        .unwrap_err();
    assert!(
        matches!(trust_error(&error), TrustError::Expired { .. }),
        "{}",
        chain(&error)
    );
    assert!(
        chain(&error).contains("has expired (its own is valid until Jan  1 00:00:00 2021"),
        "{}",
        chain(&error)
    );
    assert_eq!(error.class(), Class::Refused);

    let (pem, identity) = authority(|parameters| {
        *parameters = CertificateParams::new(vec!["pve.lan".to_owned()]).unwrap();
    });
    let server = Scripted::start_as(&identity, |_| version()).await;
    let error = server
        .client_with(&Trust::Authority(pem), Bounds::default())
        .version()
        .await
        .unwrap_err();
    assert_eq!(
        *trust_error(&error),
        TrustError::NameDiffers {
            names: vec!["pve.lan".into()]
        }
    );

    let (pem, _) = authority(|_| {});
    let (_, identity) = authority(|_| {});
    let server = Scripted::start_as(&identity, |_| version()).await;
    let error = server
        .client_with(&Trust::Authority(pem), Bounds::default())
        .version()
        .await
        .unwrap_err();
    assert!(
        matches!(trust_error(&error), TrustError::UnknownIssuer { found, .. } if *found == server.fingerprint)
    );
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn trust_in_nobody_is_refused_beforehand() {
    let server = Scripted::start(|_| version()).await;
    let token = || format!("omni@pve!scale={SECRET}").parse().unwrap();
    for trust in [
        Trust::Pins(Vec::new()),
        Trust::Authority(String::new()),
        Trust::Authority("x".into()),
    ] {
        assert!(Client::new(server.address(), token(), &trust, Bounds::default()).is_err());
    }
}

#[tokio::test]
async fn what_is_not_there_or_not_tls_is_said() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = || {
        let address = format!("https://127.0.0.1:{port}").parse().unwrap();
        let token = format!("omni@pve!scale={SECRET}").parse().unwrap();
        Client::new(
            address,
            token,
            &Trust::Pins(vec![Fingerprint::of(b"x")]),
            Bounds::default(),
        )
        .unwrap()
    };
    let plain = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        let (mut stream, _) = listener.accept().await.unwrap();
        stream
            .write_all(b"HTTP/1.1 301 Moved Permanently\r\n\r\n")
            .await
            .unwrap();
    });
    let error = client().version().await.unwrap_err();
    assert_eq!(*trust_error(&error), TrustError::NotTls);
    plain.await.unwrap();
    let error = client().start(&node(), vmid()).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Unreachable {
                source: ConnectError::Connect { .. },
                ..
            }
        ),
        "{}",
        chain(&error)
    );
    assert_eq!(error.class(), Class::Transient);
}

#[tokio::test]
async fn a_reply_that_is_lost_leaves_a_mutation_unknown() {
    for reply in [
        Reply::Close,
        Reply::Hang,
        Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"da".to_vec()),
    ] {
        let server = Scripted::start(move |_| reply.clone()).await;
        let client = server.client_with(&Trust::Pins(vec![server.fingerprint]), hasty());
        let error = client.start(&node(), vmid()).await.unwrap_err();
        assert_eq!(error.class(), Class::Unknown, "{}", chain(&error));
        assert!(matches!(error, Error::Lost { .. }));
        assert!(
            error
                .to_string()
                .ends_with("whether it was done is not known")
        );
        let error = client.version().await.unwrap_err();
        assert_eq!(error.class(), Class::Transient, "{}", chain(&error));
        assert_eq!(server.received().len(), 2);
    }
}

#[tokio::test]
async fn refusals_come_through_from_the_reason_phrase() {
    let server = Scripted::start(|request| match request.method.as_str() {
        "GET" => Reply::text(401, "Authentication failed!", ""),
        "DELETE" => Reply::text(595, "No route to host", ""),
        _ => Reply::text(
            500,
            "unable to create VM 105 - VM 105 already exists on node 'pve2'",
            "{\"data\":null}",
        ),
    })
    .await;
    let client = server.client();
    let error = client.nodes().await.unwrap_err();
    assert!(
        matches!(&error, Error::Unauthorized { reason, .. } if reason == "Authentication failed!")
    );
    let error = client
        .create(&node(), &crate::value::talos())
        .await
        .unwrap_err();
    assert_eq!(error.complaint(), Some(&Complaint::AlreadyExists));
    let error = client.delete(&node(), vmid()).await.unwrap_err();
    assert!(matches!(
        &error,
        Error::Lost {
            source: LostReply::Gateway { status: 595, .. },
            ..
        }
    ));
    assert_eq!(server.received().len(), 3);
}

#[tokio::test]
async fn an_answer_has_a_largest_size() {
    let server = Scripted::start(|_| Reply::data(json!("x".repeat(2000)))).await;
    let client = server.client_with(&Trust::Pins(vec![server.fingerprint]), hasty());
    let error = client.version().await.unwrap_err();
    assert!(matches!(
        error,
        Error::Unreadable {
            source: UnreadableAnswer::TooLong(1000),
            ..
        }
    ));
}

#[tokio::test]
async fn a_refusal_whose_body_breaks_off_is_still_one() {
    let raw = b"HTTP/1.1 500 VM is locked (backup)\r\nContent-Length: 100\r\n\r\n{".to_vec();
    let server = Scripted::start(move |_| Reply::Raw(raw.clone())).await;
    let error = server.client().start(&node(), vmid()).await.unwrap_err();
    assert_eq!(
        error.complaint(),
        Some(&Complaint::Locked {
            by: "backup".into()
        })
    );
}

#[tokio::test]
async fn an_upload_says_its_length_and_a_missing_file_sends_nothing() {
    let server = Scripted::start(|_| Reply::data(json!(UPID))).await;
    let client = server.client();
    let upload = |source| Upload {
        content: ContentKind::Iso,
        file_name: "seed-3f2a.iso".into(),
        checksum: Checksum {
            algorithm: ChecksumAlgorithm::Sha256,
            hexadecimal: "ab".into(),
        },
        source,
    };
    let storage = "local".parse().unwrap();
    let limit = Duration::from_secs(30);
    let image = vec![b'x'; 300_000];
    client
        .upload(&node(), &storage, upload(UploadSource::Bytes(image)), limit)
        .await
        .unwrap();
    let request = &server.received()[0];
    assert_eq!(
        request.header("content-length"),
        Some(request.body.len().to_string().as_str())
    );
    assert_eq!(request.header("transfer-encoding"), None);
    assert!(
        request
            .header("content-type")
            .unwrap()
            .starts_with("multipart/form-data; boundary=omni-scale-")
    );
    assert!(request.body.len() > 300_000);
    let missing = upload(UploadSource::File("/nonexistent/image.iso".into()));
    let error = client
        .upload(&node(), &storage, missing, limit)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unsendable { .. }) && error.source().is_some());
    assert_eq!(error.class(), Class::Permanent);
    assert_eq!(server.received().len(), 1);
}

/// A node that answers each call with what it should.
async fn obliging() -> Scripted {
    Scripted::start(|request| {
        let path = request
            .target
            .split('?')
            .next()
            .unwrap()
            .trim_start_matches("/api2/json");
        Reply::data(
            match (request.method.as_str(), path.rsplit('/').next().unwrap()) {
                ("GET", "version") => json!({ "version": "9.2.11" }),
                ("GET", "permissions" | "options" | "dns" | "query-url-metadata") => json!({}),
                ("GET", "nextid") => json!("100"),
                ("GET", "current") => json!({ "status": "stopped" }),
                ("GET", "config") => json!({ "digest": "0b1c" }),
                ("GET", "status") if path.contains("/tasks/") => json!({ "status": "running" }),
                ("GET", "status") => json!({ "cpuinfo": { "cpus": "8" }, "memory": { "free": 1 } }),
                ("GET", "dump") => json!("version: 1\n"),
                ("GET", "network-get-interfaces") => json!({ "result": [] }),
                ("GET", _) => json!([]),
                ("DELETE", _) if path.contains("/tasks/") || path.contains("/content/") => {
                    json!(null)
                }
                _ => json!(UPID),
            },
        )
    })
    .await
}

/// Every method, once.
async fn everything(client: &Client) {
    let (node, vmid, upid) = (node(), vmid(), UPID.parse::<Upid>().unwrap());
    let storage = "local-lvm".parse().unwrap();
    let slot = "ide2".parse().unwrap();
    let minute = Duration::from_secs(60);
    let checksum = || Checksum {
        algorithm: ChecksumAlgorithm::Sha512,
        hexadecimal: "ab".into(),
    };
    client.version().await.unwrap();
    client.permissions(Some("/vms")).await.unwrap();
    assert_eq!(client.next_id(None).await.unwrap().get(), 100);
    client.guests().await.unwrap();
    client.options().await.unwrap();
    client.nodes().await.unwrap();
    assert_eq!(
        client.node_status(&node).await.unwrap().processor.cpus,
        Some(8)
    );
    client.node_dns(&node).await.unwrap();
    client.bridges(&node).await.unwrap();
    client
        .url_metadata(&node, "https://example.org/x.iso")
        .await
        .unwrap();
    client
        .storages(&node, Some(&ContentKind::Import))
        .await
        .unwrap();
    client
        .content(&node, &storage, Some(&ContentKind::Iso), Some(vmid))
        .await
        .unwrap();
    assert_eq!(
        client
            .delete_content(&node, &"local:iso/x.iso".parse().unwrap())
            .await
            .unwrap(),
        None
    );
    let download = Download {
        content: ContentKind::Import,
        file_name: "x.qcow2".into(),
        url: "https://example.org/x.qcow2".into(),
        checksum: checksum(),
    };
    client.download(&node, &storage, &download).await.unwrap();
    let upload = Upload {
        content: ContentKind::Iso,
        file_name: "x.iso".into(),
        checksum: checksum(),
        source: UploadSource::Bytes(b"iso".to_vec()),
    };
    client
        .upload(&node, &storage, upload, minute)
        .await
        .unwrap();
    client.create(&node, &crate::value::talos()).await.unwrap();
    client.config(&node, vmid).await.unwrap();
    let change = VmChange::of("0b1c").drive(slot, &Cdrom::Empty);
    assert_eq!(
        client.change(&node, vmid, &change).await.unwrap().as_ref(),
        Some(&upid)
    );
    client
        .resize(
            &node,
            vmid,
            "scsi0".parse().unwrap(),
            DiskSize::gibibytes(32),
            Some("0b1c"),
        )
        .await
        .unwrap();
    client.status(&node, vmid).await.unwrap();
    client.start(&node, vmid).await.unwrap();
    client.stop(&node, vmid).await.unwrap();
    client.shutdown(&node, vmid, minute, true).await.unwrap();
    client.delete(&node, vmid).await.unwrap();
    client.cloud_init_network(&node, vmid).await.unwrap();
    client.guest_interfaces(&node, vmid).await.unwrap();
    let query = TaskQuery {
        node: node.clone(),
        vmid: Some(vmid),
        kind: Some("qmcreate".into()),
        since_unix_seconds: Some(1_700_000_000),
        own: true,
    };
    client.tasks(&query).await.unwrap();
    client.task_status(&upid).await.unwrap();
    client.task_log(&upid, 0).await.unwrap();
    client.stop_task(&upid).await.unwrap();
}

#[tokio::test]
async fn every_row_of_the_table_is_a_call_that_works() {
    let server = obliging().await;
    everything(&server.client()).await;
    let mut made = BTreeSet::new();
    for request in server.received() {
        let path = request
            .target
            .split('?')
            .next()
            .unwrap()
            .trim_start_matches("/api2/json")
            .to_owned();
        let matches = |template: &str| {
            template.split('/').count() == path.split('/').count()
                && template
                    .split('/')
                    .zip(path.split('/'))
                    .all(|(wanted, is)| wanted.starts_with('{') || wanted == is)
        };
        let call = CALLS
            .iter()
            .find(|call| call.method.as_str() == request.method && matches(call.template));
        let call = call.unwrap_or_else(|| panic!("{} {path} is in no row", request.method));
        assert!(request.method != "DELETE" || request.body.is_empty());
        made.insert((call.method, call.template));
    }
    let missing: Vec<_> = CALLS
        .iter()
        .filter(|call| !made.contains(&(call.method, call.template)))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
