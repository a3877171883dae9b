//! Omni's OIDC client: registered at a tsidp by the host that uses it, so that its secret never
//! leaves that host; and whether a login with it gives what Omni needs.
//!
//! [`issuer`] is the port to tsidp's endpoints, with its HTTPS adapter; [`record`] what is
//! remembered; [`omni_client`] holds them together; [`apply`], [`observe`] and [`login`] are what is
//! done with it.
//!
//! tsidp makes a new client at each registration and never tells its secret again. So what is about to
//! be asked is on the disk before it is asked, the answer is on the disk before it is stored, and a
//! client of ours whose secret nobody has is deleted. Clients of other names are never touched, and
//! an id and a secret that somebody set are left alone.

pub mod apply;
mod aside;
#[cfg(any(test, feature = "testing"))]
pub mod fake;
mod grant;
pub mod issuer;
pub mod login;
pub mod observe;
pub mod omni_client;
pub mod record;
