//! The identity in force, on the disk and for everybody who serves with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use omni_scale_proto::id::{DeploymentId, HostName};
use omni_scale_proto::v1;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PublicKeyData as _};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::check;
use super::error::IdentityError;
use super::{DenyList, Enrolled, Identity, files};
use crate::files::{self as disk, FileError};

/// The link to the directory of the identity in force.
const CURRENT: &str = "current";

/// A fresh key that waits for its certificate. Only in memory: without a certificate it is worth nothing.
pub struct Pending {
    key: KeyPair,
    /// PKCS#10, DER.
    pub signing_request: Vec<u8>,
}

#[cfg(test)]
impl Pending {
    pub(crate) fn key(&self) -> &KeyPair {
        &self.key
    }
}

/// A certificate for a pending key, and what it belongs to, checked for form only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// What it would make of this agent.
    pub enrolled: Enrolled,
}

impl TryFrom<v1::EnrollCertificate> for Offer {
    type Error = IdentityError;

    fn try_from(wire: v1::EnrollCertificate) -> Result<Self, IdentityError> {
        let chain = wire.certificate_chain.into_iter().map(CertificateDer::from);
        Ok(Self {
            chain: chain.collect(),
            enrolled: Enrolled {
                deployment: wire.deployment_id.parse()?,
                host: wire.host_name.parse()?,
                authority: CertificateDer::from(wire.authority),
            },
        })
    }
}

/// Keeps the identity in force.
#[derive(Debug)]
pub struct IdentityStore {
    directory: PathBuf,
    current: watch::Sender<Arc<Identity>>,
    deployment: watch::Sender<Option<DeploymentId>>,
    /// One change at a time.
    changes: Mutex<()>,
}

impl IdentityStore {
    /// Reads the identity, and makes one when there is none. Blocks.
    pub fn open(directory: &Path) -> Result<Self, IdentityError> {
        disk::create_directory(directory, 0o700)?;
        if !directory.join(CURRENT).exists() {
            let (key, certificate) = self_made()?;
            let version = next_version(directory)?;
            files::write(
                &directory.join(&version),
                &Zeroizing::new(key.serialize_pem()),
                &[certificate],
                None,
                &DenyList::default(),
            )?;
            switch(directory, &version)?;
        }
        let identity = files::read(&directory.join(CURRENT))?;
        let deployment = identity
            .enrolled
            .as_ref()
            .map(|enrolled| enrolled.deployment);
        Ok(Self {
            directory: directory.to_owned(),
            current: watch::Sender::new(Arc::new(identity)),
            deployment: watch::Sender::new(deployment),
            changes: Mutex::new(()),
        })
    }

    /// The certificate that the agent with this directory shows now. `None`: it has not made itself an identity yet.
    /// Blocks.
    pub fn read_leaf(directory: &Path) -> Result<Option<CertificateDer<'static>>, IdentityError> {
        let current = directory.join(CURRENT);
        if !current
            .join("agent.pem")
            .try_exists()
            .map_err(FileError::new("read", &current))?
        {
            return Ok(None);
        }
        Ok(Some(files::read(&current)?.chain.remove(0)))
    }

    /// The identity in force.
    pub fn current(&self) -> Arc<Identity> {
        self.current.borrow().clone()
    }

    /// Follows the identity.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Identity>> {
        self.current.subscribe()
    }

    /// Follows the deployment that this agent serves.
    pub fn deployment(&self) -> watch::Receiver<Option<DeploymentId>> {
        self.deployment.subscribe()
    }

    /// The files whose change means that root has put another identity there.
    pub fn files(&self) -> Vec<PathBuf> {
        files::names(&self.directory.join(CURRENT))
    }

    /// Reads the files again, after root has changed them. A damaged identity leaves the old one in force. Blocks.
    pub fn reload(&self) -> Result<(), IdentityError> {
        let _change = self.change();
        self.put_in_force()
    }

    /// Makes a fresh key and a signing request for it. The request asks for no name: the authority decides.
    pub fn prepare(&self) -> Result<Pending, IdentityError> {
        let key = KeyPair::generate().map_err(IdentityError::Key)?;
        let parameters = CertificateParams::default();
        let request = parameters
            .serialize_request(&key)
            .map_err(IdentityError::Key)?;
        let signing_request = request.der().to_vec();
        Ok(Pending {
            key,
            signing_request,
        })
    }

    /// Whether this certificate can be served with. Changes nothing.
    pub fn check(
        &self,
        pending: &Pending,
        offer: &Offer,
        now: UnixTime,
    ) -> Result<(), IdentityError> {
        check::check(
            &offer.chain,
            &pending.key.subject_public_key_info(),
            &offer.enrolled.authority,
            &offer.enrolled.host,
            now,
        )?;
        Ok(())
    }

    /// Becomes what an enrolment says: any deployment, any name. Who was revoked by the same authority stays so.
    /// Blocks.
    pub fn enroll(
        &self,
        pending: &Pending,
        offer: &Offer,
        now: UnixTime,
    ) -> Result<(), IdentityError> {
        let _change = self.change();
        let current = self.current();
        let deny_list = if current.authority() == Some(&*offer.enrolled.authority) {
            current.deny_list.clone()
        } else {
            DenyList::default()
        };
        self.install(pending, offer, &deny_list, now)
    }

    /// Takes a fresh certificate of the same authority for the same name and deployment. Blocks.
    pub fn renew(
        &self,
        pending: &Pending,
        offer: &Offer,
        now: UnixTime,
    ) -> Result<(), IdentityError> {
        let _change = self.change();
        let current = self.current();
        let enrolled = current
            .enrolled
            .as_ref()
            .ok_or(IdentityError::NotEnrolled)?;
        for (same, what) in [
            (
                enrolled.deployment == offer.enrolled.deployment,
                "deployment",
            ),
            (enrolled.host == offer.enrolled.host, "host name"),
            (enrolled.authority == offer.enrolled.authority, "authority"),
        ] {
            if !same {
                return Err(IdentityError::Moved { what });
            }
        }
        self.install(pending, offer, &current.deny_list, now)
    }

    /// Replaces the deny list. The same list again is no fault. Blocks.
    pub fn put_deny_list(&self, list: &DenyList) -> Result<(), IdentityError> {
        let _change = self.change();
        let current = self.current();
        if current.enrolled.is_none() {
            return Err(IdentityError::NotEnrolled);
        }
        if current.deny_list == *list {
            return Ok(());
        }
        if list.version <= current.deny_list.version {
            return Err(IdentityError::StaleDenyList {
                asked: list.version,
                current: current.deny_list.version,
            });
        }
        files::write_deny_list(&self.directory.join(CURRENT), list)?;
        self.put_in_force()
    }

    fn install(
        &self,
        pending: &Pending,
        offer: &Offer,
        deny_list: &DenyList,
        now: UnixTime,
    ) -> Result<(), IdentityError> {
        self.check(pending, offer, now)?;
        let version = next_version(&self.directory)?;
        files::write(
            &self.directory.join(&version),
            &Zeroizing::new(pending.key.serialize_pem()),
            &offer.chain,
            Some(&offer.enrolled),
            deny_list,
        )?;
        switch(&self.directory, &version)?;
        self.put_in_force()
    }

    fn put_in_force(&self) -> Result<(), IdentityError> {
        let identity = files::read(&self.directory.join(CURRENT))?;
        let deployment = identity
            .enrolled
            .as_ref()
            .map(|enrolled| enrolled.deployment);
        tracing::info!(
            host = identity
                .enrolled
                .as_ref()
                .map(|enrolled| enrolled.host.as_str()),
            deny_list = identity.deny_list.version,
            "identity in force"
        );
        self.current.send_replace(Arc::new(identity));
        self.deployment.send_replace(deployment);
        Ok(())
    }

    fn change(&self) -> MutexGuard<'_, ()> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Identity {
    /// The name under which this agent is enrolled.
    pub fn host(&self) -> Option<&HostName> {
        self.enrolled.as_ref().map(|enrolled| &enrolled.host)
    }
}

fn self_made() -> Result<(KeyPair, CertificateDer<'static>), IdentityError> {
    let key = KeyPair::generate().map_err(IdentityError::Key)?;
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    let name = "omni-scale agent that is not enrolled";
    parameters.distinguished_name.push(DnType::CommonName, name);
    let certificate = parameters.self_signed(&key).map_err(IdentityError::Key)?;
    Ok((key, certificate.der().clone()))
}

/// The directories are numbered; what a crash left half-written has a number that is never used again.
fn next_version(directory: &Path) -> Result<String, IdentityError> {
    let entries = fs::read_dir(directory).map_err(FileError::new("list", directory))?;
    let newest = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u64>().ok())
        .max();
    Ok((newest.unwrap_or(0) + 1).to_string())
}

/// Puts a whole identity in the place of the one before, and removes the others.
fn switch(directory: &Path, version: &str) -> Result<(), IdentityError> {
    let link = directory.join(".current.new");
    disk::remove(&link)?;
    std::os::unix::fs::symlink(version, &link).map_err(FileError::new("create", &link))?;
    let current = directory.join(CURRENT);
    fs::rename(&link, &current).map_err(FileError::new("replace", &current))?;
    disk::sync_directory(directory)?;
    let entries = fs::read_dir(directory).map_err(FileError::new("list", directory))?;
    for entry in entries.flatten() {
        let old = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name != version && name.parse::<u64>().is_ok());
        if old && let Err(error) = fs::remove_dir_all(entry.path()) {
            tracing::warn!(path = %entry.path().display(), %error, "cannot remove an old identity");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
