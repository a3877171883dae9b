//! Makes the keys that the lab needs, good and bad.
//!
//! `omni-stand-in-keys encryption [FLAW]` prints an armored key for `--private-key-source`;
//! `omni-stand-in-keys provider ID` prints what `OMNI_SERVICE_ACCOUNT_KEY` holds for a provider;
//! `omni-stand-in-keys account NAME` prints the same for an ordinary service account.

use std::{
    io::{Write, stdout},
    process::ExitCode,
};

use anyhow::{Context, bail};
use omni_scale_standins::keys::{Flaw, encryption_key, provider_key, service_account_key};

const USAGE: &str = "usage: omni-stand-in-keys encryption [none|passphrase|public-only|no-encryption|\
                     expired-encryption|two-user-ids] | provider ID | account NAME";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "omni-stand-in-keys: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let text = match words.as_slice() {
        ["encryption"] => encryption("none")?,
        ["encryption", flaw] => encryption(flaw)?,
        ["provider", id] => provider_key(id)?,
        ["account", name] => {
            service_account_key(name, &format!("{name}@serviceaccount.omni.sidero.dev"))?
        }
        _ => bail!(USAGE),
    };
    writeln!(stdout(), "{}", text.trim_end()).context("cannot write")
}

fn encryption(flaw: &str) -> anyhow::Result<String> {
    let (_, flaw) = Flaw::ALL
        .into_iter()
        .find(|(name, _)| *name == flaw)
        .context(USAGE)?;
    encryption_key(
        "Omni (Used for etcd data encryption) <omni@example.com>",
        flaw,
    )
}
