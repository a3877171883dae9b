//! `machines`: what was made on Proxmox VE, outside of a plan.

mod control;
mod delete;
mod list;

use std::fmt::Display;
use std::sync::Arc;

use omni_scale_proto::id::MachineName;
use omni_scale_proto::operation::Target;
use omni_scale_proto::v1::{self, MachinePresence};

pub(super) use control::run as control;
pub(super) use delete::run as delete;
pub(super) use list::run as list;

use super::Context;
use super::single::Single;
use crate::agents::Agents as _;
use crate::agents::grpc::GrpcAgents;
use crate::deployment::{Deployment, Disk};
use crate::document::nearest;
use crate::exit::Exit;
use crate::output::Stop;
use crate::plan::{DesiredMachines, MachinesScope};
use crate::render;

/// The cluster of the deployment, and the agent that reaches it.
struct Cluster {
    deployment: Deployment,
    wanted: DesiredMachines,
    agents: Arc<GrpcAgents>,
    /// `operator@machine`.
    holder: String,
}

impl Cluster {
    fn of(context: &Context) -> anyhow::Result<Self> {
        let deployment = context.deployment()?;
        let Some(wanted) = render::machines(&Disk, &deployment)? else {
            let stop = Stop::new(Exit::Usage, "the deployment has no `proxmox`");
            let hint = "machines are made where `proxmox` says; see docs/deployment.md";
            return Err(stop.hint(hint).into());
        };
        let credential = context.credential(deployment.id)?;
        let agents = context.agents_of(&deployment, &credential)?;
        let holder = context.holder(&credential);
        Ok(Self {
            deployment,
            wanted,
            agents,
            holder,
        })
    }

    /// What is there: what is declared, `also`, and what the agent remembers.
    async fn look(&self, also: Option<&MachineName>) -> anyhow::Result<v1::MachinesObservation> {
        let mut scope: MachinesScope = self.wanted.scope();
        scope.names.extend(also.cloned());
        let host = &self.wanted.host;
        let observed = self.agents.observe_machines(host, &scope).await?;
        if observed.known {
            return Ok(observed);
        }
        let (reason, hint) = match observed.reason.split_once("\nhint: ") {
            Some((reason, hint)) => (reason, Some(hint)),
            None => (observed.reason.as_str(), None),
        };
        let message = format!("the agent of host `{host}` cannot ask Proxmox VE: {reason}");
        let stop = Stop::new(Exit::Unreachable, message);
        Err(match hint {
            Some(hint) => stop.hint(hint).into(),
            None => stop.into(),
        })
    }

    /// One machine that may be there.
    async fn find(&self, name: &MachineName) -> anyhow::Result<v1::MachineObservation> {
        let mut machines = self.look(Some(name)).await?.machines.into_iter();
        let found = machines.find(|machine| machine.name == name.as_str());
        match found.as_ref().map(v1::MachineObservation::presence) {
            Some(MachinePresence::Unknown | MachinePresence::Unspecified) | None => {
                let told = found.map(|machine| machine.status).unwrap_or_default();
                Err(Stop::new(Exit::Unreachable, unknown(name, &told)).into())
            }
            Some(_) => Ok(found.unwrap_or_default()),
        }
    }

    /// The refusal of a name that no machine has.
    fn no_such_machine(&self, name: &MachineName) -> anyhow::Error {
        let scope = self.wanted.scope();
        let names: Vec<&str> = scope.names.iter().map(MachineName::as_str).collect();
        let stop = Stop::new(Exit::ChecksFailed, format!("there is no machine `{name}`"));
        let hint = match nearest(name.as_str(), &names) {
            Some(meant) if meant != name.as_str() => format!("did you mean `{meant}`?"),
            Some(_) => "`omni-scale apply` makes it".to_owned(),
            None => "`omni-scale machines list` shows what is there".to_owned(),
        };
        stop.hint(hint).into()
    }

    /// One operation on a machine.
    fn single(&self, name: &MachineName, deadline_seconds: u32) -> Single<'_> {
        Single {
            agents: &self.agents,
            deployment: self.deployment.id,
            holder: self.holder.clone(),
            host: &self.wanted.host,
            target: Target::Machine(name.clone()),
            deadline_seconds,
        }
    }
}

/// What is said of a machine that may be there or not, and why that is not known, if that is.
fn unknown(name: impl Display, told: &str) -> String {
    let message = format!("Proxmox VE does not tell whether machine `{name}` is there");
    match told {
        "" => message,
        told => format!("{message}: {told}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_machine_is_unknown_is_told() {
        let bare = "Proxmox VE does not tell whether machine `idp` is there";
        assert_eq!(unknown("idp", ""), bare);
        let why = "VM 105 on pve1 may be it, and cannot be read";
        assert_eq!(unknown("idp", why), format!("{bare}: {why}"));
    }
}
