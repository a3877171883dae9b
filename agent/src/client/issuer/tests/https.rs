//! The adapter against a real server: both kinds of tsidp, and answers as nobody should give them.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use url::form_urlencoded;

use super::server::{Answers, Server, endpoints, header, response};
use crate::client::apply::tests::{DCR_ONLY, NAME, OPEN, checked, wire};
use crate::client::fake::{Kind, User};
use crate::client::issuer::{Exchange, Issuer as _, IssuerError};
use crate::secrets::SecretValue;
use omni_scale_proto::v1;

const SECRET: &str = "5ec2e7000000000000000000000000000000000000000000000000005ec2e700";

#[tokio::test]
async fn a_client_is_made_listed_used_and_deleted_at_either_kind_of_tsidp() {
    for kind in [OPEN, Kind::Older] {
        let (server, tsidp) = Server::tsidp(kind).await;
        let (issuer, client) = (endpoints(), server.client());
        let made = issuer.register(&client).await.unwrap();
        let held = tsidp.clients();
        assert_eq!(
            (&held[0].id, held[0].secret.as_bytes()),
            (&made.id, made.secret.expose())
        );
        assert_eq!(held[0].name, NAME);
        assert_eq!(held[0].redirect_uris, [wire().redirect_uri]);

        let listed = issuer.list(&client).await.unwrap();
        assert_eq!((&listed[0].id, listed[0].name.as_str()), (&made.id, NAME));
        assert_eq!(listed[0].redirect_uris, [wire().redirect_uri]);

        let user = User::named("ada@example.net");
        let code = tsidp
            .log_in(&made.id, &wire().redirect_uri, "n", user)
            .unwrap();
        let exchange = Exchange {
            id: &made.id,
            secret: &made.secret,
            code: &code,
        };
        assert!(!format!("{exchange:?}").contains(&code));
        let token = issuer.exchange(&client, exchange).await.unwrap();
        assert_eq!(token.expose().split('.').count(), 3);
        let again = issuer.exchange(&client, exchange).await.unwrap_err();
        assert!(matches!(again, IssuerError::Rejected { .. }), "{again}");

        issuer.delete(&client, &made.id).await.unwrap();
        let again = issuer.delete(&client, &made.id).await.unwrap_err();
        assert!(matches!(again, IssuerError::NotThere { .. }), "{again}");
        assert!(issuer.list(&client).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn what_is_asked_is_what_the_endpoints_expect() {
    let (server, tsidp) = Server::tsidp(OPEN).await;
    let (issuer, client) = (endpoints(), server.client());
    issuer.register(&client).await.unwrap();
    tsidp.become_of(Kind::Older);
    issuer.register(&client).await.unwrap();
    let secret = SecretValue::new(b"a&b=c d+%".to_vec());
    let exchange = Exchange {
        id: "id",
        secret: &secret,
        code: "the code",
    };
    issuer.exchange(&client, exchange).await.unwrap_err();
    let requests = server.requests();
    let [register, _, new, token] = requests.as_slice() else {
        panic!("four questions: {requests:?}");
    };
    let (head, content) = register.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /register HTTP/1.1\r\n"), "{head}");
    let host = client.as_wire().issuer.strip_prefix("https://");
    assert_eq!(header(head, "host"), host);
    assert_eq!(header(head, "accept"), Some("application/json"));
    // tsidp takes a question without either for one of a program (filippo.io/csrf).
    assert_eq!(
        (header(head, "origin"), header(head, "sec-fetch-site")),
        (None, None)
    );
    let content: Value = serde_json::from_str(content).unwrap();
    assert_eq!(
        content,
        serde_json::json!({
            "redirect_uris": [wire().redirect_uri],
            "client_name": NAME,
            "token_endpoint_auth_method": "client_secret_post",
            "grant_types": ["authorization_code"],
            "response_types": ["code"],
        })
    );
    let form = |request: &str| -> Vec<(String, String)> {
        let (_, content) = request.split_once("\r\n\r\n").unwrap();
        form_urlencoded::parse(content.as_bytes())
            .into_owned()
            .collect()
    };
    let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    assert!(new.starts_with("POST /clients/new "), "{new}");
    let uri = wire().redirect_uri;
    assert_eq!(
        form(new),
        [("name", NAME), ("redirect_uri", &uri)].map(pair)
    );
    assert!(token.starts_with("POST /token "), "{token}");
    let expected = [
        ("grant_type", "authorization_code"),
        ("code", "the code"),
        ("redirect_uri", &uri),
        ("client_id", "id"),
        ("client_secret", "a&b=c d+%"),
    ];
    assert_eq!(form(token), expected.map(pair));
}

#[tokio::test]
async fn a_node_without_a_grant_is_refused_with_the_issuers_words() {
    let (server, tsidp) = Server::tsidp(DCR_ONLY).await;
    let (issuer, client) = (endpoints(), server.client());
    let error = issuer.list(&client).await.unwrap_err();
    assert!(matches!(error, IssuerError::Refused { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("application capability not granted"),
        "{error}"
    );
    issuer.register(&client).await.unwrap();
    tsidp.become_of(Kind::Current {
        allow_dcr: false,
        allow_admin_ui: true,
    });
    let error = issuer.register(&client).await.unwrap_err();
    assert!(matches!(error, IssuerError::Refused { .. }), "{error}");
    let new = server
        .requests()
        .into_iter()
        .filter(|one| one.contains("/clients/new"));
    assert_eq!(new.count(), 0);
}

#[tokio::test]
async fn whom_this_host_does_not_trust_or_reach_is_told_nothing() {
    let (server, tsidp) = Server::tsidp(OPEN).await;
    let stranger = checked(v1::Client {
        extra_roots_pem: String::new(),
        ..server.client().as_wire().clone()
    });
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = checked(v1::Client {
        issuer: format!("https://{}", closed.local_addr().unwrap()),
        ..wire()
    });
    drop(closed);
    let nowhere = checked(v1::Client {
        issuer: "https://[tsidp".to_owned(),
        ..wire()
    });
    for client in [stranger, gone, nowhere] {
        let error = endpoints().register(&client).await.unwrap_err();
        assert!(matches!(error, IssuerError::Unreachable { .. }), "{error}");
    }
    assert!(tsidp.clients().is_empty() && server.requests().is_empty());
}

#[tokio::test]
async fn an_answer_that_is_cut_off_or_no_answer_is_not_known() {
    let server = Server::start(Answers::NoHandshake).await;
    let document = format!(r#"{{"client_id":"a","client_secret":"{SECRET}"}}"#);
    let whole = response(201, document.as_bytes());
    let mut answers: Vec<Vec<u8>> = [0, 1, 12, 20, whole.len() - 30, whole.len() - 1]
        .iter()
        .map(|length| whole[..*length].to_vec())
        .collect();
    answers.extend([
        b"\x15\x03\x03\x00\x02\x02\x28 this is no HTTP\r\n\r\n".to_vec(),
        b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n".to_vec(),
        b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec(),
        response(201, b""),
        response(201, b"null"),
        response(201, &document.as_bytes()[1..]),
        response(201, format!("\"{SECRET}\"").as_bytes()),
        response(500, document.as_bytes()),
    ]);
    for answer in answers {
        let before = server.requests().len();
        server.answer(Answers::Bytes(answer.clone()));
        let error = endpoints().register(&server.client()).await.unwrap_err();
        let shown = String::from_utf8_lossy(&answer);
        assert!(
            matches!(error, IssuerError::Unknown { .. }),
            "{shown}: {error}"
        );
        let chain = crate::error::chain(&error);
        assert!(!chain.contains(SECRET), "{chain}");
        assert_eq!(
            server.requests().len(),
            before + 1,
            "it is asked once: {shown}"
        );
    }
    server.answer(Answers::Bytes(whole));
    endpoints().register(&server.client()).await.unwrap();
}

#[tokio::test]
async fn an_answer_without_a_bound_is_left_at_one() {
    let server = Server::start(Answers::NoHandshake).await;
    let just = format!("[{}]", " ".repeat(64 * 1024 - 2));
    server.answer(Answers::Bytes(response(200, just.as_bytes())));
    assert!(endpoints().list(&server.client()).await.unwrap().is_empty());
    let more = format!("[{}]", " ".repeat(64 * 1024 - 1));
    let mut endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    endless.extend(
        b"1000\r\n"
            .iter()
            .chain(&[b' '; 0x1000])
            .chain(b"\r\n")
            .copied()
            .cycle()
            .take(1 << 20),
    );
    let head = [b"HTTP/1.1 200 ".as_slice(), &vec![b'x'; 1 << 20]].concat();
    for answer in [response(200, more.as_bytes()), endless, head] {
        server.answer(Answers::Bytes(answer));
        let error = endpoints().list(&server.client()).await.unwrap_err();
        assert!(matches!(error, IssuerError::Unknown { .. }), "{error}");
    }
    // A no is one, however much it says.
    server.answer(Answers::Bytes(response(403, more.as_bytes())));
    let error = endpoints().list(&server.client()).await.unwrap_err();
    assert!(matches!(error, IssuerError::Refused { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_does_not_go_on_is_left_at_a_bound() {
    let server = Server::start(Answers::NoHandshake).await;
    let part = b"HTTP/1.1 201 Created\r\nContent-Length: 9\r\n\r\n{".to_vec();
    let refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nno".to_vec();
    for (answers, kind, seconds) in [
        (Answers::NoHandshake, "unreachable", 4),
        (Answers::BytesAndSilence(Vec::new()), "unknown", 10),
        (Answers::BytesAndSilence(part[..20].to_vec()), "unknown", 10),
        (Answers::BytesAndSilence(part), "unknown", 10),
        (Answers::BytesAndSilence(refusal), "refused", 10),
    ] {
        server.answer(answers);
        server.hold_the_clock();
        let began = Instant::now();
        let error = endpoints().register(&server.client()).await.unwrap_err();
        let said = match error {
            IssuerError::Unreachable { .. } => "unreachable",
            IssuerError::Unknown { .. } => "unknown",
            IssuerError::Refused { .. } => "refused",
            other => panic!("{other}"),
        };
        assert_eq!(said, kind);
        let elapsed = began.elapsed();
        let bound = Duration::from_secs(seconds);
        assert!(
            (bound..bound + Duration::from_millis(10)).contains(&elapsed),
            "{elapsed:?}"
        );
    }
}

#[tokio::test]
async fn an_id_that_is_a_path_is_not_asked_for() {
    let (server, _) = Server::tsidp(OPEN).await;
    for id in ["", "..", "../token", "a/b", "a?b", "a b", "ü"] {
        let error = endpoints().delete(&server.client(), id).await.unwrap_err();
        assert!(
            matches!(error, IssuerError::Rejected { .. }),
            "{id}: {error}"
        );
    }
    assert!(server.requests().is_empty());
}
