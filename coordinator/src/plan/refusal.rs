//! Why there is no plan.

use omni_scale_proto::difference::UnlikeNetwork;
use omni_scale_proto::id::{HostName, SecretName};
use omni_scale_proto::operation::Target;
use omni_scale_proto::role::HostRole;

use super::Wave;

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The hosts are not such that the deployment can be rolled out: everything that is in the
    /// way, at once.
    #[error("the deployment cannot be rolled out: {} in the way", count(refusals))]
    Refused {
        /// In the order of hosts. Never empty.
        refusals: Vec<PlanRefusal>,
    },
    /// The deployment itself makes no sense.
    #[error("the deployment cannot be planned")]
    Desired {
        /// Where and why.
        #[source]
        source: DesiredError,
    },
}

impl From<DesiredError> for PlanError {
    fn from(source: DesiredError) -> Self {
        Self::Desired { source }
    }
}

/// What makes no sense in a deployment that was rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DesiredError {
    /// The stack.
    #[error(transparent)]
    Stack(#[from] omni_scale_proto::stack::InvalidStack),
    /// The tsidp unit.
    #[error(transparent)]
    Unit(#[from] omni_scale_proto::unit::InvalidUnit),
    /// Omni's client.
    #[error(transparent)]
    Client(#[from] omni_scale_proto::client::InvalidClient),
    /// A machine.
    #[error(transparent)]
    Machine(#[from] omni_scale_proto::machine::InvalidMachine),
    /// A part of the stack is played by a service that it does not have.
    #[error("the stack has no service `{service}`, which is to be the {part}")]
    NoSuchService {
        /// The service.
        service: String,
        /// The part: `sidecar`, `omni` or `provider`.
        part: &'static str,
    },
    /// A host that is used is not declared.
    #[error("host `{host}` is used and not declared")]
    NoSuchHost {
        /// The host.
        host: HostName,
    },
}

/// One thing that is in the way of a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanRefusal {
    /// A host does not answer.
    #[error("host `{host}` cannot be reached: {reason}")]
    Unreachable {
        /// The host.
        host: HostName,
        /// The whole chain of causes.
        reason: String,
    },
    /// An agent has no certificate.
    #[error("host `{host}` is not enrolled")]
    NotEnrolled {
        /// The host.
        host: HostName,
    },
    /// An agent works for somebody else.
    #[error("the agent of host `{host}` belongs to deployment {found}")]
    OtherDeployment {
        /// The host.
        host: HostName,
        /// Its deployment.
        found: String,
    },
    /// An agent is set up under another name.
    #[error("the agent of host `{host}` is enrolled as `{found}`")]
    OtherHost {
        /// The host.
        host: HostName,
        /// Its own name.
        found: String,
    },
    /// An agent speaks another language.
    #[error(
        "the agent of host `{host}` ({version}) speaks API {minimum} to {maximum}; this omni-scale speaks {ours_minimum} to {ours_maximum}"
    )]
    ApiVersion {
        /// The host.
        host: HostName,
        /// The agent's version.
        version: String,
        /// The oldest that the agent speaks.
        minimum: u32,
        /// The newest that the agent speaks.
        maximum: u32,
        /// The oldest that we speak.
        ours_minimum: u32,
        /// The newest that we speak.
        ours_maximum: u32,
    },
    /// An agent takes no change.
    #[error("the agent of host `{host}` changes nothing any more: {reason}")]
    Damaged {
        /// The host.
        host: HostName,
        /// The agent's words.
        reason: String,
    },
    /// An agent was not set up for what the deployment wants of it.
    #[error("the agent of host `{host}` does not have the role `{role}`")]
    RoleMissing {
        /// The host.
        host: HostName,
        /// The role.
        role: HostRole,
    },
    /// tsidp and Omni would share a machine.
    #[error("`{tsidp}` (tsidp) and `{omni}` (omni) are the same machine: {evidence}")]
    SameMachine {
        /// The host of tsidp.
        tsidp: HostName,
        /// The host of Omni.
        omni: HostName,
        /// How that is known.
        evidence: String,
    },
    /// A clock is wrong.
    #[error("the clock of host `{host}` is {} s {} ours; at most 60 s are allowed", seconds.unsigned_abs(), if *seconds > 0 { "ahead of" } else { "behind" })]
    ClockSkew {
        /// The host.
        host: HostName,
        /// Its clock minus ours, in seconds.
        seconds: i64,
    },
    /// Somebody's operation still runs.
    #[error("operation {} still runs on {target} of host `{host}`", operation.get(..12).unwrap_or(operation))]
    Running {
        /// The host.
        host: HostName,
        /// What it changes.
        target: Target,
        /// Its id.
        operation: String,
    },
    /// What a host runs could not be told.
    #[error("on host `{host}` {what}: {reason}")]
    StateUnknown {
        /// The host.
        host: HostName,
        /// What is not known.
        what: String,
        /// Why.
        reason: String,
    },
    /// An image could not be resolved to a digest.
    #[error("image `{image}` cannot be resolved on host `{host}`: {reason}")]
    ImageUnresolved {
        /// The host.
        host: HostName,
        /// As the deployment names it.
        image: String,
        /// The Engine's words.
        reason: String,
    },
    /// A secret that is needed at once is not there.
    #[error("secret `{name}` is not set on host `{host}`; {wave} needs it")]
    SecretMissing {
        /// The host.
        host: HostName,
        /// The secret.
        name: SecretName,
        /// The first wave that needs it.
        wave: Wave,
        /// The command that sets it.
        command: String,
    },
    /// A machine has no node to go to.
    #[error("machine `{machine}` has no node to go to: {reason}")]
    NoPlace {
        /// The machine.
        machine: String,
        /// Which nodes there are, and what is wrong with them.
        reason: String,
    },
    /// Every VMID of the range is taken.
    #[error("machine `{machine}` has no VMID: all from {first} to {last} are taken")]
    NoVmid {
        /// The machine.
        machine: String,
        /// The first of the range.
        first: u32,
        /// The last of the range.
        last: u32,
    },
    /// A host answers although the machine that is to become it does not exist.
    #[error("host `{host}` answers, and the machine that is to become it does not exist")]
    HostElsewhere {
        /// The host.
        host: HostName,
    },
    /// A network exists and is of another kind.
    #[error("on host `{host}` {network}")]
    UnlikeNetwork {
        /// The host.
        host: HostName,
        /// The network.
        network: UnlikeNetwork,
    },
    /// A container that omni-scale did not make is in the way of one that it must make.
    #[error(
        "container `{container}` on host `{host}` was not made by omni-scale and stands in the place of service `{service}`"
    )]
    ForeignContainer {
        /// The host.
        host: HostName,
        /// Its name.
        container: String,
        /// The service.
        service: String,
    },
}

impl PlanRefusal {
    /// What to do, when something is known.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unreachable { host, .. } => {
                format!("is `{host}` on the tailnet, and `omni-scale-agent.service` running there?")
            }
            Self::NotEnrolled { host } => format!(
                "run `sudo omni-scale-agent token` on `{host}`, then `omni-scale enroll {host} --token TOKEN` here"
            ),
            Self::OtherDeployment { host, .. } | Self::OtherHost { host, .. } => format!(
                "if it shall be `{host}` of this deployment, make a new token there and enrol it again"
            ),
            Self::ApiVersion { .. } => {
                "install the same version of omni-scale and omni-scale-agent".to_owned()
            }
            Self::Damaged { host, .. } => format!(
                "find out on `{host}` what damaged the file (disk, restored backup, an editor); then move it away and restart the agent: it begins a new one, and the next plan goes by what runs"
            ),
            Self::RoleMissing { host, role } => {
                format!(
                    "on `{host}`, add `{role}` to `roles` in /etc/omni-scale/agent.toml, then `sudo omni-scale-agent setup`"
                )
            }
            Self::SameMachine { .. } => {
                "give tsidp a machine of its own: Omni's login must not depend on Omni's host"
                    .to_owned()
            }
            Self::ClockSkew { host, .. } => {
                format!("turn on time synchronisation on `{host}` (`timedatectl set-ntp true`)")
            }
            Self::Running { .. } => {
                "wait until it has ended, then plan again; `omni-scale status` shows it".to_owned()
            }
            Self::UnlikeNetwork { network, .. } => network.hint(),
            Self::SecretMissing { command, .. } => format!("run `{command}`"),
            Self::ForeignContainer { container, .. } => {
                format!("remove or rename `{container}` by hand; omni-scale leaves it alone")
            }
            Self::NoPlace { .. } => {
                "bring one of them back, or change `nodes` of its group".to_owned()
            }
            Self::NoVmid { .. } => "widen `proxmox.vmids`, or clear what is in it".to_owned(),
            Self::HostElsewhere { host } => format!(
                "take `machines.{host}` out of the deployment, or switch off what answers as `{host}`"
            ),
            Self::StateUnknown { .. } | Self::ImageUnresolved { .. } => return None,
        })
    }
}

fn count(refusals: &[PlanRefusal]) -> String {
    match refusals.len() {
        1 => "1 thing is".to_owned(),
        several => format!("{several} things are"),
    }
}
