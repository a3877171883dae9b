//! The agent's TLS settings, for the server that it is compared with and for its callers.
//!
//! Kept like `agent/src/server/tls.rs` and `coordinator/src/agents/grpc/tls.rs`: TLS 1.3 alone, ring, both ends show
//! certificates of the deployment's authority, no resumption.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

const HTTP2: &[u8] = b"h2";

/// As the agent serves.
pub(crate) fn server(files: &Path) -> anyhow::Result<ServerConfig> {
    let (chain, key) = credential(files, "agent")?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(authority(files)?), provider.clone())
            .build()?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![HTTP2.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// As an operator calls.
pub(crate) fn client(files: &Path) -> anyhow::Result<ClientConfig> {
    let (chain, key) = credential(files, "operator")?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(authority(files)?)
        .with_client_auth_cert(chain, key)?;
    config.alpn_protocols = vec![HTTP2.to_vec()];
    Ok(config)
}

fn authority(files: &Path) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let path = files.join("authority.pem");
    roots.add(CertificateDer::from_pem_file(&path).with_context(|| path.display().to_string())?)?;
    Ok(roots)
}

fn credential(
    files: &Path,
    whose: &str,
) -> anyhow::Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let chain = files.join(format!("{whose}.pem"));
    let key = files.join(format!("{whose}.key"));
    Ok((
        CertificateDer::pem_file_iter(&chain)
            .and_then(Iterator::collect)
            .with_context(|| chain.display().to_string())?,
        PrivateKeyDer::from_pem_file(&key).with_context(|| key.display().to_string())?,
    ))
}
