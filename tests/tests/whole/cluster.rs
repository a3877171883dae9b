//! A Proxmox VE cluster, modelled, over connections in memory.

use std::sync::Arc;

use omni_scale_agent::machine::Hypervisors;
use omni_scale_proto::id::Sha256;
use omni_scale_proxmox::testing::Wire;
use omni_scale_proxmox::{Address, ApiToken, Bounds, Client, Trust, TrustError};
use omni_scale_proxmox_simulator::{Cluster, RemoteImage, Simulator, TOKEN};

/// Where it is.
pub(crate) const URL: &str = "https://pve.lan:8006";
/// What its machines are made from.
pub(crate) const IMAGE: &str = "https://images.example/talos.qcow2";

/// Clients of a simulated cluster.
pub(crate) struct Simulated(pub(crate) Arc<Simulator>);

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

/// Three nodes, from which the image can be had.
pub(crate) fn cluster() -> Arc<Simulator> {
    let mut cluster = Cluster::with_nodes(1, 3);
    let image = RemoteImage {
        size: 300 << 20,
        virtual_size: 3 << 30,
        sums: [("sha256".to_owned(), image_sum())].into(),
        reachable: true,
    };
    cluster.images.insert(IMAGE.to_owned(), image);
    Arc::new(Simulator::new(cluster, 1))
}

fn image_sum() -> String {
    Sha256::of(b"talos").to_string()
}

/// The secret of the token.
pub(crate) fn token_secret() -> &'static str {
    TOKEN.split_once('=').unwrap().1
}

/// What is added to the deployment: three control planes.
pub(crate) fn declaration() -> String {
    let (token_id, _) = TOKEN.split_once('=').unwrap();
    format!(
        "
proxmox:
  host: idp-host
  url: {URL}
  token_id: {token_id}
  token_secret: {{ secret: proxmox-token }}
  certificate_sha256: [{pin}]
  vmids: 5000-5099
  storage: fast
  image_storage: local
  bridge: vmbr0
  nameservers: [192.168.1.1]
  search: site.lan
machines:
  control-plane:
    talos: {{ join: {{ secret: omni-join }}, control_plane: true }}
    count: 3
    cores: 2
    memory: 2GiB
    disks: [{{ size: 10GiB }}]
    image: {{ url: {IMAGE}, sha256: {sum} }}
",
        pin = "ab".repeat(32),
        sum = image_sum(),
    )
}
