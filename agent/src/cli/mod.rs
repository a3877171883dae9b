//! The commands of `omni-scale-agent`: the daemon, and what root does on its host.

pub mod arguments;
mod setup;
mod token;

use std::io::{self, Write as _};

pub use self::arguments::Arguments;
use self::arguments::Command;
use crate::config::Paths;

/// Runs the command that was typed. The daemon returns when it was told to stop.
pub async fn run(arguments: Arguments, paths: Paths) -> anyhow::Result<()> {
    match arguments.command {
        None | Some(Command::Run) => Ok(crate::run::run(paths).await?),
        Some(Command::Setup(arguments)) => setup::setup(&paths, &arguments).await,
        Some(Command::Token(arguments)) => token::token(&paths, &arguments),
    }
}

/// A line for people; data goes to standard output by itself.
fn tell(text: &str) -> io::Result<()> {
    writeln!(io::stderr(), "{text}")
}
