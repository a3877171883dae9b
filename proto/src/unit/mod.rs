//! The tsidp unit: a configuration that makes sense, and what must be done to get there.

mod check;
mod difference;

pub use check::{InvalidUnit, REFUSED_FLAGS, check_issuer};
pub use difference::{UnitAction, UnitChange, unit_difference};

use crate::id::{SecretName, Sha256};
use crate::v1;

/// A [`v1::UnitConfiguration`] that was checked.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedUnit {
    wire: v1::UnitConfiguration,
    artifact: Sha256,
    auth_key: Option<SecretName>,
}

impl CheckedUnit {
    /// The configuration as it travels.
    pub const fn as_wire(&self) -> &v1::UnitConfiguration {
        &self.wire
    }

    /// The sum of the program.
    pub const fn artifact(&self) -> &Sha256 {
        &self.artifact
    }

    /// Where the program may be fetched. Empty: it was uploaded.
    pub fn artifact_url(&self) -> &str {
        self.wire
            .artifact
            .as_ref()
            .map_or("", |artifact| artifact.url.as_str())
    }

    /// The one-time key for the first login.
    pub const fn auth_key(&self) -> Option<&SecretName> {
        self.auth_key.as_ref()
    }

    /// The exact issuer.
    pub fn issuer(&self) -> &str {
        &self.wire.issuer
    }
}

/// The digest of what a restart would make effective: the program's sum, arguments, environment
/// and issuer. Where the program comes from and the one-time key do not count.
pub fn unit_digest(unit: &CheckedUnit) -> Sha256 {
    use prost::Message as _;
    let mut wire = unit.wire.clone();
    wire.auth_key_secret.clear();
    wire.extra_roots_pem.clear();
    if let Some(artifact) = &mut wire.artifact {
        artifact.url.clear();
    }
    Sha256::of(&wire.encode_to_vec())
}

#[cfg(test)]
mod examples {
    //! A unit for tests.

    use super::{CheckedUnit, InvalidUnit};
    use crate::v1;

    pub(super) fn wire() -> v1::UnitConfiguration {
        v1::UnitConfiguration {
            artifact: Some(v1::Artifact {
                sha256: "a".repeat(64),
                url: "https://example.net/tsidp".to_owned(),
            }),
            arguments: vec!["-hostname".to_owned(), "tsidp".to_owned()],
            issuer: "https://tsidp.tail.test".to_owned(),
            ..v1::UnitConfiguration::default()
        }
    }

    pub(super) fn changed(
        change: impl FnOnce(&mut v1::UnitConfiguration),
    ) -> Result<CheckedUnit, InvalidUnit> {
        let mut wire = wire();
        change(&mut wire);
        CheckedUnit::try_from(wire)
    }
}
