//! Two hosts, an operator who has enrolled them, and a deployment.

use std::path::Path;
use std::sync::Arc;

use omni_scale::agents::grpc::memory::MemoryNetwork;
use omni_scale_agent::artifact::samples::binary;
use omni_scale_agent::stack::testing::FakeImage;
use omni_scale_proto::id::Sha256;
use omni_scale_proxmox_simulator::Simulator;

use crate::cluster::{URL, cluster};
use crate::desk::Desk;
use crate::host::{Host, report};

/// The host of tsidp.
pub(crate) const IDP: &str = "idp-host";
/// The host of the stack.
pub(crate) const OMNI: &str = "omni-host";

const COMPOSE: &str = "\
name: omni
services:
  tailscale:
    image: registry.example/tailscale:v1
    volumes: [\"state:/var/lib/tailscale\"]
    healthcheck: { test: [CMD, /bin/true], interval: 1s }
  omni:
    image: registry.example/omni:v1
    network_mode: service:tailscale
    depends_on: { tailscale: { condition: service_healthy } }
    configs: [{ source: omni, target: /omni.yaml }]
  provider:
    image: registry.example/provider:v1
    network_mode: service:tailscale
    depends_on: [omni]
configs:
  omni: { content: \"name: omni\" }
volumes:
  state: {}
";

/// Everything.
pub(crate) struct Site {
    pub(crate) idp: Host,
    pub(crate) omni: Host,
    pub(crate) desk: Desk,
    /// Where the agent of the host of tsidp makes machines.
    pub(crate) cluster: Arc<Simulator>,
    directory: tempfile::TempDir,
}

impl Site {
    /// Hosts with agents that are enrolled, and nothing rolled out.
    pub(crate) async fn new() -> Self {
        let network = MemoryNetwork::default();
        let program = binary("tsidp");
        let sum = Sha256::of(&program);
        let directory = tempfile::tempdir().unwrap();
        let site = Self::on(directory, Desk::new(&network), &sum).await;
        site.enroll(&program, &sum).await;
        site
    }

    /// Another site, on copies of all files of this one. Nothing may run here.
    pub(crate) async fn again(&self) -> Self {
        let directory = tempfile::tempdir().unwrap();
        copy(self.directory.path(), directory.path());
        let desk = Desk::new(&MemoryNetwork::default());
        copy(self.desk.home.path(), desk.home.path());
        Self::on(directory, desk, &Sha256::of(&binary("tsidp"))).await
    }

    /// A site on these files, with foreign parts as they are after the installation.
    async fn on(directory: tempfile::TempDir, desk: Desk, sum: &Sha256) -> Self {
        let systemd = Host::systemd();
        let host = |name, number, toml: &str| {
            let path = directory.path();
            Host::new(name, number, toml, path, &systemd, &desk.network)
        };
        let idp_toml = format!(
            "roles = [\"tsidp\", \"proxmox\"]\n[policy]\nhypervisors = [\"{URL}\"]\nartifact_sha256 = [\"{sum}\"]\n\
             artifact_sources = [\"https://files.tail.test/\"]\n"
        );
        let omni_toml =
            "roles = [\"omni\"]\n[policy]\nimage_repositories = [\"registry.example/*\"]\n";
        let cluster = cluster();
        let idp = host(IDP, 1, &idp_toml).reaching(&cluster);
        let omni = host(OMNI, 2, omni_toml);
        for service in ["tailscale", "omni", "provider"] {
            publish(&omni, &format!("registry.example/{service}:v1"));
        }
        let node = r#"{"BackendState":"Running","TUN":true,"Self":{"DNSName":"omni.tail.test."}}"#;
        omni.engine.answer("tailscale", 0, node);
        let healthy = serde_json::to_string(&report("http://127.0.0.1:8080/healthz")).unwrap();
        omni.engine.answer("run", 0, &healthy);
        idp.start().await;
        omni.start().await;
        Self {
            idp,
            omni,
            desk,
            cluster,
            directory,
        }
    }

    async fn enroll(&self, program: &[u8], sum: &Sha256) {
        let desk = &self.desk;
        desk.run("init --name ada --domain tail.test").await.done();
        let text = include_str!("deployment.yaml")
            .replace("THE-ID", &desk.id())
            .replace("THE-SUM", sum.as_str());
        desk.write("deployment.yaml", text.as_bytes());
        desk.write("compose.yaml", COMPOSE.as_bytes());
        desk.write("tsidp", program);
        for host in [&self.idp, &self.omni] {
            let words = format!("enroll {} --token-stdin", host.name);
            desk.run_with(&words, &host.token()).await.done();
        }
        desk.run(&format!("artifact upload {IDP} tsidp"))
            .await
            .done();
        let words = format!("secret set {IDP} tsidp-auth-key");
        desk.run_with(&words, "tskey-auth-1").await.done();
    }

    /// The host with this name.
    pub(crate) fn host(&self, name: &str) -> &Host {
        if name == IDP { &self.idp } else { &self.omni }
    }

    /// What the world is like, without what may differ between two ways there.
    pub(crate) fn portrait(&self) -> Vec<String> {
        let mut lines = self.omni.engine.picture();
        lines.push(format!(
            "tsidp runs: {}",
            self.idp.units.state().is_running()
        ));
        let current = self.directory.path().join(IDP).join("artifacts/current");
        let program = std::fs::read_link(current).ok();
        lines.push(format!(
            "tsidp is {:?}",
            program.map(|path| path.file_name().map(ToOwned::to_owned))
        ));
        lines
    }

    /// Every change that the Engine was asked for so far.
    pub(crate) fn changes(&self) -> Vec<String> {
        const CHANGING: [&str; 9] = [
            "create ", "put ", "start ", "stop ", "rename ", "remove ", "pull ", "network ",
            "volume ",
        ];
        let calls = self.omni.engine.calls().into_iter();
        calls
            .filter(|call| CHANGING.iter().any(|verb| call.starts_with(verb)))
            .collect()
    }
}

/// The registry has a tag from now on.
pub(crate) fn publish(host: &Host, reference: &str) {
    let sum = Sha256::of(reference.as_bytes());
    let image = FakeImage {
        layers: vec!["a1".to_owned()],
        ..FakeImage::default()
    };
    host.engine
        .publish(&format!("{reference}@sha256:{sum}"), image);
}

/// Copies everything below a directory: modes and links as they are.
fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().unwrap();
        if kind.is_symlink() {
            let leads_to = std::fs::read_link(&source).unwrap();
            std::os::unix::fs::symlink(leads_to, &target).unwrap();
        } else if kind.is_dir() {
            std::fs::create_dir(&target).unwrap();
            let mode = entry.metadata().unwrap().permissions();
            std::fs::set_permissions(&target, mode).unwrap();
            copy(&source, &target);
        } else {
            std::fs::copy(&source, &target).unwrap();
        }
    }
}
