//! What can go wrong with keys and certificates.

use std::path::PathBuf;

use omni_scale_proto::id::{DeploymentId, HostName};

use crate::files::FileError;

/// A failure with keys or certificates. No variant holds key material.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Something of the store that a command needs is not there.
    #[error("there is no {what} at `{}`", path.display())]
    Missing {
        /// What it is.
        what: &'static str,
        /// Where it should be.
        path: PathBuf,
        /// How to get it.
        hint: &'static str,
    },
    /// A file of the store is not what it should be.
    #[error("`{}` is not {what}", path.display())]
    Malformed {
        /// What it should be.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A certificate could not be read.
    #[error("{what} cannot be read as a certificate: {problem}")]
    Certificate {
        /// Whose it is.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Making a key or a certificate failed.
    #[error("could not make {what}")]
    Make {
        /// What was to be made.
        what: &'static str,
        /// Why.
        source: rcgen::Error,
    },
    /// An agent's signing request is not usable.
    #[error("the signing request of host `{host}` is refused")]
    SigningRequest {
        /// Whose it is.
        host: HostName,
        /// Why.
        source: rcgen::Error,
    },
    /// The passphrase is wrong, or the file is damaged: the two cannot be told apart.
    #[error("the passphrase does not open the authority's key")]
    WrongPassphrase,
    /// The key is not protected in a way that we read.
    #[error("the authority's key is not in a form that is understood: {problem}")]
    Key {
        /// What is wrong.
        problem: String,
    },
    /// The key is another authority's.
    #[error("the key does not belong to the authority's certificate")]
    ForeignKey,
    /// A bundle of another deployment, or none at all.
    #[error("this is not a credential of omni-scale: {problem}")]
    Bundle {
        /// What is wrong.
        problem: String,
    },
    /// A store that must not be written over.
    #[error("deployment {deployment} has an authority already, in `{}`", path.display())]
    AuthorityExists {
        /// Whose it is.
        deployment: DeploymentId,
        /// Where.
        path: PathBuf,
    },
    /// Nobody of that name or serial number was given a certificate here.
    #[error("no certificate that is still valid was given to `{who}` from here")]
    UnknownOperator {
        /// What was asked for.
        who: String,
    },
}

impl PkiError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { hint, .. } => Some((*hint).to_owned()),
            Self::WrongPassphrase => Some("try again; nothing was changed".to_owned()),
            Self::ForeignKey => {
                Some("give the key that lies beside `authority.pem` with `--authority-key`".into())
            }
            Self::AuthorityExists { .. } => Some(
                "a new authority would lock out every enrolled agent; use the one that is there"
                    .into(),
            ),
            Self::UnknownOperator { .. } => {
                Some("`omni-scale operator list` shows the names and serial numbers".to_owned())
            }
            Self::SigningRequest { .. } => {
                Some("make a new token on the host with `sudo omni-scale-agent token`".to_owned())
            }
            _ => None,
        }
    }
}
