//! The brain of omni-scale: it reads the deployment, observes through agents, computes a plan,
//! shows it, and runs exactly it.

pub mod agents;
pub mod arguments;
pub mod commands;
pub mod compose;
pub mod config;
pub mod deployment;
pub mod document;
pub mod exit;
pub mod files;
pub mod image;
pub mod journal;
pub mod login;
pub mod output;
pub mod pki;
pub mod plan;
pub mod render;
pub mod rollout;
pub mod surroundings;

use std::ffi::OsString;

use clap::Parser as _;

use crate::arguments::Arguments;
use crate::commands::{Context, OutputStreams, World};
use crate::exit::Exit;
use crate::output::{Output, Surface};
use crate::surroundings::Surroundings;

/// Runs the program: `arguments` as typed, the program's name first. Never ends the process.
pub async fn run(
    arguments: impl IntoIterator<Item = OsString>,
    surroundings: Surroundings,
) -> Exit {
    let logging = surroundings.logging;
    let (world, streams) = World::split(surroundings);
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(answer) => return say(&answer, &world, streams),
    };
    let global = arguments.global.clone();
    logging(global.verbose);
    let surface = Surface::decide(
        global.output,
        global.color,
        global.verbose,
        world.terminals(),
        world.environment(),
    );
    let output = Output::new(surface, streams.output, streams.errors);
    let context = Context::new(output, global, world);
    match commands::run(arguments.command, &context).await {
        Ok(exit) => exit,
        Err(error) => context.output.fail(&error),
    }
}

/// What clap has to say: help and version on standard output, mistakes on standard error.
fn say(answer: &clap::Error, world: &World, mut streams: OutputStreams) -> Exit {
    let (stream, exit, terminal) = if answer.use_stderr() {
        (&mut streams.errors, Exit::Usage, world.terminals().errors)
    } else {
        (&mut streams.output, Exit::Done, world.terminals().output)
    };
    let environment = world.environment();
    let text = answer.render();
    // Whoever would read it may be gone.
    let _ = if terminal && !environment.no_color && !environment.dumb_terminal {
        write!(stream, "{}", text.ansi())
    } else {
        write!(stream, "{text}")
    };
    exit
}
