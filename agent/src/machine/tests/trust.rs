//! A node that is not the one that was meant, over TLS as it is spoken: nothing is sent to it, and nothing made.

use std::net::SocketAddr;

use data_encoding::BASE64;
use omni_scale_proto::v1::{self, FailureClass};
use omni_scale_proxmox_simulator::Identity;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tokio::net::TcpListener;

use super::rig::{Rig, auth_key, host, hypervisor, request};
use crate::config::{Paths, Policy};
use crate::machine::{Apply, MachineParts, Machines, ProxmoxHypervisors};
use crate::operation::{Failure, Reporter};
use omni_scale_proto::machine::CheckedMachine;

impl Rig {
    /// Its cluster behind a certificate, on a port of this machine.
    async fn serve(&self, identity: Identity) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let simulator = self.simulator.clone();
        tokio::spawn(async move { simulator.serve(listener, &identity).await });
        address
    }

    /// What becomes of a machine that is asked for there, by an agent that trusts as it is told.
    async fn refused_at(
        &self,
        address: SocketAddr,
        trust: impl FnOnce(&mut v1::Hypervisor),
    ) -> Failure {
        let mut asked = v1::Hypervisor {
            url: format!("https://{address}"),
            ..hypervisor()
        };
        trust(&mut asked);
        let policy = Policy {
            hypervisors: vec![asked.url.clone()],
            ..Policy::default()
        };
        let parts = MachineParts {
            hypervisors: std::sync::Arc::new(ProxmoxHypervisors),
            secrets: self.secrets.clone(),
            policy: std::sync::Arc::new(policy),
            deployment: self.deployment.subscribe(),
        };
        let machine = host("idp", 0);
        self.secret(&auth_key("idp"), "tskey-auth-once");
        self.simulator.cluster().record();
        let apply = Apply {
            deployment: request(&machine).deployment,
            hypervisor: asked,
            machine: CheckedMachine::try_from(machine).unwrap(),
            deadline: tokio::time::Instant::now() + std::time::Duration::from_secs(60),
        };
        let machines = Machines::open(parts, &Paths::below(self.directory.path()));
        let failure = machines.apply(&apply, &Reporter::default()).await;
        let failure = failure.unwrap_err();
        assert!(self.simulator.cluster().take_recorded().is_empty());
        assert!(self.simulator.cluster().vms.is_empty());
        assert_eq!(failure.class, FailureClass::Refused, "{failure}");
        failure
    }
}

#[tokio::test]
async fn a_node_with_another_certificate_than_the_pinned_is_told_nothing() {
    let rig = Rig::new();
    let identity = Identity::generate(&["127.0.0.1".to_owned()]).unwrap();
    let found = identity.fingerprint();
    let address = rig.serve(identity).await;
    let failure = rig
        .refused_at(address, |asked| {
            asked.certificate_sha256 = vec!["ab".repeat(32)];
        })
        .await;
    assert!(failure.message.contains(&found), "{failure}");
    assert!(failure.message.contains("pinned: AB:AB:"), "{failure}");
}

#[tokio::test]
async fn a_node_whose_certificate_has_expired_is_told_nothing() {
    let rig = Rig::new();
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    parameters.not_before = date_time_ymd(2020, 1, 1);
    parameters.not_after = date_time_ymd(2021, 1, 1);
    let certificate = parameters.self_signed(&key).unwrap();
    let identity = serde_json::json!({
        "certificate": BASE64.encode(certificate.der()),
        "key": BASE64.encode(&key.serialize_der()),
    });
    let address = rig.serve(serde_json::from_value(identity).unwrap()).await;
    let failure = rig
        .refused_at(address, |asked| {
            asked.certificate_sha256.clear();
            asked.roots_pem = certificate.pem();
        })
        .await;
    assert!(failure.message.contains("has expired"), "{failure}");
    assert!(
        failure.message.contains("Jan  1 00:00:00 2021"),
        "{failure}"
    );
}
