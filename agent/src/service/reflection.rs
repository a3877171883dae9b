//! Server reflection: what can be asked of an agent, for `grpcurl` and its like.
//!
//! Who may read it stands in the table of `server::authorisation`, as for every RPC.

use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};

/// Tells of the contract and of the health service.
pub fn server() -> ServerReflectionServer<impl ServerReflection> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(omni_scale_proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("the checked-in descriptors are sound")
}
