//! One question, asked once: which part of the agent knows the answer.

use omni_scale_probe::{BodyExpectation, ProbeReport, ProbeRequest};
use omni_scale_proto::v1::check::Kind;
use omni_scale_proto::v1::{self, vantage::Place};

use super::{Checks, Finding, ServiceStart, StackChecks, host};
use crate::error::chain;

impl Checks {
    /// Asks once.
    pub(super) async fn ask(&self, check: &v1::Check) -> Finding {
        let Some(kind) = &check.kind else {
            return Finding::unknown("the check asks nothing that this agent knows").finally();
        };
        match kind {
            Kind::PortFree(check) => self.port_free(check).await,
            Kind::Secret(check) => host::secret(&self.secrets, check).await,
            Kind::Tailnet(check) => host::tailnet(&*self.tailnet, check).await,
            Kind::Discovery(check) => self.discovery(check).await,
            Kind::Http(check) => self.http(check).await,
            Kind::UnitPolicy(check) => match &self.unit {
                Some(unit) => unit.unit_policy(check).await,
                None => no_role("tsidp"),
            },
            Kind::Hypervisor(check) => match &self.machines {
                Some(machines) => machines.hypervisor(check).await,
                None => no_role("proxmox"),
            },
            Kind::NodeNameFree(check) => host::node_name_free(&*self.tailnet, check).await,
            Kind::Login(check) => match &self.client {
                Some(client) => client.login(check).await,
                None => no_role("omni"),
            },
            Kind::Tun(_)
            | Kind::Engine(_)
            | Kind::Service(_)
            | Kind::SidecarName(_)
            | Kind::StackPolicy(_) => match &self.stacks {
                Some(stacks) => ask_stacks(&**stacks, kind).await,
                None => no_role("omni"),
            },
        }
    }

    async fn port_free(&self, check: &v1::PortFreeCheck) -> Finding {
        let finding = host::port_free(check).await;
        if finding.status == v1::CheckStatus::Passed || check.stack.is_empty() {
            return finding;
        }
        let Some(stacks) = &self.stacks else {
            return finding;
        };
        if stacks.holds_port(&check.stack, check).await {
            let port = check.port;
            return Finding::passed(format!(
                "port {port} is held by stack `{}` itself",
                check.stack
            ));
        }
        finding
    }

    async fn discovery(&self, check: &v1::DiscoveryCheck) -> Finding {
        let roots = match self.roots(&check.extra_roots_pem).await {
            Ok(roots) => roots,
            Err(finding) => return finding,
        };
        let request = ProbeRequest::discovery(&check.issuer, roots);
        match self.take(check.vantage.as_ref(), request).await {
            Ok(report) => judge(
                &report,
                format!("issuer {} answers with its keys", check.issuer),
            ),
            Err(finding) => finding,
        }
    }

    async fn http(&self, check: &v1::HttpCheck) -> Finding {
        let body = match check.expected_body() {
            v1::BodyExpectation::Any | v1::BodyExpectation::Unspecified => BodyExpectation::Any,
            v1::BodyExpectation::Empty => BodyExpectation::Empty,
        };
        let Ok(status) = u16::try_from(check.expected_status) else {
            return Finding::failed("the expected status is no HTTP status").finally();
        };
        let roots = match self.roots(&check.extra_roots_pem).await {
            Ok(roots) => roots,
            Err(finding) => return finding,
        };
        let request = ProbeRequest::status(&check.url, status, body, roots);
        match self.take(check.vantage.as_ref(), request).await {
            Ok(report) => judge(&report, format!("{} answers {status}", check.url)),
            Err(finding) => finding,
        }
    }

    /// The start of the service that an HTTP check watches. `None`: it watches none.
    pub(super) async fn watched_start(
        &self,
        check: &v1::HttpCheck,
    ) -> Result<Option<ServiceStart>, Finding> {
        if check.service.is_empty() {
            return Ok(None);
        }
        let stacks = self.stacks.as_ref().ok_or_else(|| no_role("omni"))?;
        let (stack, service) = service_of(&check.stack, &check.service)?;
        stacks.service_start(&stack, &service).await.map(Some)
    }

    async fn roots(&self, extra_pem: &str) -> Result<String, Finding> {
        let roots = self.roots.clone();
        let extra_pem = extra_pem.to_owned();
        match tokio::task::spawn_blocking(move || roots.with(&extra_pem)).await {
            Ok(Ok(roots)) => Ok(roots),
            Ok(Err(error)) => Err(Finding::unknown(chain(&error))),
            Err(error) => Err(Finding::unknown(error.to_string())),
        }
    }

    async fn take(
        &self,
        vantage: Option<&v1::Vantage>,
        request: ProbeRequest,
    ) -> Result<ProbeReport, Finding> {
        match vantage.and_then(|vantage| vantage.place.as_ref()) {
            // What the other programs of this host see.
            None | Some(Place::Host(_)) => Ok(self.vantage.probe(request).await),
            Some(Place::Namespace(place)) => {
                let stacks = self.stacks.as_ref().ok_or_else(|| no_role("omni"))?;
                let (stack, service) = service_of(&place.stack, &place.service)?;
                stacks.probe_in_namespace(&stack, &service, request).await
            }
        }
    }
}

async fn ask_stacks(stacks: &dyn StackChecks, kind: &Kind) -> Finding {
    match kind {
        Kind::Tun(_) => stacks.tun().await,
        Kind::Engine(_) => stacks.engine().await,
        Kind::Service(check) => stacks.service(check).await,
        Kind::SidecarName(check) => stacks.sidecar_name(check).await,
        Kind::StackPolicy(check) => stacks.stack_policy(check).await,
        Kind::PortFree(_)
        | Kind::Secret(_)
        | Kind::Tailnet(_)
        | Kind::Discovery(_)
        | Kind::Http(_)
        | Kind::Hypervisor(_)
        | Kind::Login(_)
        | Kind::NodeNameFree(_)
        | Kind::UnitPolicy(_) => Finding::unknown("stacks do not know the answer").finally(),
    }
}

fn service_of(
    stack: &str,
    service: &str,
) -> Result<
    (
        omni_scale_proto::id::StackName,
        omni_scale_proto::id::ServiceName,
    ),
    Finding,
> {
    let malformed =
        |error: omni_scale_proto::id::InvalidId| Finding::failed(error.to_string()).finally();
    Ok((
        stack.parse().map_err(malformed)?,
        service.parse().map_err(malformed)?,
    ))
}

fn no_role(role: &str) -> Finding {
    Finding::failed(format!("this host does not have the role `{role}`"))
        .with_hint(format!(
            "add `{role}` to `roles` in /etc/omni-scale/agent.toml there, then `sudo omni-scale-agent setup`"
        ))
        .finally()
}

/// What a probe's report means.
fn judge(report: &ProbeReport, passed: String) -> Finding {
    let steps = report.steps.iter().map(|step| match &step.outcome {
        omni_scale_probe::Outcome::Ok => {
            format!("{}: ok, {} ms", step.step, step.elapsed_milliseconds)
        }
        omni_scale_probe::Outcome::Failed { message, .. } => format!("{}: {message}", step.step),
    });
    let mut evidence: Vec<String> = steps.collect();
    if !report.nameservers.is_empty() {
        let nameservers: Vec<String> = report.nameservers.iter().map(ToString::to_string).collect();
        evidence.push(format!("nameservers: {}", nameservers.join(", ")));
    }
    match report.failure() {
        None if report.met => Finding::passed(passed),
        None => Finding::unknown(format!("the probe of {} came to no end", report.url)),
        Some(failure) => {
            let finding = Finding::failed(format!("{}: {failure}", report.url));
            if failure.class.may_pass() {
                finding
            } else {
                finding.finally()
            }
        }
    }
    .with_evidence(evidence)
}
