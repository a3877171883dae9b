//! What an operator does outside of rollouts: secrets, certificates, the deny list.

use std::time::Duration;

use omni_scale_proto::id::{HostName, SecretName};
use omni_scale_proto::operation::Operation;
use omni_scale_proto::v1;
use omni_scale_proto::v1::{
    generate_secret_request, renew_certificate_request, renew_certificate_response,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use zeroize::{Zeroize as _, Zeroizing};

use super::GrpcAgents;
use super::connection::PROMPT;
use super::operation::bounded;
use super::status::{Call, within};
use crate::agents::AgentError;
use crate::pki::Certificate;

/// Making an RSA-4096 key may take a slow host this long.
const GENERATE: Duration = Duration::from_secs(300);

/// A secret as it is after a change.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedSecret {
    /// How the change ended.
    pub outcome: v1::Outcome,
    /// Name, time and keyed digest.
    pub secret: v1::SecretStatus,
}

/// A secret that was made on the host and waits for its confirmation.
pub struct GeneratedSecret {
    /// How making it ended.
    pub outcome: v1::Outcome,
    /// Its keyed digest confirms it.
    pub secret: v1::SecretStatus,
    /// The value, for safe keeping. Wiped when dropped.
    pub export: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for GeneratedSecret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("GeneratedSecret")
            .field("secret", &self.secret)
            .finish_non_exhaustive()
    }
}

impl GrpcAgents {
    /// Stores a secret on a host.
    pub async fn put_secret(
        &self,
        host: &HostName,
        operation: &Operation,
        name: &SecretName,
        value: &Zeroizing<Vec<u8>>,
        usage: v1::SecretUse,
    ) -> Result<ListedSecret, AgentError> {
        let (call, mut client) = self.host(host, format!("set secret `{name}`")).await?;
        let request = v1::PutSecretRequest {
            operation: Some(operation.clone().into()),
            name: name.to_string(),
            value: value.to_vec(),
            r#use: usage.into(),
        };
        let answer = within(&call, PROMPT, client.put_secret(request)).await?;
        Ok(ListedSecret {
            outcome: outcome(&call, answer.outcome)?,
            secret: answer.secret.unwrap_or_default(),
        })
    }

    /// Makes a secret on a host. It is not in force before it is confirmed.
    pub async fn make_secret(
        &self,
        host: &HostName,
        operation: &Operation,
        name: &SecretName,
        recipe: v1::SecretRecipe,
    ) -> Result<GeneratedSecret, AgentError> {
        let (call, mut client) = self.host(host, format!("make secret `{name}`")).await?;
        let request = v1::GenerateSecretRequest {
            operation: Some(operation.clone().into()),
            name: name.to_string(),
            action: Some(generate_secret_request::Action::Make(recipe)),
        };
        let mut answer = within(&call, GENERATE, client.generate_secret(request)).await?;
        let export = Zeroizing::new(std::mem::take(&mut answer.export));
        Ok(GeneratedSecret {
            outcome: outcome(&call, answer.outcome)?,
            secret: answer.secret.unwrap_or_default(),
            export,
        })
    }

    /// Puts a secret that was made in force: its export is in safe keeping.
    pub async fn confirm_secret(
        &self,
        host: &HostName,
        operation: &Operation,
        name: &SecretName,
        keyed_digest: String,
    ) -> Result<ListedSecret, AgentError> {
        let (call, mut client) = self.host(host, format!("confirm secret `{name}`")).await?;
        let request = v1::GenerateSecretRequest {
            operation: Some(operation.clone().into()),
            name: name.to_string(),
            action: Some(generate_secret_request::Action::ConfirmDigest(keyed_digest)),
        };
        let mut answer = within(&call, PROMPT, client.generate_secret(request)).await?;
        answer.export.zeroize();
        Ok(ListedSecret {
            outcome: outcome(&call, answer.outcome)?,
            secret: answer.secret.unwrap_or_default(),
        })
    }

    /// Whom the agent takes us for.
    pub async fn who_am_i(&self, host: &HostName) -> Result<v1::WhoAmIResponse, AgentError> {
        let (call, mut client) = self.host(host, "ask who we are").await?;
        within(&call, PROMPT, client.who_am_i(v1::WhoAmIRequest {})).await
    }

    /// Gives the agent the serial numbers that it refuses.
    pub async fn put_deny_list(
        &self,
        host: &HostName,
        version: u64,
        serials: Vec<String>,
    ) -> Result<(), AgentError> {
        let (call, mut client) = self.host(host, "replace the deny list").await?;
        let request = v1::PutDenyListRequest { version, serials };
        within(&call, PROMPT, client.put_deny_list(request)).await?;
        Ok(())
    }

    /// Replaces the agent's certificate: it makes a key, `issue` a certificate for it.
    pub async fn renew_certificate(
        &self,
        host: &HostName,
        issue: impl FnOnce(&[u8]) -> Result<v1::EnrollCertificate, crate::pki::PkiError>,
    ) -> Result<Certificate, RenewalError> {
        let (call, mut client) = self.host(host, "renew the certificate").await?;
        let (requests, stream) = mpsc::channel(2);
        let start = renew_certificate_request::Message::Start(v1::RenewCertificateStart {});
        send(&call, &requests, start)?;
        let answers = client.renew_certificate(ReceiverStream::new(stream));
        let mut answers = within(&call, PROMPT, answers).await?;
        let Some(renew_certificate_response::Message::CertificateSigningRequest(signing_request)) =
            next(&call, &mut answers).await?.message
        else {
            return Err(call.faulty("the answer holds no signing request").into());
        };
        let issued = issue(&signing_request)?;
        let der = issued
            .certificate_chain
            .first()
            .cloned()
            .unwrap_or_default();
        let last = renew_certificate_request::Message::Certificate(issued);
        send(&call, &requests, last)?;
        match next(&call, &mut answers).await?.message {
            Some(renew_certificate_response::Message::Done(_)) => {
                Ok(Certificate::from_der(der.into(), "the new certificate")?)
            }
            _ => Err(call.faulty("the agent did not say that it is done").into()),
        }
    }
}

/// Why a certificate was not renewed.
#[derive(Debug, thiserror::Error)]
pub enum RenewalError {
    /// The agent.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The authority.
    #[error(transparent)]
    Pki(#[from] crate::pki::PkiError),
}

fn outcome(call: &Call, outcome: Option<v1::Outcome>) -> Result<v1::Outcome, AgentError> {
    outcome.ok_or_else(|| call.faulty("the answer holds no outcome"))
}

fn send(
    call: &Call,
    requests: &mpsc::Sender<v1::RenewCertificateRequest>,
    message: renew_certificate_request::Message,
) -> Result<(), AgentError> {
    let request = v1::RenewCertificateRequest {
        message: Some(message),
    };
    requests.try_send(request).map_err(|_| call.cut_short())
}

async fn next<T>(call: &Call, answers: &mut tonic::Streaming<T>) -> Result<T, AgentError> {
    bounded(call, PROMPT, answers.message())
        .await?
        .ok_or_else(|| call.cut_short())
}
