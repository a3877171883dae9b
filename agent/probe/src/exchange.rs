//! One HTTP/1.1 GET over an open connection: the status, and a bounded body.

use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    fault::{Fault, chain},
    report::FailureClass,
    target::Target,
};

/// Bodies are read up to here: a discovery document is 2 KiB, Omni's page 612 bytes.
pub(crate) const LARGEST_BODY: usize = 1024 * 1024;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// Where a redirect points to.
    pub(crate) location: Option<String>,
    /// Whether the answer says that it is a page.
    pub(crate) says_html: bool,
    pub(crate) body: Vec<u8>,
    /// Whether the body went on after [`LARGEST_BODY`].
    pub(crate) cut: bool,
}

/// Asks for the target's path over `stream`.
pub(crate) async fn get<S>(stream: S, target: &Target) -> Result<Answer, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error: hyper::Error| {
        Fault::new(
            FailureClass::HttpFailed,
            format!(
                "`{}` did not answer in HTTP: {}",
                target.authority,
                chain(&error)
            ),
        )
    };
    let request = Request::get(&target.path)
        .header(header::HOST, &target.authority)
        .header(
            header::USER_AGENT,
            concat!("omni-scale-probe/", env!("CARGO_PKG_VERSION")),
        )
        .header(header::ACCEPT, "*/*")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| {
            Fault::new(
                FailureClass::BadRequest,
                format!("no request can be made of it: {error}"),
            )
        })?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(failed)?;
        let text = |name| {
            response
                .headers()
                .get(name)
                .and_then(|value: &HeaderValue| value.to_str().ok())
        };
        let mut answer = Answer {
            status: response.status(),
            location: text(header::LOCATION).map(str::to_owned),
            says_html: text(header::CONTENT_TYPE).is_some_and(|kind| kind.starts_with("text/html")),
            body: Vec::new(),
            cut: false,
        };
        read(response.into_body(), &mut answer)
            .await
            .map_err(failed)?;
        Ok(answer)
    };
    // The connection only moves bytes; what becomes of the exchange is the exchange's to say.
    let driver = async {
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = exchange => answer,
        () = driver => Err(Fault::new(FailureClass::HttpFailed, "the connection ended")),
    }
}

async fn read(mut body: Incoming, answer: &mut Answer) -> Result<(), hyper::Error> {
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        let room = LARGEST_BODY - answer.body.len();
        answer.body.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            answer.cut = true;
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use omni_scale_noise::{Dice, damaged_bytes, hold_against};
    use tokio::io::AsyncWriteExt as _;

    use super::*;
    use crate::expectation;
    use crate::request::BodyExpectation;

    const SAMPLES: [&[u8]; 4] = [
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 76\r\n\r\n\
          {\"issuer\":\"https://idp.tail.test\",\"jwks_uri\":\"https://idp.tail.test/.well-known\"}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\n!!!\r\n0\r\nA: b\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 302 Found\r\nLocation: https://login.test/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 503 Service Unavailable\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\n\r\n<html>",
    ];

    #[test]
    fn noise_in_an_answer_breaks_nothing() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let target = Target::parse("http://idp.tail.test/healthz").unwrap();
        let make = |dice: &mut Dice| {
            let sample = SAMPLES[dice.roll(SAMPLES.len())];
            damaged_bytes(dice, sample)
        };
        hold_against("HTTP answers", make, |bytes| {
            let answered = runtime.block_on(async {
                let (ours, mut theirs) = tokio::io::duplex(4096);
                let answering = async {
                    // A client that has heard enough hangs up.
                    let _ = theirs.write_all(bytes).await;
                    let _ = theirs.shutdown().await;
                };
                tokio::join!(get(ours, &target), answering).0
            });
            let Ok(answer) = answered else { return };
            let _ = expectation::status(&answer, 200);
            let _ = expectation::body(&answer, &BodyExpectation::Empty);
            if let Ok(document) = expectation::discovery(&answer) {
                let _ = document.keys_of("https://idp.tail.test");
            }
        });
    }
}
