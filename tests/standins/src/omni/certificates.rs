//! Certificates from files, and taking up new ones without a restart.

use std::{
    fs,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use rustls::{ServerConfig, crypto::ring};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::json;

use crate::{
    failure::{Failure, go_error},
    log,
    pace::Pace,
};

/// The real one was seen to take up a new certificate within three seconds.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A certificate and key that may be replaced on disk.
#[derive(Debug)]
pub(super) struct Certificates {
    files: (String, String),
    current: RwLock<Arc<ServerConfig>>,
}

impl Certificates {
    pub(super) fn load(files: (String, String)) -> Result<Arc<Self>, Failure> {
        let config = read(&files).map_err(|reason| {
            Failure::new(
                1_500,
                format!("failed to serve: failed to load certs: {reason}"),
            )
        })?;
        Ok(Arc::new(Self {
            files,
            current: RwLock::new(config),
        }))
    }

    pub(super) fn current(&self) -> Arc<ServerConfig> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Takes up what changes on disk, for ever. What cannot be read is logged and the old one kept.
    pub(super) async fn follow(self: Arc<Self>, pace: Pace) {
        let mut seen = self.stamp();
        loop {
            pace.span(LOOK_EVERY).await;
            // At least one other thing gets its turn, whatever the pace.
            tokio::time::sleep(Duration::from_millis(20)).await;
            let stamp = self.stamp();
            if stamp == seen {
                continue;
            }
            seen = stamp;
            match read(&self.files) {
                Ok(config) => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
                    log::info("reloaded certs", &[("cert", json!(self.files.0))]);
                }
                Err(reason) => log::error("failed to reload certs", &[("error", json!(reason))]),
            }
        }
    }

    fn stamp(&self) -> [Option<(SystemTime, u64)>; 2] {
        [&self.files.0, &self.files.1].map(|path| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        })
    }
}

fn read((certificate, key): &(String, String)) -> Result<Arc<ServerConfig>, String> {
    let open = |path: &String| {
        fs::read(Path::new(path)).map_err(|error| format!("open {path}: {}", go_error(&error)))
    };
    let chain = CertificateDer::pem_slice_iter(&open(certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("tls: failed to parse certificate: {error}"))?;
    if chain.is_empty() {
        return Err("tls: failed to find any PEM data in certificate input".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(&open(key)?)
        .map_err(|_| "tls: failed to find any PEM data in key input".to_owned())?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    match config {
        Ok(mut config) => {
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            Ok(Arc::new(config))
        }
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err("tls: private key does not match public key".to_owned())
        }
        Err(error) => Err(format!("tls: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use rcgen::{KeyPair, generate_simple_self_signed};

    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn load(certificate: &Path, key: &Path) -> Result<(), String> {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        Certificates::load((text(certificate), text(key)))
            .map(|_| ())
            .map_err(|failure| failure.text)
    }

    #[test]
    fn every_fault_of_the_files_has_the_real_words() {
        let made = generate_simple_self_signed(["omni.test".to_owned()]).unwrap();
        let (certificate, key) = (
            file(&made.cert.pem()),
            file(&made.signing_key.serialize_pem()),
        );
        load(certificate.path(), key.path()).unwrap();
        let other = file(&KeyPair::generate().unwrap().serialize_pem());
        let text = load(certificate.path(), other.path()).unwrap_err();
        assert_eq!(
            text,
            "failed to serve: failed to load certs: tls: private key does not match public key"
        );
        let text = load(Path::new("/no/tls.crt"), key.path()).unwrap_err();
        assert_eq!(
            text,
            "failed to serve: failed to load certs: open /no/tls.crt: no such file or directory"
        );
        assert!(
            load(key.path(), key.path())
                .unwrap_err()
                .contains("failed to find any PEM data in certificate input")
        );
        assert!(
            load(certificate.path(), certificate.path())
                .unwrap_err()
                .contains("in key input")
        );
    }
}
