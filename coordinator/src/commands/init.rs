//! `init`: a deployment file, an authority, and the first operator's certificate.

use omni_scale_proto::id::OperatorName;
use omni_scale_proto::role::{OperatorIdentity, Role};
use serde_json::json;
use uuid::Uuid;

use super::Context;
use crate::arguments::InitArguments;
use crate::deployment::{DnsName, TemplateValues, template};
use crate::exit::Exit;
use crate::files::{self, Access, Existing};
use crate::output::Stop;

/// Runs it.
pub(super) fn run(context: &Context, arguments: InitArguments) -> anyhow::Result<Exit> {
    let name = operator_name(context, arguments.name)?;
    let path = context.deployment_path();
    let made = !path.exists();
    let (deployment, text) = if made {
        let text = new_file(arguments.domain.as_deref())?;
        (text.0, Some(text.1))
    } else {
        (context.deployment_id()?, None)
    };
    let store = context.store(deployment, Some(&arguments.authority))?;
    if let Ok(authority) = store.authority_certificate() {
        let stop = Stop::new(
            Exit::Usage,
            format!("deployment {deployment} has an authority already"),
        );
        let hint = format!(
            "it ends on {} and lies in `{}`; another one would lock out every enrolled agent",
            authority.not_after.date(),
            store.directory().display()
        );
        return Err(stop.hint(hint).into());
    }
    // Whatever can be refused is asked for before anything is written.
    let passphrase = context
        .passphrase_source(&arguments.authority)
        .choose("the authority's key", context.person.as_ref())?;
    if let Some(text) = text {
        files::write(&path, text.as_bytes(), Access::Public, Existing::Keep)?;
    }
    let now = context.now();
    let authority = store.create_authority(deployment, &passphrase, now)?;
    let identity = OperatorIdentity {
        name,
        role: Role::Admin,
    };
    let credential = authority.issue_operator(&identity, now)?;
    store.keep_credential(&credential)?;
    let lock = store.lock_register()?;
    let mut register = store.register()?;
    register.note(credential.certificate(), now);
    store.keep_register(&lock, &register)?;
    drop(lock);

    if context.output.is_json() {
        let value = json!({
            "deployment_id": deployment,
            "deployment_file": path,
            "made_deployment_file": made,
            "directory": store.directory(),
            "authority_key": store.authority_key(),
            "operator": identity.name,
        });
        context.output.json("init", &value)?;
        return Ok(Exit::Done);
    }
    let done = if made { "made" } else { "kept" };
    let shown = path.display();
    context
        .output
        .data(&format!("{done} `{shown}`, deployment {deployment}"))?;
    context.output.data(&format!(
        "made its authority and the certificate of operator `{}` in `{}`",
        identity.name,
        store.directory().display()
    ))?;
    context.output.say(&format!(
        "keep a copy of `{}` and its passphrase in a safe place: without both no host can be enrolled\n\
         next: edit `{shown}`; then on each host `sudo omni-scale-agent setup --role ROLE` and \
         `sudo omni-scale-agent token`, and here `omni-scale enroll HOST --token TOKEN`",
        store.authority_key().display()
    ));
    Ok(Exit::Done)
}

fn operator_name(context: &Context, given: Option<OperatorName>) -> anyhow::Result<OperatorName> {
    if let Some(name) = given {
        return Ok(name);
    }
    let user = context.environment.user.as_deref().unwrap_or("admin");
    user.to_ascii_lowercase().parse().map_err(|_| {
        let message = format!("the login name `{user}` cannot be an operator's name");
        Stop::new(Exit::Usage, message)
            .hint("give one with `--name`")
            .into()
    })
}

fn new_file(domain: Option<&str>) -> anyhow::Result<(omni_scale_proto::id::DeploymentId, String)> {
    if let Some(domain) = domain {
        domain.parse::<DnsName>().map_err(|error| {
            anyhow::Error::from(error).context(Stop::new(Exit::Usage, "wrong `--domain`"))
        })?;
    }
    let id = Uuid::new_v4();
    let text = template(&TemplateValues {
        id,
        account_id: Uuid::new_v4(),
        domain,
    });
    Ok((omni_scale_proto::id::DeploymentId::new(id), text))
}
