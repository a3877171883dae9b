//! `renew`: a new key and certificate before the old one ends.

use omni_scale_proto::id::HostName;
use omni_scale_proto::v1;
use serde_json::json;

use super::Context;
use super::context::known_host;
use crate::arguments::{AuthorityArguments, RenewArguments};
use crate::exit::Exit;
use crate::pki::Certificate;

/// Runs it.
pub(super) async fn run(context: &Context, arguments: RenewArguments) -> anyhow::Result<Exit> {
    match arguments.host {
        Some(host) => host_certificate(context, &host, &arguments.authority).await,
        None => own_certificate(context, &arguments.authority),
    }
}

async fn host_certificate(
    context: &Context,
    host: &HostName,
    arguments: &AuthorityArguments,
) -> anyhow::Result<Exit> {
    let deployment = context.deployment()?;
    known_host(&deployment, host)?;
    let agents = context.agents(&deployment)?;
    let store = context.store(deployment.id, Some(arguments))?;
    let authority = context.authority(&store, arguments)?;
    let now = context.now();
    let certificate = agents
        .renew_certificate(host, |signing_request| {
            let certificate = authority.issue_agent(host, signing_request, now)?;
            Ok(v1::EnrollCertificate {
                certificate_chain: vec![certificate.der().to_vec()],
                authority: authority.certificate().der().to_vec(),
                deployment_id: deployment.id.to_string(),
                host_name: host.to_string(),
            })
        })
        .await?;
    tell(context, &format!("host `{host}`"), &certificate)
}

fn own_certificate(context: &Context, arguments: &AuthorityArguments) -> anyhow::Result<Exit> {
    let deployment = context.deployment_id()?;
    let store = context.store(deployment, Some(arguments))?;
    let identity = store.credential()?.operator().clone();
    let authority = context.authority(&store, arguments)?;
    let now = context.now();
    let credential = authority.issue_operator(&identity, now)?;
    let lock = store.lock_register()?;
    let mut register = store.register()?;
    register.note(credential.certificate(), now);
    store.keep_register(&lock, &register)?;
    drop(lock);
    store.keep_credential(&credential)?;
    let whose = format!("operator `{}`", identity.name);
    tell(context, &whose, credential.certificate())
}

fn tell(context: &Context, whose: &str, certificate: &Certificate) -> anyhow::Result<Exit> {
    if context.output.is_json() {
        let value = json!({
            "serial": certificate.serial,
            "not_after": certificate.not_after.unix_timestamp(),
        });
        context.output.json("renewed", &value)?;
    } else {
        let until = certificate.not_after.date();
        let text = format!("renewed the certificate of {whose}; it ends on {until}");
        context.output.data(&text)?;
    }
    Ok(Exit::Done)
}
