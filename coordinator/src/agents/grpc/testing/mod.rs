//! A model of an agent behind a real TLS listener on loopback, for tests of what is on our side
//! of the wire. What real agents do is tested with real agents.

mod host;
mod listener;
mod targets;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use omni_scale_proto::enrollment::EnrollmentSecret;
use omni_scale_proto::v1;

pub(crate) use listener::{Loopback, ServerIdentity, serve};

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
    /// The agent proves another secret than it takes: somebody in between.
    pub(crate) proves_wrong_secret: bool,
    pub(crate) enrolled: Option<v1::EnrollCertificate>,
    /// Streams of operations end before their outcome.
    pub(crate) cut_short: bool,
    pub(crate) controls: Vec<String>,
    pub(crate) epoch: u64,
    pub(crate) lease: Option<v1::LeaseHolder>,
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

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}
