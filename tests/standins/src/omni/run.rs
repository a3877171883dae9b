//! A start from its first line to its end, in the order in which the real one was seen to do and to fail.

use std::{io::Write, path::Path, sync::Arc, time::Duration};

use serde_json::json;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};

use super::{
    application::Application,
    certificates::Certificates,
    file, flags, issuer,
    master_key::MasterKey,
    network,
    pages::Service,
    serve::serve,
    settings::{Authentication, Endpoint, Settings},
    state::State,
    store::Store,
};
use crate::{
    environment::Environment,
    failure::{Failure, go_error},
    log,
    pace::Pace,
};

/// The API answers this long after the start; WireGuard is configured later.
const SERVES_AFTER: Duration = Duration::from_secs(1);
const WIREGUARD_AFTER: Duration = Duration::from_secs(2);
/// From a signal to the end.
const STOPS_AFTER: Duration = Duration::from_secs(5);
/// How often the real one complains that it has no internet.
const COMPLAINS_EVERY: Duration = Duration::from_secs(7);

/// Runs until a signal ends it, or until it fails as the real one does.
pub async fn run(arguments: &[String], environment: &Environment) -> Result<(), Failure> {
    let pace = Pace::begin(environment.pace);
    let mut signals = Signals::listen()?;
    let work = start(arguments, environment, pace);
    let outcome = tokio::select! {
        outcome = work => outcome,
        name = signals.next() => {
            log::warn("signal received, stopping Omni", &[("signal", json!(name))]);
            pace.span(STOPS_AFTER).await;
            return Ok(());
        }
    };
    if let Err(failure) = &outcome {
        pace.until(failure.after).await;
    }
    outcome
}

async fn start(arguments: &[String], environment: &Environment, pace: Pace) -> Result<(), Failure> {
    let flags = flags::parse(arguments, environment.minor())?;
    if flags.wants_version || flags.wants_help {
        let text = if flags.wants_version {
            "omni version"
        } else {
            "This stands in for Omni"
        };
        let _ = writeln!(std::io::stdout(), "{text} {}", environment.version);
        return Ok(());
    }
    let mut store = Store::default();
    for path in &flags.config_paths {
        store.merge(file::read(path, environment.minor())?);
    }
    store.merge(flags.store);
    let settings = Settings::check(&store)?;
    announce(&settings, environment);

    let etcd = network::listen(&environment.etcd, "failed to start embedded etcd", 500).await?;
    let key = MasterKey::read(&settings.private_key_source)?;
    let mut state = State::open(&settings, &key, environment.seed)?;
    state.ensure_users(&settings.initial_users)?;
    if let Some(wanted) = &settings.initial_service_account {
        state.ensure_service_account(wanted)?;
    }
    if settings.accepts_eula {
        state.accept_eula()?;
    }
    if let Authentication::Oidc { issuer, .. } = &settings.authentication {
        issuer::discover(issuer, environment, pace).await?;
    }
    if !settings.api.advertised.starts_with("https://") {
        return Err(Failure::new(
            1_200,
            "failed to create server: scheme for issuer must be `https`",
        ));
    }
    check_omnictl(Path::new("./omnictl/"))?;
    state.count_start()?;
    let application = Arc::new(Application::new(
        settings,
        state,
        key.fingerprint,
        environment,
    ));
    serve_all(&application, environment, pace).await?;
    // The port of etcd is held as long as the rest.
    drop(etcd);
    Ok(())
}

/// The first lines. The real one prints its authentication with the secret in it: its log is one.
fn announce(settings: &Settings, environment: &Environment) {
    log::info(
        "starting Omni",
        &[
            ("version", json!(environment.version)),
            ("stand_in", json!(true)),
        ],
    );
    if let Authentication::Oidc {
        issuer,
        client_id,
        client_secret,
        scopes,
    } = &settings.authentication
    {
        let oidc = json!({
            "enabled": true, "providerURL": issuer, "clientID": client_id, "clientSecret": client_secret, "scopes": scopes,
        });
        log::info("initialized auth config", &[("oidc", oidc)]);
    }
}

fn check_omnictl(directory: &Path) -> Result<(), Failure> {
    match std::fs::read_dir(directory) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::new(
            1_200,
            format!(
                "failed to create mux: failed to read directory \"./omnictl/\": open ./omnictl/: {}",
                go_error(&error)
            ),
        )),
    }
}

async fn serve_all(
    application: &Arc<Application>,
    environment: &Environment,
    pace: Pace,
) -> Result<(), Failure> {
    let settings = application.settings();
    pace.until(SERVES_AFTER).await;
    let mut ports = vec![
        secured(&settings.api, "failed to serve", Service::Api, Some(pace)).await?,
        secured(
            &settings.kubernetes_proxy,
            "failed to serve",
            Service::KubernetesProxy,
            Some(pace),
        )
        .await?,
        // Keeps the certificate of its start.
        secured(
            &settings.machine_api,
            "failed to run server",
            Service::MachineApi,
            None,
        )
        .await?,
        plain(&settings.metrics, Service::Metrics).await?,
    ];
    if let Some(port) = settings.local_resources {
        ports.push(plain(&format!("127.0.0.1:{port}"), Service::LocalResources).await?);
    }
    for (listener, certificates, service) in ports {
        tokio::spawn(serve(listener, certificates, application.clone(), service));
    }
    log::info(
        "starting HTTP server",
        &[("address", json!(settings.api.address))],
    );

    network::check_tun(&environment.tun, &environment.status)?;
    pace.until(WIREGUARD_AFTER).await;
    let wireguard = network::wireguard(&settings.wireguard, pace).await?;
    network::check_event_sink(&settings.machine_api.address, settings.event_sink_port)?;
    log::info("wireguard is up", &[("address", json!(settings.wireguard))]);
    loop {
        pace.span(COMPLAINS_EVERY).await;
        // Without a pace this would never let go.
        tokio::time::sleep(Duration::from_secs(1)).await;
        log::error(
            "controller failed",
            &[
                ("controller", json!("VersionsController")),
                (
                    "error",
                    json!(
                        "error fetching tags from registry ghcr.io/siderolabs/kubelet: server misbehaving"
                    ),
                ),
                ("wireguard", json!(wireguard.local_addr().is_ok())),
            ],
        );
    }
}

type Port = (TcpListener, Option<Arc<Certificates>>, Service);

/// A port with the endpoint's certificate, which is followed on disk when there is a pace to do it at.
async fn secured(
    endpoint: &Endpoint,
    prefix: &str,
    service: Service,
    follow: Option<Pace>,
) -> Result<Port, Failure> {
    let certificates = endpoint.files.clone().map(Certificates::load).transpose()?;
    let listener = network::listen(&endpoint.address, prefix, 1_500).await?;
    if let (Some(certificates), Some(pace)) = (&certificates, follow) {
        tokio::spawn(certificates.clone().follow(pace));
    }
    Ok((listener, certificates, service))
}

async fn plain(address: &str, service: Service) -> Result<Port, Failure> {
    Ok((
        network::listen(address, "failed to serve", 1_500).await?,
        None,
        service,
    ))
}

/// The signals that end the program.
#[derive(Debug)]
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let failed = |error| Failure::new(0, format!("failed to listen for signals: {error}"));
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "terminated",
            _ = self.interrupt.recv() => "interrupt",
        }
    }
}
