//! How an identity lies on the disk: a directory with the usual PEM files, one directory per identity.
//!
//! `agent.key` (PKCS#8), `agent.pem` (chain), and once enrolled `authority.pem`, `enrolled.json` and `deny-list.json`.

use std::path::{Path, PathBuf};

use omni_scale_proto::id::{DeploymentId, HostName};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::error::IdentityError;
use super::{DenyList, Enrolled, Identity, check};
use crate::files;

/// No file of an identity is larger, in bytes.
const LARGEST: u64 = 1024 * 1024;
const KEY: &str = "agent.key";
const CHAIN: &str = "agent.pem";
const AUTHORITY: &str = "authority.pem";
const ENROLLED: &str = "enrolled.json";
const DENY_LIST: &str = "deny-list.json";

/// What is in `enrolled.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnrolledFile {
    deployment_id: DeploymentId,
    host_name: HostName,
}

/// All files that an identity can have.
pub(super) fn names(directory: &Path) -> Vec<PathBuf> {
    let names = [KEY, CHAIN, AUTHORITY, ENROLLED, DENY_LIST];
    names.iter().map(|name| directory.join(name)).collect()
}

/// Writes all files of an identity into a new directory.
pub(super) fn write(
    directory: &Path,
    key_pem: &Zeroizing<String>,
    chain: &[CertificateDer<'_>],
    enrolled: Option<&Enrolled>,
    deny_list: &DenyList,
) -> Result<(), IdentityError> {
    files::create_directory(directory, 0o700)?;
    let private =
        |name, contents: &[u8]| files::write_atomically(&directory.join(name), contents, 0o600);
    private(KEY, key_pem.as_bytes())?;
    private(CHAIN, chain.iter().map(pem).collect::<String>().as_bytes())?;
    if let Some(enrolled) = enrolled {
        private(AUTHORITY, pem(&enrolled.authority).as_bytes())?;
        let file = EnrolledFile {
            deployment_id: enrolled.deployment,
            host_name: enrolled.host.clone(),
        };
        private(ENROLLED, &json(&file))?;
        write_deny_list(directory, deny_list)?;
    }
    Ok(())
}

/// Replaces the deny list of an identity.
pub(super) fn write_deny_list(directory: &Path, list: &DenyList) -> Result<(), IdentityError> {
    files::write_atomically(&directory.join(DENY_LIST), &json(list), 0o600)?;
    Ok(())
}

/// Reads an identity.
pub(super) fn read(directory: &Path) -> Result<Identity, IdentityError> {
    let required = |name: &'static str| {
        optional(directory, name)?.ok_or_else(|| damaged(directory, name, "it is not there"))
    };
    let key = PrivateKeyDer::from_pem_slice(&required(KEY)?)
        .map_err(|error| damaged(directory, KEY, error))?;
    let chain = certificates(directory, CHAIN, &required(CHAIN)?)?;
    let not_after_milliseconds =
        check::not_after(&chain[0]).map_err(|error| damaged(directory, CHAIN, error))?;
    let enrolled = match optional(directory, ENROLLED)? {
        None => None,
        Some(contents) => {
            let file: EnrolledFile = serde_json::from_slice(&contents)
                .map_err(|error| damaged(directory, ENROLLED, error))?;
            let mut authority = certificates(directory, AUTHORITY, &required(AUTHORITY)?)?;
            Some(Enrolled {
                deployment: file.deployment_id,
                host: file.host_name,
                authority: authority.remove(0),
            })
        }
    };
    let deny_list = match optional(directory, DENY_LIST)? {
        None => DenyList::default(),
        Some(contents) => serde_json::from_slice(&contents)
            .map_err(|error| damaged(directory, DENY_LIST, error))?,
    };
    Ok(Identity {
        key,
        chain,
        not_after_milliseconds,
        enrolled,
        deny_list,
    })
}

/// At least one certificate.
fn certificates(
    directory: &Path,
    name: &'static str,
    contents: &[u8],
) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(contents)
        .collect::<Result<_, _>>()
        .map_err(|error| damaged(directory, name, error))?;
    if certificates.is_empty() {
        return Err(damaged(directory, name, "it holds no certificate"));
    }
    Ok(certificates)
}

fn optional(directory: &Path, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, IdentityError> {
    let contents = files::read(&directory.join(name), LARGEST)?;
    Ok(contents.map(Zeroizing::new))
}

fn damaged(
    directory: &Path,
    name: &str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> IdentityError {
    IdentityError::Damaged {
        path: directory.join(name),
        source: source.into(),
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec_pretty(value).expect("plain fields are JSON")
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    let base64 = data_encoding::BASE64.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in base64.as_bytes().chunks(64) {
        pem.push_str(std::str::from_utf8(line).expect("Base64 is ASCII"));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}
