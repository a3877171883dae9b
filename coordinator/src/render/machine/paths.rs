//! Where things lie on a machine during its first boot.

/// Where secrets and script lie until the script is done.
pub(super) const DIRECTORY: &str = "/run/omni-scale-first-boot";
/// The key for the tailnet, there.
pub(super) const AUTH_KEY: &str = "auth-key";
/// The secret of the enrolment, there.
pub(super) const ENROLLMENT_SECRET: &str = "enrollment-secret";
