//! `proxmox-simulator FILE`: the model on a socket. Its fingerprint is the first line of standard output.

use std::io::Write as _;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use data_encoding::BASE64;
use omni_scale_proxmox_simulator::{Cluster, Facts, Identity, Machines, Simulator, Start};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "proxmox-simulator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let file = std::env::args_os()
        .nth(1)
        .context("usage: proxmox-simulator FILE")?;
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("cannot read {}", Path::new(&file).display()))?;
    let mut start: Start = toml::from_str(&text).context("cannot read the start file")?;
    let identity = Identity::kept(&start.state.join("identity.json"), &start.names)?;
    for node in start.nodes.values_mut() {
        node.fingerprint
            .get_or_insert_with(|| identity.fingerprint());
    }
    let listener = TcpListener::bind(start.listen)
        .await
        .with_context(|| format!("cannot listen on {}", start.listen))?;
    let address = listener.local_addr()?;
    let state = start.state.join("cluster.json");
    let (record, machine, speed) = (
        start.record.take(),
        std::mem::take(&mut start.machine),
        start.speed,
    );
    let now = u64::try_from(
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)?
            .as_millis(),
    )?;
    let cluster = match std::fs::read(&state) {
        Ok(bytes) => {
            let mut cluster: Cluster =
                serde_json::from_slice(&bytes).context("the kept state cannot be read")?;
            cluster.advance_to(now);
            cluster
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => start.cluster(now),
        Err(error) => return Err(error).context("cannot read the kept state"),
    };
    let mut simulator = Simulator::new(cluster, speed).with_state(state);
    if let Some(path) = record {
        simulator = simulator
            .with_record(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some((program, arguments)) = machine.split_first() {
        let command = Command {
            program: program.clone(),
            arguments: arguments.to_vec(),
        };
        simulator = simulator.with_machines(Arc::new(command));
    }
    let simulator = Arc::new(simulator);
    let mut output = std::io::stdout();
    writeln!(
        output,
        "{}\nhttps://{address}/api2/json",
        identity.fingerprint()
    )?;
    output.flush()?;
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        error = Arc::clone(&simulator).serve(listener, &identity) => match error {
            Ok(never) => match never {},
            Err(error) => Err(error.into()),
        },
        error = simulator.run() => error.context("cannot keep the state"),
        _ = terminated.recv() => Ok(()),
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

/// Machines made by a program of the start file.
struct Command {
    program: String,
    arguments: Vec<String>,
}

#[async_trait]
impl Machines for Command {
    async fn started(&self, vm: &Facts) {
        self.tell("started", vm).await;
    }

    async fn stopped(&self, vm: &Facts) {
        self.tell("stopped", vm).await;
    }
}

impl Command {
    /// Runs the program to its end. What goes wrong is said and no more: a VM whose machine fails is a VM that hangs.
    async fn tell(&self, event: &str, vm: &Facts) {
        let facts = json!({
            "event": event,
            "vmid": vm.vmid,
            "node": vm.node,
            "config": vm.config,
            "iso_name": vm.iso_name,
            "iso": vm.iso.as_ref().map(|bytes| BASE64.encode(bytes)),
        });
        if let Err(error) = self.feed(facts.to_string().as_bytes()).await {
            let _ = writeln!(
                std::io::stderr(),
                "proxmox-simulator: VM {} {event}: {error}",
                vm.vmid
            );
        }
    }

    async fn feed(&self, facts: &[u8]) -> std::io::Result<()> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the start file names a program that makes machines"
        )]
        let mut command = tokio::process::Command::new(&self.program);
        let mut child = command
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(facts).await?;
        }
        let status = child.wait().await?;
        if status.success() {
            Ok(())
        } else {
            Err(std::io::Error::other(status.to_string()))
        }
    }
}
