//! Registering with Omni and staying registered.

use std::{path::PathBuf, time::Duration};

use omni_scale_probe::{
    BodyExpectation, FailureClass, ProbeReport, ProbeRequest, Resolver, Step, probe,
};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::{account::ServiceAccount, options::Options};
use crate::{environment::Environment, failure::Failure, log, omni::pages::encoded, pace::Pace};

/// How often the provider says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// How soon after a fault it tries again.
const RETRY: Duration = Duration::from_secs(5);

/// What Omni says to a heartbeat.
#[derive(Debug)]
enum Answer {
    Registered,
    PermissionDenied,
    OtherId(String),
    /// Omni is not there, or not itself.
    Unavailable(String),
}

/// Runs until a signal ends it. Omni must be there at the start; later it may come and go.
pub async fn run(arguments: &[String], environment: &Environment) -> Result<(), Failure> {
    let pace = Pace::begin(environment.pace);
    let failed = |error| Failure::new(0, format!("failed to listen for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let outcome = tokio::select! {
        outcome = work(arguments, environment, pace) => outcome,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    if let Err(failure) = &outcome {
        pace.until(failure.after).await;
    }
    outcome
}

async fn work(arguments: &[String], environment: &Environment, pace: Pace) -> Result<(), Failure> {
    let options = Options::parse(arguments, environment)?;
    let account = match &options.key {
        Some(key) => Some(ServiceAccount::parse(key).map_err(|reason| Failure::new(200, reason))?),
        None => None,
    };
    log::info(
        "starting infra provider",
        &[
            ("omniAPIEndpoint", json!(options.endpoint)),
            ("stand_in", json!(true)),
        ],
    );
    let mut first = true;
    let mut registered = false;
    loop {
        let answer = heartbeat(&options, account.as_ref(), environment).await;
        let is_registered = matches!(answer, Answer::Registered);
        let wait = match answer {
            Answer::Registered => {
                if !registered {
                    log::info("registered", &[("id", json!(options.id))]);
                }
                HEARTBEAT
            }
            Answer::OtherId(own) => {
                return Err(Failure::new(
                    500,
                    format!(
                        "rpc error: code = InvalidArgument desc = resource ID must match the infra provider ID {own:?}"
                    ),
                ));
            }
            Answer::Unavailable(reason) if first => {
                return Err(Failure::new(
                    300,
                    format!(
                        "rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing: {reason}\""
                    ),
                ));
            }
            Answer::Unavailable(reason) => {
                log::error("failed to send heartbeat", &[("error", json!(reason))]);
                RETRY
            }
            Answer::PermissionDenied => {
                let error = "rpc error: code = PermissionDenied desc = only InfraProvider role is allowed to access this resource";
                log::error("controller failed", &[("error", json!(error))]);
                RETRY
            }
        };
        first = false;
        registered = is_registered;
        pace.span(wait).await;
        // Whatever the pace, Omni is not asked without a breath between.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn heartbeat(
    options: &Options,
    account: Option<&ServiceAccount>,
    environment: &Environment,
) -> Answer {
    let name = account
        .map(|account| account.name.as_str())
        .unwrap_or_default();
    let url = format!(
        "{}/stand-in/providers/{}/heartbeat?account={}",
        options.endpoint.trim_end_matches('/'),
        encoded(&options.id),
        encoded(name)
    );
    let registered = BodyExpectation::Contains {
        text: "registered".to_owned(),
    };
    let request = ProbeRequest::status(&url, 200, registered, crate::omni::roots(environment))
        .with_resolver(Resolver::ResolvConf {
            path: environment.resolv_conf.clone(),
            hosts_path: Some(PathBuf::from(&environment.hosts)),
        });
    read(&probe(&request).await, name)
}

fn read(report: &ProbeReport, account: &str) -> Answer {
    match (report.met, report.http_status, report.failure()) {
        (true, ..) => Answer::Registered,
        (_, Some(403), _) => Answer::PermissionDenied,
        (_, Some(409), _) => Answer::OtherId(
            account
                .trim_start_matches(crate::keys::PROVIDER_PREFIX)
                .to_owned(),
        ),
        (_, _, Some(failure)) => match (failure.step, failure.class) {
            (Step::Connect, FailureClass::ConnectionRefused) => {
                let address = report
                    .addresses
                    .first()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                Answer::Unavailable(format!("dial tcp {address}: connect: connection refused"))
            }
            _ => Answer::Unavailable(failure.message.to_owned()),
        },
        (false, _, None) => Answer::Unavailable("no answer".to_owned()),
    }
}
