//! The model's `HostService`.

use std::io::Write as _;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use omni_scale_proto::enrollment::EnrollmentSecret;
use omni_scale_proto::id::{DeploymentId, Sha256};
use omni_scale_proto::v1::host_service_server::HostService;
use omni_scale_proto::v1::{
    self, acquire_lease_response, enroll_request, enroll_response, generate_secret_request,
    put_artifact_request, renew_certificate_request, renew_certificate_response,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::world::refusal;
use super::{Answerer, TestAgent};
use crate::agents::{AgentError, Agents as _, LeaseRequest};
use crate::rollout::{SystemClock, WallClock as _};

type Answer<T> = Result<Response<T>, Status>;
type Messages<T> = BoxStream<'static, Result<T, Status>>;

impl TestAgent {
    fn outcome(generation: u64) -> v1::Outcome {
        v1::Outcome {
            generation,
            summary: "done".to_owned(),
            ..v1::Outcome::default()
        }
    }

    fn changed(&self, what: impl Into<String>) {
        self.state().changes.push(what.into());
    }

    fn secret_status(name: &str, value: &[u8], candidate: bool) -> v1::SecretStatus {
        v1::SecretStatus {
            name: name.to_owned(),
            set_at_milliseconds: 1_700_000_000_000,
            keyed_digest: Sha256::of(value).to_string(),
            consumed: false,
            candidate,
        }
    }
}

fn invalid(error: impl std::fmt::Display) -> Status {
    Status::invalid_argument(error.to_string())
}

/// The model looks at nothing else of whoever keeps a lease or gives it back.
fn holder_of(rollout: String) -> LeaseRequest {
    LeaseRequest {
        deployment: DeploymentId::new(uuid::Uuid::nil()),
        holder: String::new(),
        rollout,
    }
}

#[async_trait::async_trait]
impl HostService for TestAgent {
    type RunChecksStream = Messages<v1::RunChecksResponse>;
    type EnrollStream = Messages<v1::EnrollResponse>;
    type RenewCertificateStream = Messages<v1::RenewCertificateResponse>;
    type ReadAgentJournalStream = Messages<v1::ReadAgentJournalResponse>;

    async fn describe(&self, _: Request<v1::DescribeRequest>) -> Answer<v1::DescribeResponse> {
        let modelled = match self.seat() {
            Some((seat, host)) => Some(seat.describe(&host).await.map_err(refusal)?),
            None => None,
        };
        let state = self.state();
        let mut describe = state.describe.clone();
        describe.lease = state.lease.clone();
        let mut describe = modelled.unwrap_or(describe);
        describe.deny_list_version = state.deny_list.0;
        if state.world.is_some() {
            // Certificates live by the true time, so all clocks here tell it.
            describe.clock_milliseconds = SystemClock.now_milliseconds();
        }
        Ok(Response::new(describe))
    }

    async fn read_agent_journal(
        &self,
        _: Request<v1::ReadAgentJournalRequest>,
    ) -> Answer<Self::ReadAgentJournalStream> {
        let lines = self.state().log.clone().into_iter();
        let lines = lines.map(|line| Ok(v1::ReadAgentJournalResponse { line: Some(line) }));
        Ok(Response::new(
            stream::iter(lines.collect::<Vec<_>>()).boxed(),
        ))
    }

    async fn who_am_i(&self, _: Request<v1::WhoAmIRequest>) -> Answer<v1::WhoAmIResponse> {
        Ok(Response::new(v1::WhoAmIResponse {
            name: "ada".to_owned(),
            role: "admin".to_owned(),
            node_name: "desk.tail.test".to_owned(),
            node_id: "n1".to_owned(),
            login: "ada@example.net".to_owned(),
            tailnet_role: "operator".to_owned(),
            tailnet_role_source: "login `ada@example.net`".to_owned(),
            effective_role: "operator".to_owned(),
            limited_by: v1::RoleLimit::Tailnet.into(),
            ..v1::WhoAmIResponse::default()
        }))
    }

    async fn run_checks(
        &self,
        request: Request<v1::RunChecksRequest>,
    ) -> Answer<Self::RunChecksStream> {
        let checks = request.into_inner().checks;
        if let Some((seat, host)) = self.seat() {
            let reports = seat.run_checks(&host, &checks, &|_| {}).await;
            let reports = reports.map_err(refusal)?.into_iter().map(|report| {
                Ok(v1::RunChecksResponse {
                    report: Some(report),
                })
            });
            return Ok(Response::new(
                stream::iter(reports.collect::<Vec<_>>()).boxed(),
            ));
        }
        let reports = checks.into_iter().map(|check| {
            let report = v1::CheckReport {
                check_id: check.check_id,
                status: v1::CheckStatus::Passed.into(),
                ..v1::CheckReport::default()
            };
            Ok(v1::RunChecksResponse {
                report: Some(report),
            })
        });
        Ok(Response::new(
            stream::iter(reports.collect::<Vec<_>>()).boxed(),
        ))
    }

    async fn acquire_lease(
        &self,
        request: Request<v1::AcquireLeaseRequest>,
    ) -> Answer<v1::AcquireLeaseResponse> {
        let asked = request.into_inner();
        if let Some((seat, host)) = self.seat() {
            let wanted = LeaseRequest {
                deployment: asked.deployment_id.parse().map_err(invalid)?,
                holder: asked.holder,
                rollout: asked.rollout_id,
            };
            let result = match seat.acquire_lease(&host, &wanted).await {
                Ok(grant) => acquire_lease_response::Result::Granted(v1::LeaseGrant {
                    epoch: grant.epoch,
                    time_to_live_milliseconds: 30_000,
                    running: grant.running,
                }),
                Err(AgentError::Held { holder, .. }) => {
                    acquire_lease_response::Result::Held(holder.into())
                }
                Err(error) => return Err(refusal(error)),
            };
            let result = Some(result);
            return Ok(Response::new(v1::AcquireLeaseResponse { result }));
        }
        let mut state = self.state();
        let result = match &state.lease {
            Some(holder) if holder.rollout_id != asked.rollout_id => {
                acquire_lease_response::Result::Held(holder.clone())
            }
            _ => {
                state.epoch += 1;
                acquire_lease_response::Result::Granted(v1::LeaseGrant {
                    epoch: state.epoch,
                    time_to_live_milliseconds: 30_000,
                    running: Vec::new(),
                })
            }
        };
        Ok(Response::new(v1::AcquireLeaseResponse {
            result: Some(result),
        }))
    }

    async fn renew_lease(
        &self,
        request: Request<v1::RenewLeaseRequest>,
    ) -> Answer<v1::RenewLeaseResponse> {
        let asked = request.into_inner();
        match self.seat() {
            Some((seat, host)) => {
                let wanted = holder_of(asked.rollout_id);
                let renewed = seat.renew_lease(&host, &wanted, asked.epoch).await;
                renewed.map_err(refusal)?;
            }
            None => self.check_epoch(asked.epoch)?,
        }
        Ok(Response::new(v1::RenewLeaseResponse {
            time_to_live_milliseconds: 30_000,
        }))
    }

    async fn release_lease(
        &self,
        request: Request<v1::ReleaseLeaseRequest>,
    ) -> Answer<v1::ReleaseLeaseResponse> {
        let asked = request.into_inner();
        match self.seat() {
            Some((seat, host)) => {
                let wanted = holder_of(asked.rollout_id);
                let released = seat.release_lease(&host, &wanted, asked.epoch).await;
                released.map_err(refusal)?;
            }
            None => self.check_epoch(asked.epoch)?,
        }
        Ok(Response::new(v1::ReleaseLeaseResponse {}))
    }

    async fn put_secret(
        &self,
        request: Request<v1::PutSecretRequest>,
    ) -> Answer<v1::PutSecretResponse> {
        let asked = request.into_inner();
        let generation = self.admit_secret(asked.operation, &asked.name)?;
        self.changed(format!("secret {}", asked.name));
        self.tell_secret(&asked.name);
        let secret = Self::secret_status(&asked.name, &asked.value, false);
        self.state().secrets.insert(asked.name, asked.value);
        Ok(Response::new(v1::PutSecretResponse {
            outcome: Some(Self::outcome(generation)),
            secret: Some(secret),
        }))
    }

    async fn generate_secret(
        &self,
        request: Request<v1::GenerateSecretRequest>,
    ) -> Answer<v1::GenerateSecretResponse> {
        let asked = request.into_inner();
        let generation = self.admit_secret(asked.operation, &asked.name)?;
        let mut answer = v1::GenerateSecretResponse {
            outcome: Some(Self::outcome(generation)),
            ..v1::GenerateSecretResponse::default()
        };
        match asked.action {
            Some(generate_secret_request::Action::Make(_)) => {
                answer.export = b"made on the host".to_vec();
                answer.secret = Some(Self::secret_status(&asked.name, &answer.export, true));
                let candidate = answer.export.clone();
                self.state().candidates.insert(asked.name, candidate);
            }
            Some(generate_secret_request::Action::ConfirmDigest(digest)) => {
                self.changed(format!("secret {}", asked.name));
                self.tell_secret(&asked.name);
                let mut state = self.state();
                let candidate = state
                    .candidates
                    .remove(&asked.name)
                    .filter(|value| Sha256::of(value).as_str() == digest)
                    .ok_or_else(|| Status::failed_precondition("there is no such candidate"))?;
                answer.secret = Some(Self::secret_status(&asked.name, &candidate, false));
                state.secrets.insert(asked.name, candidate);
            }
            None => return Err(Status::invalid_argument("no action")),
        }
        Ok(Response::new(answer))
    }

    async fn list_secrets(
        &self,
        _: Request<v1::ListSecretsRequest>,
    ) -> Answer<v1::ListSecretsResponse> {
        if let Some((seat, host)) = self.seat() {
            let secrets = seat.list_secrets(&host).await.map_err(refusal)?;
            return Ok(Response::new(v1::ListSecretsResponse { secrets }));
        }
        let state = self.state();
        let secrets = state
            .secrets
            .iter()
            .map(|(name, value)| Self::secret_status(name, value, false))
            .collect();
        Ok(Response::new(v1::ListSecretsResponse { secrets }))
    }

    async fn enroll(
        &self,
        request: Request<Streaming<v1::EnrollRequest>>,
    ) -> Answer<Self::EnrollStream> {
        let mut requests = request.into_inner();
        let agent = self.clone();
        let (answers, stream) = mpsc::channel(2);
        tokio::spawn(async move {
            if let Err(status) = enroll(&agent, &mut requests, &answers).await {
                answers.send(Err(status)).await.ok();
            }
        });
        Ok(Response::new(ReceiverStream::new(stream).boxed()))
    }

    async fn renew_certificate(
        &self,
        request: Request<Streaming<v1::RenewCertificateRequest>>,
    ) -> Answer<Self::RenewCertificateStream> {
        let mut requests = request.into_inner();
        let agent = self.clone();
        let (answers, stream) = mpsc::channel(2);
        tokio::spawn(async move {
            while let Ok(Some(message)) = requests.message().await {
                let answer = match message.message {
                    Some(renew_certificate_request::Message::Start(_)) => {
                        renew_certificate_response::Message::CertificateSigningRequest(
                            agent.signing_request(),
                        )
                    }
                    Some(renew_certificate_request::Message::Certificate(certificate)) => {
                        agent.adopt(certificate);
                        renew_certificate_response::Message::Done(v1::EnrollDone {})
                    }
                    None => return,
                };
                let answer = v1::RenewCertificateResponse {
                    message: Some(answer),
                };
                answers.send(Ok(answer)).await.ok();
            }
        });
        Ok(Response::new(ReceiverStream::new(stream).boxed()))
    }

    async fn put_deny_list(
        &self,
        request: Request<v1::PutDenyListRequest>,
    ) -> Answer<v1::PutDenyListResponse> {
        let asked = request.into_inner();
        let mut state = self.state();
        if asked.version < state.deny_list.0 {
            return Err(Status::failed_precondition("a newer deny list is in force"));
        }
        state.deny_list = (asked.version, asked.serials);
        state.changes.push("deny list".to_owned());
        Ok(Response::new(v1::PutDenyListResponse {}))
    }

    async fn put_artifact(
        &self,
        request: Request<Streaming<v1::PutArtifactRequest>>,
    ) -> Answer<v1::PutArtifactResponse> {
        let mut requests = request.into_inner();
        while let Some(message) = requests.message().await? {
            let mut state = self.state();
            match message.message {
                Some(put_artifact_request::Message::Start(start)) => {
                    let held = state.artifact_held.unwrap_or(0);
                    if start.offset != held {
                        let words = format!("the upload goes on at byte {held}");
                        return Err(Status::out_of_range(words));
                    }
                }
                Some(put_artifact_request::Message::Chunk(chunk)) => {
                    state.artifact.write_all(&chunk).unwrap();
                }
                None => return Err(Status::invalid_argument("no message")),
            }
        }
        self.changed("artifact");
        let size = self.state().artifact.len() as u64;
        Ok(Response::new(v1::PutArtifactResponse {
            size,
            known: false,
        }))
    }
}

async fn enroll(
    agent: &TestAgent,
    requests: &mut Streaming<v1::EnrollRequest>,
    answers: &mpsc::Sender<Result<v1::EnrollResponse, Status>>,
) -> Result<(), Status> {
    let (secret, certificate) = agent
        .state()
        .enrollment
        .clone()
        .ok_or_else(|| Status::failed_precondition("there is no token"))?;
    let refused = || Status::permission_denied("the proof is wrong; 4 attempts are left");
    let Some(enroll_request::Message::Proof(proof)) = requests
        .message()
        .await?
        .and_then(|request| request.message)
    else {
        return Err(Status::invalid_argument("out of order"));
    };
    let answerer = agent.state().answerer;
    if answerer != Answerer::Between
        && !secret.verify_caller(&certificate, &proof.nonce, &proof.proof)
    {
        return Err(refused());
    }
    let nonce = [9; 32];
    let proves = if answerer == Answerer::Ignorant {
        EnrollmentSecret::new([0; 20])
    } else {
        secret
    };
    let caller_nonce = if answerer == Answerer::Replaying {
        vec![1; 32]
    } else {
        proof.nonce
    };
    let describe = agent.state().describe.clone();
    let answer = v1::EnrollAnswer {
        nonce: nonce.to_vec(),
        proof: proves
            .agent_proof(&certificate, &caller_nonce, &nonce)
            .to_vec(),
        certificate_signing_request: agent.signing_request(),
        machine_id: describe.machine_id,
        roles: describe.roles,
        agent_version: describe.agent_version,
    };
    let send = |message| {
        let message = Some(message);
        answers.try_send(Ok(v1::EnrollResponse { message })).is_ok()
    };
    send(enroll_response::Message::Answer(answer));
    let Some(enroll_request::Message::Certificate(certificate)) = requests
        .message()
        .await?
        .and_then(|request| request.message)
    else {
        return Ok(());
    };
    agent.adopt(certificate);
    send(enroll_response::Message::Done(v1::EnrollDone {}));
    Ok(())
}
