//! The handshake by which an agent gets its certificate (`Enroll` in `host.proto`).
//!
//! Nothing but the two proofs is exchanged before each side knows that the other has the
//! one-time secret, and both proofs are over the certificate of this very connection. A token's
//! fingerprint is a second assurance, which a machine that was made here cannot give.

use std::net::SocketAddr;
use std::sync::Arc;

use omni_scale_proto::enrollment::{EnrollmentSecret, EnrollmentToken, NONCE_LENGTH};
use omni_scale_proto::id::HostName;
use omni_scale_proto::v1;
use omni_scale_proto::v1::host_service_client::HostServiceClient;
use omni_scale_proto::v1::{enroll_request, enroll_response};
use rand::RngCore as _;
use rand::rngs::OsRng;
use tokio::sync::mpsc;
use tokio_rustls::client::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::connection::PROMPT;
use super::dial::{Dialer, Network, Wire};
use super::operation::bounded;
use super::status::{Call, within};
use super::tls::{self, Pin};
use crate::agents::AgentError;

/// Why a host was not enrolled. Nothing was stored on it.
#[derive(Debug, thiserror::Error)]
pub enum EnrollmentError {
    /// The agent could not be reached, or refuses.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// TLS could not be set up.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// The agent does not take our proof: the secret is wrong, used, too old, or was tried too
    /// often.
    #[error("the agent of host `{host}` does not take the token: {message}")]
    TokenRefused {
        /// The host.
        host: HostName,
        /// The agent's words.
        message: String,
    },
    /// Whoever answers has the certificate, but not the secret.
    #[error("the agent of host `{host}` cannot prove that it knows the token's secret")]
    Unproven {
        /// The host.
        host: HostName,
    },
}

impl EnrollmentError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::TokenRefused { .. } | Self::Unproven { .. } => Some(
                "make a new token on the host with `sudo omni-scale-agent token`; each is for one \
                 hour, five attempts and one use"
                    .to_owned(),
            ),
            Self::Agent(_) | Self::Tls(_) => None,
        }
    }
}

/// What the agent says about itself once both sides are proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrollmentAnswer {
    /// PKCS#10, DER. Not checked yet.
    pub signing_request: Vec<u8>,
    /// Contents of /etc/machine-id.
    pub machine_id: String,
    /// What the agent was set up for.
    pub roles: Vec<String>,
    /// Semantic version of the agent's package.
    pub agent_version: String,
}

/// An enrolment whose two sides know each other. Dropping it changes nothing on the host.
pub struct EnrollmentSession {
    call: Call,
    requests: mpsc::Sender<v1::EnrollRequest>,
    answers: Streaming<v1::EnrollResponse>,
    /// What the agent said.
    pub answer: EnrollmentAnswer,
}

/// The agent has stored its certificate and serves with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enrolled;

impl EnrollmentSession {
    /// Connects, pinned to the token's certificate, and exchanges the proofs.
    pub async fn begin(
        host: &HostName,
        dns_name: &str,
        token: &EnrollmentToken,
        network: Arc<dyn Network>,
    ) -> Result<Self, EnrollmentError> {
        let pin = Pin::Certificate(token.fingerprint);
        Self::prove(host, dns_name, &token.secret, pin, network).await
    }

    /// Connects to a machine that has its secret from us, and exchanges the proofs. Nobody could
    /// read its certificate out: whoever answers must know the secret, over the certificate of
    /// this connection, before anything else is said.
    pub async fn begin_with_secret(
        host: &HostName,
        dns_name: &str,
        secret: &EnrollmentSecret,
        network: Arc<dyn Network>,
    ) -> Result<Self, EnrollmentError> {
        Self::prove(host, dns_name, secret, Pin::Proven, network).await
    }

    async fn prove(
        host: &HostName,
        dns_name: &str,
        secret: &EnrollmentSecret,
        pin: Pin,
        network: Arc<dyn Network>,
    ) -> Result<Self, EnrollmentError> {
        let call = Call {
            host: host.clone(),
            tried: "enrol".to_owned(),
            role: None,
        };
        let dialer = Dialer {
            host: host.clone(),
            dns_name: dns_name.to_owned(),
            network,
            tls: Arc::new(tls::pinned(pin)?),
        };
        let stream = dialer
            .dial()
            .await
            .map_err(|error| call.unconnected(error))?;
        let certificate = shown_certificate(&stream);
        let channel = super::connection::channel_over(stream)
            .await
            .map_err(|error| AgentError::Unreachable {
                host: host.clone(),
                tried: call.tried.clone(),
                source: error.into(),
            })?;

        let mut nonce = [0; NONCE_LENGTH];
        OsRng.fill_bytes(&mut nonce);
        let proof = secret.caller_proof(&certificate, &nonce);
        let (requests, stream) = mpsc::channel(2);
        let first = enroll_request::Message::Proof(v1::EnrollProof {
            nonce: nonce.to_vec(),
            proof: proof.to_vec(),
        });
        send(&call, &requests, first)?;
        let mut client = HostServiceClient::new(channel);
        let start = client.enroll(ReceiverStream::new(stream));
        let mut answers = within(&call, PROMPT, start).await.map_err(token_refused)?;
        let answer = match next(&call, &mut answers).await.map_err(token_refused)? {
            enroll_response::Message::Answer(answer) => answer,
            enroll_response::Message::Done(_) => {
                return Err(call.faulty("the agent answered out of order").into());
            }
        };
        if !secret.verify_agent(&certificate, &nonce, &answer.nonce, &answer.proof) {
            return Err(EnrollmentError::Unproven { host: host.clone() });
        }
        Ok(Self {
            call,
            requests,
            answers,
            answer: EnrollmentAnswer {
                signing_request: answer.certificate_signing_request,
                machine_id: answer.machine_id,
                roles: answer.roles,
                agent_version: answer.agent_version,
            },
        })
    }

    /// Gives the agent its certificate; it has it on disk when this returns.
    pub async fn finish(
        mut self,
        certificate: v1::EnrollCertificate,
    ) -> Result<Enrolled, EnrollmentError> {
        let last = enroll_request::Message::Certificate(certificate);
        send(&self.call, &self.requests, last)?;
        match next(&self.call, &mut self.answers).await? {
            enroll_response::Message::Done(_) => Ok(Enrolled),
            enroll_response::Message::Answer(_) => {
                Err(self.call.faulty("the agent answered out of order").into())
            }
        }
    }
}

fn shown_certificate(stream: &TlsStream<Wire>) -> Vec<u8> {
    let (_, connection) = stream.get_ref();
    connection
        .peer_certificates()
        .and_then(|chain| chain.first())
        .map(|certificate| certificate.to_vec())
        .unwrap_or_default()
}

fn send(
    call: &Call,
    requests: &mpsc::Sender<v1::EnrollRequest>,
    message: enroll_request::Message,
) -> Result<(), AgentError> {
    let request = v1::EnrollRequest {
        message: Some(message),
    };
    requests.try_send(request).map_err(|_| call.cut_short())
}

async fn next(
    call: &Call,
    answers: &mut Streaming<v1::EnrollResponse>,
) -> Result<enroll_response::Message, AgentError> {
    let answer = bounded(call, PROMPT, answers.message()).await?;
    answer
        .ok_or_else(|| call.cut_short())?
        .message
        .ok_or_else(|| call.faulty("the agent sent an empty answer"))
}

/// Before both sides are proven, every refusal is one of the token.
fn token_refused(error: AgentError) -> EnrollmentError {
    match error {
        AgentError::Refused { host, message, .. } => {
            EnrollmentError::TokenRefused { host, message }
        }
        error => error.into(),
    }
}

/// An address that was given instead of a name.
#[derive(Debug, Clone)]
pub struct FixedAddress {
    /// The address, whatever the host is called.
    pub address: SocketAddr,
    /// How it is reached.
    pub network: Arc<dyn Network>,
}

#[async_trait::async_trait]
impl Network for FixedAddress {
    async fn resolve(&self, _host: &HostName, _name: &str) -> std::io::Result<Vec<SocketAddr>> {
        Ok(vec![self.address])
    }

    async fn connect(&self, address: SocketAddr) -> std::io::Result<Wire> {
        self.network.connect(address).await
    }
}
