//! A secret of a host.

/// A secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretModel {
    /// Stands for its value: rises with every change.
    pub version: u64,
    /// A one-time key that has done its work.
    pub consumed: bool,
    /// Made, and not confirmed.
    pub candidate: bool,
}
