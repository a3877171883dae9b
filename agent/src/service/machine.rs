//! `MachineService`: decode, call what does it, encode.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use omni_scale_proto::id::{InvalidId, MachineName};
use omni_scale_proto::machine::{
    CheckedMachine, InvalidMachine, MachineIdentity, VMIDS, machine_digest,
};
use omni_scale_proto::operation::{Operation, Target};
use omni_scale_proto::v1::machine_service_server::{MachineService, MachineServiceServer};
use omni_scale_proto::v1::{
    self, apply_machine_response, control_machine_response, delete_machine_response,
    finish_first_boot_response,
};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use crate::error::{Classified, Kind};
use crate::machine::{self, Apply, Machines, Question};
use crate::operation::{Event, OperationError, Operations, Running};
use crate::server::status::{failure_status, status};

/// The largest request, in bytes: user-data travels in it.
const LARGEST_REQUEST: usize = 4 * 1024 * 1024;
/// The most machines that are looked at together.
const MOST_MACHINES: usize = 1000;
/// What is left of a deadline to say why it has passed.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// What the machine service speaks for.
pub struct MachineApi {
    /// The machines of this host's clusters.
    pub machines: Machines,
    /// The way of every mutation.
    pub operations: Operations,
}

impl MachineApi {
    /// The service, with its bounds.
    pub fn server(self) -> MachineServiceServer<impl MachineService> {
        MachineServiceServer::new(self).max_decoding_message_size(LARGEST_REQUEST)
    }

    fn with_generations(
        &self,
        mut observation: v1::MachinesObservation,
    ) -> v1::MachinesObservation {
        add_generations(&self.operations, &mut observation);
        observation
    }
}

/// A request that makes no sense.
#[derive(Debug, thiserror::Error)]
enum RequestError {
    #[error(transparent)]
    Machine(#[from] InvalidMachine),
    #[error(transparent)]
    Id(#[from] InvalidId),
    #[error("at most {MOST_MACHINES} machines can be looked at together, not {0}")]
    Names(usize),
    #[error("the range of VMIDs is empty, or leaves 100 to 999999999")]
    Range,
    #[error("the request carries no {0}")]
    Missing(&'static str),
    #[error("the request names no action")]
    NoAction,
}

impl Classified for RequestError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

fn invalid(error: impl Into<RequestError>) -> Status {
    status(&error.into())
}

/// A stream of answers.
type Answers<Answer> = Pin<Box<dyn Stream<Item = Result<Answer, Status>> + Send>>;

#[tonic::async_trait]
impl MachineService for MachineApi {
    type ApplyMachineStream = Answers<v1::ApplyMachineResponse>;
    type ControlMachineStream = Answers<v1::ControlMachineResponse>;
    type DeleteMachineStream = Answers<v1::DeleteMachineResponse>;
    type WatchMachinesStream = Answers<v1::WatchMachinesResponse>;
    type FinishFirstBootStream = Answers<v1::FinishFirstBootResponse>;

    async fn observe_machines(
        &self,
        request: Request<v1::ObserveMachinesRequest>,
    ) -> Result<Response<v1::ObserveMachinesResponse>, Status> {
        let request = request.into_inner();
        let question = question(request.hypervisor, &request.names, request.vmid_range)?;
        let observation = self.machines.observe(&question).await;
        Ok(Response::new(v1::ObserveMachinesResponse {
            observation: Some(self.with_generations(observation)),
        }))
    }

    async fn apply_machine(
        &self,
        request: Request<v1::ApplyMachineRequest>,
    ) -> Result<Response<Self::ApplyMachineStream>, Status> {
        let request = request.into_inner();
        let operation = decode_operation(request.operation)?;
        let machine = request.machine.ok_or(RequestError::Missing("machine"));
        let machine = CheckedMachine::try_from(machine.map_err(invalid)?).map_err(invalid)?;
        let apply = Apply {
            deployment: operation.deployment,
            hypervisor: hypervisor(request.hypervisor)?,
            deadline: deadline(&operation),
            machine,
        };
        let target = Target::Machine(apply.machine.identity().name().clone());
        let desired = machine_digest(apply.machine.as_wire()).to_string();
        let machines = self.machines.clone();
        let work = async move |reporter| machines.apply(&apply, &reporter).await;
        let running = self
            .operations
            .run(operation, target, "apply", &desired, work)
            .await;
        let running = running.map_err(|error| status(&error))?;
        Ok(Response::new(answers(running, |event| {
            use apply_machine_response::Message;
            v1::ApplyMachineResponse {
                message: Some(match event {
                    Event::Progress(progress) => Message::Progress(progress),
                    Event::Outcome(outcome) => Message::Outcome(outcome),
                }),
            }
        })))
    }

    async fn control_machine(
        &self,
        request: Request<v1::ControlMachineRequest>,
    ) -> Result<Response<Self::ControlMachineStream>, Status> {
        let request = request.into_inner();
        let action = match request.action() {
            v1::ControlAction::Start => machine::PowerAction::Start,
            v1::ControlAction::Stop => machine::PowerAction::Stop,
            v1::ControlAction::Restart => machine::PowerAction::Restart,
            v1::ControlAction::Unspecified => return Err(invalid(RequestError::NoAction)),
        };
        let operation = decode_operation(request.operation)?;
        let asked = asked(&operation, request.hypervisor, request.machine)?;
        let (target, id) = (
            Target::Machine(asked.machine.name().clone()),
            operation.id.clone(),
        );
        let machines = self.machines.clone();
        let work = async move |reporter| machines.control(&asked, &id, action, &reporter).await;
        let running = self
            .operations
            .run(operation, target, action.as_str(), "", work)
            .await;
        let running = running.map_err(|error| status(&error))?;
        Ok(Response::new(answers(running, |event| {
            use control_machine_response::Message;
            v1::ControlMachineResponse {
                message: Some(match event {
                    Event::Progress(progress) => Message::Progress(progress),
                    Event::Outcome(outcome) => Message::Outcome(outcome),
                }),
            }
        })))
    }

    async fn delete_machine(
        &self,
        request: Request<v1::DeleteMachineRequest>,
    ) -> Result<Response<Self::DeleteMachineStream>, Status> {
        let request = request.into_inner();
        let operation = decode_operation(request.operation)?;
        let asked = asked(&operation, request.hypervisor, request.machine)?;
        machine::check_typed_name(&asked.machine, &request.typed_name)
            .map_err(|failure| failure_status(&failure))?;
        let target = Target::Machine(asked.machine.name().clone());
        let machines = self.machines.clone();
        let work = async move |reporter| machines.delete(&asked, &reporter).await;
        let running = self
            .operations
            .run(operation, target, "delete", "", work)
            .await;
        let running = running.map_err(|error| status(&error))?;
        Ok(Response::new(answers(running, |event| {
            use delete_machine_response::Message;
            v1::DeleteMachineResponse {
                message: Some(match event {
                    Event::Progress(progress) => Message::Progress(progress),
                    Event::Outcome(outcome) => Message::Outcome(outcome),
                }),
            }
        })))
    }

    async fn watch_machines(
        &self,
        request: Request<v1::WatchMachinesRequest>,
    ) -> Result<Response<Self::WatchMachinesStream>, Status> {
        let request = request.into_inner();
        let question = question(request.hypervisor, &request.names, request.vmid_range)?;
        let operations = self.operations.clone();
        let watched = self.machines.watch(question).map(move |mut observation| {
            add_generations(&operations, &mut observation);
            Ok(v1::WatchMachinesResponse {
                observation: Some(observation),
            })
        });
        Ok(Response::new(Box::pin(watched)))
    }

    async fn reveal_enrollment_secret(
        &self,
        request: Request<v1::RevealEnrollmentSecretRequest>,
    ) -> Result<Response<v1::RevealEnrollmentSecretResponse>, Status> {
        let machine = identity(request.into_inner().machine)?;
        let secret = self.machines.enrollment_secret(&machine);
        let secret = secret.map_err(|failure| failure_status(&failure))?;
        Ok(Response::new(v1::RevealEnrollmentSecretResponse { secret }))
    }

    async fn finish_first_boot(
        &self,
        request: Request<v1::FinishFirstBootRequest>,
    ) -> Result<Response<Self::FinishFirstBootStream>, Status> {
        let request = request.into_inner();
        let operation = decode_operation(request.operation)?;
        let asked = asked(&operation, request.hypervisor, request.machine)?;
        let target = Target::Machine(asked.machine.name().clone());
        let machines = self.machines.clone();
        let work = async move |reporter| machines.finish_first_boot(&asked, &reporter).await;
        let running = self
            .operations
            .run(operation, target, "finish first boot", "", work)
            .await;
        let running = running.map_err(|error| status(&error))?;
        Ok(Response::new(answers(running, |event| {
            use finish_first_boot_response::Message;
            v1::FinishFirstBootResponse {
                message: Some(match event {
                    Event::Progress(progress) => Message::Progress(progress),
                    Event::Outcome(outcome) => Message::Outcome(outcome),
                }),
            }
        })))
    }
}

fn decode_operation(operation: Option<v1::Operation>) -> Result<Operation, Status> {
    Operation::try_from(operation).map_err(|error| status(&OperationError::Invalid(error)))
}

fn hypervisor(hypervisor: Option<v1::Hypervisor>) -> Result<v1::Hypervisor, Status> {
    hypervisor.ok_or_else(|| invalid(RequestError::Missing("hypervisor")))
}

fn identity(machine: Option<v1::MachineIdentity>) -> Result<MachineIdentity, Status> {
    let machine = machine.ok_or_else(|| invalid(RequestError::Missing("machine")))?;
    MachineIdentity::try_from(machine).map_err(invalid)
}

fn asked(
    operation: &Operation,
    of: Option<v1::Hypervisor>,
    machine: Option<v1::MachineIdentity>,
) -> Result<machine::Request, Status> {
    Ok(machine::Request {
        deployment: operation.deployment,
        hypervisor: hypervisor(of)?,
        machine: identity(machine)?,
        deadline: deadline(operation),
    })
}

fn question(
    of: Option<v1::Hypervisor>,
    names: &[String],
    range: Option<v1::VmidRange>,
) -> Result<Question, Status> {
    if names.len() > MOST_MACHINES {
        return Err(invalid(RequestError::Names(names.len())));
    }
    let names: Result<BTreeSet<MachineName>, _> = names.iter().map(|name| name.parse()).collect();
    Ok(Question {
        hypervisor: hypervisor(of)?,
        names: names.map_err(invalid)?,
        vmids: vmids(range)?,
    })
}

/// Without a range, no VMID is of interest.
fn vmids(range: Option<v1::VmidRange>) -> Result<RangeInclusive<u32>, Status> {
    let Some(v1::VmidRange { first, last }) = range else {
        return Ok(RangeInclusive::new(1, 0));
    };
    if first > last || !VMIDS.contains(&first) || !VMIDS.contains(&last) {
        return Err(invalid(RequestError::Range));
    }
    Ok(first..=last)
}

fn deadline(operation: &Operation) -> Instant {
    let whole = Duration::from_secs(operation.deadline_seconds.into());
    Instant::now() + whole.saturating_sub(LAST_WORDS)
}

fn add_generations(operations: &Operations, observation: &mut v1::MachinesObservation) {
    for machine in &mut observation.machines {
        if let Ok(name) = machine.name.parse() {
            machine.generation = operations.generation(&Target::Machine(name));
        }
    }
}

fn answers<Answer: 'static>(
    running: Running,
    encode: impl Fn(Event) -> Answer + Send + 'static,
) -> Answers<Answer> {
    Box::pin(running.map(move |event| Ok(encode(event))))
}
