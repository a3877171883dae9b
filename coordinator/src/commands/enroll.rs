//! `enroll`: an agent gets its certificate, by the token that root reads out on its host.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use omni_scale_proto::enrollment::EnrollmentToken;
use omni_scale_proto::id::HostName;
use omni_scale_proto::{AGENT_PORT, v1};
use serde_json::json;
use zeroize::Zeroizing;

use super::Context;
use super::context::known_host;
use crate::agents::Agents as _;
use crate::agents::grpc::{EnrollmentSession, FixedAddress, Network};
use crate::arguments::EnrollArguments;
use crate::deployment::{Deployment, Host};
use crate::exit::Exit;
use crate::output::{Activity, Stop};

/// Longer than any token.
const TOKEN_LIMIT: u64 = 1024;
/// How often the agent is asked whether it serves with its new certificate, once a second.
const ASKS: u32 = 10;

/// Runs it.
pub(super) async fn run(context: &Context, arguments: EnrollArguments) -> anyhow::Result<Exit> {
    let token = read_token(context, &arguments)?;
    let deployment = context.deployment()?;
    let name = arguments.host;
    known_host(&deployment, &name)?;
    let host = &deployment.hosts[&name];
    let store = context.store(deployment.id, Some(&arguments.authority))?;
    // Before the agent is asked: it does not wait for somebody who looks for a passphrase.
    let authority = context.authority(&store, &arguments.authority)?;

    let activity = Activity::new(&context.output);
    activity.wait(name.as_str(), "proving the token");
    let (network, dns_name) = way(context, host, arguments.address.as_deref());
    let session = EnrollmentSession::begin(&name, &dns_name, &token, Arc::clone(&network))
        .await
        .with_context(|| format!("could not enrol host `{name}`"))?;
    check_roles(&name, host, &session.answer.roles)?;
    let (machine, version) = (
        session.answer.machine_id.clone(),
        session.answer.agent_version.clone(),
    );
    let certificate =
        authority.issue_agent(&name, &session.answer.signing_request, context.now())?;
    session
        .finish(v1::EnrollCertificate {
            certificate_chain: vec![certificate.der().to_vec()],
            authority: authority.certificate().der().to_vec(),
            deployment_id: deployment.id.to_string(),
            host_name: name.to_string(),
        })
        .await
        .with_context(|| format!("could not enrol host `{name}`"))?;
    activity.wait(name.as_str(), "asking with its new certificate");
    let proven = prove(context, &deployment, &name, network, &dns_name).await;
    drop(activity);
    if let Err(error) = &proven {
        context.output.warn(&format!(
            "host `{name}` took its certificate, but could not be asked with it yet: {error:#}"
        ));
    }
    if context.output.is_json() {
        let value = json!({
            "host": name,
            "machine_id": machine,
            "agent_version": version,
            "certificate_serial": certificate.serial,
            "certificate_not_after": certificate.not_after.unix_timestamp(),
        });
        context.output.json("enrolled", &value)?;
    } else {
        context.output.data(&format!(
            "enrolled host `{name}` (agent {version}); its certificate ends on {}",
            certificate.not_after.date()
        ))?;
    }
    Ok(if proven.is_ok() {
        Exit::Done
    } else {
        Exit::Unreachable
    })
}

fn read_token(context: &Context, arguments: &EnrollArguments) -> anyhow::Result<EnrollmentToken> {
    let text = if let Some(token) = &arguments.token {
        Zeroizing::new(token.clone())
    } else {
        let bytes = context.read_input(TOKEN_LIMIT)?;
        Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned())
    };
    // Whoever pipes the agent's words into this pipes all of them.
    let found = text.split_whitespace().find_map(|word| word.parse().ok());
    found.map_or_else(|| text.parse(), Ok).map_err(|error| {
        let stop = Stop::new(Exit::Usage, "the token cannot be used")
            .hint("copy the whole line that `sudo omni-scale-agent token` shows on the host");
        anyhow::Error::from(error).context(stop)
    })
}

/// How the agent is reached: by its host's name, or where the person says.
fn way(context: &Context, host: &Host, address: Option<&str>) -> (Arc<dyn Network>, String) {
    let Some(address) = address else {
        return (Arc::clone(&context.network), host.dns_name.to_string());
    };
    let fixed = address
        .parse::<SocketAddr>()
        .or_else(|_| address.parse::<IpAddr>().map(|ip| (ip, AGENT_PORT).into()));
    match fixed {
        Ok(fixed) => {
            let fixed = FixedAddress {
                address: fixed,
                network: Arc::clone(&context.network),
            };
            (Arc::new(fixed), address.to_owned())
        }
        Err(_) => (Arc::clone(&context.network), address.to_owned()),
    }
}

/// The agent must have been set up for exactly what the deployment wants of it.
fn check_roles(name: &HostName, host: &Host, found: &[String]) -> anyhow::Result<()> {
    let wanted: BTreeSet<&str> = host.roles.iter().map(|role| role.as_str()).collect();
    let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    if wanted == found {
        return Ok(());
    }
    let list = |roles: &BTreeSet<&str>| match roles.len() {
        0 => "nothing".to_owned(),
        _ => roles.iter().copied().collect::<Vec<_>>().join(" and "),
    };
    let options: Vec<String> = wanted.iter().map(|role| format!("--role {role}")).collect();
    let options = options.join(" ");
    let stop = Stop::new(
        Exit::ChecksFailed,
        format!(
            "the agent of host `{name}` is set up for {}, and the deployment wants {}",
            list(&found),
            list(&wanted)
        ),
    );
    let there = if found.is_empty() {
        format!("run `sudo omni-scale-agent setup {options}` on the host")
    } else {
        let roles: Vec<String> = wanted.iter().map(|role| format!("\"{role}\"")).collect();
        let roles = roles.join(", ");
        format!(
            "write `roles = [{roles}]` in /etc/omni-scale/agent.toml on the host, then `sudo omni-scale-agent setup`"
        )
    };
    let hint = format!("{there}, or change `hosts.{name}.roles`; then make a new token");
    Err(stop.hint(hint).into())
}

/// Asks the agent as this operator, as every other command does.
async fn prove(
    context: &Context,
    deployment: &Deployment,
    name: &HostName,
    network: Arc<dyn Network>,
    dns_name: &str,
) -> anyhow::Result<()> {
    let credential = context.credential(deployment.id)?;
    let hosts = [(name.clone(), dns_name.to_owned())];
    let agents = crate::agents::grpc::GrpcAgents::new(hosts, &credential, &network)?;
    let mut last = agents.describe(name).await;
    for _ in 1..ASKS {
        if last.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        last = agents.describe(name).await;
    }
    last?;
    Ok(())
}
