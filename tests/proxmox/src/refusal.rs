//! Why a request is refused, in Proxmox VE's words and statuses (facts §1.2).

use std::collections::BTreeMap;

/// A refusal; each variant has its own status, reason and body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// 401: reason only, no body, after three seconds.
    Unauthorized(String),
    /// 403 with what is missing, `(/path, Privilege)`; empty for the bare text.
    Forbidden(String),
    /// 400 with one message for each parameter.
    Parameters(BTreeMap<String, String>),
    /// 500: a Perl `die`, its text also the reason phrase.
    Died(String),
    /// 501.
    NotImplemented(String),
    /// Any other status.
    Raw {
        /// The status.
        status: u16,
        /// The reason phrase.
        reason: String,
    },
}

impl Refusal {
    pub(crate) fn parameter(name: &str, message: impl Into<String>) -> Self {
        Self::Parameters(BTreeMap::from([(name.to_owned(), message.into())]))
    }

    pub(crate) fn died(text: impl Into<String>) -> Self {
        Self::Died(text.into())
    }

    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Unauthorized(_) => 401,
            Self::Forbidden(_) => 403,
            Self::Parameters(_) => 400,
            Self::Died(_) => 500,
            Self::NotImplemented(_) => 501,
            Self::Raw { status, .. } => *status,
        }
    }

    /// The message, without its line end.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Unauthorized(text) | Self::Died(text) | Self::NotImplemented(text) => {
                text.clone()
            }
            Self::Forbidden(missing) if missing.is_empty() => "Permission check failed".to_owned(),
            Self::Forbidden(missing) => format!("Permission check failed ({missing})"),
            Self::Parameters(_) => "Parameter verification failed.".to_owned(),
            Self::Raw { reason, .. } => reason.clone(),
        }
    }
}
