//! What an apply and a start must come to.

use omni_scale_proto::id::SecretName;
use omni_scale_proto::unit::CheckedUnit;

/// What the unit must come to.
#[derive(Debug, Clone)]
pub(in crate::unit) struct Goal {
    pub(in crate::unit) issuer: String,
    pub(in crate::unit) extra_roots_pem: String,
    pub(in crate::unit) auth_key: Option<SecretName>,
}

impl Goal {
    pub(in crate::unit) fn of(unit: &CheckedUnit) -> Self {
        Self {
            issuer: unit.issuer().to_owned(),
            extra_roots_pem: unit.as_wire().extra_roots_pem.clone(),
            auth_key: unit.auth_key().cloned(),
        }
    }
}
