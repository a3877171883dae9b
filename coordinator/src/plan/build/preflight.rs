//! What must be true before anything is done.

use std::collections::BTreeSet;

use omni_scale_proto::id::HostName;
use omni_scale_proto::v1::{self, check::Kind};

use super::Context;
use super::gates::{check, secrets};
use super::machines::Machines;
use crate::plan::desired::{Desired, DesiredIdentity, Wave};
use crate::plan::observed::Observed;
use crate::plan::step::GateCheck;

const TUN: &str = "/dev/net/tun";

/// Every check that applies, so that one list shows everything missing.
pub(super) fn gate(context: &Context<'_>) -> Vec<GateCheck> {
    let mut checks = hosts(context.desired, &BTreeSet::new());
    checks.extend(unit(context));
    checks.extend(node_names(context));
    checks.extend(engine(context));
    checks.extend(ports(context));
    checks.extend(hypervisor(
        context.desired,
        context.machines,
        &context.waves(),
    ));
    checks.extend(secrets(
        context.desired,
        context.observed,
        &context.waves(),
        Wave::Preflight,
    ));
    checks
}

/// Every check that applies before hosts are made.
pub(super) fn gate_of_new_hosts(
    desired: &Desired,
    observed: &Observed,
    machines: &Machines,
    to_be_made: &BTreeSet<HostName>,
) -> Vec<GateCheck> {
    let waves = [Wave::HostMachines];
    let mut checks = hosts(desired, to_be_made);
    checks.extend(hypervisor(desired, machines, &waves));
    checks.extend(secrets(desired, observed, &waves, Wave::Preflight));
    checks
}

/// Whether the cluster will do for what is made on it.
fn hypervisor(desired: &Desired, machines: &Machines, waves: &[Wave]) -> Option<GateCheck> {
    let wanted = desired.machines.as_ref()?;
    let made = machines.made.iter();
    let made = made.filter(|(wave, _)| waves.contains(wave));
    let made: Vec<v1::Machine> = made.map(|(_, machine)| machine.clone()).collect();
    let plural = match made.len() {
        0 => return None,
        1 => "machine",
        _ => "machines",
    };
    Some(check(
        Wave::Preflight,
        &wanted.host,
        "hypervisor",
        format!("Proxmox VE has what {} {plural} need", made.len()),
        0,
        Kind::Hypervisor(v1::HypervisorCheck {
            hypervisor: Some(wanted.hypervisor.clone()),
            machines: made,
            nameservers: wanted.nameservers.clone(),
        }),
    ))
}

fn hosts(desired: &Desired, but: &BTreeSet<HostName>) -> Vec<GateCheck> {
    let hosts = desired.hosts.iter();
    hosts
        .filter(|(host, _)| !but.contains(*host))
        .map(|(host, wanted)| {
            check(
                Wave::Preflight,
                host,
                "tailnet",
                format!("its node is connected as {}", wanted.dns_name),
                0,
                Kind::Tailnet(v1::TailnetCheck {
                    expected_dns_name: wanted.dns_name.clone(),
                }),
            )
        })
        .collect()
}

fn unit(context: &Context<'_>) -> Option<GateCheck> {
    let DesiredIdentity::Tsidp { host, .. } = &context.desired.identity else {
        return None;
    };
    let configuration = context.unit?.as_wire().clone();
    Some(check(
        Wave::Preflight,
        host,
        "unit-policy",
        "agent.toml allows the tsidp unit".to_owned(),
        0,
        Kind::UnitPolicy(v1::UnitPolicyCheck {
            configuration: Some(configuration),
        }),
    ))
}

/// What logs in for the first time, or again without what it was, must get its name.
fn node_names(context: &Context<'_>) -> Vec<GateCheck> {
    let name = |host: &HostName, name: &str, dns_name: &str, may_be_itself| {
        check(
            Wave::Preflight,
            host,
            name,
            format!("the name {dns_name} is free for a new node"),
            0,
            Kind::NodeNameFree(v1::NodeNameFreeCheck {
                dns_name: dns_name.to_owned(),
                may_be_itself,
            }),
        )
    };
    let mut checks = Vec::new();
    if let DesiredIdentity::Tsidp { host, dns_name, .. } = &context.desired.identity {
        let facts = context.observed.facts(host);
        let unit = facts.and_then(|facts| facts.unit.as_ref());
        if unit.is_some_and(|unit| !unit.node_known) {
            checks.push(name(host, "tsidp-name", dns_name, true));
        }
    }
    let stack = &context.desired.stack;
    let acts = context.cut.is_none_or(|cut| cut > Wave::Sidecar);
    if acts && !super::secrets::sidecar_is_known(context.desired, context.stack_facts) {
        // A directory of the host that holds its state is not looked into.
        let binds = context
            .stack
            .service(stack.sidecar.as_str())
            .is_some_and(|service| {
                let mut mounts = service.mounts.iter();
                mounts.any(|mount| matches!(mount.source, Some(v1::mount::Source::Bind(_))))
            });
        checks.push(name(&stack.host, "sidecar-name", &stack.dns_name, binds));
    }
    checks
}

fn engine(context: &Context<'_>) -> Vec<GateCheck> {
    let host = &context.desired.stack.host;
    let gate = |name: &str, title: &str, kind: Kind| {
        check(Wave::Preflight, host, name, title.to_owned(), 0, kind)
    };
    let mut checks = vec![
        gate(
            "engine",
            "the Engine answers",
            Kind::Engine(v1::EngineCheck {}),
        ),
        gate(
            "stack-policy",
            "agent.toml allows the stack",
            Kind::StackPolicy(v1::StackPolicyCheck {
                stack: Some(context.stack.as_wire().clone()),
            }),
        ),
    ];
    let mut devices = context
        .stack
        .as_wire()
        .services
        .iter()
        .flat_map(|service| &service.devices);
    if devices.any(|device| device.source == TUN) {
        checks.push(gate(
            "tun",
            "containers can use /dev/net/tun",
            Kind::Tun(v1::TunCheck {}),
        ));
    }
    checks
}

fn ports(context: &Context<'_>) -> Vec<GateCheck> {
    let ports: BTreeSet<(&str, u32, v1::PortProtocol)> = context
        .stack
        .as_wire()
        .services
        .iter()
        .flat_map(|service| &service.ports)
        .filter(|port| port.host_port != 0)
        .map(|port| {
            let all = "0.0.0.0";
            let address = if port.host_address.is_empty() {
                all
            } else {
                &port.host_address
            };
            (address, port.host_port, port.protocol())
        })
        .collect();
    ports
        .into_iter()
        .map(|(address, port, protocol)| {
            let word = match protocol {
                v1::PortProtocol::Udp => "udp",
                v1::PortProtocol::Tcp | v1::PortProtocol::Unspecified => "tcp",
            };
            check(
                Wave::Preflight,
                &context.desired.stack.host,
                &format!("port/{address}/{port}/{word}"),
                format!("port {port}/{word} is free on {address}"),
                0,
                Kind::PortFree(v1::PortFreeCheck {
                    address: address.to_owned(),
                    port,
                    protocol: protocol.into(),
                    stack: context.stack.name().to_string(),
                }),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::fake::FakeAgents;
    use crate::plan::{Choices, Scope, examples, plan};
    use crate::rollout::{SystemClock, observe};

    /// The names that have to be free, and whether a device of that name may be the node itself.
    async fn names(desired: &Desired, agents: &FakeAgents) -> Vec<(String, bool)> {
        agents.world().skew_to(&SystemClock);
        let observed = observe(&agents.seat(), &SystemClock, &Scope::of(desired)).await;
        let plan = plan(desired, &observed, Choices::default()).unwrap();
        let gate = &plan.wave(Wave::Preflight).unwrap().gate;
        let kinds = gate.iter().filter_map(|check| check.check.kind.as_ref());
        kinds
            .filter_map(|kind| match kind {
                Kind::NodeNameFree(check) => Some((check.dns_name.clone(), check.may_be_itself)),
                _ => None,
            })
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_without_its_state_has_to_get_its_name() {
        let desired = examples::desired();
        let agents = FakeAgents::new(&desired);
        let name = |label: &str| format!("{label}.{}", examples::TAILNET);
        let first = [(name("tsidp"), true), (name("omni"), false)];
        assert_eq!(names(&desired, &agents).await, first);
        agents.converge(&desired);
        assert_eq!(names(&desired, &agents).await, []);
        {
            // Somebody removed the container, and the volume with it.
            let mut world = agents.world();
            let stack = &mut world.host("omni").stack;
            stack.containers.remove("omni-tailscale");
            stack
                .volumes
                .retain(|volume| volume != "omni_tailscale-state");
        }
        assert_eq!(names(&desired, &agents).await, [(name("omni"), false)]);
    }
}
