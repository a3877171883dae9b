//! `status`, `whoami`, `logs`, `start`, `stop`, `restart`.

use std::str::FromStr;

use clap::Args;
use omni_scale_proto::id::{HostName, InvalidId, ServiceName};

/// Options of `status`.
#[derive(Debug, Args)]
pub struct StatusArguments {
    /// Keep showing it, as it changes, until Ctrl-C.
    #[arg(long, short = 'w')]
    pub watch: bool,
}

/// Options of `whoami`.
#[derive(Debug, Args)]
pub struct WhoAmIArguments {
    /// The host that is asked.
    pub host: HostName,
}

/// Options of `logs`.
#[derive(Debug, Args)]
pub struct LogsArguments {
    /// Whose log: `tsidp`, `omni`, `stack`, the name of a service, or `agent`.
    pub target: TargetName,
    /// With `agent`: the host whose agent is meant.
    pub host: Option<HostName>,
    /// Keep showing new lines until Ctrl-C.
    #[arg(long, short)]
    pub follow: bool,
    /// How many of the last lines come first.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub lines: u32,
}

/// Options of `start`, `stop` and `restart`.
#[derive(Debug, Args)]
pub struct ControlArguments {
    /// `tsidp`, `omni`, `stack`, or the name of a service.
    pub target: TargetName,
}

/// What a person calls a part of the deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetName {
    /// The tsidp unit.
    Tsidp,
    /// The service that is Omni, whatever its name.
    Omni,
    /// All services of the stack.
    Stack,
    /// The agents themselves.
    Agent,
    /// One service of the stack.
    Service(ServiceName),
}

impl FromStr for TargetName {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Ok(match text {
            "tsidp" => Self::Tsidp,
            "omni" => Self::Omni,
            "stack" => Self::Stack,
            "agent" => Self::Agent,
            name => Self::Service(name.parse()?),
        })
    }
}
