//! An agent that speaks for a host of a [`FakeAgents`] world: the model's answers over the wire.

use omni_scale_proto::id::HostName;
use tonic::Status;

use super::{TestAgent, lease_lost};
use crate::agents::AgentError;
use crate::agents::fake::{FakeAgents, Seat};
use omni_scale_proto::v1;

/// What separates an agent's words from its advice in the message of a status.
const HINT: &str = "\nhint: ";

impl TestAgent {
    /// An agent of a host in a world.
    pub(crate) fn of_world(world: &FakeAgents, host: &HostName) -> Self {
        let (name, roles) = {
            let mut world = world.world();
            let host = world.host(host.as_str());
            let roles: Vec<String> = host.roles.iter().map(ToString::to_string).collect();
            (host.name.clone(), roles)
        };
        let roles: Vec<&str> = roles.iter().map(String::as_str).collect();
        let agent = Self::new(name.as_str(), &roles);
        agent.state().world = Some((world.clone(), name));
        agent
    }

    /// The world behind it. Nothing is locked any more when this returns.
    pub(super) fn world(&self) -> Option<(FakeAgents, HostName)> {
        self.state().world.clone()
    }

    /// The way to ask the world.
    pub(super) fn seat(&self) -> Option<(Seat, HostName)> {
        self.world().map(|(world, host)| (world.seat(), host))
    }

    /// The lease and the generation of a change that the world's model does not know: a secret's.
    pub(super) fn admit_secret(
        &self,
        operation: Option<v1::Operation>,
        name: &str,
    ) -> Result<u64, Status> {
        let Some((world, host)) = self.world() else {
            return Ok(self.state().secrets.len() as u64 + 1);
        };
        let operation = operation.ok_or_else(|| Status::invalid_argument("no operation"))?;
        let mut world = world.world();
        let host = world.host(host.as_str());
        host.check_epoch(operation.lease_epoch).map_err(|holder| {
            let lost = v1::LeaseLost {
                epoch: operation.lease_epoch,
                holder,
            };
            lease_lost(&lost)
        })?;
        let target = host.targets.entry(format!("secret/{name}")).or_default();
        if operation.generation <= target.generation {
            return Err(Status::failed_precondition("an older generation"));
        }
        target.generation = operation.generation;
        Ok(target.generation)
    }

    /// A secret has a new value, which the model needs not know.
    pub(super) fn tell_secret(&self, name: &str) {
        if let Some((world, host)) = self.world() {
            world.world().host(host.as_str()).set_secret(name);
        }
    }
}

/// The status by which agents say it.
pub(super) fn refusal(error: AgentError) -> Status {
    match error {
        AgentError::Refused { message, hint, .. } if hint.is_empty() => {
            Status::permission_denied(message)
        }
        AgentError::Refused { message, hint, .. } => {
            Status::permission_denied(format!("{message}{HINT}{hint}"))
        }
        AgentError::Unavailable { message, .. } => Status::unavailable(message),
        AgentError::Unreachable { source, .. } => Status::unavailable(source.to_string()),
        AgentError::Unknown { source, .. } => Status::cancelled(source.to_string()),
        AgentError::NotEnrolled { .. } => Status::unauthenticated("not enrolled"),
        AgentError::Faulty { message, .. } => Status::internal(message),
        AgentError::LeaseLost { holder, .. } => lease_lost(&v1::LeaseLost {
            epoch: 0,
            holder: holder.map(Into::into),
        }),
        AgentError::Held { .. } => Status::internal("only AcquireLease answers this"),
    }
}
