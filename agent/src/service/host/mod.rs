//! `HostService`: decode, call what does it, encode.

mod artifact;
mod caller;
mod describe;
mod enrolment;
mod lease;
mod secret;

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use omni_scale_proto::v1;
use omni_scale_proto::v1::host_service_server::{HostService, HostServiceServer};
use tonic::{Request, Response, Status, Streaming};

use super::checks::Checks;
use super::upload::ArtifactUploads;
use crate::enrollment::Enrollment;
use crate::identity::IdentityStore;
use crate::journal::{Journal, JournalUnit, Selection};
use crate::lease::Leases;
use crate::operation::Operations;
use crate::secrets::Secrets;
use crate::server::status::status;
use crate::tailnet::Tailnet;

pub use describe::HostFacts;

/// The largest request, in bytes. A chunk of an artifact is 256 KiB, a secret 64 KiB.
const LARGEST_REQUEST: usize = 1024 * 1024;

/// A stream of answers.
type Answers<Answer> = Pin<Box<dyn Stream<Item = Result<Answer, Status>> + Send>>;

/// What the host service speaks for.
pub struct Host {
    /// Who this agent is.
    pub identities: Arc<IdentityStore>,
    /// How it becomes somebody.
    pub enrollment: Arc<Enrollment>,
    /// Who may change this host.
    pub leases: Arc<Leases>,
    /// The way of every mutation.
    pub operations: Operations,
    /// What never leaves this host.
    pub secrets: Arc<Secrets>,
    /// The host's own node.
    pub tailnet: Arc<dyn Tailnet>,
    /// Answers to checks.
    pub checks: Arc<Checks>,
    /// What this agent has said.
    pub journal: Arc<dyn Journal>,
    /// Where artifacts go. `None`: no role of this host runs one.
    pub uploads: Option<Arc<dyn ArtifactUploads>>,
    /// What does not change while the agent runs.
    pub facts: HostFacts,
}

impl Host {
    /// The service, with its bounds.
    pub fn server(self) -> HostServiceServer<impl HostService> {
        HostServiceServer::new(Api(Arc::new(self))).max_decoding_message_size(LARGEST_REQUEST)
    }
}

struct Api(Arc<Host>);

#[tonic::async_trait]
impl HostService for Api {
    type RunChecksStream = Answers<v1::RunChecksResponse>;
    type EnrollStream = Answers<v1::EnrollResponse>;
    type RenewCertificateStream = Answers<v1::RenewCertificateResponse>;
    type ReadAgentJournalStream = Answers<v1::ReadAgentJournalResponse>;

    async fn describe(
        &self,
        _: Request<v1::DescribeRequest>,
    ) -> Result<Response<v1::DescribeResponse>, Status> {
        Ok(Response::new(describe::describe(&self.0).await))
    }

    async fn who_am_i(
        &self,
        request: Request<v1::WhoAmIRequest>,
    ) -> Result<Response<v1::WhoAmIResponse>, Status> {
        caller::who_am_i(&request).map(Response::new)
    }

    async fn run_checks(
        &self,
        request: Request<v1::RunChecksRequest>,
    ) -> Result<Response<Self::RunChecksStream>, Status> {
        self.0
            .checks
            .run(request.into_inner().checks)
            .map(Response::new)
    }

    async fn acquire_lease(
        &self,
        request: Request<v1::AcquireLeaseRequest>,
    ) -> Result<Response<v1::AcquireLeaseResponse>, Status> {
        lease::acquire(&self.0, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn renew_lease(
        &self,
        request: Request<v1::RenewLeaseRequest>,
    ) -> Result<Response<v1::RenewLeaseResponse>, Status> {
        lease::renew(&self.0, &request.into_inner()).map(Response::new)
    }

    async fn release_lease(
        &self,
        request: Request<v1::ReleaseLeaseRequest>,
    ) -> Result<Response<v1::ReleaseLeaseResponse>, Status> {
        lease::release(&self.0, &request.into_inner())
            .await
            .map(Response::new)
    }

    async fn put_secret(
        &self,
        request: Request<v1::PutSecretRequest>,
    ) -> Result<Response<v1::PutSecretResponse>, Status> {
        secret::put(&self.0, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn generate_secret(
        &self,
        request: Request<v1::GenerateSecretRequest>,
    ) -> Result<Response<v1::GenerateSecretResponse>, Status> {
        secret::generate(&self.0, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn list_secrets(
        &self,
        _: Request<v1::ListSecretsRequest>,
    ) -> Result<Response<v1::ListSecretsResponse>, Status> {
        let secrets = self.0.secrets.list().into_iter().map(Into::into).collect();
        Ok(Response::new(v1::ListSecretsResponse { secrets }))
    }

    async fn enroll(
        &self,
        request: Request<Streaming<v1::EnrollRequest>>,
    ) -> Result<Response<Self::EnrollStream>, Status> {
        enrolment::enroll(&self.0, request).await.map(Response::new)
    }

    async fn renew_certificate(
        &self,
        request: Request<Streaming<v1::RenewCertificateRequest>>,
    ) -> Result<Response<Self::RenewCertificateStream>, Status> {
        enrolment::renew(&self.0, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn put_deny_list(
        &self,
        request: Request<v1::PutDenyListRequest>,
    ) -> Result<Response<v1::PutDenyListResponse>, Status> {
        enrolment::put_deny_list(&self.0, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn put_artifact(
        &self,
        request: Request<Streaming<v1::PutArtifactRequest>>,
    ) -> Result<Response<v1::PutArtifactResponse>, Status> {
        artifact::put(&self.0, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn read_agent_journal(
        &self,
        request: Request<v1::ReadAgentJournalRequest>,
    ) -> Result<Response<Self::ReadAgentJournalStream>, Status> {
        let v1::ReadAgentJournalRequest { lines, follow } = request.into_inner();
        let selection = Selection::checked(JournalUnit::Agent, lines, follow)
            .map_err(|error| status(&error))?;
        let lines = self.0.journal.read(selection).map(|line| match line {
            Ok(line) => Ok(v1::ReadAgentJournalResponse { line: Some(line) }),
            Err(error) => Err(status(&error)),
        });
        Ok(Response::new(lines.boxed()))
    }
}
