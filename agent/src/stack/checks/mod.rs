//! What the stacks of this host answer to checks.

mod questions;
mod service;
mod sidecar;

use async_trait::async_trait;
use omni_scale_probe::{ProbeReport, ProbeRequest};
use omni_scale_proto::id::{ServiceName, StackName};
use omni_scale_proto::v1::{self, CheckStatus, PortProtocol};

use super::engine::{ContainerDetails, EngineError};
use super::observe::Parts;
use super::probe::ProbeError;
use super::{Stacks, container};
use crate::error::chain;
use crate::service::checks::{Finding, ServiceStart, StackChecks};

/// The device that a tailnet node in kernel mode needs.
const TUN: &str = "/dev/net/tun";

#[async_trait]
impl StackChecks for Stacks {
    async fn tun(&self) -> Finding {
        let device = v1::Device {
            source: TUN.to_owned(),
            target: TUN.to_owned(),
            permissions: "rwm".to_owned(),
        };
        // The agent's own sandbox hides the device; what counts is what a container is given.
        match self.probe.try_device(&*self.engine, &device).await {
            Ok(()) => Finding::passed(format!("the Engine can give containers {TUN}")),
            Err(ProbeError::Engine(error)) if chain(&error).contains(TUN) => Finding::failed(
                format!("the Engine cannot give containers {TUN}: {}", chain(&error)),
            )
            .with_hint("`modprobe tun`; on a container or VM host, pass the device through"),
            Err(ProbeError::Engine(error)) => absent(&error),
            Err(error) => Finding::unknown(chain(&error)),
        }
    }

    async fn engine(&self) -> Finding {
        match self.engine.version().await {
            Ok(version) => Finding::passed(format!(
                "Docker Engine {}, API {}",
                version.version, version.api_version
            )),
            Err(error @ (EngineError::TooOld { .. } | EngineError::VersionRefused { .. })) => {
                Finding::failed(chain(&error))
                    .with_hint("Engines from 20.10 on will do")
                    .finally()
            }
            Err(error) => absent(&error),
        }
    }

    async fn service(&self, check: &v1::ServiceCheck) -> Finding {
        self.check_service(check).await
    }

    async fn sidecar_name(&self, check: &v1::SidecarNameCheck) -> Finding {
        self.check_sidecar_name(check).await
    }

    async fn stack_policy(&self, check: &v1::StackPolicyCheck) -> Finding {
        let stack = check.stack.clone().unwrap_or_default();
        let refusals = match self.refusals(&stack).await {
            Ok(refusals) => refusals,
            Err(failure) => return Finding::unknown(failure.message),
        };
        let impossible = stack
            .services
            .iter()
            .filter_map(|service| container::check(service).err());
        let evidence: Vec<String> = refusals
            .iter()
            .map(ToString::to_string)
            .chain(impossible.map(|error| error.to_string()))
            .collect();
        if evidence.is_empty() {
            let name = &stack.name;
            return Finding::passed(format!(
                "agent.toml allows everything that stack `{name}` asks for"
            ));
        }
        let finding = Finding::failed(format!(
            "this host refuses {} of stack `{}`: {}",
            if evidence.len() == 1 {
                "a part"
            } else {
                "parts"
            },
            stack.name,
            evidence.join("; ")
        ));
        let keys: std::collections::BTreeSet<_> =
            refusals.iter().filter_map(|refusal| refusal.key).collect();
        let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
        let finding = finding.with_evidence(evidence).finally();
        if keys.is_empty() {
            finding
        } else {
            finding.with_hint(format!(
                "root may extend {} in /etc/omni-scale/agent.toml, then `systemctl restart omni-scale-agent`",
                keys.join(", ")
            ))
        }
    }

    async fn holds_port(&self, stack: &str, check: &v1::PortFreeCheck) -> bool {
        let Ok(containers) = self.engine.project_containers(stack).await else {
            return false;
        };
        let parts = Parts::of(&containers);
        parts
            .serving
            .values()
            .any(|container| holds(container, check))
    }

    async fn probe_in_namespace(
        &self,
        stack: &StackName,
        service: &ServiceName,
        request: ProbeRequest,
    ) -> Result<ProbeReport, Finding> {
        let container = self.running(stack, service.as_str()).await?;
        let probed = self
            .probe
            .probe(&*self.engine, &container.id, &request)
            .await;
        let report = probed.map_err(|error| match error {
            ProbeError::Engine(error) => absent(&error),
            other => Finding::unknown(self.secrets.mask(&chain(&other))),
        })?;
        if report.met {
            self.remember(stack, service.as_str(), &request).await;
        }
        Ok(report)
    }

    async fn service_start(
        &self,
        stack: &StackName,
        service: &ServiceName,
    ) -> Result<ServiceStart, Finding> {
        let container = self.running(stack, service.as_str()).await?;
        Ok(ServiceStart {
            container_id: container.id,
            started_at_milliseconds: container.started_at_milliseconds,
            restarts: container.restarts,
        })
    }

    async fn engine_version(&self) -> Option<v1::EngineVersion> {
        self.engine.version().await.ok()
    }
}

impl Stacks {
    /// The running container of a service.
    async fn running(&self, stack: &StackName, service: &str) -> Result<ContainerDetails, Finding> {
        let containers = self.engine.project_containers(stack.as_str()).await;
        let containers = containers.map_err(|error| absent(&error))?;
        let parts = Parts::of(&containers);
        let Some(container) = parts.serving.get(service) else {
            return Err(Finding::failed(format!(
                "service `{service}` of stack `{stack}` has no container"
            )));
        };
        if !container.is_running() {
            let summary = format!(
                "service `{service}` does not run: it {}",
                super::ended(container)
            );
            let evidence = self.evidence(&container.id).await;
            return Err(Finding::failed(self.secrets.mask(&summary)).with_evidence(evidence));
        }
        Ok((*container).clone())
    }
}

/// The Engine did not answer, or not as it should.
fn absent(error: &EngineError) -> Finding {
    let text = chain(error);
    if text.contains("ermission denied") {
        return Finding::new(CheckStatus::Failed, text).with_hint(
            "`sudo omni-scale-agent setup` on that host gives the agent the Docker socket",
        );
    }
    let finding = Finding::unknown(text);
    if error.is_absence() {
        finding.with_hint("is the Docker Engine running? `systemctl status docker`")
    } else {
        finding
    }
}

fn holds(container: &ContainerDetails, check: &v1::PortFreeCheck) -> bool {
    let any = |address: &str| matches!(address, "" | "0.0.0.0" | "::");
    container.held_ports.iter().any(|held| {
        let same_protocol =
            held.protocol == check.protocol() || check.protocol() == PortProtocol::Unspecified;
        let same_address =
            held.address == check.address || any(&held.address) || any(&check.address);
        u32::from(held.port) == check.port && same_protocol && same_address
    })
}

#[cfg(test)]
mod tests;
