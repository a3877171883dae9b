//! Which secrets are missing, and how far the plan goes without them.

use omni_scale_proto::v1::{self, segment::Part};

use crate::plan::desired::{Desired, DesiredIdentity, DesiredSecret, Wave};
use crate::plan::observed::{HostFacts, Observed};
use crate::plan::refusal::PlanRefusal;

/// Secrets that are needed and not usable, in the order of the deployment.
pub(super) fn missing<'a>(desired: &'a Desired, observed: &Observed) -> Vec<&'a DesiredSecret> {
    desired
        .secrets
        .iter()
        .filter(|secret| !is_usable(secret, observed))
        .filter(|secret| is_needed(desired, secret, observed))
        .filter(|secret| !is_used_up_by_the_sidecar(secret, observed))
        .collect()
}

/// Keys that are used up, of a sidecar that has lost its state. The plan does not end before it:
/// the preflight asks for the key, and tells it beside the old device that is in the way.
pub(super) fn used_up<'a>(desired: &'a Desired, observed: &Observed) -> Vec<&'a DesiredSecret> {
    desired
        .secrets
        .iter()
        .filter(|secret| is_used_up_by_the_sidecar(secret, observed))
        .filter(|secret| is_needed(desired, secret, observed))
        .collect()
}

fn is_used_up_by_the_sidecar(secret: &DesiredSecret, observed: &Observed) -> bool {
    secret.one_time && secret.wave == Wave::Sidecar && is_consumed(secret, observed)
}

fn is_consumed(secret: &DesiredSecret, observed: &Observed) -> bool {
    let facts = observed.facts(&secret.host);
    let status = facts.and_then(|facts| facts.secret(secret.name.as_str()));
    status.is_some_and(|status| status.consumed)
}

/// Whether the secret still has something to do: a one-time key has not once its node is known,
/// and has again when the node has certainly lost its state.
///
/// What the registration of Omni's client brings is for no one to set.
pub(super) fn is_needed(desired: &Desired, secret: &DesiredSecret, observed: &Observed) -> bool {
    let brought = desired.client.as_ref().is_some_and(|client| {
        let names = [&client.client.id_secret, &client.client.secret_secret];
        secret.host == desired.stack.host && names.iter().any(|name| secret.name.as_str() == *name)
    });
    if brought {
        return false;
    }
    if !secret.one_time {
        return true;
    }
    let Some(facts) = observed.facts(&secret.host) else {
        return true;
    };
    if secret.wave == Wave::HostMachines {
        return boots_with(desired, secret, facts);
    }
    let is_units = matches!(
        &desired.identity,
        DesiredIdentity::Tsidp { host, configuration, .. }
            if *host == secret.host && configuration.auth_key_secret == secret.name.as_str()
    );
    let node = if is_units {
        match &facts.unit {
            Some(unit) if unit.known && unit.node_known => Node::Known,
            Some(unit) if unit.known => Node::Lost,
            Some(_) | None => Node::Unsure,
        }
    } else if sidecar_is_known(desired, facts) {
        Node::Known
    } else if sidecar_is_lost(desired, facts) {
        Node::Lost
    } else {
        Node::Unsure
    };
    match node {
        Node::Known => false,
        // Without a key it would be started, and nobody could log it in.
        Node::Lost => true,
        // The agent uses a key up once its node has logged in.
        Node::Unsure => !is_consumed(secret, observed),
    }
}

/// What is known of the node that a one-time key logs in.
enum Node {
    /// It has logged in before, and its state is there.
    Known,
    /// It has no state: it is a new node.
    Lost,
    /// Its state lies where nobody looks.
    Unsure,
}

/// Whether a machine that is first booted with it is still to be made.
fn boots_with(desired: &Desired, secret: &DesiredSecret, facts: &HostFacts) -> bool {
    let groups = desired.machines.iter().flat_map(|wanted| &wanted.groups);
    let mut machines = groups.flat_map(|group| &group.machines);
    machines.any(|machine| {
        let used = machine
            .user_data
            .iter()
            .flat_map(|text| &text.segments)
            .any(|segment| match &segment.part {
                Some(Part::Secret(reference)) => reference.name == secret.name.as_str(),
                Some(Part::Literal(_)) | None => false,
            });
        let there = facts
            .machine(&machine.name)
            .is_some_and(|seen| seen.presence() == v1::MachinePresence::Present);
        used && !there
    })
}

fn is_usable(secret: &DesiredSecret, observed: &Observed) -> bool {
    observed
        .facts(&secret.host)
        .and_then(|facts| facts.secret(secret.name.as_str()))
        .is_some_and(|status| !status.consumed && !status.candidate)
}

/// The sidecar's node has logged in before when it runs, or when its state volume is there: a
/// volume survives its container, and an operator who restores one brings the node back with it.
pub(super) fn sidecar_is_known(desired: &Desired, facts: &HostFacts) -> bool {
    let wanted = &desired.stack;
    let Some(observed) = &facts.stack else {
        return false;
    };
    let healthy = observed.services.iter().any(|service| {
        service.service == wanted.sidecar.as_str()
            && service.health() == v1::ContainerHealth::Healthy
    });
    let mut kept =
        sidecar_volumes(desired).filter(|volume| observed.volumes.contains(&volume.engine_name));
    healthy || kept.next().is_some()
}

/// The sidecar keeps its state on a volume, which is not there. A directory of the host is not
/// looked into.
fn sidecar_is_lost(desired: &Desired, facts: &HostFacts) -> bool {
    let binds = sidecar_mounts(desired).any(|source| matches!(source, v1::mount::Source::Bind(_)));
    let asked = facts.stack.as_ref().is_some_and(|stack| stack.known);
    let keeps = sidecar_volumes(desired).next().is_some();
    asked && keeps && !binds && !sidecar_is_known(desired, facts)
}

fn sidecar_volumes(desired: &Desired) -> impl Iterator<Item = &v1::Volume> {
    sidecar_mounts(desired).filter_map(|source| match source {
        v1::mount::Source::Volume(key) => {
            let mut volumes = desired.stack.stack.volumes.iter();
            volumes.find(|volume| volume.name == *key)
        }
        v1::mount::Source::Bind(_) | v1::mount::Source::Temporary(_) => None,
    })
}

fn sidecar_mounts(desired: &Desired) -> impl Iterator<Item = &v1::mount::Source> {
    let wanted = &desired.stack;
    let services = wanted.stack.services.iter();
    services
        .filter(|service| service.name == wanted.sidecar.as_str())
        .flat_map(|service| &service.mounts)
        .filter_map(|mount| mount.source.as_ref())
}

/// The first wave that cannot be done.
pub(super) fn cut(missing: &[&DesiredSecret]) -> Option<Wave> {
    missing.iter().map(|secret| secret.wave).min()
}

/// When nothing comes before the first wave that cannot be done: every missing secret as a reason
/// to make no plan.
pub(super) fn needed_now(
    desired: &Desired,
    cut: Option<Wave>,
    missing: &[&DesiredSecret],
) -> Vec<PlanRefusal> {
    let first = match &desired.identity {
        DesiredIdentity::Tsidp { .. } => Wave::Identity,
        // Somebody else's issuer is there or not: nothing of ours can be done before the client.
        DesiredIdentity::External { .. } => Wave::Sidecar,
    };
    if cut.is_none_or(|cut| cut > first) {
        return Vec::new();
    }
    missing.iter().copied().map(refusal).collect()
}

/// A secret that is needed at once.
pub(super) fn refusal(secret: &DesiredSecret) -> PlanRefusal {
    PlanRefusal::SecretMissing {
        host: secret.host.clone(),
        name: secret.name.clone(),
        wave: secret.wave,
        command: command(secret),
    }
}

/// Says where the plan ends, why, and what to do.
pub(super) fn notes(cut: Option<Wave>, missing: &[&DesiredSecret]) -> Vec<String> {
    let Some(cut) = cut else {
        return Vec::new();
    };
    let mut notes = vec![format!(
        "the plan ends before {cut}: secrets are missing; set them, then plan again"
    )];
    notes.extend(missing.iter().map(|secret| {
        format!(
            "secret `{}` is not set on host `{}`; {} needs it: `{}`",
            secret.name,
            secret.host,
            secret.wave,
            command(secret)
        )
    }));
    notes
}

/// The command that sets it.
pub(super) fn command(secret: &DesiredSecret) -> String {
    let (verb, option) = match secret.usage {
        v1::SecretUse::OmniEncryptionKey => ("generate", " --export FILE"),
        v1::SecretUse::Opaque
        | v1::SecretUse::CertificateChain
        | v1::SecretUse::PrivateKey
        | v1::SecretUse::OidcClientId
        | v1::SecretUse::OidcClientSecret
        | v1::SecretUse::Unspecified => ("set", ""),
    };
    format!(
        "omni-scale secret {verb} {} {}{option}",
        secret.host, secret.name
    )
}
