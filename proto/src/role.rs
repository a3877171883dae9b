//! Roles: of operators (what a client certificate may ask) and of hosts (what an agent can do).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{InvalidId, OperatorName};

/// What a client certificate allows. Each role includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads states, never logs or secrets.
    Viewer,
    /// Runs rollouts, controls targets, reads logs, sets secrets.
    Operator,
    /// Enrols, renews, revokes, uploads artifacts, deletes.
    Admin,
}

impl Role {
    /// The role as it stands in certificates and on command lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text {
            "viewer" => Ok(Self::Viewer),
            "operator" => Ok(Self::Operator),
            "admin" => Ok(Self::Admin),
            _ => Err(InvalidId {
                text: text.chars().take(80).collect(),
                kind: "role",
                rule: "one of `viewer`, `operator`, `admin`",
            }),
        }
    }
}

/// Who a client certificate speaks for: its one URI subject alternative name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorIdentity {
    /// The operator.
    pub name: OperatorName,
    /// What they may do.
    pub role: Role,
}

impl OperatorIdentity {
    const PREFIX: &'static str = "urn:omni-scale:operator:";

    /// The URI for a certificate: `urn:omni-scale:operator:ROLE:NAME`.
    pub fn to_uri(&self) -> String {
        format!("{}{}:{}", Self::PREFIX, self.role, self.name)
    }

    /// Reads the URI of a certificate.
    pub fn from_uri(uri: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId {
            text: uri.chars().take(80).collect(),
            kind: "operator identity",
            rule: "`urn:omni-scale:operator:ROLE:NAME`",
        };
        let (role, name) = uri
            .strip_prefix(Self::PREFIX)
            .and_then(|rest| rest.split_once(':'))
            .ok_or_else(invalid)?;
        Ok(Self {
            role: role.parse()?,
            name: name.parse()?,
        })
    }
}

/// What an agent looks after on its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostRole {
    /// The tsidp unit.
    Tsidp,
    /// The Omni stack.
    Omni,
    /// The VMs of a Proxmox VE cluster.
    Proxmox,
}

impl HostRole {
    /// The role as it stands in `agent.toml`, in the deployment and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tsidp => "tsidp",
            Self::Omni => "omni",
            Self::Proxmox => "proxmox",
        }
    }
}

impl fmt::Display for HostRole {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for HostRole {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text {
            "tsidp" => Ok(Self::Tsidp),
            "omni" => Ok(Self::Omni),
            "proxmox" => Ok(Self::Proxmox),
            _ => Err(InvalidId {
                text: text.chars().take(80).collect(),
                kind: "host role",
                rule: "one of `tsidp`, `omni`, `proxmox`",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_include_those_before_them() {
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
    }

    #[test]
    fn an_identity_survives_its_uri() {
        let identity = OperatorIdentity {
            name: "ada@desk".parse().unwrap(),
            role: Role::Admin,
        };
        assert_eq!(identity.to_uri(), "urn:omni-scale:operator:admin:ada@desk");
        assert_eq!(
            OperatorIdentity::from_uri(&identity.to_uri()).unwrap(),
            identity
        );
    }

    #[test]
    fn other_uris_are_no_identity() {
        for uri in [
            "",
            "urn:omni-scale:operator:admin",
            "urn:omni-scale:operator:root:ada",
            "spiffe://x/admin/ada",
        ] {
            assert!(OperatorIdentity::from_uri(uri).is_err(), "{uri}");
        }
    }
}
