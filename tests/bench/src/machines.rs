//! How long many machines take beside few: the agent's own executor against the model of Proxmox VE, in its time.
//!
//! Needs no lab. Nothing here is slow or fast by this machine: the model says how long a task takes, and what is
//! measured is how much is done side by side.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use omni_scale_agent::config::{Paths, Policy};
use omni_scale_agent::machine::{Apply, Hypervisors, MachineParts, Machines};
use omni_scale_agent::operation::Reporter;
use omni_scale_agent::secrets::{SecretValue, Secrets};
use omni_scale_proto::id::{DeploymentId, Sha256};
use omni_scale_proto::machine::{CheckedMachine, machine_uuid};
use omni_scale_proto::v1;
use omni_scale_proxmox::testing::Wire;
use omni_scale_proxmox::{Address, ApiToken, Bounds, Client, Trust, TrustError};
use omni_scale_proxmox_simulator::{Cluster, RemoteImage, Simulator, TOKEN};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::table::Row;

const URL: &str = "https://pve.lan:8006";
const IMAGE: &str = "https://images.example/debian.qcow2";
/// How much longer three nodes may take than one, with as many machines on each.
const TARGET: f64 = 1.1;

/// Makes ten machines on one node, and thirty on three.
pub(crate) fn measure() -> anyhow::Result<Vec<Row>> {
    // A thread of its own: its time is not that of the other parts.
    let measured = std::thread::spawn(|| -> anyhow::Result<[Duration; 2]> {
        Ok([timed(10, 1)?, timed(30, 3)?])
    });
    let measured = measured
        .join()
        .map_err(|_| anyhow!("it ended in a panic"))?;
    let [ten, thirty] = measured?.map(|time| time.as_secs_f64());
    Ok(vec![Row {
        what: "30 machines on 3 nodes beside 10 on 1, in the time of a simulated Proxmox VE"
            .to_owned(),
        target: "≤ 10 % over",
        measured: format!(
            "{:+.0} %: {thirty:.0} s beside {ten:.0} s",
            (thirty / ten - 1.0) * 100.0
        ),
        met: Some(thirty <= ten * TARGET),
    }])
}

fn timed(count: u32, nodes: u32) -> anyhow::Result<Duration> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    runtime.block_on(make(count, nodes))
}

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

async fn make(count: u32, nodes: u32) -> anyhow::Result<Duration> {
    let directory = tempfile::tempdir()?;
    let secrets = Arc::new(Secrets::open(&directory.path().join("secrets"))?);
    let (token_id, secret) = TOKEN.split_once('=').context("a token has a secret")?;
    secrets.put(&"token".parse()?, &SecretValue::new(secret.into()))?;
    let deployment: DeploymentId = "6a1f4d3e-5c0b-4a9e-8f27-0c9e5d2b7a11".parse()?;
    let (_serves, served) = watch::channel(Some(deployment));
    let parts = MachineParts {
        hypervisors: Arc::new(Simulated(Arc::new(Simulator::new(cluster(nodes), 1)))),
        secrets,
        policy: Arc::new(Policy {
            hypervisors: vec![URL.to_owned()],
            ..Policy::default()
        }),
        deployment: served,
    };
    let machines = Machines::open(parts, &Paths::below(directory.path()));
    let hypervisor = v1::Hypervisor {
        url: URL.to_owned(),
        token_id: token_id.to_owned(),
        token_secret: "token".to_owned(),
        certificate_sha256: vec!["ab".repeat(32)],
        roots_pem: String::new(),
    };
    let began = Instant::now();
    let reporter = Reporter::default();
    let mut making = tokio::task::JoinSet::new();
    for number in 0..count {
        let apply = Apply {
            deployment,
            hypervisor: hypervisor.clone(),
            machine: CheckedMachine::try_from(machine(deployment, number, nodes))?,
            deadline: began + Duration::from_secs(3600),
        };
        let (machines, reporter) = (machines.clone(), reporter.clone());
        making.spawn(async move { machines.apply(&apply, &reporter).await });
    }
    while let Some(made) = making.join_next().await {
        made??;
    }
    Ok(began.elapsed())
}

fn cluster(nodes: u32) -> Cluster {
    let mut cluster = Cluster::with_nodes(1, nodes);
    let image = RemoteImage {
        size: 300 << 20,
        virtual_size: 3 << 30,
        sums: [("sha256".to_owned(), Sha256::of(b"debian").to_string())].into(),
        reachable: true,
    };
    cluster.images.insert(IMAGE.to_owned(), image);
    cluster
}

fn machine(deployment: DeploymentId, number: u32, nodes: u32) -> v1::Machine {
    let name = format!("host-{number}");
    v1::Machine {
        uuid: machine_uuid(deployment, &name, 0).to_string(),
        name,
        kind: v1::MachineKind::Host.into(),
        node: format!("pve{}", 1 + number % nodes),
        vmid: 100 + number,
        vmid_range: Some(v1::VmidRange {
            first: 100,
            last: 199,
        }),
        cores: 2,
        memory_mebibytes: 2048,
        cpu: "host".to_owned(),
        firmware: v1::Firmware::Seabios.into(),
        disks: vec![v1::Disk {
            storage: "fast".to_owned(),
            size_gibibytes: 8,
            solid_state: true,
        }],
        networks: vec![v1::NetworkInterface {
            bridge: "vmbr0".to_owned(),
            ..v1::NetworkInterface::default()
        }],
        image: Some(v1::MachineImage {
            kind: v1::MachineImageKind::Disk.into(),
            url: IMAGE.to_owned(),
            sha256: Sha256::of(b"debian").to_string(),
            storage: "local".to_owned(),
        }),
        iso_storage: "local".to_owned(),
        user_data: Some(v1::Text::default()),
        ..v1::Machine::default()
    }
}
