//! `omni-scale-agent-documents DIRECTORY`: the manual pages and completions of `omni-scale-agent`.
//!
//! The coordinator writes its own by a command of its own; the agent is a daemon that should be
//! small, so that what makes them stays out of it. The definitions are the agent's own file.

#[path = "../../../agent/src/cli/arguments.rs"]
pub mod arguments;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use arguments::Arguments;
use clap::{Command, CommandFactory as _, Parser};
use clap_complete::Shell;

/// Manual pages of what an administrator runs.
const SECTION: &str = "8";

/// Where to write.
#[derive(Debug, Parser)]
struct Documents {
    /// It gets `man/` and `completions/`.
    directory: PathBuf,
}

fn main() -> anyhow::Result<()> {
    write(&Documents::parse().directory)
}

fn write(directory: &Path) -> anyhow::Result<()> {
    let mut command = Arguments::command();
    command.build();
    pages(&command, &directory.join("man"))?;
    let completions = directory.join("completions");
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let mut script = Vec::new();
        let name = command.get_name().to_owned();
        clap_complete::generate(shell, &mut command, name, &mut script);
        put(
            &completions.join(format!("omni-scale-agent.{shell}")),
            &script,
        )?;
    }
    Ok(())
}

/// One page for the program, and one for each command.
fn pages(command: &Command, directory: &Path) -> anyhow::Result<()> {
    let page = clap_mangen::Man::new(command.clone()).section(SECTION);
    let mut text = Vec::new();
    page.render(&mut text)?;
    put(&directory.join(page.get_filename()), &text)?;
    for command in command.get_subcommands() {
        pages(command, directory)?;
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a development task writes what the package takes up; nothing reads it meanwhile"
)]
fn put(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let place = path.display();
    let directory = path.parent().context("a file lies in a directory")?;
    fs::create_dir_all(directory)
        .and_then(|()| fs::write(path, content))
        .with_context(|| format!("cannot write `{place}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_the_package_ships_is_written() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path()).unwrap();
        let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
        for page in ["", "-run", "-setup", "-token"] {
            assert!(read(&format!("man/omni-scale-agent{page}.8")).contains(".TH "));
        }
        assert!(read("man/omni-scale-agent.8").contains("agent.toml"));
        for shell in ["bash", "zsh", "fish"] {
            let script = read(&format!("completions/omni-scale-agent.{shell}"));
            assert!(script.contains("allow"), "{shell}");
        }
    }
}
