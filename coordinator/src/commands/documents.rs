//! What packages ship beside the program: completions and manual pages.

use clap::CommandFactory;

use super::Context;
use crate::arguments::{CompletionsArguments, ManualArguments};
use crate::exit::Exit;
use crate::files::{self, Access, Existing};

/// `completions`.
pub(super) fn completions<Definitions: CommandFactory>(
    context: &Context,
    arguments: &CompletionsArguments,
) -> anyhow::Result<Exit> {
    let mut command = Definitions::command();
    let mut script = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(arguments.shell, &mut command, name, &mut script);
    context.output.raw(&script)?;
    Ok(Exit::Done)
}

/// `manual`.
pub(super) fn manual<Definitions: CommandFactory>(
    context: &Context,
    arguments: &ManualArguments,
) -> anyhow::Result<Exit> {
    let directory = context.path(&arguments.directory);
    let mut command = Definitions::command();
    command.build();
    let mut waiting = vec![command];
    while let Some(command) = waiting.pop() {
        let page = clap_mangen::Man::new(command.clone());
        let mut text = Vec::new();
        page.render(&mut text)?;
        let path = directory.join(page.get_filename());
        files::write(&path, &text, Access::Public, Existing::Replace)?;
        let visible = command
            .get_subcommands()
            .filter(|command| !command.is_hide_set());
        waiting.extend(visible.cloned());
    }
    Ok(Exit::Done)
}
