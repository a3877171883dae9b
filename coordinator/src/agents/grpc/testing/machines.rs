//! The model's `MachineService`, over a world.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use omni_scale_proto::operation::Operation;
use omni_scale_proto::v1::machine_service_server::MachineService;
use omni_scale_proto::v1::{
    self, apply_machine_response, control_machine_response, delete_machine_response,
    finish_first_boot_response,
};
use tonic::{Request, Response, Status};

use super::world::refusal;
use super::{ServerIdentity, TestAgent, serve_in_memory};
use crate::agents::{Action, Agents as _, Control};
use crate::plan::MachinesScope;
use omni_scale_proto::enrollment::EnrollmentSecret;
use omni_scale_proto::id::HostName;

type Answer<T> = Result<Response<T>, Status>;
type Messages<T> = BoxStream<'static, Result<T, Status>>;

/// The secret of every machine's enrolment.
const SECRET: [u8; 20] = [9; 20];
/// Until the agent serves.
const BOOT: Duration = Duration::from_secs(90);
/// Until it knows the secret.
const SETUP: Duration = Duration::from_secs(20);

fn invalid(error: impl std::fmt::Display) -> Status {
    Status::invalid_argument(error.to_string())
}

fn operation(asked: Option<v1::Operation>) -> Result<Operation, Status> {
    asked.try_into().map_err(invalid)
}

fn one<T: Send + 'static>(message: T) -> Response<Messages<T>> {
    Response::new(stream::iter([Ok(message)]).boxed())
}

impl TestAgent {
    async fn machines_now(
        &self,
        hypervisor: Option<v1::Hypervisor>,
        names: &[String],
        vmids: Option<v1::VmidRange>,
    ) -> Result<v1::MachinesObservation, Status> {
        let (seat, host) = self.seat().ok_or_else(no_world)?;
        let names: Result<BTreeSet<_>, _> = names.iter().map(|name| name.parse()).collect();
        let asked = MachinesScope {
            hypervisor: hypervisor.unwrap_or_default(),
            vmids: vmids.unwrap_or_default(),
            names: names.map_err(invalid)?,
        };
        seat.observe_machines(&host, &asked).await.map_err(refusal)
    }

    async fn apply_to_machine(
        &self,
        asked: Option<v1::Operation>,
        action: Action,
    ) -> Result<v1::Outcome, Status> {
        let (seat, host) = self.seat().ok_or_else(no_world)?;
        let operation = operation(asked)?;
        seat.apply(&host, &operation, &action, &|_| {})
            .await
            .map_err(refusal)
    }

    /// The machine of a host boots: after a while its agent serves, and is told of its secret a
    /// little later.
    fn boot(&self, name: &str) {
        let siblings = self.state().siblings.clone();
        let network = self.state().network.clone();
        let parsed: Result<HostName, _> = name.parse();
        let (Some((network, _)), Ok(host)) = (network, parsed) else {
            return;
        };
        let Some(agent) = siblings.get(&host).cloned() else {
            return;
        };
        tokio::spawn(async move {
            tokio::time::sleep(BOOT).await;
            let identity = ServerIdentity::self_made();
            serve_in_memory(&network, &host, agent.clone(), &identity);
            tokio::time::sleep(SETUP).await;
            let secret = EnrollmentSecret::new(SECRET);
            agent.state().enrollment = Some((secret, identity.certificate_der));
        });
    }
}

fn no_world() -> Status {
    Status::failed_precondition("this agent has no world")
}

#[async_trait::async_trait]
impl MachineService for TestAgent {
    type ApplyMachineStream = Messages<v1::ApplyMachineResponse>;
    type ControlMachineStream = Messages<v1::ControlMachineResponse>;
    type DeleteMachineStream = Messages<v1::DeleteMachineResponse>;
    type WatchMachinesStream = Messages<v1::WatchMachinesResponse>;
    type FinishFirstBootStream = Messages<v1::FinishFirstBootResponse>;

    async fn observe_machines(
        &self,
        request: Request<v1::ObserveMachinesRequest>,
    ) -> Answer<v1::ObserveMachinesResponse> {
        let asked = request.into_inner();
        let observation = self
            .machines_now(asked.hypervisor, &asked.names, asked.vmid_range)
            .await?;
        let observation = Some(observation);
        Ok(Response::new(v1::ObserveMachinesResponse { observation }))
    }

    async fn apply_machine(
        &self,
        request: Request<v1::ApplyMachineRequest>,
    ) -> Answer<Self::ApplyMachineStream> {
        let asked = request.into_inner();
        let machine = asked.machine.unwrap_or_default();
        let (name, is_host) = (
            machine.name.clone(),
            machine.kind() == v1::MachineKind::Host,
        );
        let action = Action::ApplyMachine {
            name: name.parse().map_err(invalid)?,
            hypervisor: asked.hypervisor.unwrap_or_default(),
            machine: Box::new(machine),
        };
        let outcome = self.apply_to_machine(asked.operation, action).await?;
        if is_host && outcome.failure.is_none() && !outcome.replayed {
            self.boot(&name);
        }
        Ok(one(v1::ApplyMachineResponse {
            message: Some(apply_machine_response::Message::Outcome(outcome)),
        }))
    }

    async fn control_machine(
        &self,
        request: Request<v1::ControlMachineRequest>,
    ) -> Answer<Self::ControlMachineStream> {
        let asked = request.into_inner();
        let (seat, host) = self.seat().ok_or_else(no_world)?;
        let machine = asked.machine.clone().unwrap_or_default();
        let control = Control::Machine {
            name: machine.name.parse().map_err(invalid)?,
            hypervisor: asked.hypervisor.clone().unwrap_or_default(),
            uuid: machine.uuid,
            action: asked.action(),
        };
        let operation = operation(asked.operation)?;
        let outcome = seat.control(&host, &operation, &control, &|_| {}).await;
        Ok(one(v1::ControlMachineResponse {
            message: Some(control_machine_response::Message::Outcome(
                outcome.map_err(refusal)?,
            )),
        }))
    }

    async fn delete_machine(
        &self,
        request: Request<v1::DeleteMachineRequest>,
    ) -> Answer<Self::DeleteMachineStream> {
        let asked = request.into_inner();
        let machine = asked.machine.unwrap_or_default();
        if asked.typed_name != machine.name {
            return Err(Status::failed_precondition("the typed name is another one"));
        }
        let (world, host) = self.world().ok_or_else(no_world)?;
        let operation = operation(asked.operation)?;
        world
            .world()
            .host(host.as_str())
            .machines
            .delete(&machine.name);
        let outcome = v1::Outcome {
            operation_id: operation.id.to_string(),
            generation: operation.generation,
            summary: "deleted".to_owned(),
            ..v1::Outcome::default()
        };
        Ok(one(v1::DeleteMachineResponse {
            message: Some(delete_machine_response::Message::Outcome(outcome)),
        }))
    }

    async fn watch_machines(
        &self,
        request: Request<v1::WatchMachinesRequest>,
    ) -> Answer<Self::WatchMachinesStream> {
        let asked = request.into_inner();
        let observation = self
            .machines_now(asked.hypervisor, &asked.names, asked.vmid_range)
            .await?;
        let first = stream::iter([Ok(v1::WatchMachinesResponse {
            observation: Some(observation),
        })]);
        Ok(Response::new(first.chain(stream::pending()).boxed()))
    }

    async fn reveal_enrollment_secret(
        &self,
        _: Request<v1::RevealEnrollmentSecretRequest>,
    ) -> Answer<v1::RevealEnrollmentSecretResponse> {
        let secret = EnrollmentSecret::new(SECRET).reveal().as_str().to_owned();
        Ok(Response::new(v1::RevealEnrollmentSecretResponse { secret }))
    }

    async fn finish_first_boot(
        &self,
        request: Request<v1::FinishFirstBootRequest>,
    ) -> Answer<Self::FinishFirstBootStream> {
        let asked = request.into_inner();
        let machine = asked.machine.unwrap_or_default();
        let action = Action::EnrollHost {
            name: machine.name.parse().map_err(invalid)?,
            hypervisor: asked.hypervisor.unwrap_or_default(),
            uuid: machine.uuid,
            host: machine.name.parse().map_err(invalid)?,
            roles: Vec::new(),
            certificate: false,
        };
        let outcome = self.apply_to_machine(asked.operation, action).await?;
        Ok(one(v1::FinishFirstBootResponse {
            message: Some(finish_first_boot_response::Message::Outcome(outcome)),
        }))
    }
}
