//! How the agent's program is linked.

use std::io::Write as _;

fn main() -> std::io::Result<()> {
    let mut cargo = std::io::stdout();
    writeln!(cargo, "cargo::rerun-if-changed=build.rs")?;
    // The dynamic linker reads every relocation, and the pages of that table stay resident: packed, it is a fiftieth.
    // glibc can read it since 2.36, GNU ld write it since 2.38, and rustc's own lld always.
    writeln!(
        cargo,
        "cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs"
    )
}
