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
