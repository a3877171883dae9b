//! How getting a program fails.

use omni_scale_proto::id::Sha256;
use omni_scale_proto::v1::FailureClass;

use super::LARGEST;
use crate::files::FileError;
use crate::operation::Failure;

/// What was tried on which artifact, and why it failed.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The disk did not do what it should.
    #[error(transparent)]
    File(#[from] FileError),
    /// The sum is another one: the source has changed, or somebody changed it on the way.
    #[error("the artifact has the sum {found}, not {wanted}")]
    SumDiffers {
        /// What was asked for.
        wanted: Sha256,
        /// What came.
        found: Sha256,
    },
    /// It does not end where it should.
    #[error("the artifact is larger than {LARGEST} bytes")]
    TooLarge,
    /// It is neither a binary nor an archive with one.
    #[error("the artifact is not a program: {what}")]
    NotAProgram {
        /// What it is instead.
        what: String,
    },
    /// It is a program of another kind of machine.
    #[error("the artifact is a program for {found}, and this host is {host}")]
    OtherMachine {
        /// What it is for.
        found: String,
        /// What it should be for.
        host: &'static str,
    },
    /// The source cannot be reached, or broke off.
    #[error("cannot fetch `{url}`")]
    Unreachable {
        /// Where from, without its query.
        url: String,
        /// What the connection said. The HTTP library's type stays in the adapter.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The source answered something else.
    #[error("`{url}` answers with status {status}")]
    Status {
        /// Where from, without its query.
        url: String,
        /// The HTTP status code.
        status: u16,
    },
    /// A version that is not in the store.
    #[error("artifact {sum} is not on this host")]
    Missing {
        /// Which.
        sum: Sha256,
    },
}

impl ArtifactError {
    /// Decides about retrying.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Unreachable { .. } => FailureClass::Transient,
            Self::Status { status, .. } if *status >= 500 || matches!(status, 408 | 429) => {
                FailureClass::Transient
            }
            Self::File(_)
            | Self::SumDiffers { .. }
            | Self::TooLarge
            | Self::NotAProgram { .. }
            | Self::OtherMachine { .. }
            | Self::Status { .. }
            | Self::Missing { .. } => FailureClass::Permanent,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::SumDiffers { .. } => Some(
                "compare with the sums that the project publishes before you change the deployment",
            ),
            Self::Missing { .. } => {
                Some("give the artifact a `url` in the deployment, or upload it")
            }
            Self::OtherMachine { .. } => Some("choose the release for this kind of machine"),
            Self::File(_)
            | Self::TooLarge
            | Self::NotAProgram { .. }
            | Self::Unreachable { .. }
            | Self::Status { .. } => None,
        }
    }
}

impl From<ArtifactError> for Failure {
    fn from(error: ArtifactError) -> Self {
        let failure = Self::from_error(error.class(), &error);
        match error.hint() {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}
