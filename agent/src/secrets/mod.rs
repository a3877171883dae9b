//! The secrets of this host: write-only from outside, one file each (0600, in a directory of 0700).
//!
//! Values come in over the contract and go to what they are for on this host; they never go back over the wire. What
//! may be told is a name, a time and a keyed digest. Reads come from memory, writes are on the disk before they are
//! acknowledged. Does not decide who may write: mutations of secrets go through [`crate::operation`].

mod digest;
mod error;
mod mask;
pub mod open_pgp;
mod record;
mod store;
mod value;

pub use error::SecretError;
pub use record::SecretRecord;
pub use store::Secrets;
pub use value::SecretValue;
