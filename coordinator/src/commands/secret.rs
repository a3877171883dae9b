//! `secret set`, `generate`, `list`.

use futures_util::future::join_all;
use omni_scale_proto::id::{DeploymentId, HostName, SecretName};
use omni_scale_proto::operation::Target;
use omni_scale_proto::v1::{self, secret_recipe::Recipe};
use serde_json::json;
use zeroize::Zeroizing;

use super::Context;
use super::context::{desired, known_host};
use super::single::{Single, conclude};
use crate::agents::grpc::GrpcAgents;
use crate::agents::{AgentError, Agents as _};
use crate::arguments::{
    SecretGenerateArguments, SecretKind, SecretListArguments, SecretSetArguments,
};
use crate::deployment::{Deployment, OmniStack};
use crate::document::nearest;
use crate::exit::Exit;
use crate::files::{self, Access, Existing};
use crate::output::{Activity, Cell, Stop, Style, Table, age};
use crate::plan::{Desired, DesiredSecret};

/// The contract's limit on a value, in bytes.
const VALUE_LIMIT: u64 = 64 * 1024;
/// Bytes of a random secret.
const RANDOM_BYTES: u32 = 32;
/// Making an RSA-4096 key may take a slow host this long, in seconds.
const GENERATE_DEADLINE: u32 = 300;
/// Writing a file takes no time.
const SET_DEADLINE: u32 = 30;

/// `secret set`.
pub(super) async fn set(context: &Context, arguments: SecretSetArguments) -> anyhow::Result<Exit> {
    let deployment = context.deployment()?;
    known_host(&deployment, &arguments.host)?;
    let credential = context.credential(deployment.id)?;
    warn_of_stranger(context, &deployment, &arguments.host, &arguments.name);
    let value = read_value(context, &arguments)?;
    let agents = context.agents_of(&deployment, &credential)?;
    let setting = Setting {
        agents: &agents,
        deployment: deployment.id,
        holder: context.holder(&credential),
        host: &arguments.host,
        name: &arguments.name,
        usage: usage(&deployment, &arguments.host, &arguments.name),
    };
    let stored = setting.put(context, &value).await?;
    if context.output.is_json() {
        let value = secret_json(&arguments.host, &stored);
        context.output.json("secret", &value)?;
    } else {
        let text = format!(
            "set secret `{}` on host `{}`",
            arguments.name, arguments.host
        );
        context.output.data(&text)?;
    }
    Ok(Exit::Done)
}

/// What the deployment uses a secret for, as far as it can be told: a Compose file may be unfinished.
fn usage(deployment: &Deployment, host: &HostName, name: &SecretName) -> v1::SecretUse {
    let desired = desired(deployment).ok();
    let secrets = desired.iter().flat_map(|desired| &desired.secrets);
    let found = secrets
        .filter(|secret| secret.host == *host && secret.name == *name)
        .map(|secret| secret.usage);
    found.into_iter().next().unwrap_or(v1::SecretUse::Opaque)
}

/// A secret that is set on a host, and in whose name.
pub(super) struct Setting<'a> {
    pub(super) agents: &'a GrpcAgents,
    pub(super) deployment: DeploymentId,
    /// `operator@machine`.
    pub(super) holder: String,
    pub(super) host: &'a HostName,
    pub(super) name: &'a SecretName,
    /// What the deployment uses it for.
    pub(super) usage: v1::SecretUse,
}

impl Setting<'_> {
    /// Sets it.
    pub(super) async fn put(
        &self,
        context: &Context,
        value: &Zeroizing<Vec<u8>>,
    ) -> anyhow::Result<v1::SecretStatus> {
        let single = Single {
            agents: self.agents,
            deployment: self.deployment,
            holder: self.holder.clone(),
            host: self.host,
            target: Target::Secret(self.name.clone()),
            deadline_seconds: SET_DEADLINE,
        };
        let stored = single
            .run(context, async |operation| {
                let put = self
                    .agents
                    .put_secret(self.host, operation, self.name, value, self.usage);
                put.await
            })
            .await?;
        conclude(context, self.host, &stored.outcome)?;
        Ok(stored.secret)
    }
}

fn read_value(
    context: &Context,
    arguments: &SecretSetArguments,
) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let value = if let Some(file) = &arguments.file {
        Zeroizing::new(files::read(&context.path(file))?)
    } else if context.terminals.input {
        let question = format!("Value of `{}`", arguments.name);
        let typed = context.person.ask(&question)?;
        Zeroizing::new(typed.as_bytes().to_vec())
    } else {
        context.read_input(VALUE_LIMIT + 2)?
    };
    usable(value)
}

/// A value without what is not part of it, when it can be one.
pub(super) fn usable(mut value: Zeroizing<Vec<u8>>) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let refuse = |message: &str| Err(Stop::new(Exit::Usage, message).into());
    let length = without_line_break(&value).len();
    value.truncate(length);
    if value.is_empty() {
        return refuse("the value is empty");
    }
    if value.len() as u64 > VALUE_LIMIT {
        return refuse("the value is longer than 64 KiB");
    }
    Ok(value)
}

/// What `echo` and editors add to a line of text is not part of the value: a client secret with a
/// line break in it is another secret. Text of several lines (PEM, OpenPGP) and what is no text
/// ends as it ends.
fn without_line_break(value: &[u8]) -> &[u8] {
    let Some(line) = value.strip_suffix(b"\n") else {
        return value;
    };
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let is_one_line = std::str::from_utf8(line).is_ok_and(|text| !text.contains(['\n', '\r']));
    if is_one_line { line } else { value }
}

/// A name that the deployment does not use is probably a typing mistake.
fn warn_of_stranger(
    context: &Context,
    deployment: &Deployment,
    host: &HostName,
    name: &SecretName,
) {
    let Ok(desired) = desired(deployment) else {
        return;
    };
    let named: Vec<&str> = desired
        .secrets
        .iter()
        .filter(|secret| secret.host == *host)
        .map(|secret| secret.name.as_str())
        .collect();
    if named.contains(&name.as_str()) {
        return;
    }
    let meant = nearest(name.as_str(), &named)
        .map(|name| format!("; did you mean `{name}`?"))
        .unwrap_or_default();
    context.output.warn(&format!(
        "the deployment names no secret `{name}` for host `{host}`{meant}"
    ));
}

/// `secret generate`.
pub(super) async fn generate(
    context: &Context,
    arguments: SecretGenerateArguments,
) -> anyhow::Result<Exit> {
    let deployment = context.deployment()?;
    let (host, name) = (&arguments.host, &arguments.name);
    known_host(&deployment, host)?;
    let export = context.path(&arguments.export);
    if export.exists() {
        return Err(files::FileError::Exists { path: export }.into());
    }
    let credential = context.credential(deployment.id)?;
    warn_of_stranger(context, &deployment, host, name);
    let agents = context.agents_of(&deployment, &credential)?;
    let single = Single {
        agents: &agents,
        deployment: deployment.id,
        holder: context.holder(&credential),
        host,
        target: Target::Secret(name.clone()),
        deadline_seconds: GENERATE_DEADLINE,
    };
    let activity = Activity::new(&context.output);
    activity.wait(host.as_str(), &format!("making secret `{name}`"));
    let recipe = recipe(&deployment, name, arguments.kind);
    let made = single
        .run(context, async |operation| {
            agents.make_secret(host, operation, name, recipe).await
        })
        .await?;
    conclude(context, host, &made.outcome)?;
    if made.export.is_empty() {
        return Err(Stop::new(Exit::Failed, "the host sent no export; nothing is in force").into());
    }
    files::write(&export, &made.export, Access::Private, Existing::Keep)?;
    activity.wait(host.as_str(), &format!("confirming secret `{name}`"));
    let digest = made.secret.keyed_digest.clone();
    let confirmed = single
        .run(context, async |operation| {
            agents.confirm_secret(host, operation, name, digest).await
        })
        .await?;
    conclude(context, host, &confirmed.outcome)?;
    drop(activity);
    if context.output.is_json() {
        let mut value = secret_json(host, &confirmed.secret);
        value["export"] = json!(export);
        context.output.json("secret", &value)?;
        return Ok(Exit::Done);
    }
    let shown = export.display();
    let text = format!("made secret `{name}` on host `{host}`; its export is in `{shown}`");
    context.output.data(&text)?;
    context.output.say(&format!(
        "move `{shown}` to a safe place away from the host: it is the only copy outside of it"
    ));
    Ok(Exit::Done)
}

fn recipe(
    deployment: &Deployment,
    name: &SecretName,
    kind: Option<SecretKind>,
) -> v1::SecretRecipe {
    let encrypts = match &deployment.omni.stack {
        OmniStack::BuiltIn(stack) => stack.encryption_key == *name,
        OmniStack::Compose(_) => false,
    };
    let kind = kind.unwrap_or(if encrypts {
        SecretKind::Openpgp
    } else {
        SecretKind::Random
    });
    let recipe = match kind {
        SecretKind::Openpgp => Recipe::OpenPgp(v1::OpenPgpRecipe {
            user_id: format!(
                "Omni <{}@{}>",
                deployment.omni.name, deployment.tailnet.domain
            ),
        }),
        SecretKind::Random => Recipe::RandomBytes(RANDOM_BYTES),
    };
    v1::SecretRecipe {
        recipe: Some(recipe),
    }
}

/// `secret list`.
pub(super) async fn list(
    context: &Context,
    arguments: SecretListArguments,
) -> anyhow::Result<Exit> {
    let deployment = context.deployment()?;
    if let Some(host) = &arguments.host {
        known_host(&deployment, host)?;
    }
    let desired = desired(&deployment)?;
    let agents = context.agents(&deployment)?;
    let wanted = |host: &&HostName| arguments.host.as_ref().is_none_or(|only| only == *host);
    let hosts: Vec<&HostName> = deployment.hosts.keys().filter(wanted).collect();
    let found = join_all(hosts.iter().map(|host| agents.list_secrets(host))).await;

    let mut rows = Vec::new();
    let mut failed = false;
    for (host, found) in hosts.into_iter().zip(found) {
        match found {
            Ok(secrets) => rows.extend(rows_of(host, &secrets, &desired)),
            Err(error) => {
                failed = true;
                tell_unknown(context, &error);
                rows.extend(needed(host, &desired).map(|needed| Row {
                    host: host.clone(),
                    name: needed.name.to_string(),
                    state: "unknown",
                    set_at: 0,
                    needed_for: needed.wave.to_string(),
                }));
            }
        }
    }
    print_rows(context, &rows)?;
    Ok(if failed {
        Exit::Unreachable
    } else {
        Exit::Done
    })
}

struct Row {
    host: HostName,
    name: String,
    state: &'static str,
    /// Milliseconds since the Unix epoch. 0: not known.
    set_at: i64,
    needed_for: String,
}

fn tell_unknown(context: &Context, error: &AgentError) {
    context.output.warn(&crate::rollout::chain(error));
}

fn needed<'a>(
    host: &'a HostName,
    desired: &'a Desired,
) -> impl Iterator<Item = &'a DesiredSecret> + 'a {
    desired
        .secrets
        .iter()
        .filter(move |secret| secret.host == *host)
}

fn rows_of(host: &HostName, secrets: &[v1::SecretStatus], desired: &Desired) -> Vec<Row> {
    let wave = |name: &str| {
        needed(host, desired)
            .find(|needed| needed.name.as_str() == name)
            .map(|needed| needed.wave.to_string())
            .unwrap_or_default()
    };
    let mut rows: Vec<Row> = secrets
        .iter()
        .map(|secret| Row {
            host: host.clone(),
            name: secret.name.clone(),
            state: match (secret.consumed, secret.candidate) {
                (true, _) => "used up",
                (false, true) => "not confirmed",
                (false, false) => "set",
            },
            set_at: secret.set_at_milliseconds,
            needed_for: wave(&secret.name),
        })
        .collect();
    let missing = needed(host, desired)
        .filter(|needed| {
            secrets
                .iter()
                .all(|secret| secret.name != needed.name.as_str())
        })
        .map(|needed| Row {
            host: host.clone(),
            name: needed.name.to_string(),
            state: if needed.one_time {
                "not set"
            } else {
                "missing"
            },
            set_at: 0,
            needed_for: needed.wave.to_string(),
        });
    rows.extend(missing);
    rows
}

fn print_rows(context: &Context, rows: &[Row]) -> anyhow::Result<()> {
    if context.output.is_json() {
        let secrets: serde_json::Value = rows
            .iter()
            .map(|row| {
                json!({
                    "host": row.host,
                    "name": row.name,
                    "state": row.state,
                    "set_at_milliseconds": row.set_at,
                    "needed_for": row.needed_for,
                })
            })
            .collect();
        return Ok(context.output.json("secrets", &secrets)?);
    }
    let now = context.clock.now_milliseconds();
    let mut table = Table::new(&["host", "secret", "state", "age", "needed for"]);
    for row in rows {
        let style = match row.state {
            "set" | "used up" => Style::Good,
            "missing" => Style::Bad,
            _ => Style::Warning,
        };
        table.row([
            Cell::plain(row.host.as_str()),
            Cell::plain(row.name.as_str()),
            Cell::new(style, row.state),
            Cell::plain(age(row.set_at, now)),
            Cell::plain(row.needed_for.as_str()),
        ]);
    }
    for line in table.lines(context.output.surface().color_output) {
        context.output.data(&line)?;
    }
    Ok(())
}

fn secret_json(host: &HostName, secret: &v1::SecretStatus) -> serde_json::Value {
    json!({
        "host": host,
        "name": secret.name,
        "set_at_milliseconds": secret.set_at_milliseconds,
        "keyed_digest": secret.keyed_digest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_loses_its_line_break_and_nothing_else_does() {
        let cases: [(&[u8], &[u8]); 9] = [
            (b"hunter2\n", b"hunter2"),
            (b"hunter2\r\n", b"hunter2"),
            (b"hunter2", b"hunter2"),
            (b"hunter2 \n", b"hunter2 "),
            (b"\n", b""),
            (b"hunter2\n\n", b"hunter2\n\n"),
            (
                b"-----BEGIN X-----\nAA==\n-----END X-----\n",
                b"-----BEGIN X-----\nAA==\n-----END X-----\n",
            ),
            (b"one\r\ntwo\r\n", b"one\r\ntwo\r\n"),
            (b"\xff\n", b"\xff\n"),
        ];
        for (given, kept) in cases {
            assert_eq!(without_line_break(given), kept, "{given:?}");
        }
    }
}
