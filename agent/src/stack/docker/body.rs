//! A container's specification as the Engine's API wants it.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, EndpointSettings, HealthConfig, HostConfig,
    HostConfigLogConfig, Mount, MountTmpfsOptions, MountType, NetworkingConfig, PortBinding,
    PortMap, RestartPolicy, RestartPolicyNameEnum,
};
use omni_scale_proto::v1;

use crate::stack::engine::{
    ContainerSpecification, EndpointSpecification, MountSpecification, NetworkAttachment,
};

/// The request to create a container. Only the first of several networks stands in it: Engines
/// before API 1.44 refuse more, so the others are connected before the container is started.
pub(super) fn container(specification: &ContainerSpecification) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(specification.image.clone()),
        labels: Some(specification.labels.clone().into_iter().collect()),
        entrypoint: specification.entrypoint.clone(),
        cmd: specification.command.clone(),
        env: Some(environment(specification)),
        user: text(&specification.user),
        working_dir: text(&specification.working_directory),
        hostname: text(&specification.hostname),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        exposed_ports: some(specification.ports.iter().map(container_port).collect()),
        healthcheck: specification.health_check.as_ref().map(health_check),
        stop_signal: text(&specification.stop_signal),
        stop_timeout: specification.stop_grace.map(whole_seconds),
        host_config: Some(host_config(specification)),
        networking_config: networking(&specification.network),
        ..ContainerCreateBody::default()
    }
}

/// A container's place on one network.
pub(super) fn endpoint(endpoint: &EndpointSpecification) -> EndpointSettings {
    EndpointSettings {
        aliases: Some(endpoint.aliases.clone()),
        ..EndpointSettings::default()
    }
}

fn host_config(specification: &ContainerSpecification) -> HostConfig {
    let (binds, mounts) = mounts(&specification.mounts);
    HostConfig {
        binds: some(binds),
        mounts: some(mounts),
        network_mode: Some(network_mode(&specification.network)),
        port_bindings: port_bindings(&specification.ports),
        restart_policy: Some(restart_policy(
            specification.restart,
            specification.restart_attempts,
        )),
        devices: some(specification.devices.iter().map(device).collect()),
        cap_add: some(specification.capabilities_add.clone()),
        cap_drop: some(specification.capabilities_drop.clone()),
        sysctls: (!specification.sysctls.is_empty())
            .then(|| specification.sysctls.clone().into_iter().collect()),
        security_opt: some(specification.security_options.clone()),
        init: specification.init,
        readonly_rootfs: Some(specification.read_only),
        ipc_mode: text(&specification.ipc_mode),
        extra_hosts: some(specification.extra_hosts.clone()),
        dns: some(specification.dns.clone()),
        dns_search: some(specification.dns_search.clone()),
        log_config: specification
            .logging
            .as_ref()
            .map(|logging| HostConfigLogConfig {
                typ: text(&logging.driver),
                config: Some(logging.options.clone().into_iter().collect()),
            }),
        pids_limit: specification.process_limit.map(i64::from),
        memory: specification
            .memory_limit
            .map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
        ..HostConfig::default()
    }
}

fn environment(specification: &ContainerSpecification) -> Vec<String> {
    specification
        .environment
        .iter()
        .map(|entry| {
            let value = String::from_utf8_lossy(entry.value.expose());
            format!("{}={value}", entry.name)
        })
        .collect()
}

/// Volumes go as binds, which is how Compose asks for them; a bind of the host goes as a mount,
/// because the Engine makes a missing source of the other form as an empty directory of root's.
fn mounts(all: &[MountSpecification]) -> (Vec<String>, Vec<Mount>) {
    let mut binds = Vec::new();
    let mut mounts = Vec::new();
    for mount in all {
        match mount {
            MountSpecification::Volume {
                name,
                target,
                read_only,
            } => {
                let access = if *read_only { "ro" } else { "rw" };
                binds.push(format!("{name}:{target}:{access}"));
            }
            MountSpecification::Bind {
                source,
                target,
                read_only,
            } => mounts.push(Mount {
                typ: Some(MountType::BIND),
                source: Some(source.clone()),
                target: Some(target.clone()),
                read_only: Some(*read_only),
                ..Mount::default()
            }),
            MountSpecification::Temporary { target, size, mode } => mounts.push(Mount {
                typ: Some(MountType::TMPFS),
                target: Some(target.clone()),
                tmpfs_options: Some(MountTmpfsOptions {
                    size_bytes: (*size > 0).then(|| i64::try_from(*size).unwrap_or(i64::MAX)),
                    mode: (*mode > 0).then(|| i64::from(*mode)),
                    options: None,
                }),
                ..Mount::default()
            }),
        }
    }
    (binds, mounts)
}

fn network_mode(network: &NetworkAttachment) -> String {
    match network {
        NetworkAttachment::None => "none".to_owned(),
        NetworkAttachment::DefaultBridge => "bridge".to_owned(),
        NetworkAttachment::Networks(endpoints) => endpoints
            .first()
            .map_or_else(|| "none".to_owned(), |endpoint| endpoint.network.clone()),
        NetworkAttachment::Container(id) => format!("container:{id}"),
    }
}

fn networking(network: &NetworkAttachment) -> Option<NetworkingConfig> {
    let NetworkAttachment::Networks(endpoints) = network else {
        return None;
    };
    let first = endpoints.first()?;
    Some(NetworkingConfig {
        endpoints_config: Some(HashMap::from([(first.network.clone(), endpoint(first))])),
    })
}

fn port_bindings(ports: &[v1::PublishedPort]) -> Option<PortMap> {
    let mut map = PortMap::new();
    for port in ports {
        let bindings = map.entry(container_port(port)).or_default();
        bindings.get_or_insert_default().push(PortBinding {
            host_ip: text(&port.host_address),
            // The Engine takes an empty port as "choose one".
            host_port: Some(match port.host_port {
                0 => String::new(),
                port => port.to_string(),
            }),
        });
    }
    (!map.is_empty()).then_some(map)
}

fn container_port(port: &v1::PublishedPort) -> String {
    let protocol = match port.protocol() {
        v1::PortProtocol::Udp => "udp",
        v1::PortProtocol::Tcp | v1::PortProtocol::Unspecified => "tcp",
    };
    format!("{}/{protocol}", port.container_port)
}

pub(super) fn restart_policy(policy: v1::RestartPolicy, attempts: u32) -> RestartPolicy {
    let name = match policy {
        v1::RestartPolicy::Unspecified | v1::RestartPolicy::No => RestartPolicyNameEnum::NO,
        v1::RestartPolicy::Always => RestartPolicyNameEnum::ALWAYS,
        v1::RestartPolicy::OnFailure => RestartPolicyNameEnum::ON_FAILURE,
        v1::RestartPolicy::UnlessStopped => RestartPolicyNameEnum::UNLESS_STOPPED,
    };
    RestartPolicy {
        name: Some(name),
        maximum_retry_count: (policy == v1::RestartPolicy::OnFailure).then(|| i64::from(attempts)),
    }
}

fn health_check(check: &v1::HealthCheck) -> HealthConfig {
    HealthConfig {
        test: Some(check.test.clone()),
        interval: nanoseconds(check.interval_milliseconds),
        timeout: nanoseconds(check.timeout_milliseconds),
        retries: (check.retries > 0).then(|| i64::from(check.retries)),
        start_period: nanoseconds(check.start_period_milliseconds),
        start_interval: nanoseconds(check.start_interval_milliseconds),
    }
}

/// Absent: the Engine's default.
fn nanoseconds(milliseconds: u32) -> Option<i64> {
    (milliseconds > 0).then(|| i64::from(milliseconds) * 1_000_000)
}

fn device(device: &v1::Device) -> DeviceMapping {
    DeviceMapping {
        path_on_host: Some(device.source.clone()),
        path_in_container: Some(device.target.clone()),
        cgroup_permissions: Some(device.permissions.clone()),
    }
}

/// Seconds, rounded up: a grace must not become none.
pub(super) fn whole_seconds(duration: Duration) -> i64 {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_of_another_namespace_has_no_endpoints() {
        let specification = ContainerSpecification {
            network: NetworkAttachment::Container("abc".to_owned()),
            ..ContainerSpecification::default()
        };
        let body = container(&specification);
        assert_eq!(
            body.host_config.unwrap().network_mode.unwrap(),
            "container:abc"
        );
        assert!(body.networking_config.is_none());
    }

    #[test]
    fn a_missing_bind_source_is_never_made_by_the_engine() {
        let (binds, mounts) = mounts(&[
            MountSpecification::Bind {
                source: "/srv/data".to_owned(),
                target: "/data".to_owned(),
                read_only: true,
            },
            MountSpecification::Volume {
                name: "omni_state".to_owned(),
                target: "/state".to_owned(),
                read_only: false,
            },
        ]);
        assert_eq!(binds, ["omni_state:/state:rw"]);
        assert_eq!(mounts[0].source.as_deref(), Some("/srv/data"));
        assert_eq!(mounts[0].read_only, Some(true));
    }

    #[test]
    fn a_grace_of_less_than_a_second_is_not_none() {
        assert_eq!(whole_seconds(Duration::from_millis(200)), 1);
        assert_eq!(whole_seconds(Duration::from_secs(10)), 10);
    }
}
