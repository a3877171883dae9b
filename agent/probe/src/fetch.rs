//! The steps that every probe takes: resolve, connect, TLS, HTTP.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use tokio::{net::TcpStream, time::Instant};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    exchange::{self, Answer},
    fault::Fault,
    report::{FailureClass, Step},
    request::Resolver,
    resolve,
    target::Target,
    trace::{Stopped, Trace},
    trust::{Shown, Trust},
};

/// How one probe reaches its targets.
#[derive(Debug)]
pub(crate) struct Route<'a> {
    pub(crate) resolver: &'a Resolver,
    /// Absent when no target speaks TLS.
    pub(crate) trust: Option<Trust>,
}

/// Fetches a target and records each step in `trace`.
pub(crate) async fn fetch(
    target: &Target,
    route: &Route<'_>,
    trace: &mut Trace,
) -> Result<Answer, Stopped> {
    let began = Instant::now();
    let asked = resolve::addresses(target, route.resolver, trace.deadline).await;
    trace.report.nameservers = asked.nameservers;
    let addresses = trace.record(Step::Resolve, began, asked.result)?;
    trace.report.addresses.clone_from(&addresses);

    let awaited = format!("connection to {} port {}", list(&addresses), target.port);
    let stream = trace
        .step(Step::Connect, awaited, connect(&addresses, target.port))
        .await?;
    trace.report.peer = stream.peer_addr().ok();

    let awaited = format!("answer to GET {} from `{}`", target.path, target.authority);
    let answer = if target.secure {
        let shown = Shown::default();
        let handshake = handshake(stream, target, route.trust.as_ref(), &shown);
        let secured = trace
            .step(
                Step::Tls,
                format!("TLS handshake with `{}`", target.host),
                handshake,
            )
            .await;
        trace.report.certificate = shown.get();
        trace
            .step(Step::Http, awaited, exchange::get(secured?, target))
            .await?
    } else {
        trace
            .step(Step::Http, awaited, exchange::get(stream, target))
            .await?
    };
    trace.report.http_status = Some(answer.status.as_u16());
    Ok(answer)
}

/// The first address that accepts. All are tried in order, since a name may have one that leads nowhere.
async fn connect(addresses: &[IpAddr], port: u16) -> Result<TcpStream, Fault> {
    let mut refusals = Vec::new();
    for address in addresses {
        match TcpStream::connect(SocketAddr::new(*address, port)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => refusals.push((SocketAddr::new(*address, port), error)),
        }
    }
    let refused = refusals
        .iter()
        .all(|(_, error)| error.kind() == io::ErrorKind::ConnectionRefused);
    let class = if refused && !refusals.is_empty() {
        FailureClass::ConnectionRefused
    } else {
        FailureClass::Unreachable
    };
    let words: Vec<String> = refusals
        .iter()
        .map(|(address, error)| match error.kind() {
            io::ErrorKind::ConnectionRefused => format!("{address} refuses the connection"),
            _ => format!("{address} cannot be reached: {error}"),
        })
        .collect();
    Err(Fault::new(class, words.join("; ")))
}

async fn handshake(
    stream: TcpStream,
    target: &Target,
    trust: Option<&Trust>,
    shown: &Shown,
) -> Result<TlsStream<TcpStream>, Fault> {
    let trust = trust.ok_or_else(|| {
        Fault::new(
            FailureClass::BadRequest,
            "`https` without root certificates",
        )
    })?;
    let connector = TlsConnector::from(trust.configuration(shown)?);
    let host = target.host.to_string();
    connector
        .connect(target.server_name()?, stream)
        .await
        .map_err(|error| {
            match error
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<rustls::Error>())
            {
                Some(inner) => trust.explain(&host, shown.get().as_ref(), inner),
                None => Fault::new(
                    FailureClass::TlsFailed,
                    format!("the TLS handshake with `{host}` broke off: {error}"),
                ),
            }
        })
}

fn list(addresses: &[IpAddr]) -> String {
    addresses
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}
