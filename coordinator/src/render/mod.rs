//! The deployment, rendered: what each host shall have, in the words of the contract.
//!
//! Pure but for the user's Compose file, which is read through [`Files`]. Decides nothing about
//! what is there already, and resolves no image: a tag stays a tag.
//!
//! Invariants: no secret stands in what is rendered, only names of secrets; the same deployment
//! always renders the same.

mod client;
mod eject;
mod identity;
mod machine;
mod machines;
mod omni;
mod parts;
mod provider;
mod secrets;
mod sidecar;
mod stack;
mod text;
mod yaml;

#[cfg(test)]
mod tests;

pub use eject::{Ejected, eject};
pub use machine::{
    enrollment_secret, host_network_configuration, host_user_data, talos_network_configuration,
};
pub use parts::STACK_NAME;

use crate::deployment::{Deployment, Files, OmniStack};
use crate::document::Problems;
use crate::plan::{Desired, DesiredHost, DesiredMachines, DesiredStack};

/// Everything that `deployment` wants. Fails only on a user's Compose file.
pub fn render(files: &dyn Files, deployment: &Deployment) -> Result<Desired, Problems> {
    let stack = stack(files, deployment)?;
    Ok(Desired {
        deployment: deployment.id,
        hosts: deployment
            .hosts
            .iter()
            .map(|(name, host)| {
                let host = DesiredHost {
                    roles: host.roles.clone(),
                    dns_name: host.dns_name.to_string(),
                };
                (name.clone(), host)
            })
            .collect(),
        identity: identity::render(deployment),
        secrets: secrets::needed(deployment, &stack),
        client: client::render(deployment),
        machines: machines::render(deployment, &stack)
            .filter(|machines| !machines.groups.is_empty()),
        stack,
        extra_roots_pem: deployment.tailnet.extra_roots_pem.clone(),
    })
}

/// The machines that `deployment` wants, and their cluster, even when it wants none of them.
/// `None`: it has no cluster. Fails only on a user's Compose file.
pub fn machines(
    files: &dyn Files,
    deployment: &Deployment,
) -> Result<Option<DesiredMachines>, Problems> {
    let stack = stack(files, deployment)?;
    Ok(machines::render(deployment, &stack))
}

fn stack(files: &dyn Files, deployment: &Deployment) -> Result<DesiredStack, Problems> {
    match &deployment.omni.stack {
        OmniStack::BuiltIn(built_in) => Ok(stack::built_in(deployment, built_in)),
        OmniStack::Compose(compose) => stack::from_compose(files, deployment, compose),
    }
}

/// The issuer that Omni shall trust.
fn issuer(deployment: &Deployment) -> crate::deployment::Issuer {
    use crate::deployment::{Identity, Issuer};
    match &deployment.identity {
        Identity::Tsidp(tsidp) => Issuer::of_tsidp(&tsidp.name.within(&deployment.tailnet.domain)),
        Identity::Oidc { issuer } => issuer.clone(),
    }
}

/// Omni's full name on the tailnet.
fn omni_dns_name(deployment: &Deployment) -> crate::deployment::DnsName {
    deployment.omni.name.within(&deployment.tailnet.domain)
}
