//! `operator add`, `import`, `revoke`, `list`.

use futures_util::future::join_all;
use omni_scale_proto::id::HostName;
use omni_scale_proto::role::OperatorIdentity;
use serde_json::json;

use super::Context;
use crate::agents::grpc::GrpcAgents;
use crate::agents::{AgentError, Agents as _};
use crate::arguments::{ImportArguments, OperatorAddArguments, RevokeArguments};
use crate::exit::Exit;
use crate::files::{self, Access, Existing};
use crate::output::{Activity, Cell, Stop, Style, Table};
use crate::pki::{Bundle, Issued, Register};

/// `operator add`.
pub(super) fn add(context: &Context, arguments: OperatorAddArguments) -> anyhow::Result<Exit> {
    let deployment = context.deployment_id()?;
    let store = context.store(deployment, Some(&arguments.authority))?;
    let file = context.path(&arguments.file);
    if file.exists() {
        return Err(files::FileError::Exists { path: file }.into());
    }
    let authority = context.authority(&store, &arguments.authority)?;
    let identity = OperatorIdentity {
        name: arguments.name,
        role: arguments.role,
    };
    let now = context.now();
    let credential = authority.issue_operator(&identity, now)?;
    // In the register first: a certificate that nobody knows of could never be revoked.
    let lock = store.lock_register()?;
    let mut register = store.register()?;
    register.note(credential.certificate(), now);
    store.keep_register(&lock, &register)?;
    drop(lock);
    let certificate = credential.certificate().clone();
    let bundle = Bundle {
        deployment,
        credential,
    };
    files::write(&file, &bundle.to_json()?, Access::Private, Existing::Keep)?;
    if context.output.is_json() {
        let value = json!({
            "name": identity.name,
            "role": identity.role,
            "serial": certificate.serial,
            "not_after": certificate.not_after.unix_timestamp(),
            "file": file,
        });
        context.output.json("operator", &value)?;
        return Ok(Exit::Done);
    }
    context.output.data(&format!(
        "wrote the credential of `{}` ({}) to `{}`; it ends on {}",
        identity.name,
        identity.role,
        file.display(),
        certificate.not_after.date()
    ))?;
    context.output.say(
        "it holds their key: hand it over so that nobody else sees it; they take it with \
         `omni-scale operator import FILE`",
    );
    Ok(Exit::Done)
}

/// `operator import`.
pub(super) fn import(context: &Context, arguments: &ImportArguments) -> anyhow::Result<Exit> {
    let bytes = zeroize::Zeroizing::new(files::read(&context.path(&arguments.file))?);
    let bundle = Bundle::from_json(&bytes)?;
    let store = context.store(bundle.deployment, None)?;
    store.import(&bundle)?;
    let operator = bundle.credential.operator();
    if context.output.is_json() {
        let value = json!({
            "deployment_id": bundle.deployment,
            "name": operator.name,
            "role": operator.role,
        });
        context.output.json("imported", &value)?;
        return Ok(Exit::Done);
    }
    context.output.data(&format!(
        "you are operator `{}` ({}) of deployment {}, until {}",
        operator.name,
        operator.role,
        bundle.deployment,
        bundle.credential.certificate().not_after.date()
    ))?;
    Ok(Exit::Done)
}

/// `operator list`.
pub(super) fn list(context: &Context) -> anyhow::Result<Exit> {
    let store = context.store(context.deployment_id()?, None)?;
    let register = store.register()?;
    let now = context.now();
    if context.output.is_json() {
        let operators: serde_json::Value = register
            .operators()
            .iter()
            .map(|issued| {
                json!({
                    "name": issued.name,
                    "role": issued.role,
                    "serial": issued.serial,
                    "not_after": issued.not_after.unix_timestamp(),
                    "state": state(issued, now).1,
                })
            })
            .collect();
        context.output.json("operators", &operators)?;
        return Ok(Exit::Done);
    }
    if register.operators().is_empty() {
        context
            .output
            .say("no certificate was made on this machine");
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["name", "role", "state", "until", "serial"]);
    for issued in register.operators() {
        let (style, state) = state(issued, now);
        table.row([
            Cell::plain(issued.name.as_str()),
            Cell::plain(issued.role.as_str()),
            Cell::new(style, state),
            Cell::plain(issued.not_after.date().to_string()),
            Cell::new(Style::Faint, issued.serial.as_str()),
        ]);
    }
    for line in table.lines(context.output.surface().color_output) {
        context.output.data(&line)?;
    }
    Ok(Exit::Done)
}

fn state(issued: &Issued, now: time::OffsetDateTime) -> (Style, &'static str) {
    if issued.revoked_at.is_some() {
        (Style::Bad, "revoked")
    } else if issued.not_after <= now {
        (Style::Faint, "ended")
    } else {
        (Style::Good, "valid")
    }
}

/// `operator revoke`.
pub(super) async fn revoke(context: &Context, arguments: RevokeArguments) -> anyhow::Result<Exit> {
    let deployment = context.deployment()?;
    let store = context.store(deployment.id, None)?;
    let credential = context.credential(deployment.id)?;
    let agents = context.agents_of(&deployment, &credential)?;
    let lock = store.lock_register()?;
    let mut register = store.register()?;
    let now = context.now();
    let own = &credential.certificate().serial;
    if register
        .matching(&arguments.who, now)
        .iter()
        .any(|issued| issued.serial == *own)
    {
        let stop = Stop::new(
            Exit::Usage,
            "this would revoke the certificate that you use",
        );
        let hint = "renew it first (`omni-scale renew --operator`), then revoke the old one by its \
                    serial number; or let another admin do it";
        return Err(stop.hint(hint).into());
    }
    let hosts: Vec<&HostName> = deployment.hosts.keys().collect();
    let activity = Activity::new(&context.output);
    activity.wait("deny list", "asking the hosts for theirs");
    let seen = versions(&agents, &hosts).await;
    let newest = seen.iter().flatten().copied().max().unwrap_or(0);
    if newest > register.deny_list_version() {
        let stop = Stop::new(
            Exit::Failed,
            format!(
                "hosts have deny list {newest}, this machine has {}",
                register.deny_list_version()
            ),
        );
        let hint = format!(
            "somebody revoked on another machine; copy `operators.json` from there to `{}`",
            store.directory().display()
        );
        return Err(stop.hint(hint).into());
    }
    let revoked = register.revoke(&arguments.who, newest, now)?;
    store.keep_register(&lock, &register)?;
    drop(lock);
    activity.wait("deny list", "telling the hosts");
    let told = join_all(hosts.iter().map(|host| push(&agents, host, &register, now))).await;
    drop(activity);

    let failed: Vec<&AgentError> = told.iter().filter_map(|told| told.as_ref().err()).collect();
    for error in &failed {
        let text = crate::rollout::chain(*error);
        context.output.warn(&format!(
            "{text}; it is told with the next `omni-scale apply`"
        ));
    }
    if context.output.is_json() {
        let value = json!({
            "serials": revoked.iter().map(|issued| &issued.serial).collect::<Vec<_>>(),
            "deny_list_version": register.deny_list_version(),
            "hosts_told": hosts.len() - failed.len(),
            "hosts_not_told": failed.iter().map(|error| error.host()).collect::<Vec<_>>(),
        });
        context.output.json("revoked", &value)?;
    } else {
        for issued in &revoked {
            context.output.data(&format!(
                "revoked {} of `{}` ({}) on {} of {} hosts",
                issued.serial,
                issued.name,
                issued.role,
                hosts.len() - failed.len(),
                hosts.len()
            ))?;
        }
    }
    Ok(if failed.is_empty() {
        Exit::Done
    } else {
        Exit::Unreachable
    })
}

async fn versions(agents: &GrpcAgents, hosts: &[&HostName]) -> Vec<Option<u64>> {
    join_all(hosts.iter().map(|host| async move {
        let described = agents.describe(host).await;
        described.ok().map(|described| described.deny_list_version)
    }))
    .await
}

/// Gives one host the deny list.
pub(super) async fn push(
    agents: &GrpcAgents,
    host: &HostName,
    register: &Register,
    now: time::OffsetDateTime,
) -> Result<(), AgentError> {
    agents
        .put_deny_list(host, register.deny_list_version(), register.denied(now))
        .await
}
