//! HTTP, the document and the keys.

use std::sync::{Arc, OnceLock};

use omni_scale_probe::{
    BodyExpectation, FailureClass, ProbeReport, ProbeRequest, Resolver, Step, probe, probe_all,
};

use crate::{
    certificates::{Authority, HOST, VALID},
    failure, steps,
    web::{Pages, always, answer, serve},
};

async fn ask(bytes: Vec<u8>, body: BodyExpectation) -> ProbeReport {
    let address = serve(always(bytes), None).await;
    let request = ProbeRequest::status(&format!("http://{address}/healthz"), 200, body, "");
    probe(&request.with_timeout_milliseconds(5_000)).await
}

fn page() -> Vec<u8> {
    let body = format!("<!DOCTYPE html>{}", "x".repeat(597));
    answer(
        "200 OK",
        "Content-Type: text/html; charset=utf-8\r\n",
        body.as_bytes(),
    )
}

#[tokio::test]
async fn a_page_is_not_an_empty_body() {
    let report = ask(page(), BodyExpectation::Empty).await;
    let expected = "an HTML page of 612 bytes instead of an empty body".to_owned();
    assert_eq!(
        failure(&report),
        (Step::Document, FailureClass::BodyDiffers, expected)
    );
    assert_eq!(report.http_status, Some(200));
}

#[tokio::test]
async fn a_body_is_searched_for_text() {
    let contains = |text: &str| BodyExpectation::Contains {
        text: text.to_owned(),
    };
    assert!(ask(page(), contains("DOCTYPE")).await.met);
    let report = ask(answer("200 OK", "", b"\xff\xfe"), contains("ok")).await;
    let expected = "a body of 2 bytes instead of text that contains `ok`".to_owned();
    assert_eq!(
        failure(&report),
        (Step::Document, FailureClass::BodyDiffers, expected)
    );
}

#[tokio::test]
async fn a_body_without_end_is_cut() {
    let report = ask(
        answer("200 OK", "", &vec![b'x'; 1024 * 1024 + 1]),
        BodyExpectation::Empty,
    )
    .await;
    let expected = "the body is larger than 1024 KiB".to_owned();
    assert_eq!(
        failure(&report),
        (Step::Document, FailureClass::BodyTooLarge, expected)
    );
}

#[tokio::test]
async fn redirects_are_reported_and_not_followed() {
    let report = ask(
        answer("302 Found", "Location: /login\r\n", b""),
        BodyExpectation::Any,
    )
    .await;
    let expected = "answered 302 to `/login`; redirects are not followed".to_owned();
    assert_eq!(
        failure(&report),
        (Step::Http, FailureClass::Redirected, expected)
    );
}

#[tokio::test]
async fn another_status_is_named_beside_the_wanted_one() {
    let report = ask(
        answer("503 Service Unavailable", "", b""),
        BodyExpectation::Any,
    )
    .await;
    let expected = "answered 503, wanted 200".to_owned();
    assert_eq!(
        failure(&report),
        (Step::Http, FailureClass::StatusDiffers, expected)
    );
    assert_eq!(report.http_status, Some(503));
}

#[tokio::test]
async fn what_is_not_http_or_breaks_off_is_told() {
    for bytes in [
        b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
        Vec::new(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx".to_vec(),
    ] {
        let (step, class, message) = failure(&ask(bytes, BodyExpectation::Empty).await);
        assert_eq!(
            (step, class),
            (Step::Http, FailureClass::HttpFailed),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_senseless_request_is_reported_before_anything_is_tried() {
    let request = ProbeRequest::status("https://127.0.0.1/", 200, BodyExpectation::Any, "");
    let (step, class, _) = failure(&probe(&request).await);
    assert_eq!((step, class), (Step::Request, FailureClass::BadRequest));
}

/// An issuer whose document and keys are as told; the document's `PORT` becomes the server's.
async fn discover(document: &'static str, keys: Vec<u8>) -> ProbeReport {
    let authority = Authority::new("test root");
    let port: Arc<OnceLock<u16>> = Arc::default();
    let known = port.clone();
    let pages: Pages = Arc::new(move |path| match path {
        "/.well-known/openid-configuration" => {
            let document = document.replace("PORT", &known.get().unwrap().to_string());
            answer(
                "200 OK",
                "Content-Type: application/json\r\n",
                document.as_bytes(),
            )
        }
        "/keys" => keys.clone(),
        _ => answer("404 Not Found", "", b""),
    });
    let address = serve(pages, Some(authority.server(HOST, VALID))).await;
    port.set(address.port()).unwrap();
    let request = ProbeRequest::discovery(
        &format!("https://{HOST}:{}", address.port()),
        authority.pem(),
    );
    probe(&request.with_resolver(Resolver::Fixed {
        addresses: vec!["127.0.0.1".parse().unwrap()],
    }))
    .await
}

const DOCUMENT: &str =
    r#"{"issuer":"https://idp.tail.test:PORT","jwks_uri":"https://idp.tail.test:PORT/keys","x":1}"#;

fn keys(body: &str) -> Vec<u8> {
    answer("200 OK", "", body.as_bytes())
}

#[tokio::test]
async fn an_issuer_with_a_key_is_discovered() {
    let report = discover(DOCUMENT, keys(r#"{"keys":[{"kty":"RSA"}]}"#)).await;
    assert!(report.met, "{report:?}");
    let expected = [
        Step::Resolve,
        Step::Connect,
        Step::Tls,
        Step::Http,
        Step::Document,
        Step::Jwks,
    ];
    assert_eq!(steps(&report), expected);
}

#[tokio::test]
async fn another_issuer_is_named_beside_the_wanted_one() {
    let slashed = r#"{"issuer":"https://idp.tail.test:PORT/","jwks_uri":"x"}"#;
    let report = discover(slashed, keys("")).await;
    let (step, class, message) = failure(&report);
    assert_eq!((step, class), (Step::Document, FailureClass::IssuerDiffers));
    assert!(report.issuer.is_some_and(|found| found.ends_with('/')));
    assert!(
        message.contains("/`, wanted `https://idp.tail.test:"),
        "{message}"
    );
}

#[tokio::test]
async fn a_page_instead_of_a_document_is_told() {
    let (step, class, message) = failure(&discover("<html></html>", keys("")).await);
    assert_eq!(
        (step, class),
        (Step::Document, FailureClass::DocumentMalformed)
    );
    assert!(
        message.starts_with("an HTML page of 13 bytes instead of a discovery document"),
        "{message}"
    );
    let (_, class, _) = failure(&discover(r#"{"issuer":"x"}"#, keys("")).await);
    assert_eq!(class, FailureClass::DocumentMalformed);
}

#[tokio::test]
async fn without_a_key_an_issuer_is_not_discovered() {
    for (bytes, reason) in [
        (keys(r#"{"keys":[]}"#), "the key set is empty"),
        (keys("no"), "a body of 2 bytes instead of a key set"),
        (answer("500 Oops", "", b""), "answered 500, wanted 200"),
        (Vec::new(), "http: "),
    ] {
        let (step, class, message) = failure(&discover(DOCUMENT, bytes).await);
        assert_eq!((step, class), (Step::Jwks, FailureClass::KeysMissing));
        assert!(
            message.contains(reason) && message.starts_with("no signing keys at `https://idp"),
            "{message}"
        );
    }
    let elsewhere = r#"{"issuer":"https://idp.tail.test:PORT","jwks_uri":"mailto:keys"}"#;
    assert_eq!(failure(&discover(elsewhere, keys("")).await).0, Step::Jwks);
}

#[tokio::test]
async fn several_probes_keep_their_order() {
    let address = serve(always(answer("200 OK", "", b"")), None).await;
    let requests: Vec<_> = (0..5_u16)
        .map(|index| {
            ProbeRequest::status(
                &format!("http://{address}/{index}"),
                200 + index,
                BodyExpectation::Any,
                "",
            )
        })
        .collect();
    let reports = probe_all(&requests).await;
    assert_eq!(
        reports.iter().map(|report| report.met).collect::<Vec<_>>(),
        [true, false, false, false, false]
    );
    assert!(
        reports
            .iter()
            .zip(&requests)
            .all(|(report, request)| report.url == request.url)
    );
}
