//! What identifies an operation, and what it is done to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::id::{DeploymentId, InvalidId, MachineName, OperationId, SecretName, StackName};
use crate::v1;

/// What one operation changes. Each target has a generation of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// The tsidp unit.
    Unit,
    /// A stack of containers.
    Stack(StackName),
    /// A secret of the host.
    Secret(SecretName),
    /// A virtual machine.
    Machine(MachineName),
    /// Omni's OIDC client.
    Client,
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unit => formatter.write_str("unit/tsidp"),
            Self::Stack(name) => write!(formatter, "stack/{name}"),
            Self::Secret(name) => write!(formatter, "secret/{name}"),
            Self::Machine(name) => write!(formatter, "machine/{name}"),
            Self::Client => formatter.write_str("client/omni"),
        }
    }
}

impl FromStr for Target {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text.split_once('/') {
            Some(("unit", "tsidp")) => Ok(Self::Unit),
            Some(("stack", name)) => name.parse().map(Self::Stack),
            Some(("secret", name)) => name.parse().map(Self::Secret),
            Some(("machine", name)) => name.parse().map(Self::Machine),
            Some(("client", "omni")) => Ok(Self::Client),
            _ => Err(InvalidId {
                text: text.chars().take(80).collect(),
                kind: "target",
                rule: "`unit/tsidp`, `stack/NAME`, `secret/NAME`, `machine/NAME` or `client/omni`",
            }),
        }
    }
}

impl TryFrom<String> for Target {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

/// The longest that an operation may be asked to take, in seconds.
pub const DEADLINE_SECONDS_MAXIMUM: u32 = 3600;

/// The checked form of [`v1::Operation`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Asking again with the same id never does the work twice.
    pub id: OperationId,
    /// The deployment it belongs to.
    pub deployment: DeploymentId,
    /// The target's generation once it is done. From 1.
    pub generation: u64,
    /// The epoch of the lease it runs under. From 1.
    pub lease_epoch: u64,
    /// Bound on the work, in seconds. 1 to [`DEADLINE_SECONDS_MAXIMUM`].
    pub deadline_seconds: u32,
}

/// Why a [`v1::Operation`] is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOperation {
    /// The field is missing.
    #[error("the request carries no operation")]
    Missing,
    /// An identifier is malformed.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// Generations and epochs begin at 1.
    #[error("operation field `{field}` is 0; it begins at 1")]
    Zero {
        /// The field.
        field: &'static str,
    },
    /// The deadline is outside its range.
    #[error("operation deadline of {seconds} s is outside 1 to {DEADLINE_SECONDS_MAXIMUM} s")]
    Deadline {
        /// What was asked.
        seconds: u32,
    },
}

impl TryFrom<Option<v1::Operation>> for Operation {
    type Error = InvalidOperation;

    fn try_from(wire: Option<v1::Operation>) -> Result<Self, InvalidOperation> {
        let wire = wire.ok_or(InvalidOperation::Missing)?;
        if wire.generation == 0 {
            return Err(InvalidOperation::Zero {
                field: "generation",
            });
        }
        if wire.lease_epoch == 0 {
            return Err(InvalidOperation::Zero {
                field: "lease_epoch",
            });
        }
        if !(1..=DEADLINE_SECONDS_MAXIMUM).contains(&wire.deadline_seconds) {
            return Err(InvalidOperation::Deadline {
                seconds: wire.deadline_seconds,
            });
        }
        Ok(Self {
            id: wire.operation_id.parse()?,
            deployment: wire.deployment_id.parse()?,
            generation: wire.generation,
            lease_epoch: wire.lease_epoch,
            deadline_seconds: wire.deadline_seconds,
        })
    }
}

impl From<Operation> for v1::Operation {
    fn from(operation: Operation) -> Self {
        Self {
            operation_id: operation.id.into(),
            deployment_id: operation.deployment.to_string(),
            generation: operation.generation,
            lease_epoch: operation.lease_epoch,
            deadline_seconds: operation.deadline_seconds,
        }
    }
}

/// The id of an operation inside a plan: the same plan names the same operation, whoever sends
/// it and however often.
pub fn planned_operation_id(
    deployment: DeploymentId,
    host: &str,
    target: &Target,
    generation: u64,
    action: &str,
    desired_digest: &str,
) -> OperationId {
    let mut hash = sha2::Sha256::new();
    for part in [
        &deployment.to_string(),
        host,
        &target.to_string(),
        &generation.to_string(),
        action,
        desired_digest,
    ] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part.as_bytes());
    }
    operation_id(&hash.finalize())
}

/// The id of an operation outside a plan, from 32 random bytes.
pub fn random_operation_id(random: [u8; 32]) -> OperationId {
    operation_id(&random)
}

fn operation_id(bytes: &[u8]) -> OperationId {
    data_encoding::HEXLOWER
        .encode(bytes)
        .parse()
        .expect("32 bytes are 64 lower-case hex digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire() -> v1::Operation {
        v1::Operation {
            operation_id: "a".repeat(64),
            deployment_id: "7f2c6a54-9f0e-4c1e-8f61-0a2d9f1f8a11".to_owned(),
            generation: 3,
            lease_epoch: 2,
            deadline_seconds: 60,
        }
    }

    #[test]
    fn an_operation_survives_the_wire() {
        let operation = Operation::try_from(Some(wire())).unwrap();
        assert_eq!(v1::Operation::from(operation), wire());
    }

    #[test]
    fn what_is_out_of_range_is_refused_by_name() {
        let refused = |change: fn(&mut v1::Operation)| {
            let mut wire = wire();
            change(&mut wire);
            Operation::try_from(Some(wire)).unwrap_err().to_string()
        };
        assert!(refused(|wire| wire.generation = 0).contains("`generation`"));
        assert!(refused(|wire| wire.lease_epoch = 0).contains("`lease_epoch`"));
        assert!(refused(|wire| wire.deadline_seconds = 3601).contains("3601 s"));
        assert!(refused(|wire| wire.operation_id.clear()).contains("operation id"));
        assert_eq!(
            Operation::try_from(None).unwrap_err(),
            InvalidOperation::Missing
        );
    }

    #[test]
    fn planned_ids_differ_in_every_part() {
        let deployment: DeploymentId = wire().deployment_id.parse().unwrap();
        let unit = Target::Unit;
        let stack = Target::Stack("omni".parse().unwrap());
        let id = |host: &str, target: &Target, generation, action: &str, digest: &str| {
            planned_operation_id(deployment, host, target, generation, action, digest)
        };
        let first = id("idp", &unit, 1, "apply", "x");
        assert_eq!(first, id("idp", &unit, 1, "apply", "x"));
        for other in [
            id("omni", &unit, 1, "apply", "x"),
            id("idp", &stack, 1, "apply", "x"),
            id("idp", &unit, 2, "apply", "x"),
            id("idp", &unit, 1, "applyx", ""),
            id("idp", &unit, 1, "apply", "y"),
        ] {
            assert_ne!(first, other);
        }
    }
}
