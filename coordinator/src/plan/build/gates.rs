//! What must be true after a wave.

use std::collections::BTreeSet;

use omni_scale_proto::id::{HostName, ServiceName};
use omni_scale_proto::v1::{self, check::Kind, vantage::Place};

use super::Context;
use crate::plan::desired::{Desired, DesiredIdentity, Wave};
use crate::plan::observed::Observed;
use crate::plan::step::GateCheck;

/// It has answered its enrolment already.
const NEW_HOST_WAIT_SECONDS: u32 = 60;
/// A first certificate may take minutes.
const ISSUER_WAIT_SECONDS: u32 = 300;
/// Login, a first certificate, and three health intervals.
const SIDECAR_WAIT_SECONDS: u32 = 180;
/// Omni migrates its data before it answers.
const OMNI_WAIT_SECONDS: u32 = 300;
/// How long Omni's answer must hold: it answers before WireGuard is up, and may fall over then.
const OMNI_HOLD_SECONDS: u32 = 10;
const PROVIDER_WAIT_SECONDS: u32 = 120;
/// A provider that cannot log in exits within seconds and is restarted.
const PROVIDER_HOLD_SECONDS: u32 = 5;

pub(super) fn gate(context: &Context<'_>, wave: Wave) -> Vec<GateCheck> {
    match wave {
        // Steps have verified that each machine is ours and runs.
        Wave::Preflight | Wave::HostMachines | Wave::Machines => Vec::new(),
        Wave::Identity => identity(context),
        Wave::Client => {
            let mut gate = secrets(context.desired, context.observed, &[Wave::Client], wave);
            let client = context.desired.client.iter();
            gate.extend(client.map(|client| super::client::login(context, client)));
            gate
        }
        Wave::Sidecar => sidecar(context),
        Wave::Omni => vec![omni(context)],
        Wave::Provider => provider(context),
    }
}

/// A check of the gate of `wave`, with an id that no other has.
pub(super) fn check(
    wave: Wave,
    host: &HostName,
    name: &str,
    title: String,
    wait_seconds: u32,
    kind: Kind,
) -> GateCheck {
    GateCheck {
        host: host.clone(),
        title,
        check: v1::Check {
            check_id: format!("{}/{host}/{name}", wave.as_str()),
            wait_seconds,
            kind: Some(kind),
        },
        unknown_will_do: false,
    }
}

/// Every host that was made must be on the tailnet under its own name.
pub(super) fn new_hosts(desired: &Desired, hosts: &BTreeSet<HostName>) -> Vec<GateCheck> {
    let declared = hosts
        .iter()
        .filter_map(|host| Some((host, desired.hosts.get(host)?)));
    declared
        .map(|(host, wanted)| {
            check(
                Wave::HostMachines,
                host,
                "tailnet",
                format!("its node is connected as {}", wanted.dns_name),
                NEW_HOST_WAIT_SECONDS,
                Kind::Tailnet(v1::TailnetCheck {
                    expected_dns_name: wanted.dns_name.clone(),
                }),
            )
        })
        .collect()
}

/// The secrets of these waves, as checks of the gate of `wave`.
pub(super) fn secrets(
    desired: &Desired,
    observed: &Observed,
    of: &[Wave],
    wave: Wave,
) -> Vec<GateCheck> {
    let secrets = desired.secrets.iter();
    secrets
        .filter(|secret| of.contains(&secret.wave))
        .filter(|secret| super::secrets::is_needed(desired, secret, observed))
        .map(|secret| {
            check(
                wave,
                &secret.host,
                &format!("secret/{}", secret.name),
                format!("secret `{}` is set and usable", secret.name),
                0,
                Kind::Secret(v1::SecretCheck {
                    name: secret.name.to_string(),
                    r#use: secret.usage.into(),
                }),
            )
        })
        .collect()
}

fn issuer<'a>(context: &'a Context<'_>) -> &'a str {
    match &context.desired.identity {
        DesiredIdentity::Tsidp { configuration, .. } => &configuration.issuer,
        DesiredIdentity::External { issuer } => issuer,
    }
}

/// The issuer must answer where it runs and, over the tailnet, where Omni will.
fn identity(context: &Context<'_>) -> Vec<GateCheck> {
    let issuer = issuer(context);
    let own = match &context.desired.identity {
        DesiredIdentity::Tsidp { host, .. } => Some(host),
        DesiredIdentity::External { .. } => None,
    };
    own.into_iter()
        .chain([&context.desired.stack.host])
        .map(|host| {
            check(
                Wave::Identity,
                host,
                "issuer",
                format!("{issuer} answers as exactly this issuer, with a key"),
                ISSUER_WAIT_SECONDS,
                discovery(context, Place::Host(v1::HostVantage {})),
            )
        })
        .collect()
}

fn discovery(context: &Context<'_>, place: Place) -> Kind {
    Kind::Discovery(v1::DiscoveryCheck {
        issuer: issuer(context).to_owned(),
        vantage: Some(v1::Vantage { place: Some(place) }),
        extra_roots_pem: context.desired.extra_roots_pem.clone(),
    })
}

fn namespace(context: &Context<'_>) -> Place {
    Place::Namespace(v1::NamespaceVantage {
        stack: context.stack.name().to_string(),
        service: context.desired.stack.sidecar.to_string(),
    })
}

fn sidecar(context: &Context<'_>) -> Vec<GateCheck> {
    let wanted = &context.desired.stack;
    let stack = context.stack.name().to_string();
    let service = wanted.sidecar.to_string();
    let gate = |name: &str, title: String, kind: Kind| {
        check(
            Wave::Sidecar,
            &wanted.host,
            name,
            title,
            SIDECAR_WAIT_SECONDS,
            kind,
        )
    };
    let has_health_check = context
        .stack
        .service(&service)
        .and_then(|service| service.health_check.as_ref())
        .is_some_and(|check| check.test.first().is_some_and(|kind| kind != "NONE"));
    vec![
        gate(
            "running",
            if has_health_check {
                format!("`{service}` runs and is healthy")
            } else {
                format!("`{service}` runs")
            },
            Kind::Service(v1::ServiceCheck {
                stack: stack.clone(),
                service: service.clone(),
                healthy: has_health_check,
                hold_seconds: 0,
            }),
        ),
        gate(
            "name",
            format!("its node is named exactly {}", wanted.dns_name),
            Kind::SidecarName(v1::SidecarNameCheck {
                stack,
                service,
                dns_name: wanted.dns_name.clone(),
            }),
        ),
        gate(
            "issuer",
            format!("{} answers inside its namespace", issuer(context)),
            discovery(context, namespace(context)),
        ),
    ]
}

fn omni(context: &Context<'_>) -> GateCheck {
    let wanted = &context.desired.stack;
    check(
        Wave::Omni,
        &wanted.host,
        "health",
        format!(
            "{} answers 200 with an empty body for {OMNI_HOLD_SECONDS} s",
            wanted.health_url
        ),
        OMNI_WAIT_SECONDS,
        Kind::Http(v1::HttpCheck {
            url: wanted.health_url.clone(),
            vantage: Some(v1::Vantage {
                place: Some(namespace(context)),
            }),
            extra_roots_pem: context.desired.extra_roots_pem.clone(),
            expected_status: 200,
            expected_body: v1::BodyExpectation::Empty.into(),
            hold_seconds: OMNI_HOLD_SECONDS,
            stack: context.stack.name().to_string(),
            service: wanted.omni.to_string(),
        }),
    )
}

/// The provider runs, and Omni still does: what shares a namespace falls with it.
fn provider(context: &Context<'_>) -> Vec<GateCheck> {
    let wanted = &context.desired.stack;
    let Some(provider) = &wanted.provider else {
        return Vec::new();
    };
    let runs = |name: &str, service: &ServiceName, title: String, hold_seconds| {
        check(
            Wave::Provider,
            &wanted.host,
            name,
            title,
            PROVIDER_WAIT_SECONDS,
            Kind::Service(v1::ServiceCheck {
                stack: context.stack.name().to_string(),
                service: service.to_string(),
                healthy: false,
                hold_seconds,
            }),
        )
    };
    let omni = &wanted.omni;
    vec![
        runs(
            "running",
            provider,
            format!("`{provider}` runs on the live namespace for {PROVIDER_HOLD_SECONDS} s"),
            PROVIDER_HOLD_SECONDS,
        ),
        runs(
            "omni-running",
            omni,
            format!("`{omni}` is still on the live namespace"),
            0,
        ),
    ]
}
