//! Who this agent is: its key, its certificate, the authority it trusts, whom it refuses, and which deployment it
//! serves.
//!
//! An agent begins with a key and a certificate that it makes itself. An enrolment, and each renewal, replaces all of
//! it in one step: a new directory is written whole, then the link `current` is switched, so that no crash leaves a key
//! without its certificate. Who may cause that is not decided here, but in [`crate::enrollment`] and by the role table.

mod check;
mod deny_list;
mod error;
mod files;
mod store;

use omni_scale_proto::id::{DeploymentId, HostName};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

pub use check::CertificateFault;
pub use deny_list::DenyList;
pub use error::IdentityError;
pub use store::{IdentityStore, Offer, Pending};

/// Who the agent is at one moment.
pub struct Identity {
    /// The key that the certificate is for.
    pub key: PrivateKeyDer<'static>,
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The end of the leaf's validity in milliseconds since the Unix epoch.
    pub not_after_milliseconds: i64,
    /// `None`: the certificate is self-made, and nobody may do anything but enrol the agent.
    pub enrolled: Option<Enrolled>,
    /// Certificates that are refused although the authority made them.
    pub deny_list: DenyList,
}

/// What an enrolment brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// The deployment that this agent serves.
    pub deployment: DeploymentId,
    /// The host's name there, as in the certificate.
    pub host: HostName,
    /// Client certificates must come from it.
    pub authority: CertificateDer<'static>,
}

impl Identity {
    /// The certificate that callers see.
    pub fn leaf(&self) -> &CertificateDer<'static> {
        &self.chain[0]
    }

    /// The authority that operators' certificates must come from, DER. `None`: not enrolled.
    pub fn authority(&self) -> Option<&[u8]> {
        self.enrolled.as_ref().map(|enrolled| &*enrolled.authority)
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Identity")
            .field("enrolled", &self.enrolled)
            .field("not_after_milliseconds", &self.not_after_milliseconds)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod testing;
