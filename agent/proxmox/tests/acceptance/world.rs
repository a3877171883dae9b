//! The servers that scenarios run against, each prepared alike: nodes `pve1` and `pve2`, storages `local` (files) and
//! `fast` (disks), a token that may do all and one that may only look at VMs, a VM that is locked and one whose guest
//! does not listen. `serve-fakepve` prepares the same.

use std::{sync::Arc, time::Duration};

use omni_scale_proxmox::testing::Record;
use omni_scale_proxmox::{Address, ApiToken, Bounds, Client, NodeName, Patience, Trust};
use omni_scale_proxmox_simulator::{
    Cluster, Happening, Identity, RemoteImage, Settings, Simulator,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::scenarios;

/// A VM with `lock: backup`.
pub(crate) const LOCKED: u32 = 900;

/// A VM that runs, and whose guest ignores being asked to shut down.
pub(crate) const STUBBORN: u32 = 901;

/// What can be downloaded.
pub(crate) const IMAGE: &str = "https://images.example/debian.qcow2";

/// Its SHA-256.
pub(crate) const IMAGE_SUM: &str =
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

const TOKEN: &str = "omni-scale@pve!acceptance";
const POOR: &str = "poor@pve!acceptance";
const SECRET: &str = "11111111-2222-3333-4444-555555555555";

/// How many times as fast as ours the simulator's time runs: its tasks take milliseconds.
pub(crate) const FAST: u32 = 50;

/// A server, and who asks it.
pub(crate) struct World {
    /// May do all.
    pub(crate) client: Client,
    /// May look at VMs.
    pub(crate) poor: Client,
    /// Is not known.
    pub(crate) unknown: Client,
    pub(crate) node: NodeName,
    pub(crate) other_node: NodeName,
    pub(crate) patience: Patience,
    simulated: Option<(Arc<Simulator>, JoinHandle<()>)>,
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some((_, serving)) = &self.simulated {
            serving.abort();
        }
    }
}

impl World {
    /// The server at `address`.
    #[cfg_attr(
        not(feature = "fakepve-tests"),
        expect(dead_code, reason = "the simulator has its own way")
    )]
    pub(crate) fn at(address: &Address, trust: &Trust) -> Self {
        Self::of(address, trust, None)
    }

    /// A simulator of its own, in this process.
    pub(crate) async fn simulated(settings: Settings, speed: u32) -> Self {
        let mut cluster = Cluster::with_nodes(7, 2);
        cluster.settings = settings;
        cluster.access.grant(TOKEN, SECRET, "/", "Administrator");
        cluster.access.grant(POOR, SECRET, "/vms", "PVEAuditor");
        let image = RemoteImage {
            size: 300 << 20,
            virtual_size: 3 << 30,
            sums: [("sha256".to_owned(), IMAGE_SUM.to_owned())].into(),
            reachable: true,
        };
        cluster.images.insert(IMAGE.to_owned(), image);
        for (vmid, name) in [(LOCKED, "locked"), (STUBBORN, "stubborn")] {
            cluster.happen(Happening::ForeignCreate {
                vmid,
                node: "pve1".into(),
                name: name.into(),
            });
        }
        cluster.happen(Happening::ForeignLock {
            vmid: LOCKED,
            lock: "backup".into(),
            lasts: 0,
        });
        if let Some(vm) = cluster.vms.get_mut(&STUBBORN) {
            vm.guest.shutdown_ms = None;
        }
        let simulator = Arc::new(Simulator::new(cluster, speed));
        let identity = Identity::generate(&["127.0.0.1".to_owned()]).unwrap();
        let pin = identity.fingerprint().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = simulator.clone();
        let serving = tokio::spawn(async move {
            let _ = served.serve(listener, &identity).await;
        });
        let address = format!("https://127.0.0.1:{port}").parse().unwrap();
        let world = Self::of(
            &address,
            &Trust::Pins(vec![pin]),
            Some((simulator, serving)),
        );
        let started = world
            .client
            .start(&world.node, scenarios::vmid(STUBBORN))
            .await
            .unwrap();
        let cancel = CancellationToken::new();
        world
            .client
            .wait(&started, &world.patience, &cancel, None)
            .await
            .unwrap();
        world
    }

    fn of(
        address: &Address,
        trust: &Trust,
        simulated: Option<(Arc<Simulator>, JoinHandle<()>)>,
    ) -> Self {
        // A double's own answers are its own affair.
        let record = simulated.as_ref().and_then(|_| traffic());
        let client = |id: &str| {
            let token: ApiToken = format!("{id}={SECRET}").parse().unwrap();
            let client = Client::new(address.clone(), token, trust, Bounds::default()).unwrap();
            match &record {
                Some(record) => client.recorded(record.clone()),
                None => client,
            }
        };
        Self {
            client: client(TOKEN),
            poor: client(POOR),
            unknown: client("nobody@pve!acceptance"),
            node: "pve1".parse().unwrap(),
            other_node: "pve2".parse().unwrap(),
            patience: Patience {
                first: Duration::from_millis(5),
                longest: Duration::from_millis(50),
                appear: Duration::from_secs(10),
                limit: Duration::from_secs(60),
            },
            simulated,
        }
    }

    /// The cluster behind a simulated server.
    pub(crate) fn simulator(&self) -> &Simulator {
        &self.simulated.as_ref().expect("this server is simulated").0
    }
}

/// With `OMNI_SCALE_PROXMOX_TRAFFIC`, all that is said to simulators is appended to the file it names, for
/// `tests/tools/judge-proxmox-traffic`.
fn traffic() -> Option<Arc<Record>> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the harness says where the judge looks"
    )]
    let path = std::env::var_os("OMNI_SCALE_PROXMOX_TRAFFIC")?;
    Some(Arc::new(Record::append(path.as_ref()).unwrap()))
}
