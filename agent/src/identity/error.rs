//! Why an identity could not be read or changed.

use std::path::PathBuf;

use super::check::CertificateFault;
use crate::error::{Classified, Kind};
use crate::files::FileError;

/// Why the identity could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The disk did not do what it should.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file is not what it should be.
    #[error("`{}` is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A key or a signing request could not be made.
    #[error("cannot make a key for this agent")]
    Key(#[source] rcgen::Error),
    /// The certificate that is offered cannot be served with.
    #[error("the certificate that is offered is not taken")]
    Certificate(#[from] CertificateFault),
    /// The names that are offered are none.
    #[error(transparent)]
    Name(#[from] omni_scale_proto::id::InvalidId),
    /// A renewal must not move the agent elsewhere.
    #[error("a renewal cannot change the {what}; enrol the agent anew for that")]
    Moved {
        /// `deployment`, `host name` or `authority`.
        what: &'static str,
    },
    /// Only an enrolled agent can do this.
    #[error("this agent is not enrolled in a deployment")]
    NotEnrolled,
    /// Somebody has put a newer list in place.
    #[error("deny list version {asked} is out of date: version {current} is in force")]
    StaleDenyList {
        /// The version in the request.
        asked: u64,
        /// The version in force.
        current: u64,
    },
    /// It is no deny list.
    #[error("{rule}")]
    DenyList {
        /// The rule it breaks.
        rule: &'static str,
    },
}

impl Classified for IdentityError {
    fn kind(&self) -> Kind {
        match self {
            Self::File(_) | Self::Key(_) => Kind::Fault,
            Self::Damaged { .. } => Kind::Damaged,
            Self::Certificate(_) | Self::Name(_) | Self::DenyList { .. } => Kind::Invalid,
            Self::Moved { .. } | Self::NotEnrolled | Self::StaleDenyList { .. } => Kind::Stale,
        }
    }
}
