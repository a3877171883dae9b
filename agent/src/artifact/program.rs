//! From an artifact as it was fetched to the program in it.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use flate2::read::GzDecoder;

use super::LARGEST;
use super::error::ArtifactError;
use crate::files::FileError;

/// The program's name, in an archive and in the store.
pub(super) const PROGRAM: &str = "tsidp";

/// Members of an archive that are looked at before giving up.
const MOST_MEMBERS: usize = 1000;

/// Writes the program that `artifact` is, or holds, to `destination`, which must not be there yet.
/// It is on the disk when this returns. Blocks.
pub(super) fn unpack(artifact: &Path, destination: &Path) -> Result<(), ArtifactError> {
    let mut file = File::open(artifact).map_err(FileError::new("open", artifact))?;
    let mut magic = Vec::new();
    (&mut file)
        .take(4)
        .read_to_end(&mut magic)
        .and_then(|_| file.seek(SeekFrom::Start(0)))
        .map_err(FileError::new("read", artifact))?;
    match magic.as_slice() {
        b"\x7fELF" => write(&mut file, destination)?,
        [0x1f, 0x8b, ..] => {
            // Twice the limit for all members together: a few bytes can unpack to any size.
            let bounded = GzDecoder::new(io::BufReader::new(file)).take(2 * LARGEST);
            find_program(bounded, |program| write(program, destination))?;
        }
        _ => {
            let what = "it is neither an ELF binary nor a gzip-compressed archive".to_owned();
            return Err(ArtifactError::NotAProgram { what });
        }
    }
    check_machine(destination)
}

/// Gives the program in a tar archive to `take`.
fn find_program(
    archive: impl Read,
    take: impl FnOnce(&mut dyn Read) -> Result<(), ArtifactError>,
) -> Result<(), ArtifactError> {
    let damaged = |error: io::Error| ArtifactError::NotAProgram {
        what: format!("its archive is damaged: {error}"),
    };
    let mut archive = tar::Archive::new(archive);
    let members = archive.entries().map_err(damaged)?;
    for member in members.take(MOST_MEMBERS) {
        let mut member = member.map_err(damaged)?;
        let is_program = member.header().entry_type().is_file()
            && member.path().map_err(damaged)?.file_name() == Some(PROGRAM.as_ref());
        if is_program {
            return take(&mut member);
        }
    }
    Err(ArtifactError::NotAProgram {
        what: format!("its archive has no member `{PROGRAM}`"),
    })
}

fn write(from: &mut dyn Read, destination: &Path) -> Result<(), ArtifactError> {
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(destination)
        .map_err(FileError::new("write", destination))?;
    let copied = io::copy(&mut from.take(LARGEST + 1), &mut file);
    let size = copied.map_err(FileError::new("write", destination))?;
    if size > LARGEST {
        return Err(ArtifactError::TooLarge);
    }
    file.flush()
        .and_then(|()| file.sync_all())
        .map_err(FileError::new("write", destination))?;
    Ok(())
}

/// The program must be for this kind of machine: otherwise it fails only when it is started, as
/// `203/EXEC`.
fn check_machine(program: &Path) -> Result<(), ArtifactError> {
    let mut header = Vec::new();
    File::open(program)
        .and_then(|file| file.take(20).read_to_end(&mut header))
        .map_err(FileError::new("read", program))?;
    let &[
        b'\x7f',
        b'E',
        b'L',
        b'F',
        _,
        order,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        low,
        high,
    ] = header.as_slice()
    else {
        return Err(ArtifactError::NotAProgram {
            what: "it is not an ELF binary".to_owned(),
        });
    };
    let machine = match order {
        2 => u16::from_be_bytes([low, high]),
        _ => u16::from_le_bytes([low, high]),
    };
    let found = match machine {
        0x3e => "x86_64",
        0xb7 => "aarch64",
        0x28 => "arm",
        0xf3 => "riscv64",
        0x03 => "x86",
        _ => "another kind of machine",
    };
    if found == std::env::consts::ARCH {
        return Ok(());
    }
    Err(ArtifactError::OtherMachine {
        found: found.to_owned(),
        host: std::env::consts::ARCH,
    })
}

#[cfg(test)]
mod tests {
    use omni_scale_noise::{damaged_bytes, hold_against};

    use super::super::samples::{archive, binary};
    use super::*;

    fn unpacked(artifact: &[u8]) -> Result<Vec<u8>, ArtifactError> {
        let directory = tempfile::tempdir().unwrap();
        let from = directory.path().join("artifact");
        crate::files::write_atomically(&from, artifact, 0o600).unwrap();
        let to = directory.path().join("program");
        unpack(&from, &to).map(|()| std::fs::read(to).unwrap())
    }

    #[test]
    fn a_bare_binary_is_the_program() {
        assert_eq!(unpacked(&binary("one")).unwrap(), binary("one"));
    }

    #[test]
    fn a_release_archive_holds_the_program() {
        let program = binary("two");
        let release = archive(&[("README.md", b"read me"), ("tsidp_1/tsidp", &program)]);
        assert_eq!(unpacked(&release).unwrap(), program);
    }

    #[test]
    fn what_is_no_program_is_refused() {
        let mut other = binary("x");
        other[18..20].copy_from_slice(&0x28_u16.to_le_bytes());
        let error = |artifact: &[u8]| unpacked(artifact).unwrap_err().to_string();
        assert!(error(&other).contains("for arm"));
        assert!(error(b"").contains("neither"));
        assert!(error(b"#!/bin/sh\n").contains("neither"));
        assert!(error(b"\x7fELF").contains("not an ELF binary"));
        assert!(error(&archive(&[("other", b"x")])).contains("no member `tsidp`"));
        assert!(error(&archive(&[("tsidp", b"#!/bin/sh")])).contains("not an ELF binary"));
        let whole = archive(&[("tsidp", &binary(&"z".repeat(5000)))]);
        assert!(unpacked(&whole[..whole.len() / 2]).is_err());
    }

    #[test]
    fn noise_in_an_archive_breaks_nothing() {
        let release = archive(&[
            ("README.md", b"read me"),
            (&"long/".repeat(40), b""),
            ("tsidp_1/tsidp", &binary("two")),
        ]);
        let mut plain = Vec::new();
        GzDecoder::new(release.as_slice())
            .read_to_end(&mut plain)
            .unwrap();
        hold_against(
            "archives",
            |dice| damaged_bytes(dice, &plain),
            |bytes| {
                let _ = find_program(bytes.as_slice(), |program| {
                    let size = io::copy(&mut program.take(LARGEST), &mut io::sink());
                    assert!(size.unwrap_or_default() <= bytes.len() as u64);
                    Ok(())
                });
            },
        );
    }

    proptest::proptest! {
        #[test]
        fn no_artifact_is_a_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let gzip = [&[0x1f, 0x8b, 8][..], &bytes].concat();
            let _ = (unpacked(&bytes), unpacked(&gzip));
        }
    }
}
