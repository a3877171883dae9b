//! `eject`: the built-in stack as files for `docker compose`.

use serde_json::json;

use super::Context;
use crate::arguments::EjectArguments;
use crate::exit::Exit;
use crate::files::{self, Access, Existing};
use crate::output::Stop;
use crate::render::eject;

/// Runs it.
pub(super) fn run(context: &Context, arguments: &EjectArguments) -> anyhow::Result<Exit> {
    let deployment = context.deployment()?;
    let Some(ejected) = eject(&deployment) else {
        let stop = Stop::new(Exit::Usage, "the deployment names a Compose file already");
        return Err(stop.hint("it is `omni.stack.file`: use that one").into());
    };
    let Some(file) = &arguments.file else {
        if context.output.is_json() {
            let value = json!({ "compose": ejected.compose, "variables": ejected.variables });
            context.output.json("ejected", &value)?;
            return Ok(Exit::Done);
        }
        context.output.raw(ejected.compose.as_bytes())?;
        context
            .output
            .say("it needs a `.env` beside it; `-o FILE` writes both");
        return Ok(Exit::Done);
    };
    let path = context.path(file);
    let variables = path.with_file_name(".env");
    // Both or neither.
    if let Some(path) = [&path, &variables].into_iter().find(|file| file.exists()) {
        return Err(files::FileError::Exists { path: path.clone() }.into());
    }
    // Values are filled in there: it is for its owner only from the start.
    files::write(
        &variables,
        ejected.variables.as_bytes(),
        Access::Private,
        Existing::Keep,
    )?;
    files::write(
        &path,
        ejected.compose.as_bytes(),
        Access::Public,
        Existing::Keep,
    )?;
    context.output.say(&format!(
        "wrote `{0}` and `{1}`; fill in the second, then `docker compose -f {0} up`",
        path.display(),
        variables.display()
    ));
    Ok(Exit::Done)
}
