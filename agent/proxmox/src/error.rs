//! Why a call did not do what it should, and what a caller may do about it.

use std::{collections::BTreeMap, fmt, io, time::Duration};

use thiserror::Error;

use crate::{Address, Complaint, ConnectError, Method};

/// What a caller may do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Nothing was changed, and the same request may succeed later. After [`Complaint::Modified`] only with what
    /// is read anew.
    Transient,
    /// The token, its rights or the trust in the node are wrong. A person has to change something; never repeated.
    Refused,
    /// The same request will fail again.
    Permanent,
    /// It may have been done or not: the reply to a mutation was lost. To be observed, never repeated blindly.
    Unknown,
}

/// What was asked of whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The HTTP method.
    pub method: Method,
    /// The path below `/api2/json`.
    pub path: String,
    /// The node that was asked.
    pub address: Address,
}

impl fmt::Display for Asked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "`{} {}` of {}",
            self.method, self.path, self.address
        )
    }
}

/// Why a call failed. Holds no secret.
#[derive(Debug, Error)]
pub enum Error {
    /// No connection; nothing was sent.
    #[error("{asked} could not be asked")]
    Unreachable {
        /// What should have been asked.
        asked: Box<Asked>,
        /// Why.
        #[source]
        source: ConnectError,
    },
    /// What was to be uploaded cannot be read; nothing was sent.
    #[error("{asked} was not asked: the file to upload cannot be read")]
    Unsendable {
        /// What should have been asked.
        asked: Box<Asked>,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// 401: the token is not known, expired, or its secret is wrong. Proxmox holds it back for 3 s: never in a loop.
    #[error("{asked} was refused: the API token is not accepted ({reason})")]
    Unauthorized {
        /// What was asked.
        asked: Box<Asked>,
        /// The reason phrase.
        reason: String,
    },
    /// 403: the token lacks a privilege.
    #[error("{asked} was refused: {message}")]
    Forbidden {
        /// What was asked.
        asked: Box<Asked>,
        /// Proxmox's words.
        message: String,
        /// What is missing, when the words say so.
        missing: Option<MissingPrivilege>,
    },
    /// Any other refusal.
    #[error("{asked} failed with {status}: {message}{}", each(.parameters))]
    Answered {
        /// What was asked.
        asked: Box<Asked>,
        /// The HTTP status.
        status: u16,
        /// Proxmox's words.
        message: String,
        /// What is wrong with which parameter.
        parameters: BTreeMap<String, String>,
        /// What the words mean.
        complaint: Complaint,
    },
    /// The request was sent, and no usable answer came.
    #[error("{asked}: {}", lost(asked.method))]
    Lost {
        /// What was asked.
        asked: Box<Asked>,
        /// How it was lost.
        #[source]
        source: LostReply,
    },
    /// The answer says success, but cannot be read.
    #[error("the answer to {asked} cannot be read")]
    Unreadable {
        /// What was asked.
        asked: Box<Asked>,
        /// Why not.
        #[source]
        source: UnreadableAnswer,
    },
}

/// How a reply was lost.
#[derive(Debug, Error)]
pub enum LostReply {
    /// The time limit passed.
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// The connection broke.
    #[error("the connection broke off")]
    Broken(#[source] hyper::Error),
    /// The connection ended before the answer.
    #[error("the connection ended")]
    Ended,
    /// A proxy on the way lost it: Proxmox's own between nodes (595 to 599), or another (502, 503, 504).
    #[error("a proxy on the way answered {status} {reason}")]
    Gateway {
        /// The status.
        status: u16,
        /// The reason phrase.
        reason: String,
    },
}

/// Why an answer cannot be read.
#[derive(Debug, Error)]
pub enum UnreadableAnswer {
    /// A redirect, or another status that the API does not have.
    #[error("status {0} is none of the Proxmox API")]
    Status(u16),
    /// Longer than [`crate::Bounds::largest_answer`].
    #[error("it is longer than {0} bytes")]
    TooLong(usize),
    /// Not JSON.
    #[error("it is not the API's JSON")]
    NotJson(#[source] serde_json::Error),
    /// JSON without `data`.
    #[error("it has no `data`")]
    NoData,
    /// `data` has another form than it should.
    #[error("its data has another form")]
    Form(#[source] serde_json::Error),
    /// A value in `data` is none that the API has.
    #[error("its data is wrong: {0}")]
    Value(String),
}

/// A privilege that the token lacks on a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MissingPrivilege {
    /// The path of the access control, such as `/storage/local`.
    pub path: String,
    /// The privilege, or several of which any would do, separated by `|`.
    pub privilege: String,
}

/// `path: privilege`, as pre-flight lists show it.
impl fmt::Display for MissingPrivilege {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.path, self.privilege)
    }
}

impl MissingPrivilege {
    /// Reads `Permission check failed (/path, Privilege)` (pve-access-control, RPCEnvironment.pm).
    pub(crate) fn read(message: &str) -> Option<Self> {
        let (_, rest) = message.split_once("Permission check failed (")?;
        let (inner, _) = rest.rsplit_once(')')?;
        let (path, privilege) = inner.split_once(", ")?;
        path.starts_with('/').then(|| Self {
            path: path.to_owned(),
            privilege: privilege.to_owned(),
        })
    }
}

impl Error {
    /// What a caller may do about it.
    pub fn class(&self) -> Class {
        match self {
            Self::Unreachable {
                source: ConnectError::Trust(_),
                ..
            }
            | Self::Unauthorized { .. }
            | Self::Forbidden { .. } => Class::Refused,
            // The stub of a create is written before its worker is forked (qemu-server, API2/Qemu.pm).
            Self::Answered {
                asked,
                complaint: Complaint::NoWorker,
                ..
            } if asked.creates() => Class::Unknown,
            Self::Lost { asked, .. } | Self::Unreadable { asked, .. } if asked.method.mutates() => {
                Class::Unknown
            }
            Self::Unreachable { .. } | Self::Lost { .. } | Self::Answered { status: 429, .. } => {
                Class::Transient
            }
            Self::Unsendable { .. } | Self::Unreadable { .. } => Class::Permanent,
            Self::Answered { complaint, .. } => complaint.class(),
        }
    }

    /// What was asked of whom.
    pub fn asked(&self) -> &Asked {
        match self {
            Self::Unreachable { asked, .. }
            | Self::Unsendable { asked, .. }
            | Self::Unauthorized { asked, .. }
            | Self::Forbidden { asked, .. }
            | Self::Answered { asked, .. }
            | Self::Lost { asked, .. }
            | Self::Unreadable { asked, .. } => asked,
        }
    }

    /// What Proxmox complains of, when it answered.
    pub fn complaint(&self) -> Option<&Complaint> {
        match self {
            Self::Answered { complaint, .. } => Some(complaint),
            _ => None,
        }
    }
}

impl Asked {
    fn creates(&self) -> bool {
        self.method == Method::Post
            && self.path.starts_with("/nodes/")
            && self.path.ends_with("/qemu")
    }
}

fn lost(method: Method) -> &'static str {
    if method.mutates() {
        "whether it was done is not known"
    } else {
        "no answer came"
    }
}

fn each(parameters: &BTreeMap<String, String>) -> String {
    let words: Vec<String> = parameters
        .iter()
        .map(|(name, message)| format!("`{name}`: {message}"))
        .collect();
    if words.is_empty() {
        String::new()
    } else {
        format!(" ({})", words.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_privilege_is_read_from_the_message() {
        let missing = MissingPrivilege::read(
            "Permission check failed (/storage/local, Datastore.Audit|Datastore.AllocateSpace)\n",
        )
        .unwrap();
        assert_eq!(
            missing.to_string(),
            "/storage/local: Datastore.Audit|Datastore.AllocateSpace"
        );
        for text in [
            "Permission check failed",
            "Permission check failed (user != root@pam)",
            "x",
        ] {
            assert_eq!(MissingPrivilege::read(text), None, "{text}");
        }
    }
}
