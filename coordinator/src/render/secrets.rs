//! Which secrets must be where, and from which wave on.

use std::collections::BTreeSet;

use omni_scale_proto::id::{HostName, SecretName};
use omni_scale_proto::v1::{self, SecretUse, segment::Part};

use crate::deployment::{Deployment, Identity, MachineKind, OmniStack};
use crate::plan::{DesiredSecret, DesiredStack, Parts, Wave};

/// All of them, in the order of their waves. A secret that several need is needed by the first.
pub(super) fn needed(deployment: &Deployment, stack: &DesiredStack) -> Vec<DesiredSecret> {
    let mut needed = Vec::new();
    if let Identity::Tsidp(tsidp) = &deployment.identity
        && let Some(name) = &tsidp.auth_key
    {
        needed.push(DesiredSecret {
            host: tsidp.host.clone(),
            name: name.clone(),
            usage: SecretUse::Opaque,
            wave: Wave::Identity,
            one_time: true,
        });
    }
    let parts = Parts::of(stack);
    for service in &stack.stack.services {
        let wave = parts.wave(&service.name);
        needed.extend(of_service(&deployment.omni.host, wave, service));
    }
    if let OmniStack::BuiltIn(built_in) = &deployment.omni.stack {
        let client = &built_in.client;
        let machine_api = built_in.machine_api.as_ref();
        for secret in &mut needed {
            if secret.name == client.id {
                secret.wave = Wave::Client;
                secret.usage = SecretUse::OidcClientId;
            }
            if secret.name == client.secret {
                secret.wave = Wave::Client;
                secret.usage = SecretUse::OidcClientSecret;
            }
            if secret.name == built_in.encryption_key {
                secret.usage = SecretUse::OmniEncryptionKey;
            }
            if machine_api.is_some_and(|pair| pair.certificate == secret.name) {
                secret.usage = SecretUse::CertificateChain;
            }
            if machine_api.is_some_and(|pair| pair.key == secret.name) {
                secret.usage = SecretUse::PrivateKey;
            }
        }
    }
    needed.extend(of_machines(deployment));
    needed.sort_by_key(|secret| secret.wave);
    let mut seen = BTreeSet::new();
    needed.retain(|secret| seen.insert((secret.host.clone(), secret.name.clone())));
    needed
}

/// What the agent of the Proxmox host must know to make the machines.
fn of_machines(deployment: &Deployment) -> Vec<DesiredSecret> {
    let Some(proxmox) = &deployment.proxmox else {
        return Vec::new();
    };
    let secret = |name: &SecretName, wave, one_time| DesiredSecret {
        host: proxmox.host.clone(),
        name: name.clone(),
        usage: SecretUse::Opaque,
        wave,
        one_time,
    };
    let mut needed = Vec::new();
    for group in deployment.machines.values() {
        match &group.kind {
            MachineKind::Host(host) => {
                needed.push(secret(&proxmox.token_secret, Wave::HostMachines, false));
                needed.push(secret(&host.auth_key, Wave::HostMachines, true));
            }
            MachineKind::Talos { join, .. } => {
                needed.push(secret(&proxmox.token_secret, Wave::Machines, false));
                needed.push(secret(join, Wave::Machines, false));
            }
        }
    }
    needed
}

fn of_service(host: &HostName, wave: Wave, service: &v1::Service) -> Vec<DesiredSecret> {
    let variables = service
        .environment
        .iter()
        .map(|variable| (false, &variable.value));
    let files = service
        .files
        .iter()
        .map(|file| (file.one_time, &file.content));
    let mut needed = Vec::new();
    for (one_time, text) in variables.chain(files) {
        for segment in text.iter().flat_map(|text| &text.segments) {
            let Some(Part::Secret(reference)) = &segment.part else {
                continue;
            };
            if let Ok(name) = reference.name.parse() {
                needed.push(DesiredSecret {
                    host: host.clone(),
                    name,
                    usage: SecretUse::Opaque,
                    wave,
                    one_time,
                });
            }
        }
    }
    needed
}
