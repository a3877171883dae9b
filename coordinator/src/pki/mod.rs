//! Who may speak with whom: the private certificate authority of a deployment.
//!
//! ```text
//! authority   makes certificates for agents and operators        (key under a passphrase)
//! credential  what this operator shows to agents: key and certificate
//! register    who was given a certificate, and which are denied
//! store       where all of it lies on disk
//! bundle      a credential on its way to another operator
//! ```
//!
//! All keys are ECDSA P-256: the one kind that rustls with ring, webpki, OpenSSL 1.1 and 3,
//! Go's crypto/tls (`grpcurl`, `grpc_health_probe`) and browsers all take. Ed25519 would be as
//! good for us, but ring writes it as PKCS#8 version 2, which OpenSSL before 3.0 and many
//! keystores refuse, and several x509 tools still do not sign with it.
//!
//! The authority's key is in memory only between its passphrase and the certificate it is
//! needed for. This module opens no connection.

mod authority;
mod bundle;
mod certificate;
mod credential;
mod error;
mod passphrase;
mod protected_key;
mod register;
mod store;

#[cfg(test)]
pub(crate) mod testing;

pub use authority::{Authority, LEAF_DAYS};
pub use bundle::Bundle;
pub use certificate::{Certificate, Expiry};
pub use credential::Credential;
pub use error::PkiError;
pub use passphrase::{AskSecret, Passphrase, PassphraseError, PassphraseSource, Terminal};
pub use register::{Issued, Register};
pub use store::{RegisterLock, Store};
