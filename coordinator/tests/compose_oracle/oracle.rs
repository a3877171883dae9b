//! Docker Compose, asked for its reading of a file.

use std::path::{Path, PathBuf};

use serde_json::Value;

const MISSING: &str = "OMNI_SCALE_COMPOSE_PLUGIN is not set: these tests need Docker Compose to \
    compare with, and do not pass without it. Run\n\n    \
    OMNI_SCALE_COMPOSE_PLUGIN=$(tests/tools/fetch-compose-plugin) cargo test -p omni-scale\n";

/// The plugin's path, or what to do.
#[expect(
    clippy::disallowed_methods,
    reason = "the harness says where the plugin is"
)]
fn plugin() -> PathBuf {
    std::env::var_os("OMNI_SCALE_COMPOSE_PLUGIN").map_or_else(|| panic!("{MISSING}"), PathBuf::from)
}

/// What Docker Compose makes of `compose.yaml` in `directory`, with nothing in its environment.
#[expect(clippy::disallowed_methods, reason = "the oracle is a program")]
pub(crate) fn read(directory: &Path, profiles: &[&str]) -> Result<Value, String> {
    let mut command = std::process::Command::new(plugin());
    command.env_clear().current_dir(directory);
    for profile in profiles {
        command.args(["--profile", profile]);
    }
    let output = command
        .args(["-f", "compose.yaml", "config", "--format", "json"])
        .output()
        .expect("the plugin runs");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    // The output can be fed back, so its dollar signs are escaped.
    Ok(serde_json::from_str(&text.replace("$$", "$")).expect("the plugin writes JSON"))
}

/// Puts a file beside the Compose file.
#[expect(clippy::disallowed_methods, reason = "nobody else reads these files")]
pub(crate) fn write(directory: &Path, name: &str, text: &str) {
    std::fs::write(directory.join(name), text).unwrap();
}
