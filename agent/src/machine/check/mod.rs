//! Whether a cluster will do for machines that are to be made: everything that is missing, in one report.

mod needs;
mod nodes;
mod rights;
mod space;

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use omni_scale_proto::machine::{CheckedMachine, MACHINE_TAG};
use omni_scale_proto::v1::{self, CheckStatus, FailureClass, MachineImageKind};
use omni_scale_proxmox::{Client, NodeState, Permissions};

use super::Machines;
use super::survey::{Scope, Sought, Survey};
use super::trouble::Trouble;
use crate::operation::Failure;
use crate::service::checks::{Finding, MachineChecks};
use needs::Needs;
use nodes::Sight;

/// What was found missing, and what should be known.
#[derive(Debug, Default)]
struct Report {
    missing: BTreeSet<String>,
    warnings: BTreeSet<String>,
    rights: bool,
    /// What nodes show as a vnet, and not as a bridge of their own.
    vnets: BTreeSet<String>,
}

impl Report {
    fn missing(&mut self, line: impl Into<String>) {
        self.missing.insert(line.into());
    }

    fn warn(&mut self, line: impl Into<String>) {
        self.warnings.insert(line.into());
    }

    fn finding(self, cluster: &str, machines: usize, token: &str) -> Finding {
        let lines: Vec<String> = self.missing.iter().chain(&self.warnings).cloned().collect();
        let (missing, warnings) = (self.missing.len(), self.warnings.len());
        if missing > 0 {
            let summary = format!(
                "https://{cluster} will not do for {machines} machines: {}",
                self.missing.into_iter().collect::<Vec<_>>().join("; ")
            );
            let hint = if self.rights {
                format!(
                    "privileges: on a node, `pveum role add OmniScale --privs \"…\"`, then `pveum acl modify PATH \
                     --roles OmniScale --tokens '{token}'`, and the same for the token's user"
                )
            } else {
                String::new()
            };
            return Finding::failed(summary)
                .with_hint(hint)
                .with_evidence(lines);
        }
        if warnings > 0 {
            let first = lines.first().cloned().unwrap_or_default();
            let summary = format!("https://{cluster} will do for {machines} machines; {first}");
            return Finding::new(CheckStatus::Warning, summary).with_evidence(lines);
        }
        Finding::passed(format!("https://{cluster} will do for {machines} machines"))
    }
}

#[async_trait]
impl MachineChecks for Machines {
    async fn hypervisor(&self, check: &v1::HypervisorCheck) -> Finding {
        match self.check_hypervisor(check).await {
            Ok(finding) => finding,
            Err(failure) => {
                let finding = match failure.class {
                    FailureClass::Transient => Finding::unknown(failure.message),
                    FailureClass::Refused => Finding::failed(failure.message),
                    _ => Finding::failed(failure.message).finally(),
                };
                finding.with_hint(failure.hint.unwrap_or_default())
            }
        }
    }
}

impl Machines {
    async fn check_hypervisor(&self, check: &v1::HypervisorCheck) -> Result<Finding, Failure> {
        let hypervisor = check.hypervisor.clone().unwrap_or_default();
        let deployment = self.deployment().ok_or_else(|| {
            let message = "this agent is not enrolled in a deployment";
            Failure::new(FailureClass::Refused, message)
        })?;
        let machines: Result<Vec<CheckedMachine>, _> = check
            .machines
            .iter()
            .cloned()
            .map(CheckedMachine::try_from)
            .collect();
        let machines =
            machines.map_err(|error| Failure::from_error(FailureClass::Permanent, &error))?;
        let client = self.client(&hypervisor).await?;
        let failed = |error| Trouble::from(error).failure();
        let version = client.version().await.map_err(failed)?;
        self.inner.last.set(&hypervisor).await;
        let mut report = Report::default();
        let imports = |machine: &CheckedMachine| machine.image().kind() == MachineImageKind::Disk;
        if version.major_minor().is_some_and(|known| known < (8, 4)) && machines.iter().any(imports)
        {
            report.missing(format!(
                "Proxmox VE {} cannot import disk images over its API: 8.4 or newer can",
                version.version
            ));
        }
        let known = self.records(deployment);
        let survey = Survey::take(&client, deployment, &known, Scope::All)
            .await
            .map_err(failed)?;
        let is_there = |machine: &&CheckedMachine| {
            let sought = survey.seek(machine.identity().name(), &known);
            matches!(sought, Sought::Here(_))
        };
        let new: Vec<&CheckedMachine> = machines.iter().filter(|one| !is_there(one)).collect();
        let needs = Needs::of(&new);
        let permissions = client.permissions(None).await.map_err(failed)?;
        space::vmids(&new, &survey, &mut report);
        let mut images_missing = BTreeSet::new();
        let states: BTreeMap<String, NodeState> = client
            .nodes()
            .await
            .map_err(failed)?
            .into_iter()
            .map(|node| (node.node.to_string(), node.state))
            .collect();
        for node in needs.nodes() {
            if states.get(node) != Some(&NodeState::Online) {
                report.missing(format!("node `{node}` is not online"));
                continue;
            }
            let sight = Sight {
                client: &client,
                permissions: &permissions,
                needs: &needs,
                nameservers: &check.nameservers,
            };
            if sight.node(node, &mut report).await? {
                images_missing.insert(node.to_owned());
            }
        }
        rights::check(&needs, &images_missing, &permissions, &mut report);
        check_tags(&client, &permissions, &new, &mut report).await;
        let cluster = client.address().to_string();
        Ok(report.finding(&cluster, machines.len(), client.token_id()))
    }
}

/// Whether the datacenter lets the token set our tags. Who may not read its options finds out at the first machine.
async fn check_tags(
    client: &Client,
    permissions: &Permissions,
    machines: &[&CheckedMachine],
    report: &mut Report,
) {
    // Whoever may change the datacenter may set any tag.
    if permissions.holds("/", "Sys.Modify") {
        return;
    }
    let Ok(options) = client.options().await else {
        return;
    };
    let (registered, allowed) = (options.registered_tags(), options.allowed_tags());
    let tags = machines.iter().flat_map(|machine| &machine.as_wire().tags);
    let tags: BTreeSet<&str> = tags.map(String::as_str).chain([MACHINE_TAG]).collect();
    let access = options.user_tag_access();
    let restricted = access.as_deref().is_some_and(|access| access != "free");
    for tag in tags {
        if registered.iter().any(|known| known == tag) {
            report.warn(format!(
                "tag `{tag}` is registered: only `Sys.Modify` on `/` may set it"
            ));
        } else if restricted && !allowed.iter().any(|known| known == tag) {
            report.missing(format!(
                "the datacenter's `user-tag-access` does not let the token set the tag `{tag}`"
            ));
        }
    }
}
