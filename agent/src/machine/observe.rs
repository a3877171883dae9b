//! The cluster as it is, and what there is of our machines. What cannot be had is unknown, and says why.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use futures_util::StreamExt as _;
use omni_scale_proto::id::{DeploymentId, MachineName};
use omni_scale_proto::machine::machine_uuid;
use omni_scale_proto::v1::{self, MachinePresence};
use omni_scale_proxmox::{
    Client, Content, ContentKind, Node, NodeName, NodeState, PowerState, TaskQuery, TaskState, Vmid,
};

use super::Machines;
use super::apply::{CREATION, clearing};
use super::record::MachineRecord;
use super::settings::{first_boot_file, first_boot_slot, image_sum};
use super::survey::{Found, Reading, Scope, Sought, Survey, check_sight, incarnation_of};
use super::trouble::{Trouble, failure};
use crate::error::chain;
use crate::operation::Failure;

/// A guest agent that does not answer must not hold up the rest.
const GUEST_WITHIN: Duration = Duration::from_secs(3);
/// How many machines, or nodes, are asked about at once.
const AT_ONCE: usize = 8;

/// Whether the images on the nodes are wanted, too: every storage of every node is searched for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Images {
    Listed,
    LeftOut,
}

/// What somebody wants to know.
#[derive(Debug, Clone)]
pub struct Question {
    /// On which cluster.
    pub hypervisor: v1::Hypervisor,
    /// Of which machines.
    pub names: BTreeSet<MachineName>,
    /// Where VMIDs and half-made VMs are looked for.
    pub vmids: RangeInclusive<u32>,
}

impl Machines {
    /// The cluster and the machines as they are now. Never fails: what cannot be had is not known.
    pub async fn observe(&self, question: &Question) -> v1::MachinesObservation {
        let observation = self.look(question, Images::Listed).await;
        observation.unwrap_or_else(unknown)
    }

    pub(super) async fn look(
        &self,
        question: &Question,
        images: Images,
    ) -> Result<v1::MachinesObservation, Failure> {
        let deployment = self.deployment().ok_or_else(|| {
            let message = "this agent is not enrolled in a deployment";
            Failure::new(v1::FailureClass::Refused, message)
        })?;
        let client = self.client(&question.hypervisor).await?;
        let version = client.version().await.map_err(|error| failure(&error))?;
        self.inner.last.set(&question.hypervisor).await;
        check_sight(&client).await.map_err(Trouble::failure)?;
        let known = self.records(deployment);
        let survey = Survey::take(&client, deployment, &known, Scope::All)
            .await
            .map_err(|error| failure(&error))?;
        let nodes = client.nodes().await.map_err(|error| failure(&error))?;
        let (creating, stubs) = half_made(&client, &survey, &known, &question.vmids).await?;
        let look = Look {
            client: &client,
            deployment,
            survey: &survey,
            known: &known,
            creating: &creating,
            images,
        };
        let themselves = survey.names();
        let names = question.names.iter().chain(known.keys());
        let names: BTreeSet<&MachineName> = names.chain(&themselves).collect();
        let asked: Vec<_> = names.into_iter().map(|name| look.machine(name)).collect();
        let machines = futures_util::stream::iter(asked)
            .buffered(AT_ONCE)
            .collect()
            .await;
        Ok(v1::MachinesObservation {
            known: true,
            reason: String::new(),
            version: version.version,
            nodes: look.nodes(&nodes).await,
            machines,
            taken_vmids: taken(&survey, &question.vmids),
            stubs,
        })
    }
}

/// What is said of a cluster that cannot be looked at.
pub(super) fn unknown(failure: Failure) -> v1::MachinesObservation {
    v1::MachinesObservation {
        reason: match failure.hint {
            Some(hint) => format!("{}\nhint: {hint}", failure.message),
            None => failure.message,
        },
        ..v1::MachinesObservation::default()
    }
}

struct Look<'a> {
    client: &'a Client,
    deployment: DeploymentId,
    survey: &'a Survey,
    known: &'a BTreeMap<MachineName, MachineRecord>,
    creating: &'a BTreeSet<Vmid>,
    images: Images,
}

impl Look<'_> {
    async fn machine(&self, name: &MachineName) -> v1::MachineObservation {
        let record = self.known.get(name);
        let incarnation = record.map_or(0, |record| record.incarnation);
        let uuid = machine_uuid(self.deployment, name.as_str(), incarnation);
        let next = v1::MachineObservation {
            name: name.to_string(),
            uuid: uuid.to_string(),
            incarnation,
            ..v1::MachineObservation::default()
        };
        match self.survey.seek(name, self.known) {
            Sought::Here(found) => self.present(next, &found, record).await,
            Sought::Unclear(why) => v1::MachineObservation {
                presence: MachinePresence::Unknown.into(),
                // There is no other word for it in the contract.
                status: why,
                ..next
            },
            Sought::Nowhere => {
                let attempt = record.and_then(|record| record.attempt.as_ref());
                match attempt.filter(|attempt| self.creating.contains(&attempt.place.vmid)) {
                    Some(attempt) => v1::MachineObservation {
                        presence: MachinePresence::Creating.into(),
                        node: attempt.place.node.to_string(),
                        vmid: attempt.place.vmid.get(),
                        lock: "create".to_owned(),
                        ..next
                    },
                    None => v1::MachineObservation {
                        presence: MachinePresence::Absent.into(),
                        ..next
                    },
                }
            }
        }
    }

    async fn present(
        &self,
        next: v1::MachineObservation,
        found: &Found,
        record: Option<&MachineRecord>,
    ) -> v1::MachineObservation {
        let uuid = found.identity.uuid().to_string();
        let incarnation = incarnation_of(self.deployment, &found.identity);
        let first_boot = first_boot_file(&uuid);
        let first_boot_attached = found.config.disks().iter().any(|disk| {
            let volume = disk.volume.as_ref();
            disk.slot == first_boot_slot()
                && volume.is_some_and(|volume| volume.path().ends_with(&first_boot))
        });
        let there = v1::MachineObservation {
            incarnation: incarnation.unwrap_or(next.incarnation),
            uuid,
            node: found.node.to_string(),
            vmid: found.vmid.get(),
            lock: found.config.lock().unwrap_or_default().to_owned(),
            applied: record.and_then(|record| record.applied.clone()),
            first_boot_attached,
            ..next
        };
        match self.client.status(&found.node, found.vmid).await {
            Ok(status) => {
                let word = match status.state {
                    PowerState::Running => "running",
                    PowerState::Stopped => "stopped",
                    PowerState::Unknown => "unknown",
                };
                let asked = status.state == PowerState::Running && status.agent;
                v1::MachineObservation {
                    presence: MachinePresence::Present.into(),
                    status: status
                        .detail
                        .filter(|_| status.state == PowerState::Running)
                        .unwrap_or_else(|| word.to_owned()),
                    addresses: if asked {
                        self.addresses(found).await
                    } else {
                        Vec::new()
                    },
                    ..there
                }
            }
            Err(error) => v1::MachineObservation {
                presence: MachinePresence::Unknown.into(),
                status: chain(&error),
                ..there
            },
        }
    }

    /// What the guest says of itself, its loopback and link-local addresses left out.
    async fn addresses(&self, found: &Found) -> Vec<String> {
        let asked = self.client.guest_interfaces(&found.node, found.vmid);
        let Ok(Ok(interfaces)) = tokio::time::timeout(GUEST_WITHIN, asked).await else {
            return Vec::new();
        };
        let addresses = interfaces
            .iter()
            .flat_map(|interface| &interface.addresses)
            .map(|address| address.address)
            .filter(|address| match address {
                std::net::IpAddr::V4(address) => !address.is_loopback() && !address.is_link_local(),
                std::net::IpAddr::V6(address) => {
                    !address.is_loopback() && !address.is_unicast_link_local()
                }
            });
        addresses.map(|address| address.to_string()).collect()
    }

    async fn nodes(&self, nodes: &[Node]) -> Vec<v1::HypervisorNode> {
        let asked: Vec<_> = nodes.iter().map(|node| self.node(node)).collect();
        let mut described: Vec<v1::HypervisorNode> = futures_util::stream::iter(asked)
            .buffered(AT_ONCE)
            .collect()
            .await;
        described.sort_by(|one, other| one.name.cmp(&other.name));
        described
    }

    async fn node(&self, node: &Node) -> v1::HypervisorNode {
        let online = node.state == NodeState::Online;
        let free = node
            .memory
            .unwrap_or(0)
            .saturating_sub(node.memory_used.unwrap_or(0));
        v1::HypervisorNode {
            name: node.node.to_string(),
            online,
            free_memory_mebibytes: free / (1024 * 1024),
            image_sha256: if online && self.images == Images::Listed {
                self.images(&node.node).await
            } else {
                Vec::new()
            },
        }
    }

    /// Images of ours. A storage that does not answer has none that could be counted upon.
    async fn images(&self, node: &NodeName) -> Vec<String> {
        let mut sums = BTreeSet::new();
        let Ok(storages) = self.client.storages(node, None).await else {
            return Vec::new();
        };
        for storage in storages.iter().filter(|storage| storage.active) {
            for kind in [ContentKind::Iso, ContentKind::Import] {
                if !storage.content.contains(&kind) {
                    continue;
                }
                let content = self
                    .client
                    .content(node, &storage.storage, Some(&kind), None);
                let content: Vec<Content> = content.await.unwrap_or_default();
                let found = content.iter().filter_map(|file| image_sum(&file.volume));
                sums.extend(found.map(str::to_owned));
            }
        }
        sums.into_iter().collect()
    }
}

fn taken(survey: &Survey, range: &RangeInclusive<u32>) -> Vec<u32> {
    let taken = survey.guests().iter().filter_map(|guest| guest.vmid);
    let taken: BTreeSet<u32> = taken
        .map(Vmid::get)
        .filter(|vmid| range.contains(vmid))
        .collect();
    taken.into_iter().collect()
}

/// VMIDs at which a creation of ours is at work, and those where one left something that nobody is making any more.
async fn half_made(
    client: &Client,
    survey: &Survey,
    known: &BTreeMap<MachineName, MachineRecord>,
    range: &RangeInclusive<u32>,
) -> Result<(BTreeSet<Vmid>, Vec<v1::MachineStub>), Failure> {
    let recorded: BTreeSet<Vmid> = known
        .values()
        .flat_map(|record| {
            record
                .vmids()
                .chain(record.stubs.iter().map(|stub| stub.vmid))
        })
        .collect();
    let mut creating: BTreeSet<Vmid> = BTreeSet::new();
    let mut stubs = Vec::new();
    for guest in survey.guests() {
        let (Some(vmid), Some(node)) = (guest.vmid, &guest.node) else {
            continue;
        };
        let ours = recorded.contains(&vmid);
        if guest.lock.as_deref() != Some("create") || !(ours || range.contains(&vmid.get())) {
            continue;
        }
        let query = |own: bool| TaskQuery {
            node: node.clone(),
            vmid: Some(vmid),
            // Ours creates it; others may restore or clone it, too.
            kind: own.then(|| CREATION.to_owned()),
            since_unix_seconds: None,
            own,
        };
        let Ok(tasks) = client.tasks(&query(true)).await else {
            // A node that does not answer makes nothing that could be told from a creation.
            creating.insert(vmid);
            continue;
        };
        if tasks.iter().any(|task| task.state == TaskState::Running) {
            creating.insert(vmid);
            continue;
        }
        if !ours && tasks.is_empty() {
            continue;
        }
        let others = client.tasks(&query(false)).await;
        let others = others.map_err(|error| failure(&error))?;
        let busy = others.iter().any(|task| task.state == TaskState::Running);
        // The task may have ended since the list was read.
        let still = matches!(
            super::survey::read(client, node, vmid).await,
            Reading::Config(config) if config.lock() == Some("create") && config.uuid().is_none()
        );
        if still && !busy {
            stubs.push(v1::MachineStub {
                node: node.to_string(),
                vmid: vmid.get(),
                command: clearing(vmid),
            });
        }
    }
    Ok((creating, stubs))
}
