//! What can go wrong between the coordinator and an agent.

use std::error::Error;

use omni_scale_proto::id::HostName;
use omni_scale_proto::v1;
use serde::{Deserialize, Serialize};

/// What an error means for retrying and for exit codes. Nothing else decides about either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// May pass by itself: a network, a daemon that restarts.
    Transient,
    /// Not allowed: policy, role, lease, generation.
    Refused,
    /// Will fail again until somebody changes something.
    Permanent,
    /// A fault of omni-scale itself.
    Bug,
}

impl From<v1::FailureClass> for Class {
    fn from(class: v1::FailureClass) -> Self {
        match class {
            v1::FailureClass::Transient => Self::Transient,
            v1::FailureClass::Refused => Self::Refused,
            v1::FailureClass::Permanent => Self::Permanent,
            // A class that a newer agent invents is nothing to retry on.
            v1::FailureClass::Bug | v1::FailureClass::Unspecified => Self::Bug,
        }
    }
}

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// For people: `operator@machine`.
    pub holder: String,
    /// The rollout it is for.
    pub rollout: String,
    /// Rises with every grant.
    pub epoch: u64,
    /// Milliseconds since the Unix epoch, by the agent's clock.
    pub since_milliseconds: i64,
    /// The lease ends this many milliseconds after the answer unless it is renewed.
    pub remaining_milliseconds: u32,
}

impl From<v1::LeaseHolder> for Holder {
    fn from(wire: v1::LeaseHolder) -> Self {
        Self {
            holder: wire.holder,
            rollout: wire.rollout_id,
            epoch: wire.epoch,
            since_milliseconds: wire.since_milliseconds,
            remaining_milliseconds: wire.remaining_milliseconds,
        }
    }
}

impl From<Holder> for v1::LeaseHolder {
    fn from(holder: Holder) -> Self {
        Self {
            holder: holder.holder,
            rollout_id: holder.rollout,
            epoch: holder.epoch,
            since_milliseconds: holder.since_milliseconds,
            remaining_milliseconds: holder.remaining_milliseconds,
        }
    }
}

/// A cause from another layer.
pub type Cause = Box<dyn Error + Send + Sync>;

/// Why an agent did not do, or is not known to have done, what it was asked.
///
/// `tried` completes "could not …": `observe the unit`, `apply stack/omni`.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The request was never sent.
    #[error("could not {tried} on host `{host}`: its agent cannot be reached")]
    Unreachable {
        /// The host.
        host: HostName,
        /// What was tried.
        tried: String,
        /// Why.
        #[source]
        source: Cause,
    },
    /// The agent answers, and has no certificate of this deployment.
    #[error("could not {tried} on host `{host}`: its agent is not enrolled")]
    NotEnrolled {
        /// The host.
        host: HostName,
        /// What was tried.
        tried: String,
    },
    /// The request was sent and the answer was lost: whether it had an effect must be observed.
    #[error("could not {tried} on host `{host}`: the answer was lost")]
    Unknown {
        /// The host.
        host: HostName,
        /// What was tried.
        tried: String,
        /// Why.
        #[source]
        source: Cause,
    },
    /// The agent does not do it, and has done nothing.
    #[error("could not {tried} on host `{host}`: refused: {message}")]
    Refused {
        /// The host.
        host: HostName,
        /// What was tried.
        tried: String,
        /// The agent's words.
        message: String,
        /// What to do. Empty: nothing known.
        hint: String,
    },
    /// The agent cannot do it now, and has done nothing.
    #[error("could not {tried} on host `{host}`: {message}")]
    Unavailable {
        /// The host.
        host: HostName,
        /// What was tried.
        tried: String,
        /// The agent's words.
        message: String,
    },
    /// The agent or the coordinator is at fault: an answer that makes no sense, an internal error.
    #[error("could not {tried} on host `{host}`: {message}")]
    Faulty {
        /// The host.
        host: HostName,
        /// What was tried.
        tried: String,
        /// What is wrong.
        message: String,
    },
    /// The lease that the request was made under is over.
    #[error("could not {tried} on host `{host}`: the lease was lost")]
    LeaseLost {
        /// The host.
        host: HostName,
        /// What was tried.
        tried: String,
        /// Who holds it now. None: nobody.
        holder: Option<Holder>,
    },
    /// Another rollout holds the lease.
    #[error("could not {tried} on host `{host}`: `{}` holds the lease", .holder.holder)]
    Held {
        /// The host.
        host: HostName,
        /// What was tried.
        tried: String,
        /// Who holds it.
        holder: Holder,
    },
}

impl AgentError {
    /// The host that was asked.
    pub const fn host(&self) -> &HostName {
        match self {
            Self::Unreachable { host, .. }
            | Self::NotEnrolled { host, .. }
            | Self::Unknown { host, .. }
            | Self::Refused { host, .. }
            | Self::Unavailable { host, .. }
            | Self::Faulty { host, .. }
            | Self::LeaseLost { host, .. }
            | Self::Held { host, .. } => host,
        }
    }

    /// What it means for retrying.
    pub const fn class(&self) -> Class {
        match self {
            Self::Unreachable { .. } | Self::Unknown { .. } | Self::Unavailable { .. } => {
                Class::Transient
            }
            Self::Refused { .. }
            | Self::NotEnrolled { .. }
            | Self::LeaseLost { .. }
            | Self::Held { .. } => Class::Refused,
            Self::Faulty { .. } => Class::Bug,
        }
    }

    /// Who holds the lease that is in the way.
    pub const fn holder(&self) -> Option<&Holder> {
        match self {
            Self::Held { holder, .. } => Some(holder),
            Self::LeaseLost { holder, .. } => holder.as_ref(),
            Self::Unreachable { .. }
            | Self::NotEnrolled { .. }
            | Self::Unknown { .. }
            | Self::Refused { .. }
            | Self::Unavailable { .. }
            | Self::Faulty { .. } => None,
        }
    }

    /// What to do, when something is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Refused { hint, .. } if !hint.is_empty() => Some(hint),
            Self::NotEnrolled { .. } => Some(
                "run `sudo omni-scale-agent token` on the host, then `omni-scale enroll HOST --token TOKEN` here",
            ),
            _ => None,
        }
    }
}
