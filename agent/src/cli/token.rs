//! `omni-scale-agent token`: one enrolment, by whoever reads it, or by whoever has the secret already.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use omni_scale_proto::enrollment::{EnrollmentSecret, EnrollmentToken, SECRET_LENGTH, fingerprint};
use rand::RngCore as _;
use zeroize::Zeroizing;

use super::arguments::TokenArguments;
use super::tell;
use crate::clock;
use crate::config::Paths;
use crate::enrollment::{TokenFile, TokenFor};
use crate::identity::IdentityStore;

/// Far more than a secret has.
const SECRET_FILE_LIMIT: u16 = 256;
const ROOT: u32 = 0;

/// Opens a token and prints it on standard output, unless its secret came in a file; everything else goes to standard
/// error.
pub(super) fn token(paths: &Paths, arguments: &TokenArguments) -> anyhow::Result<()> {
    let identity = paths.identity.display();
    let directory = std::fs::metadata(&paths.identity).with_context(|| {
        format!("cannot read `{identity}`; root must do this, after the agent's first start")
    })?;
    let Some(certificate) = IdentityStore::read_leaf(&paths.identity)? else {
        bail!("the agent has made no key yet\nhint: start it: `systemctl start omni-scale-agent`");
    };
    let (secret, whose) = match &arguments.secret_file {
        Some(path) => (read_secret(path, ROOT)?, TokenFor::FirstBoot),
        None => (new_secret()?, TokenFor::Operator),
    };
    let owner = (directory.uid(), directory.gid());
    TokenFile::in_directory(&paths.identity).open(
        &secret,
        whose,
        clock::now_milliseconds(),
        Some(owner),
    )?;
    if whose == TokenFor::FirstBoot {
        tell(
            "a token is open, good for one day, five attempts and one enrolment by who knows its secret",
        )?;
        return Ok(());
    }
    let token = EnrollmentToken {
        fingerprint: fingerprint(&certificate),
        secret,
    };
    tell(
        "good for one hour, five attempts and one enrolment; on your machine: omni-scale enroll HOST --token …",
    )?;
    writeln!(io::stdout(), "{}", token.reveal().as_str())?;
    Ok(())
}

fn new_secret() -> anyhow::Result<EnrollmentSecret> {
    let mut random = [0; SECRET_LENGTH];
    rand::rngs::OsRng
        .try_fill_bytes(&mut random)
        .context("the system gives no random bytes")?;
    Ok(EnrollmentSecret::new(random))
}

/// The secret in a file that nobody but `owner` can have read or written.
fn read_secret(path: &Path, owner: u32) -> anyhow::Result<EnrollmentSecret> {
    let place = path.display();
    let mut file = File::open(path).with_context(|| format!("cannot open `{place}`"))?;
    let about = file
        .metadata()
        .with_context(|| format!("cannot read `{place}`"))?;
    if !about.is_file() || about.uid() != owner || about.mode() & 0o077 != 0 {
        bail!(
            "`{place}` is not root's alone\nhint: a secret lies in a file of root's, mode 0400 or 0600"
        );
    }
    let mut text = Zeroizing::new(String::with_capacity(usize::from(SECRET_FILE_LIMIT)));
    (&mut file)
        .take(SECRET_FILE_LIMIT.into())
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read `{place}`"))?;
    text.parse()
        .with_context(|| format!("cannot use `{place}`"))
}

#[cfg(test)]
mod tests {
    use omni_scale_proto::enrollment::NONCE_LENGTH;

    use super::*;
    use crate::files::write_atomically;

    const CERTIFICATE: &[u8] = b"certificate";
    const NONCE: [u8; NONCE_LENGTH] = [9; NONCE_LENGTH];

    fn secret() -> EnrollmentSecret {
        EnrollmentSecret::new([7; SECRET_LENGTH])
    }

    /// What is said of a file with this text and mode, by whom its owner is not.
    fn refused(text: &str, mode: u32, stranger: bool) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        write_atomically(&path, text.as_bytes(), mode).unwrap();
        let owner = path.metadata().unwrap().uid() + u32::from(stranger);
        match read_secret(&path, owner) {
            Ok(_) => panic!("it was taken"),
            Err(error) => format!("{error:#}"),
        }
    }

    #[test]
    fn a_secret_is_read_from_a_file_of_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let text = format!("{}\n", secret().reveal().as_str());
        for mode in [0o400, 0o600] {
            write_atomically(&path, text.as_bytes(), mode).unwrap();
            let owner = path.metadata().unwrap().uid();
            let read = read_secret(&path, owner).unwrap();
            let proof = read.caller_proof(CERTIFICATE, &NONCE);
            assert!(secret().verify_caller(CERTIFICATE, &NONCE, &proof));
        }
    }

    #[test]
    fn a_file_that_others_read_or_own_is_refused() {
        let text = secret().reveal();
        for (mode, stranger) in [(0o640, false), (0o604, false), (0o600, true)] {
            let told = refused(&text, mode, stranger);
            assert!(told.contains("is not root's alone"), "{told}");
            assert!(!told.contains(text.as_str()), "{told}");
        }
    }

    #[test]
    fn another_text_is_refused_and_not_repeated() {
        let short = &secret().reveal()[1..];
        let long = "a".repeat(1000);
        for text in ["", short, &long] {
            let told = refused(text, 0o600, false);
            assert!(told.contains("32 letters and digits"), "{told}");
            assert!(text.is_empty() || !told.contains(text), "{told}");
        }
    }
}
