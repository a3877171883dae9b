//! The Engine's answers about containers and images, in the port's words.

use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum, HealthStatusEnum, ImageInspect, PortMap,
    RestartPolicyNameEnum,
};
use omni_scale_proto::v1::{ContainerHealth, ContainerState, PortProtocol, RestartPolicy};

use super::time::milliseconds;
use crate::stack::engine::{ContainerDetails, HeldPort, ImageDetails, VolumeUse};

/// Reads an inspection.
pub(super) fn container(inspected: ContainerInspectResponse) -> ContainerDetails {
    let state = inspected.state.unwrap_or_default();
    let config = inspected.config.unwrap_or_default();
    let host = inspected.host_config.unwrap_or_default();
    let running = state.running.unwrap_or_default();
    let network = inspected.network_settings.unwrap_or_default();
    let mut networks: Vec<String> = network.networks.unwrap_or_default().into_keys().collect();
    networks.sort();
    ContainerDetails {
        id: inspected.id.unwrap_or_default(),
        name: inspected
            .name
            .unwrap_or_default()
            .trim_start_matches('/')
            .to_owned(),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        image: config.image.unwrap_or_default(),
        image_id: inspected.image.unwrap_or_default(),
        state: container_state(state.status),
        exit_code: if running {
            0
        } else {
            state
                .exit_code
                .and_then(|code| i32::try_from(code).ok())
                .unwrap_or_default()
        },
        out_of_memory: state.oom_killed.unwrap_or_default(),
        error: state.error.unwrap_or_default(),
        health: health(state.health.and_then(|health| health.status)),
        started_at_milliseconds: milliseconds(state.started_at.as_deref().unwrap_or_default()),
        restarts: inspected
            .restart_count
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or_default(),
        restart: restart(host.restart_policy.and_then(|policy| policy.name)),
        network_mode: host.network_mode.unwrap_or_default(),
        networks,
        volumes: inspected
            .mounts
            .unwrap_or_default()
            .into_iter()
            .filter(|mount| mount.typ.as_deref() == Some("volume"))
            .map(|mount| VolumeUse {
                name: mount.name.unwrap_or_default(),
                target: mount.destination.unwrap_or_default(),
            })
            .collect(),
        held_ports: held_ports(network.ports.unwrap_or_default()),
    }
}

fn restart(policy: Option<RestartPolicyNameEnum>) -> RestartPolicy {
    match policy {
        Some(RestartPolicyNameEnum::ALWAYS) => RestartPolicy::Always,
        Some(RestartPolicyNameEnum::ON_FAILURE) => RestartPolicy::OnFailure,
        Some(RestartPolicyNameEnum::UNLESS_STOPPED) => RestartPolicy::UnlessStopped,
        Some(RestartPolicyNameEnum::NO | RestartPolicyNameEnum::EMPTY) | None => RestartPolicy::No,
    }
}

fn container_state(status: Option<ContainerStateStatusEnum>) -> ContainerState {
    match status {
        Some(ContainerStateStatusEnum::CREATED) => ContainerState::Created,
        // Still running; its stop signal was sent.
        Some(ContainerStateStatusEnum::RUNNING | ContainerStateStatusEnum::STOPPING) => {
            ContainerState::Running
        }
        Some(ContainerStateStatusEnum::PAUSED) => ContainerState::Paused,
        Some(ContainerStateStatusEnum::RESTARTING) => ContainerState::Restarting,
        Some(ContainerStateStatusEnum::REMOVING) => ContainerState::Removing,
        Some(ContainerStateStatusEnum::EXITED) => ContainerState::Exited,
        Some(ContainerStateStatusEnum::DEAD) => ContainerState::Dead,
        Some(ContainerStateStatusEnum::EMPTY) | None => ContainerState::Unspecified,
    }
}

/// A container without a health check has no health at all in the Engine's answer.
fn health(status: Option<HealthStatusEnum>) -> ContainerHealth {
    match status {
        Some(HealthStatusEnum::STARTING) => ContainerHealth::Starting,
        Some(HealthStatusEnum::HEALTHY) => ContainerHealth::Healthy,
        Some(HealthStatusEnum::UNHEALTHY) => ContainerHealth::Unhealthy,
        Some(HealthStatusEnum::NONE | HealthStatusEnum::EMPTY) | None => ContainerHealth::None,
    }
}

/// From the Engine's map of `8090/tcp` to bindings.
fn held_ports(ports: PortMap) -> Vec<HeldPort> {
    let mut held: Vec<HeldPort> = ports
        .into_iter()
        .flat_map(|(container_port, bindings)| {
            let protocol = if container_port.ends_with("/udp") {
                PortProtocol::Udp
            } else {
                PortProtocol::Tcp
            };
            bindings
                .unwrap_or_default()
                .into_iter()
                .filter_map(move |binding| {
                    Some(HeldPort {
                        address: binding.host_ip.unwrap_or_default(),
                        port: binding.host_port?.parse().ok()?,
                        protocol,
                    })
                })
        })
        .collect();
    held.sort_by(|one, other| (&one.address, one.port).cmp(&(&other.address, other.port)));
    held
}

/// Reads an inspection of an image.
pub(super) fn image(inspected: ImageInspect) -> ImageDetails {
    ImageDetails {
        id: inspected.id.unwrap_or_default(),
        repository_digests: inspected.repo_digests.unwrap_or_default(),
        user: inspected
            .config
            .and_then(|config| config.user)
            .unwrap_or_default(),
    }
}
