//! From `proto/**/*.proto` to Rust, without protoc.

use std::path::{Path, PathBuf};

use prost::Message as _;

const FILES: [&str; 8] = [
    "omni_scale/v1/check.proto",
    "omni_scale/v1/client.proto",
    "omni_scale/v1/host.proto",
    "omni_scale/v1/machine.proto",
    "omni_scale/v1/node.proto",
    "omni_scale/v1/operation.proto",
    "omni_scale/v1/stack.proto",
    "omni_scale/v1/unit.proto",
];

/// Messages that carry secret values: their `Debug` is written by hand, without the values.
const SECRET_MESSAGES: [&str; 5] = [
    ".omni_scale.v1.LoginCheck",
    ".omni_scale.v1.PutSecretRequest",
    ".omni_scale.v1.GenerateSecretResponse",
    ".omni_scale.v1.PutArtifactRequest",
    ".omni_scale.v1.RevealEnrollmentSecretResponse",
];

/// Where the generated code lies in the repository.
pub(crate) fn checked_in() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/generated")
}

/// Compiles the contract into `directory`: `omni_scale.v1.rs` and the descriptor set that
/// server reflection serves.
pub(crate) fn generate(directory: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let mut compiler = protox::Compiler::new([root])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(FILES)?;
    let descriptors = compiler.file_descriptor_set();
    std::fs::create_dir_all(directory)?;
    tonic_prost_build::configure()
        .out_dir(directory)
        .build_transport(false)
        .btree_map(".")
        .skip_debug(SECRET_MESSAGES)
        .type_attribute(".", "#[derive(serde::Serialize, serde::Deserialize)]")
        // Plans, journals and ledgers outlive a version: a field that is new is absent in old ones.
        .message_attribute(".", "#[serde(default)]")
        .compile_fds(descriptors.clone())?;
    let mut without_comments = descriptors;
    for file in &mut without_comments.file {
        file.source_code_info = None;
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "a development task writes the source tree; nothing reads it meanwhile"
    )]
    std::fs::write(
        directory.join("descriptors.binpb"),
        without_comments.encode_to_vec(),
    )?;
    Ok(())
}
