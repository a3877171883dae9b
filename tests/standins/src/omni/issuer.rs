//! The identity provider, asked at start as the real one asks it: once, from its own namespace, fatal when it fails.

use std::{path::PathBuf, time::Duration};

use omni_scale_probe::{FailureClass, ProbeReport, ProbeRequest, Resolver, Step, probe};

use crate::{environment::Environment, failure::Failure, pace::Pace};

/// Where Go looks for roots when nothing is set (crypto/x509/root_linux.go), as far as these images have them.
const BUNDLES: [&str; 2] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
];
/// How long Go's dialer waits.
const DIAL: Duration = Duration::from_secs(30);

/// Fetches the discovery document; its keys are not looked at.
pub(super) async fn discover(
    issuer: &str,
    environment: &Environment,
    pace: Pace,
) -> Result<(), Failure> {
    let trimmed = issuer.trim_end_matches('/');
    let request = ProbeRequest::discovery(trimmed, roots(environment))
        .with_resolver(Resolver::ResolvConf {
            path: environment.resolv_conf.clone(),
            hosts_path: Some(environment.hosts.clone()),
        })
        .with_timeout_milliseconds(u32::try_from(pace.bound(DIAL).as_millis()).unwrap_or(30_000));
    let report = probe(&request).await;
    let found = report.issuer.as_deref();
    let failed_at_keys = report
        .failure()
        .is_none_or(|failure| failure.step == Step::Jwks);
    let reason = if failed_at_keys && found.is_some() && found != Some(issuer) || differs(&report) {
        Some(format!(
            "oidc: issuer URL provided to client ({issuer:?}) did not match the issuer URL returned by provider ({:?})",
            found.unwrap_or_default()
        ))
    } else if failed_at_keys {
        None
    } else {
        Some(words(&request.url, &report))
    };
    match reason {
        None => Ok(()),
        Some(reason) => Err(Failure {
            text: format!("failed to run server: {reason}"),
            after: after(&report),
        }),
    }
}

fn differs(report: &ProbeReport) -> bool {
    report
        .failure()
        .is_some_and(|failure| failure.class == FailureClass::IssuerDiffers)
}

fn after(report: &ProbeReport) -> Duration {
    let class = report.failure().map(|failure| failure.class);
    match class {
        Some(FailureClass::TimedOut | FailureClass::NameserverSilent) => Duration::from_secs(31),
        Some(FailureClass::CertificateUntrusted) => Duration::from_millis(1_100),
        _ => Duration::from_millis(1_200),
    }
}

/// Go's words for what went wrong on the way.
fn words(url: &str, report: &ProbeReport) -> String {
    let Some(failure) = report.failure() else {
        return String::new();
    };
    let host = url
        .trim_start_matches("https://")
        .trim_start_matches("http://")
        .split('/')
        .next()
        .unwrap_or_default();
    let (name, port) = host.split_once(':').unwrap_or((
        host,
        if url.starts_with("https:") {
            "443"
        } else {
            "80"
        },
    ));
    let nameserver = report
        .nameservers
        .last()
        .map_or_else(String::new, |server| format!(" on {server}"));
    let address = report
        .addresses
        .first()
        .map_or_else(|| name.to_owned(), ToString::to_string);
    let reason = match (failure.step, failure.class) {
        (Step::Resolve, FailureClass::NameNotFound | FailureClass::NoAddress) => {
            format!("dial tcp: lookup {name}{nameserver}: no such host")
        }
        (Step::Resolve, FailureClass::NameserverSilent) => {
            format!("dial tcp: lookup {name}{nameserver}: i/o timeout")
        }
        (Step::Resolve, FailureClass::NoNameserver) => {
            format!("dial tcp: lookup {name} on 127.0.0.1:53: read: connection refused")
        }
        (Step::Resolve, _) => format!("dial tcp: lookup {name}{nameserver}: server misbehaving"),
        (Step::Connect, FailureClass::ConnectionRefused) => {
            format!("dial tcp {address}:{port}: connect: connection refused")
        }
        (Step::Connect, FailureClass::TimedOut) => {
            format!("dial tcp {address}:{port}: i/o timeout")
        }
        (Step::Connect, _) => format!("dial tcp {address}:{port}: connect: network is unreachable"),
        (Step::Tls, FailureClass::TimedOut) => "net/http: TLS handshake timeout".to_owned(),
        (
            Step::Request | Step::Tls,
            FailureClass::CertificateUntrusted | FailureClass::BadRequest,
        ) => "tls: failed to verify certificate: x509: certificate signed by unknown authority"
            .to_owned(),
        (Step::Tls, FailureClass::CertificateNameDiffers) => {
            let names = report
                .certificate
                .as_ref()
                .map(|shown| shown.names.join(", "))
                .unwrap_or_default();
            format!(
                "tls: failed to verify certificate: x509: certificate is valid for {names}, not {name}"
            )
        }
        (Step::Tls, FailureClass::CertificateExpired | FailureClass::CertificateNotYetValid) => {
            "tls: failed to verify certificate: x509: certificate has expired or is not yet valid"
                .to_owned()
        }
        (Step::Tls, FailureClass::NotTls) => {
            "http: server gave HTTP response to HTTPS client".to_owned()
        }
        (Step::Http, FailureClass::TimedOut) => {
            "net/http: timeout awaiting response headers".to_owned()
        }
        (Step::Http, FailureClass::StatusDiffers) => {
            return format!("{}: ", report.http_status.unwrap_or_default());
        }
        (Step::Document, _) => {
            return format!(
                "oidc: failed to decode provider discovery object: {}",
                failure.message
            );
        }
        _ => "EOF".to_owned(),
    };
    format!("Get {url:?}: {reason}")
}

/// The roots that a Go program trusts in this namespace, as PEM.
pub(crate) fn roots(environment: &Environment) -> String {
    let read = |path: &PathBuf| {
        std::fs::read(path)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .ok()
    };
    let mut text = match &environment.certificate_file {
        Some(path) => read(path).unwrap_or_default(),
        None => BUNDLES
            .iter()
            .find_map(|path| read(&PathBuf::from(path)))
            .unwrap_or_default(),
    };
    for directory in environment
        .certificate_directories
        .iter()
        .flat_map(std::env::split_paths)
    {
        let Ok(entries) = std::fs::read_dir(directory) else {
            continue;
        };
        for entry in entries.flatten() {
            text.push('\n');
            text.push_str(&read(&entry.path()).unwrap_or_default());
        }
    }
    text
}
