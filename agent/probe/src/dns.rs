//! A small DNS client: enough to turn a host name into addresses, and to say exactly why that did not work.
//!
//! The C library's resolver needs NSS modules that a static program cannot load, and says only "name or service not
//! known". This one asks A and AAAA over UDP, over TCP when an answer was cut, and reports who was asked and what each said.
//! It does no recursion, no DNSSEC, no cache, and follows an alias only inside one answer, as stub resolvers do.

mod ask;
mod files;
mod message;
mod name;
mod query;

pub(crate) use ask::{Asked, resolve};
pub(crate) use files::{HostsFile, ResolvConf};
pub(crate) use name::Name;
pub(crate) use query::Bounds;
