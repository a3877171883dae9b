//! What tests of other modules need of an authority.

use super::Credential;
pub(crate) use super::authority::tests::{authority, deployment, operator};

/// The key of a credential.
pub(crate) fn key_pem(credential: &Credential) -> String {
    credential.key_pem().to_string()
}
