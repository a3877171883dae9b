//! Checks that this host answers by itself.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use omni_scale_proto::id::SecretName;
use omni_scale_proto::v1::{self, CheckStatus, SecretUse};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::Finding;
use crate::clock;
use crate::error::chain;
use crate::secrets::{SecretValue, Secrets, open_pgp};
use crate::tailnet::condition::{Condition, Severity};
use crate::tailnet::{NodeView, Tailnet};

/// What expires sooner is worth a warning.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// Whether a port can be published. Tried by binding it: only the kernel knows.
pub(super) async fn port_free(check: &v1::PortFreeCheck) -> Finding {
    let (Ok(address), Ok(port @ 1..)) =
        (check.address.parse::<IpAddr>(), u16::try_from(check.port))
    else {
        let message = format!(
            "`{}` port {} is no address of a port",
            check.address, check.port
        );
        return Finding::failed(message).finally();
    };
    let place = SocketAddr::new(address, port);
    let (bound, name) = match check.protocol() {
        v1::PortProtocol::Udp => (tokio::net::UdpSocket::bind(place).await.map(drop), "udp"),
        v1::PortProtocol::Tcp | v1::PortProtocol::Unspecified => {
            (tokio::net::TcpListener::bind(place).await.map(drop), "tcp")
        }
    };
    match bound {
        Ok(()) => Finding::passed(format!("{place}/{name} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Finding::failed(format!(
            "{place}/{name} is in use"
        ))
        .with_hint("`sudo ss -lntup` on the host shows by whom; stop it, or choose another port"),
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            Finding::failed(format!("{address} is not an address of this host"))
                .with_hint("`ip -br address` on the host shows its addresses")
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            privileged_port(place, name).await
        }
        Err(error) => Finding::unknown(format!("{place}/{name} cannot be tried: {error}")),
    }
}

/// The agent may not bind ports below 1024, but may look at who listens.
async fn privileged_port(place: SocketAddr, name: &'static str) -> Finding {
    let listed = tokio::task::spawn_blocking(move || -> io::Result<bool> {
        for table in [format!("/proc/net/{name}"), format!("/proc/net/{name}6")] {
            if std::fs::read_to_string(table)?
                .lines()
                .skip(1)
                .any(|line| listens(line, place.port(), name))
            {
                return Ok(true);
            }
        }
        Ok(false)
    });
    match listed.await {
        Ok(Ok(false)) => Finding::passed(format!("{place}/{name} is free")),
        Ok(Ok(true)) => Finding::failed(format!("port {}/{name} is in use", place.port()))
            .with_hint(
                "`sudo ss -lntup` on the host shows by whom; stop it, or choose another port",
            ),
        Ok(Err(error)) => Finding::unknown(format!("{place}/{name} cannot be tried: {error}")),
        Err(error) => Finding::unknown(format!("{place}/{name} cannot be tried: {error}")),
    }
}

/// A line of /proc/net/tcp or udp: `sl local_address rem_address st …`, numbers in hex (proc_net(5)).
fn listens(line: &str, port: u16, name: &str) -> bool {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let local = fields.next().and_then(|local| local.rsplit_once(':'));
    let state = fields.nth(1);
    let same = local.is_some_and(|(_, digits)| u16::from_str_radix(digits, 16) == Ok(port));
    // 0A: LISTEN. A UDP socket has no such state.
    same && (name == "udp" || state == Some("0A"))
}

/// Whether a secret is set, and usable for what it is for.
pub(super) async fn secret(secrets: &Arc<Secrets>, check: &v1::SecretCheck) -> Finding {
    let name: SecretName = match check.name.parse() {
        Ok(name) => name,
        Err(error) => return Finding::failed(format!("{error}")).finally(),
    };
    let usage = check.r#use();
    let set = if usage == SecretUse::OmniEncryptionKey {
        format!(
            "`omni-scale secret generate HOST {name} --export FILE` makes it, `omni-scale secret set HOST {name}` takes yours"
        )
    } else {
        format!("`omni-scale secret set HOST {name}` reads it from standard input")
    };
    let Some(record) = secrets.record(&name) else {
        let finding = if secrets.candidate(&name).is_some() {
            Finding::failed(format!(
                "secret `{name}` was made, but its export was never confirmed"
            ))
        } else {
            Finding::failed(format!("secret `{name}` is not set"))
        };
        return finding.with_hint(set);
    };
    let Some(value) = secrets.get(&name).filter(|_| !record.consumed) else {
        return Finding::failed(format!("secret `{name}` was for one use, and is used up"))
            .with_hint(set);
    };
    let judged = tokio::task::spawn_blocking(move || usable(usage, &value)).await;
    match judged {
        Ok(Ok(None)) => Finding::passed(format!("secret `{name}` is set")),
        Ok(Ok(Some(warning))) => Finding::new(
            CheckStatus::Warning,
            format!("secret `{name}` is set: {warning}"),
        ),
        Ok(Err(fault)) => {
            Finding::failed(format!("secret `{name}` cannot be used: {fault}")).with_hint(set)
        }
        Err(error) => Finding::unknown(format!("secret `{name}` could not be judged: {error}")),
    }
}

/// `Ok(Some)` is a warning, `Err` says why the value cannot be used.
fn usable(usage: SecretUse, value: &SecretValue) -> Result<Option<String>, String> {
    match usage {
        SecretUse::Opaque
        | SecretUse::OidcClientId
        | SecretUse::OidcClientSecret
        | SecretUse::Unspecified => {
            if value.expose().trim_ascii().is_empty() {
                return Err("it holds nothing but white space".to_owned());
            }
            Ok(None)
        }
        SecretUse::OmniEncryptionKey => {
            let sound =
                open_pgp::check(value, SystemTime::now()).map_err(|fault| fault.to_string())?;
            Ok(sound.expires.then(|| {
                "the key expires one day; Omni cannot be told to use another one in time".to_owned()
            }))
        }
        SecretUse::CertificateChain => certificate_chain(value),
        SecretUse::PrivateKey => {
            let key = PrivateKeyDer::from_pem_slice(value.expose())
                .map_err(|_| "it is not a PEM private key without a passphrase".to_owned())?;
            rustls::crypto::ring::sign::any_supported_type(&key)
                .map(|_| None)
                .map_err(|_| "it is a private key of a kind that TLS does not use".to_owned())
        }
    }
}

fn certificate_chain(value: &SecretValue) -> Result<Option<String>, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(value.expose())
        .collect::<Result<_, _>>()
        .map_err(|_| "it is not a PEM certificate chain".to_owned())?;
    let leaf = chain.first().ok_or("it holds no PEM certificate")?;
    let (_, leaf) =
        X509Certificate::from_der(leaf).map_err(|_| "its first certificate is not X.509")?;
    let now = clock::now_milliseconds() / 1000;
    let end = leaf.validity().not_after.timestamp();
    if end <= now {
        return Err(format!(
            "its certificate has expired on {}",
            leaf.validity().not_after
        ));
    }
    let soon = i64::try_from(SOON.as_secs()).unwrap_or(i64::MAX);
    Ok((end - now < soon)
        .then(|| format!("its certificate expires on {}", leaf.validity().not_after)))
}

/// Whether a node that logs in now would get this name.
pub(super) async fn node_name_free(
    tailnet: &dyn Tailnet,
    check: &v1::NodeNameFreeCheck,
) -> Finding {
    let name = &check.dns_name;
    let named = match tailnet.named(name).await {
        Ok(Some(named)) => named,
        Ok(None) => {
            return Finding::unknown("the host's own node is not on the tailnet, and sees nobody");
        }
        Err(error) => return Finding::unknown(chain(&error)),
    };
    let Some(device) = named.device else {
        return Finding::passed(format!("no device of the tailnet is called {name}"));
    };
    let (label, rest) = name.split_once('.').unwrap_or((name, ""));
    let connected = if device.online {
        "connected"
    } else {
        "not connected"
    };
    let found = format!("a device is called {name} already, and is {connected}");
    if check.may_be_itself {
        let summary = format!(
            "{found}: unless it is this node, whose state is still there, it would become {label}-1.{rest}"
        );
        return Finding::new(CheckStatus::Warning, summary);
    }
    let summary = format!(
        "{found}, but its state is not on this host: a new login would become {label}-1.{rest}"
    );
    Finding::failed(summary)
        .with_hint(
            "restore the state volume from a backup; or, when it is lost for good, delete the old device in the admin console and set a new one-time key",
        )
        .finally()
}

/// Whether the host's own node is connected, under the name that is expected.
pub(super) async fn tailnet(tailnet: &dyn Tailnet, check: &v1::TailnetCheck) -> Finding {
    let view = NodeView::of(tailnet).await;
    let evidence: Vec<String> = view
        .conditions
        .iter()
        .map(|condition| format!("the node {}", condition.summary))
        .collect();
    let worst = view.conditions.first();
    let about = |condition: &Condition, status: CheckStatus| {
        let summary = format!("the host's tailnet node {}", condition.summary);
        Finding::new(status, summary)
            .with_hint(condition.fix.clone())
            .with_evidence(evidence.clone())
    };
    let Some(status) = view.status.as_ref().filter(|_| view.runs()) else {
        return match worst {
            Some(condition) if condition.severity == Severity::Unknown => {
                about(condition, CheckStatus::Unknown)
            }
            Some(condition) => about(condition, CheckStatus::Failed),
            None => {
                Finding::unknown("the host's tailnet node is in a state that is not understood")
            }
        };
    };
    if let Some(condition) = worst.filter(|condition| condition.severity == Severity::Failed) {
        return about(condition, CheckStatus::Failed);
    }
    let expected = check.expected_dns_name.trim_end_matches('.');
    if !expected.is_empty() && !status.dns_name.eq_ignore_ascii_case(expected) {
        return Finding::failed(format!(
            "the host's tailnet node is called {}, not {expected}",
            status.dns_name
        ))
        .with_hint("rename the machine in the tailnet, or correct the deployment")
        .with_evidence(evidence);
    }
    if let Some(condition) = view.trouble() {
        return about(condition, CheckStatus::Warning);
    }
    let summary = format!("the host's tailnet node {} is connected", status.dns_name);
    Finding::passed(summary).with_evidence(evidence)
}

#[cfg(test)]
mod tests {
    use omni_scale_noise::{Dice, damaged_text, hold_against};

    use super::*;

    const LINE: &str = "   0: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1";

    #[test]
    fn a_listener_is_told_from_a_connection() {
        assert!(listens(LINE, 80, "tcp"));
        assert!(!listens(LINE, 81, "tcp"));
        let connected = LINE.replace(" 0A ", " 01 ");
        assert!(!listens(&connected, 80, "tcp"));
        assert!(listens(&connected, 80, "udp"));
    }

    #[test]
    fn noise_in_the_kernels_table_breaks_nothing() {
        let pieces = ["", " ", ":", "0", "F", "-", "+50", "0A", "ü"];
        let make = |dice: &mut Dice| damaged_text(dice, LINE, &pieces);
        hold_against("/proc/net/tcp", make, |line| {
            let _ = (listens(line, 80, "tcp"), listens(line, 80, "udp"));
        });
    }
}
