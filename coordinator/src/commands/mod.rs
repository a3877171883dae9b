//! What the commands do: glue between the parts, one file each. Decisions are made elsewhere.

mod artifact;
mod context;
mod control;
mod documents;
mod eject;
mod enroll;
mod init;
mod logs;
mod machines;
mod operator;
mod plan;
mod renew;
mod rollout;
mod secret;
mod single;
mod status;
mod target;
#[cfg(test)]
mod tests;
mod whoami;

use crate::arguments::{
    Arguments, ArtifactCommand, Command, MachinesCommand, OperatorCommand, SecretCommand,
};
use crate::exit::Exit;
use omni_scale_proto::v1::ControlAction;

pub use context::Context;
pub(crate) use context::{OutputStreams, World};

/// Runs one command.
pub async fn run(command: Command, context: &Context) -> anyhow::Result<Exit> {
    match command {
        Command::Init(arguments) => init::run(context, arguments),
        Command::Enroll(arguments) => enroll::run(context, arguments).await,
        Command::Plan(arguments) => plan::run(context, arguments).await,
        Command::Status(arguments) => status::run(context, arguments).await,
        Command::Whoami(arguments) => whoami::run(context, arguments).await,
        Command::Logs(arguments) => logs::run(context, arguments).await,
        Command::Start(arguments) => control::run(context, arguments, ControlAction::Start).await,
        Command::Stop(arguments) => control::run(context, arguments, ControlAction::Stop).await,
        Command::Restart(arguments) => {
            control::run(context, arguments, ControlAction::Restart).await
        }
        Command::Machines(command) => match command {
            MachinesCommand::List => machines::list(context).await,
            MachinesCommand::Start(arguments) => {
                machines::control(context, arguments, ControlAction::Start).await
            }
            MachinesCommand::Stop(arguments) => {
                machines::control(context, arguments, ControlAction::Stop).await
            }
            MachinesCommand::Restart(arguments) => {
                machines::control(context, arguments, ControlAction::Restart).await
            }
            MachinesCommand::Delete(arguments) => machines::delete(context, arguments).await,
        },
        Command::Secret(command) => match command {
            SecretCommand::Set(arguments) => secret::set(context, arguments).await,
            SecretCommand::Generate(arguments) => secret::generate(context, arguments).await,
            SecretCommand::List(arguments) => secret::list(context, arguments).await,
        },
        Command::Artifact(ArtifactCommand::Upload(arguments)) => {
            artifact::upload(context, arguments).await
        }
        Command::Operator(command) => match command {
            OperatorCommand::Add(arguments) => operator::add(context, arguments),
            OperatorCommand::Import(arguments) => operator::import(context, &arguments),
            OperatorCommand::Revoke(arguments) => operator::revoke(context, arguments).await,
            OperatorCommand::List => operator::list(context),
        },
        Command::Renew(arguments) => renew::run(context, arguments).await,
        Command::Completions(arguments) => documents::completions::<Arguments>(context, &arguments),
        Command::Manual(arguments) => documents::manual::<Arguments>(context, &arguments),
        Command::Apply(arguments) => rollout::apply(context, arguments).await,
        Command::Resume(arguments) => rollout::resume(context, arguments).await,
        Command::Abort(arguments) => rollout::abort(context, arguments).await,
        Command::Eject(arguments) => eject::run(context, &arguments),
    }
}
