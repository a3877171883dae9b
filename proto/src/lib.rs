//! The contract between the omni-scale coordinator and its agents.
//!
//! [`v1`] is generated from `proto/omni_scale/v1/*.proto` and checked in. The other modules
//! hold what both sides must agree on beyond the messages: identifiers ([`id`]), what a
//! stack, a unit and a client must be to make sense ([`stack`], [`unit`], [`client`]), what must be done to them
//! ([`difference`]), how a lost lease is told ([`lease`]), roles ([`role`]) and versions. Nothing here knows a clock, a file, a socket or the environment.

pub mod client;
pub mod difference;
pub mod effect;
pub mod enrollment;
pub mod id;
pub mod lease;
pub mod machine;
pub mod operation;
pub mod role;
pub mod stack;
pub mod unit;

/// The oldest contract version this code speaks.
pub const API_VERSION_MINIMUM: u32 = 1;
/// The newest contract version this code speaks.
pub const API_VERSION_MAXIMUM: u32 = 1;
/// The port agents listen on, on their tailnet IPv4 address.
pub const AGENT_PORT: u16 = 7443;
/// The contract as a serialized `FileDescriptorSet`, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/descriptors.binpb");

/// The messages and services of `omni_scale.v1`.
#[allow(
    missing_docs,
    clippy::pedantic,
    clippy::use_self,
    unreachable_pub,
    reason = "generated; the comments stand in the .proto files"
)]
pub mod v1 {
    include!("generated/omni_scale.v1.rs");

    use std::fmt;

    impl fmt::Debug for PutSecretRequest {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter
                .debug_struct("PutSecretRequest")
                .field("name", &self.name)
                .finish_non_exhaustive()
        }
    }

    impl fmt::Debug for GenerateSecretResponse {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter
                .debug_struct("GenerateSecretResponse")
                .field("secret", &self.secret)
                .finish_non_exhaustive()
        }
    }

    impl fmt::Debug for RevealEnrollmentSecretResponse {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter
                .debug_struct("RevealEnrollmentSecretResponse")
                .finish_non_exhaustive()
        }
    }

    impl fmt::Debug for LoginCheck {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter
                .debug_struct("LoginCheck")
                .field("client", &self.client)
                .finish_non_exhaustive()
        }
    }

    impl fmt::Debug for PutArtifactRequest {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter
                .debug_struct("PutArtifactRequest")
                .finish_non_exhaustive()
        }
    }
}
