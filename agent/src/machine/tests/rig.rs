//! A cluster, and an agent that can be killed and started again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use omni_scale_proto::id::{DeploymentId, Sha256};
use omni_scale_proto::machine::{CheckedMachine, machine_uuid};
use omni_scale_proto::v1;
use omni_scale_proxmox::testing::Wire;
use omni_scale_proxmox::{Address, ApiToken, Bounds, Client, Trust, TrustError};
use omni_scale_proxmox_simulator::{Cluster, RemoteImage, Simulator, TOKEN, Volume};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::{Paths, Policy};
use crate::machine::record::MachineRecord;
use crate::machine::{Apply, Hypervisors, MachineParts, Machines, Question, Request};
use crate::operation::{Done, Failure, Reporter, testing};
use crate::secrets::{SecretValue, Secrets};

/// What agent.toml of the tests allows.
pub(super) const URL: &str = "https://pve.lan:8006";

/// The image that machines are made from.
pub(super) const IMAGE: &str = "https://images.example/debian.qcow2";

/// Clients of a simulated cluster, over connections in memory.
struct Simulated(Arc<Simulator>);

impl Hypervisors for Simulated {
    fn client(
        &self,
        address: Address,
        token: ApiToken,
        trust: &Trust,
    ) -> Result<Client, TrustError> {
        let simulator = self.0.clone();
        let wire = Wire::new(move || {
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            tokio::spawn(simulator.clone().serve_connection(theirs));
            ours
        });
        Ok(Client::new(address, token, trust, Bounds::default())?.over(wire))
    }
}

/// One host and one cluster.
pub(super) struct Rig {
    pub(super) simulator: Arc<Simulator>,
    pub(super) machines: Machines,
    pub(super) secrets: Arc<Secrets>,
    pub(super) directory: tempfile::TempDir,
    pub(super) deployment: watch::Sender<Option<DeploymentId>>,
}

pub(super) fn deployment() -> DeploymentId {
    testing::deployment()
}

/// The sum of the image.
pub(super) fn image_sum() -> String {
    Sha256::of(b"debian").to_string()
}

/// A cluster of three nodes from whose network the image can be had.
pub(super) fn cluster(seed: u64) -> Cluster {
    let mut cluster = Cluster::with_nodes(seed, 3);
    let image = RemoteImage {
        size: 300 << 20,
        virtual_size: 3 << 30,
        sums: [("sha256".to_owned(), image_sum())].into(),
        reachable: true,
    };
    cluster.images.insert(IMAGE.to_owned(), image);
    cluster
}

/// Something that nobody here put on a storage.
pub(super) fn volume(id: &str, content: &str, vmid: Option<u32>) -> Volume {
    Volume {
        node: None,
        id: id.to_owned(),
        content: content.to_owned(),
        format: "raw".to_owned(),
        size: 1 << 20,
        vmid,
        created: 0,
        bytes: None,
        sha256: None,
    }
}

pub(super) fn hypervisor() -> v1::Hypervisor {
    v1::Hypervisor {
        url: URL.to_owned(),
        token_id: TOKEN.split_once('=').unwrap().0.to_owned(),
        token_secret: "proxmox-token".to_owned(),
        certificate_sha256: vec!["ab".repeat(32)],
        roots_pem: String::new(),
    }
}

impl Rig {
    pub(super) fn new() -> Self {
        Self::with(cluster(1))
    }

    pub(super) fn with(cluster: Cluster) -> Self {
        let directory = tempfile::tempdir_in(memory()).unwrap();
        let simulator = Arc::new(Simulator::new(cluster, 1));
        let secrets = Arc::new(Secrets::open(&directory.path().join("secrets")).unwrap());
        let (deployment, _) = watch::channel(Some(deployment()));
        let machines = open(&simulator, &secrets, &deployment, directory.path());
        let rig = Self {
            simulator,
            machines,
            secrets,
            directory,
            deployment,
        };
        let (_, token) = TOKEN.split_once('=').unwrap();
        rig.secret("proxmox-token", token);
        rig.secret("omni-join", "kind: SideroLinkConfig");
        rig
    }

    pub(super) fn secret(&self, name: &str, value: &str) {
        let value = SecretValue::new(value.as_bytes().to_vec());
        self.secrets.put(&name.parse().unwrap(), &value).unwrap();
    }

    /// The agent is killed, whatever it was at, and started again.
    pub(super) async fn restart(&mut self) {
        // What had begun to be written is on the disk before anything else is read.
        while self.machines.is_busy() {
            tokio::task::yield_now().await;
        }
        self.machines = open(
            &self.simulator,
            &self.secrets,
            &self.deployment,
            self.directory.path(),
        );
    }

    /// All that it had written down is gone, secrets apart.
    pub(super) async fn forget(&mut self) {
        let _ = std::fs::remove_dir_all(self.directory.path().join("state/machines"));
        self.restart().await;
    }

    pub(super) async fn apply(&self, machine: &v1::Machine) -> Result<Done, Failure> {
        self.apply_within(machine, 600).await
    }

    pub(super) async fn apply_within(
        &self,
        machine: &v1::Machine,
        seconds: u64,
    ) -> Result<Done, Failure> {
        self.give_auth_key(machine);
        let apply = Apply {
            deployment: deployment(),
            hypervisor: hypervisor(),
            machine: CheckedMachine::try_from(machine.clone()).unwrap(),
            deadline: Instant::now() + Duration::from_secs(seconds),
        };
        self.machines.apply(&apply, &Reporter::default()).await
    }

    /// As the operator does before a machine is made: a new key for each.
    fn give_auth_key(&self, machine: &v1::Machine) {
        let complete = self
            .record(&machine.name)
            .is_some_and(|record| record.complete);
        if machine.kind() == v1::MachineKind::Host && !complete {
            self.secret(&auth_key(&machine.name), "tskey-auth-once");
        }
    }

    pub(super) async fn delete(&self, machine: &v1::Machine) -> Result<Done, Failure> {
        let asked = request(machine);
        self.machines.delete(&asked, &Reporter::default()).await
    }

    pub(super) async fn finish(&self, machine: &v1::Machine) -> Result<Done, Failure> {
        let asked = request(machine);
        let reporter = Reporter::default();
        self.machines.finish_first_boot(&asked, &reporter).await
    }

    pub(super) async fn observe(&self, names: &[&str]) -> v1::MachinesObservation {
        self.machines.observe(&question(names)).await
    }

    /// The one machine of that name.
    pub(super) async fn see(&self, name: &str) -> v1::MachineObservation {
        let observation = self.observe(&[name]).await;
        assert!(observation.known, "{}", observation.reason);
        let mut machines = observation.machines.into_iter();
        machines.find(|machine| machine.name == name).unwrap()
    }

    pub(super) fn record(&self, name: &str) -> Option<MachineRecord> {
        self.machines.record(deployment(), &name.parse().unwrap())
    }

    /// VMIDs of the VMs with this UUID.
    pub(super) fn with_uuid(&self, uuid: &str) -> BTreeSet<u32> {
        let cluster = self.simulator.cluster();
        let ours = cluster.vms.values().filter(|vm| vm.uuid() == Some(uuid));
        ours.map(|vm| vm.vmid).collect()
    }

    /// A value in the configuration of a VM.
    pub(super) fn config(&self, vmid: u32, key: &str) -> String {
        let cluster = self.simulator.cluster();
        cluster.vms[&vmid]
            .config
            .get(key)
            .cloned()
            .unwrap_or_default()
    }
}

pub(super) fn request(machine: &v1::Machine) -> Request {
    Request {
        deployment: deployment(),
        hypervisor: hypervisor(),
        machine: v1::MachineIdentity {
            name: machine.name.clone(),
            uuid: machine.uuid.clone(),
        }
        .try_into()
        .unwrap(),
        deadline: Instant::now() + Duration::from_secs(600),
    }
}

pub(super) fn question(names: &[&str]) -> Question {
    Question {
        hypervisor: hypervisor(),
        names: names.iter().map(|name| name.parse().unwrap()).collect(),
        vmids: 100..=199,
    }
}

fn open(
    simulator: &Arc<Simulator>,
    secrets: &Arc<Secrets>,
    deployment: &watch::Sender<Option<DeploymentId>>,
    directory: &std::path::Path,
) -> Machines {
    let policy = Policy {
        hypervisors: vec![URL.to_owned()],
        ..Policy::default()
    };
    let parts = MachineParts {
        hypervisors: Arc::new(Simulated(simulator.clone())),
        secrets: secrets.clone(),
        policy: Arc::new(policy),
        deployment: deployment.subscribe(),
    };
    Machines::open(parts, &Paths::below(directory))
}

/// Where a thousand schedules may sync to the disk without wearing one out.
fn memory() -> std::path::PathBuf {
    let memory = std::path::PathBuf::from("/dev/shm");
    if memory.is_dir() {
        memory
    } else {
        std::env::temp_dir()
    }
}

fn text(parts: &[Result<&str, &str>]) -> v1::Text {
    let segments = parts.iter().map(|part| v1::Segment {
        part: Some(match part {
            Ok(literal) => v1::segment::Part::Literal((*literal).to_owned()),
            Err(secret) => v1::segment::Part::Secret(v1::SecretReference {
                name: (*secret).to_owned(),
                ..v1::SecretReference::default()
            }),
        }),
    });
    v1::Text {
        segments: segments.collect(),
    }
}

fn machine(name: &str, incarnation: u32) -> v1::Machine {
    v1::Machine {
        name: name.to_owned(),
        uuid: machine_uuid(deployment(), name, incarnation).to_string(),
        incarnation,
        node: "pve1".to_owned(),
        vmid: 100,
        vmid_range: Some(v1::VmidRange {
            first: 100,
            last: 199,
        }),
        cores: 2,
        memory_mebibytes: 2048,
        cpu: "x86-64-v2-AES".to_owned(),
        disks: vec![v1::Disk {
            storage: "fast".to_owned(),
            size_gibibytes: 8,
            solid_state: true,
        }],
        networks: vec![v1::NetworkInterface {
            bridge: "vmbr0".to_owned(),
            ..v1::NetworkInterface::default()
        }],
        iso_storage: "local".to_owned(),
        ..v1::Machine::default()
    }
}

/// The secret with the key that a host machine first logs in with.
pub(super) fn auth_key(name: &str) -> String {
    format!("{name}-auth-key")
}

/// A host machine, made from an image.
pub(super) fn host(name: &str, incarnation: u32) -> v1::Machine {
    v1::Machine {
        kind: v1::MachineKind::Host.into(),
        firmware: v1::Firmware::Seabios.into(),
        image: Some(v1::MachineImage {
            kind: v1::MachineImageKind::Disk.into(),
            url: IMAGE.to_owned(),
            sha256: image_sum(),
            storage: "local".to_owned(),
        }),
        user_data: Some(text(&[
            Ok("#cloud-config\nkey: "),
            Err(&auth_key(name)),
            Ok("\nsecret: "),
            Err(&format!("enrollment-{name}")),
        ])),
        enrollment_secret: format!("enrollment-{name}"),
        ..machine(name, incarnation)
    }
}

/// A Talos machine, made from an ISO.
pub(super) fn talos(name: &str) -> v1::Machine {
    v1::Machine {
        kind: v1::MachineKind::Talos.into(),
        firmware: v1::Firmware::Ovmf.into(),
        firmware_storage: "fast".to_owned(),
        image: Some(v1::MachineImage {
            kind: v1::MachineImageKind::Iso.into(),
            url: IMAGE.to_owned(),
            sha256: image_sum(),
            storage: "local".to_owned(),
        }),
        user_data: Some(text(&[Err("omni-join")])),
        ..machine(name, 0)
    }
}
