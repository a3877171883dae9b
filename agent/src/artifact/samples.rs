//! Artifacts for tests: as real as their headers say.

use std::io::Write as _;

use omni_scale_proto::id::Sha256;

use super::{ArtifactError, ArtifactStore};
use crate::files;

/// A binary of this kind of machine, as far as its header says.
pub fn binary(body: &str) -> Vec<u8> {
    let machine: u16 = match std::env::consts::ARCH {
        "x86_64" => 0x3e,
        "aarch64" => 0xb7,
        other => panic!("tests do not know {other}"),
    };
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(18, 0);
    bytes.extend(machine.to_le_bytes());
    bytes.extend(body.as_bytes());
    bytes
}

/// A gzip-compressed tar archive.
pub fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let compressed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut archive = tar::Builder::new(compressed);
    for (name, contents) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        header.set_mode(0o755);
        archive
            .append_data(&mut header, name, *contents)
            .expect("memory takes everything");
    }
    let mut compressed = archive.into_inner().expect("memory takes everything");
    compressed.flush().expect("memory takes everything");
    compressed.finish().expect("memory takes everything")
}

/// Puts an artifact into the store, as if it had been fetched.
pub fn put(store: &ArtifactStore, artifact: &[u8]) -> Result<Sha256, ArtifactError> {
    let path = store.incoming()?.join("sample");
    files::write_atomically(&path, artifact, 0o600)?;
    let sum = Sha256::of(artifact);
    store.install(&path, &sum)?;
    Ok(sum)
}
