//! `omni-scale-agent token`: one enrolment, by whoever reads it.

use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context as _, bail};
use omni_scale_proto::enrollment::{EnrollmentSecret, EnrollmentToken, SECRET_LENGTH, fingerprint};
use rand::RngCore as _;

use super::tell;
use crate::clock;
use crate::config::Paths;
use crate::enrollment::TokenFile;
use crate::identity::IdentityStore;

/// Opens a token and prints it on standard output; everything else goes to standard error.
pub(super) fn token(paths: &Paths) -> anyhow::Result<()> {
    let identity = paths.identity.display();
    let directory = std::fs::metadata(&paths.identity).with_context(|| {
        format!("cannot read `{identity}`; root must do this, after the agent's first start")
    })?;
    let Some(certificate) = IdentityStore::read_leaf(&paths.identity)? else {
        bail!("the agent has made no key yet\nhint: start it: `systemctl start omni-scale-agent`");
    };
    let mut random = [0; SECRET_LENGTH];
    rand::rngs::OsRng
        .try_fill_bytes(&mut random)
        .context("the system gives no random bytes")?;
    let secret = EnrollmentSecret::new(random);
    let owner = (directory.uid(), directory.gid());
    TokenFile::in_directory(&paths.identity).open(
        &secret,
        clock::now_milliseconds(),
        Some(owner),
    )?;
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
