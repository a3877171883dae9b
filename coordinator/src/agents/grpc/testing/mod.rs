//! A model of an agent behind a real TLS listener on loopback, for tests of what is on our side
//! of the wire. What real agents do is tested with real agents.

mod client;
mod health;
mod host;
mod listener;
mod machines;
mod targets;
mod world;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use omni_scale_proto::enrollment::EnrollmentSecret;
use omni_scale_proto::id::HostName;
use omni_scale_proto::v1;
use tonic::{Code, Status};

pub(crate) use listener::{Loopback, ServerIdentity, serve, serve_host_only, serve_in_memory};

use crate::agents::fake::FakeAgents;
use crate::agents::grpc::memory::MemoryNetwork;

/// What the model knows.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) describe: v1::DescribeResponse,
    pub(crate) secrets: BTreeMap<String, Vec<u8>>,
    pub(crate) candidates: BTreeMap<String, Vec<u8>>,
    pub(crate) deny_list: (u64, Vec<String>),
    pub(crate) unit: v1::UnitObservation,
    pub(crate) stack: v1::StackObservation,
    pub(crate) log: Vec<v1::LogLine>,
    pub(crate) artifact: Vec<u8>,
    /// How many bytes of an upload are there from before.
    pub(crate) artifact_held: Option<u64>,
    /// Enrolment: the secret, and the certificate that the listener shows.
    pub(crate) enrollment: Option<(EnrollmentSecret, Vec<u8>)>,
    /// Who answers an enrolment.
    pub(crate) answerer: Answerer,
    pub(crate) enrolled: Option<v1::EnrollCertificate>,
    /// Streams of operations end before their outcome.
    pub(crate) cut_short: bool,
    /// Streams of operations end in this way after they have begun, as the gate ends them.
    pub(crate) broken_off: Option<Status>,
    pub(crate) controls: Vec<String>,
    /// Changes beside those of targets: secrets, certificates, the deny list, artifacts.
    pub(crate) changes: Vec<String>,
    /// The world that it answers for. None: it answers from this state alone.
    pub(crate) world: Option<(FakeAgents, HostName)>,
    /// The network on which it serves again once it has another certificate.
    pub(crate) network: Option<(MemoryNetwork, HostName)>,
    /// The agents of hosts that machines become, by host.
    pub(crate) siblings: BTreeMap<HostName, TestAgent>,
    /// The key of the certificate that was asked for last, PEM.
    pub(crate) new_key: String,
    /// Operations are refused whose epoch is not in force.
    pub(crate) fenced: bool,
    pub(crate) epoch: u64,
    pub(crate) lease: Option<v1::LeaseHolder>,
}

/// Who answers an enrolment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Answerer {
    /// The agent.
    #[default]
    Agent,
    /// Somebody who does not know the secret.
    Ignorant,
    /// Somebody in between, who passes the agent's proof on without asking for ours.
    Between,
    /// Somebody with the agent's answer to another caller's nonce.
    Replaying,
}

/// The refusal of a request under a lease that is over.
pub(crate) fn lease_lost(lost: &v1::LeaseLost) -> Status {
    let (code, words) = (Code::FailedPrecondition, "the lease is over");
    let details = omni_scale_proto::lease::to_details(code.into(), words, lost);
    Status::with_details(code, words, details.into())
}

/// The model. Clones share their state.
#[derive(Debug, Clone, Default)]
pub(crate) struct TestAgent(Arc<Mutex<State>>);

impl TestAgent {
    /// An agent of a host with roles.
    pub(crate) fn new(host: &str, roles: &[&str]) -> Self {
        let agent = Self::default();
        agent.state().describe = v1::DescribeResponse {
            agent_version: "0.1.0".to_owned(),
            api_version_minimum: 1,
            api_version_maximum: 1,
            machine_id: format!("machine-of-{host}"),
            host_name: host.to_owned(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            ..v1::DescribeResponse::default()
        };
        agent
    }

    /// A request for a certificate of a new key.
    fn signing_request(&self) -> Vec<u8> {
        let key = rcgen::KeyPair::generate().unwrap();
        self.state().new_key = key.serialize_pem();
        let parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.serialize_request(&key).unwrap().der().to_vec()
    }

    /// Takes a certificate, and serves with it from now on where it can.
    fn adopt(&self, certificate: v1::EnrollCertificate) {
        let mut state = self.state();
        let (network, key) = (state.network.clone(), state.new_key.clone());
        let identity = ServerIdentity::of_certificate(&certificate, key);
        if let Some((world, host)) = state.world.clone() {
            let deployment = certificate.deployment_id.parse().ok();
            world.world().host(host.as_str()).deployment = deployment;
        }
        state.enrolled = Some(certificate);
        state.changes.push("certificate".to_owned());
        drop(state);
        if let Some((network, host)) = network {
            serve_in_memory(&network, &host, self.clone(), &identity);
        }
    }

    /// Refuses an epoch that is not in force, as agents do.
    fn check_epoch(&self, asked: u64) -> Result<(), Status> {
        let state = self.state();
        if asked == state.epoch {
            return Ok(());
        }
        let lost = v1::LeaseLost {
            epoch: asked,
            holder: state.lease.clone(),
        };
        Err(lease_lost(&lost))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}
