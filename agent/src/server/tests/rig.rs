//! An agent on loopback, and callers of every kind.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use hyper_util::rt::TokioIo;
use omni_scale_proto::id::Sha256;
use omni_scale_proto::role::HostRole;
use omni_scale_proto::v1;
use omni_scale_proto::v1::host_service_client::HostServiceClient;
use omni_scale_proto::v1::unit_service_server::UnitServiceServer;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint};

use crate::artifact::{ArtifactStore, Uploads, samples};
use crate::config::{Paths, Policy};
use crate::enrollment::{self, Enrollment, TokenFile};
use crate::files;
use crate::host_roots::HostRoots;
use crate::identity::IdentityStore;
use crate::identity::testing::{Authority, Leaf, now};
use crate::journal::FakeJournal;
use crate::lease::Leases;
use crate::ledger::Ledger;
use crate::machine::{MachineParts, Machines, ProxmoxHypervisors};
use crate::operation::Operations;
use crate::secrets::Secrets;
use crate::server::gate::Gate;
use crate::server::listen::{Listening, listen};
use crate::server::serve::serve;
use crate::server::tls::Credentials;
use crate::service::checks::{Checks, HostNetwork};
use crate::service::host::{Host, HostFacts};
use crate::service::machine::MachineApi;
use crate::service::reflection;
use crate::service::unit::UnitRpc;
use crate::service::upload::ArtifactUploads;
use crate::tailnet::FakeTailnet;
use crate::unit::apply::tests::Rig as UnitRig;
use crate::unit::watching::UnitWatch;

pub(super) type Client = HostServiceClient<Channel>;

/// A running agent. Dropping it ends it.
pub(super) struct Rig {
    pub(super) authority: Authority,
    pub(super) identities: Arc<IdentityStore>,
    pub(super) tokens: TokenFile,
    pub(super) address: SocketAddr,
    /// Where it listens from now on, when this is told another address.
    pub(super) listens_on: watch::Sender<Option<Ipv4Addr>>,
    pub(super) parts: Parts,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    _directory: tempfile::TempDir,
}

/// What the agent is made of, where tests reach into it.
pub(super) struct Parts {
    pub(super) journal: FakeJournal,
    pub(super) secrets: Arc<Secrets>,
    pub(super) tailnet: Arc<FakeTailnet>,
    /// With the role `tsidp`.
    pub(super) unit: Option<UnitRig>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// What a caller shows.
pub(super) type Shown = Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>;

impl Rig {
    /// As it is after the installation, with the role `omni`.
    pub(super) async fn unenrolled() -> Self {
        Self::with_role(HostRole::Omni, None, "").await
    }

    /// A member whose root wrote this agent.toml.
    pub(super) async fn enrolled_with(agent_toml: &str) -> Self {
        Self::with_role(HostRole::Omni, None, agent_toml)
            .await
            .enroll()
    }

    /// With what stands in `ledger` for its ledger.
    async fn with_role(role: HostRole, ledger: Option<&[u8]>, agent_toml: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        if let Some(contents) = ledger {
            files::write_atomically(&directory.path().join("ledger"), contents, 0o600).unwrap();
        }
        let identity = directory.path().join("identity");
        let identities = Arc::new(IdentityStore::open(&identity).unwrap());
        let tokens = TokenFile::in_directory(&identity);
        let credentials = Credentials::new(identities.clone(), tokens.clone()).unwrap();
        let (listens_on, addresses) = watch::channel(Some(Ipv4Addr::LOCALHOST));
        let (connections, incoming) = mpsc::channel(4);
        let (state, mut states) = watch::channel(Listening::WaitingForAddress);
        let parts = Parts {
            journal: FakeJournal::default(),
            secrets: Arc::new(Secrets::open(&directory.path().join("secrets")).unwrap()),
            tailnet: Arc::new(FakeTailnet::running(
                "omni.tail.test",
                Ipv4Addr::new(100, 64, 0, 3),
            )),
            unit: (role == HostRole::Tsidp).then(UnitRig::new),
        };
        let routes = routes(directory.path(), &identities, &tokens, role, &parts);
        let policy = crate::config::parse(agent_toml, "agent.toml".as_ref()).unwrap();
        let gate = Arc::new(Gate::new(
            identities.clone(),
            parts.tailnet.clone(),
            policy.tailnet,
        ));
        let refusals = gate.refusals();
        let listening = tokio::spawn(listen(
            addresses,
            0,
            Arc::new(credentials),
            connections,
            state,
            refusals,
        ));
        let serving = tokio::spawn(async move {
            let incoming = ReceiverStream::new(incoming);
            serve(routes, gate, incoming, std::future::pending())
                .await
                .unwrap();
        });
        let listens = states
            .wait_for(|state| matches!(state, Listening::On(_)))
            .await
            .unwrap();
        let Listening::On(address) = *listens else {
            unreachable!("it was waited for")
        };
        drop(listens);
        Self {
            authority: Authority::new(),
            identities,
            tokens,
            address,
            listens_on,
            parts,
            tasks: vec![listening, serving],
            _directory: directory,
        }
    }

    /// A member of the deployment of its authority, called `omni`.
    pub(super) async fn enrolled() -> Self {
        Self::enrolled_with_role(HostRole::Omni).await
    }

    pub(super) async fn enrolled_with_role(role: HostRole) -> Self {
        Self::with_role(role, None, "").await.enroll()
    }

    /// A member whose ledger somebody has spoilt.
    pub(super) async fn enrolled_and_damaged() -> Self {
        Self::with_role(HostRole::Omni, Some(b"no ledger at all"), "")
            .await
            .enroll()
    }

    fn enroll(self) -> Self {
        let pending = self.identities.prepare().unwrap();
        let offer = self.authority.offer(&pending, &Leaf::default());
        self.identities.enroll(&pending, &offer, now()).unwrap();
        self
    }

    /// An operator with a good certificate of this role.
    pub(super) fn operator(&self, role: &str) -> Client {
        self.caller(Some(self.authority.operator(role, false).shown()))
    }

    /// A caller who trusts the authority, and shows this.
    pub(super) fn caller(&self, shown: Shown) -> Client {
        Client::new(self.connection(shown))
    }

    /// The connection of an operator with this role, for any service.
    pub(super) fn connection_of(&self, role: &str) -> Channel {
        self.connection(Some(self.authority.operator(role, false).shown()))
    }

    pub(super) fn connection(&self, shown: Shown) -> Channel {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.certificate.clone()).unwrap();
        let builder = tls13().with_root_certificates(roots);
        self.channel(match shown {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        })
    }

    /// A caller without a certificate, who sees which one the agent shows.
    pub(super) fn stranger(&self) -> (Client, Arc<Seen>) {
        let seen = Arc::new(Seen::default());
        let config = tls13()
            .dangerous()
            .with_custom_certificate_verifier(seen.clone())
            .with_no_client_auth();
        (Client::new(self.channel(config)), seen)
    }

    pub(super) fn channel(&self, mut config: ClientConfig) -> Channel {
        config.alpn_protocols = vec![b"h2".to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        let address = self.address;
        Endpoint::from_static("http://omni").connect_with_connector_lazy(tower::service_fn(
            move |_| {
                let connector = connector.clone();
                async move {
                    let stream = TcpStream::connect(address).await?;
                    let name = ServerName::try_from("omni").expect("a DNS label");
                    connector.connect(name, stream).await.map(TokioIo::new)
                }
            },
        ))
    }
}

fn tls13() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
}

fn routes(
    directory: &std::path::Path,
    identities: &Arc<IdentityStore>,
    tokens: &TokenFile,
    role: HostRole,
    parts: &Parts,
) -> Routes {
    let secrets = parts.secrets.clone();
    let ledger = Arc::new(Ledger::open(&directory.join("ledger")).unwrap());
    let leases = Arc::new(Leases::new(ledger.clone()));
    let operations = Operations::new(
        ledger,
        leases.clone(),
        secrets.clone(),
        identities.deployment(),
    );
    let tailnet = parts.tailnet.clone();
    let roles = BTreeSet::from([role]);
    let enrollment = Enrollment::new(
        identities.clone(),
        tokens.clone(),
        enrollment::HostFacts {
            machine_id: "0123".to_owned(),
            roles: roles.clone(),
            agent_version: "0.1.0".to_owned(),
        },
    );
    let host = Host {
        identities: identities.clone(),
        enrollment: Arc::new(enrollment),
        leases,
        operations: operations.clone(),
        secrets: secrets.clone(),
        tailnet: tailnet.clone(),
        checks: Arc::new(Checks {
            stacks: None,
            unit: None,
            machines: None,
            client: None,
            tailnet,
            secrets,
            roots: HostRoots::in_file(directory.join("no-roots")),
            vantage: Arc::new(HostNetwork),
        }),
        journal: Arc::new(parts.journal.clone()),
        uploads: parts.unit.is_some().then(|| uploads(directory)),
        facts: HostFacts {
            machine_id: "0123".to_owned(),
            boot_id: "4567".to_owned(),
            roles,
        },
    };
    let machine_operations = operations.clone();
    let mut routes = Routes::new(host.server()).add_service(reflection::server());
    if let Some(unit) = &parts.unit {
        let watch = UnitWatch::new(unit.tsidp.clone());
        let unit = UnitRpc::new(unit.tsidp.clone(), watch, parts.tailnet.clone(), operations);
        routes = routes.add_service(UnitServiceServer::new(unit));
    }
    if role == HostRole::Proxmox {
        let machines = MachineApi {
            machines: machines(directory, identities, &parts.secrets),
            operations: machine_operations,
        };
        routes = routes.add_service(machines.server());
    }
    routes
}

/// Machines on a cluster that is not there, and on no other.
fn machines(
    directory: &std::path::Path,
    identities: &Arc<IdentityStore>,
    secrets: &Arc<Secrets>,
) -> Machines {
    let policy = Policy {
        hypervisors: vec!["https://127.0.0.1:1".to_owned()],
        ..Policy::default()
    };
    let machines = MachineParts {
        hypervisors: Arc::new(ProxmoxHypervisors),
        secrets: secrets.clone(),
        policy: Arc::new(policy),
        deployment: identities.deployment(),
    };
    Machines::open(machines, &Paths::below(directory))
}

/// The one program that root of this host allows to be uploaded.
pub(super) fn allowed_program() -> Vec<u8> {
    samples::binary("uploaded")
}

fn uploads(directory: &std::path::Path) -> Arc<dyn ArtifactUploads> {
    let policy = Policy {
        artifact_sha256: [Sha256::of(&allowed_program()).to_string()].into(),
        ..Policy::default()
    };
    let store = ArtifactStore::new(directory.join("programs"));
    Arc::new(Uploads::new(store, Arc::new(policy)))
}

/// Takes any certificate, and keeps it.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<Vec<u8>>);

impl Seen {
    pub(super) fn certificate(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.0.lock().unwrap() = certificate.to_vec();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// The operation of a mutation under a lease.
pub(super) fn operation(id: u8, generation: u64, lease_epoch: u64) -> v1::Operation {
    v1::Operation {
        operation_id: format!("{id:064x}"),
        deployment_id: crate::operation::testing::deployment().to_string(),
        generation,
        lease_epoch,
        deadline_seconds: 30,
    }
}
