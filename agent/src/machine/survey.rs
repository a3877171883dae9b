//! What there is on a cluster, and which of it is ours: by UUID, tag and marker, never by name or VMID.
//!
//! The cluster's list says where a VMID is and which tags it has; whose it is stands in its configuration only.
//! Whatever cannot be read is unknown, never absent.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt as _;
use omni_scale_proto::id::{DeploymentId, MachineName};
use omni_scale_proto::machine::{MACHINE_TAG, MachineIdentity, machine_uuid, marker};
use omni_scale_proto::v1;
use omni_scale_proxmox::{
    Client, Complaint, Error, NodeName, Resource, ResourceKind, VmConfig, Vmid,
};
use uuid::Uuid;

use super::record::MachineRecord;
use super::trouble::Trouble;
use crate::error::chain;
use crate::operation::Failure;

/// How many configurations are read at once.
const AT_ONCE: usize = 8;
/// How many incarnations of a name are thought of when nothing is known of it.
const INCARNATIONS: u32 = 1000;

/// What a look at one VMID brought.
#[derive(Debug, Clone)]
pub(super) enum Reading {
    /// Its configuration.
    Config(VmConfig),
    /// It is not there any more.
    Gone,
    /// It could not be read.
    Unreadable(String),
}

/// A VM that says to be a machine of ours.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) node: NodeName,
    pub(super) vmid: Vmid,
    pub(super) config: VmConfig,
    pub(super) identity: MachineIdentity,
}

/// The answer to where a machine is.
#[derive(Debug, Clone)]
pub(super) enum Sought {
    Here(Box<Found>),
    Nowhere,
    /// It cannot be said, and why.
    Unclear(String),
}

/// One look.
#[derive(Debug)]
pub(super) struct Survey {
    deployment: DeploymentId,
    guests: Vec<Resource>,
    readings: BTreeMap<Vmid, (NodeName, Reading)>,
}

/// Where to look.
#[derive(Debug, Clone)]
pub(super) enum Scope {
    /// At everything that may be ours.
    All,
    /// At these alone.
    Only(BTreeSet<Vmid>),
}

impl Survey {
    /// Looks. An error means that nothing is known.
    pub(super) async fn take(
        client: &Client,
        deployment: DeploymentId,
        known: &BTreeMap<MachineName, MachineRecord>,
        scope: Scope,
    ) -> Result<Self, Error> {
        let guests = client.guests().await?;
        let recorded: BTreeSet<Vmid> = known.values().flat_map(MachineRecord::vmids).collect();
        // A container has a VMID, and no configuration of a VM: none is a machine.
        let vms = guests.iter().filter(|guest| guest.kind == ResourceKind::Vm);
        let wanted = vms.filter_map(|guest| {
            let vmid = guest.vmid?;
            let node = guest.node.clone()?;
            let wanted = match &scope {
                Scope::All => guest.tags.contains(MACHINE_TAG) || recorded.contains(&vmid),
                Scope::Only(vmids) => vmids.contains(&vmid),
            };
            wanted.then_some((vmid, node))
        });
        let asked: Vec<_> = wanted
            .map(async |(vmid, node)| {
                let reading = read(client, &node, vmid).await;
                (vmid, (node, reading))
            })
            .collect();
        let readings = futures_util::stream::iter(asked)
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        Ok(Self {
            deployment,
            guests,
            readings,
        })
    }

    /// Every VM and container that the token may see.
    pub(super) fn guests(&self) -> &[Resource] {
        &self.guests
    }

    /// Where a VMID is. `None`: nobody has it, as far as the token may see.
    pub(super) fn node_of(&self, vmid: Vmid) -> Option<&NodeName> {
        let guest = self.guests.iter().find(|guest| guest.vmid == Some(vmid))?;
        guest.node.as_ref()
    }

    /// What was read of a VMID.
    pub(super) fn reading(&self, vmid: Vmid) -> Option<&(NodeName, Reading)> {
        self.readings.get(&vmid)
    }

    /// The machines of our deployment that say so themselves.
    pub(super) fn names(&self) -> BTreeSet<MachineName> {
        self.found()
            .map(|found| found.identity.name().clone())
            .collect()
    }

    /// Every VM that says to be this machine: more than one when somebody has restored it from a backup.
    pub(super) fn all(&self, identity: &MachineIdentity) -> Vec<Found> {
        self.found()
            .filter(|found| found.identity == *identity)
            .collect()
    }

    fn found(&self) -> impl Iterator<Item = Found> {
        self.readings.iter().filter_map(|(vmid, (node, reading))| {
            let Reading::Config(config) = reading else {
                return None;
            };
            Some(Found {
                node: node.clone(),
                vmid: *vmid,
                config: config.clone(),
                identity: machine_of(self.deployment, config)?,
            })
        })
    }

    /// Where the machine of this name is, in whichever incarnation.
    pub(super) fn seek(
        &self,
        name: &MachineName,
        known: &BTreeMap<MachineName, MachineRecord>,
    ) -> Sought {
        let record = known.get(name);
        let mut found: Vec<Found> = self
            .found()
            .filter(|found| found.identity.name() == name)
            .collect();
        found.extend(self.unmarked(name, record, &found));
        if let Some(place) = record.and_then(|record| record.place.as_ref())
            && found.len() > 1
            && let Some(at) = found.iter().position(|found| found.vmid == place.vmid)
        {
            return Sought::Here(Box::new(found.swap_remove(at)));
        }
        match found.len() {
            0 => self.absent(name, known),
            1 => Sought::Here(Box::new(found.remove(0))),
            _ => {
                let places: Vec<String> = found
                    .iter()
                    .map(|found| format!("VM {} on {}", found.vmid, found.node))
                    .collect();
                Sought::Unclear(format!("{} all say to be it", places.join(" and ")))
            }
        }
    }

    /// A VM that has the UUID, though somebody took its tag or marker away.
    fn unmarked(
        &self,
        name: &MachineName,
        record: Option<&MachineRecord>,
        marked: &[Found],
    ) -> Option<Found> {
        let incarnation = record.map_or(0, |record| record.incarnation);
        let identity = identity(
            name,
            machine_uuid(self.deployment, name.as_str(), incarnation),
        )?;
        let uuid = identity.uuid();
        let (vmid, (node, config)) = self.readings.iter().find_map(|(vmid, (node, reading))| {
            let Reading::Config(config) = reading else {
                return None;
            };
            let new = !marked.iter().any(|found| found.vmid == *vmid);
            (new && config.uuid() == Some(uuid)).then_some((*vmid, (node, config)))
        })?;
        Some(Found {
            node: node.clone(),
            vmid,
            config: config.clone(),
            identity,
        })
    }

    /// Nothing that could be read is it: whether what could not be read may be.
    fn absent(&self, name: &MachineName, known: &BTreeMap<MachineName, MachineRecord>) -> Sought {
        let others: BTreeSet<Vmid> = known
            .iter()
            .filter(|(other, _)| *other != name)
            .filter_map(|(_, record)| Some(record.place.as_ref()?.vmid))
            .collect();
        let unreadable = self.readings.iter().find_map(|(vmid, (node, reading))| {
            let why = match reading {
                Reading::Config(_) => return None,
                Reading::Gone => "it has just moved or gone",
                Reading::Unreadable(why) => why,
            };
            (!others.contains(vmid))
                .then(|| format!("VM {vmid} on {node} may be it, and cannot be read: {why}"))
        });
        unreadable.map_or(Sought::Nowhere, Sought::Unclear)
    }
}

/// Reads one configuration.
pub(super) async fn read(client: &Client, node: &NodeName, vmid: Vmid) -> Reading {
    match client.config(node, vmid).await {
        Ok(config) => Reading::Config(config),
        Err(error) if error.complaint() == Some(&Complaint::DoesNotExist) => Reading::Gone,
        Err(error) => Reading::Unreadable(chain(&error)),
    }
}

/// Whether every machine of ours could be seen: what a token may not see is not listed.
pub(super) async fn check_sight(client: &Client) -> Result<(), Trouble> {
    let permissions = client.permissions(Some("/vms")).await?;
    if permissions.holds("/vms", "VM.Audit") {
        return Ok(());
    }
    let failure = Trouble::permanent(
        "the token may not see all VMs, so that a machine which is there could be taken for absent",
    )
    .failure();
    Err(Trouble::Final(Failure {
        class: v1::FailureClass::Refused,
        ..failure.with_hint("give user and token a role with `VM.Audit` on `/vms`")
    }))
}

/// The machine of this deployment that a configuration says to be: its UUID, in our own words.
fn machine_of(deployment: DeploymentId, config: &VmConfig) -> Option<MachineIdentity> {
    let uuid = config.uuid()?;
    config.description()?.lines().find_map(|line| {
        let name = line.trim().strip_prefix("omni-scale: machine ")?;
        let (name, _) = name.split_once(' ')?;
        let identity = identity(&name.parse().ok()?, uuid)?;
        (marker(deployment, &identity) == line.trim()).then_some(identity)
    })
}

fn identity(name: &MachineName, uuid: Uuid) -> Option<MachineIdentity> {
    let wire = v1::MachineIdentity {
        name: name.to_string(),
        uuid: uuid.to_string(),
    };
    wire.try_into().ok()
}

/// Which incarnation of its name an identity is. `None`: none of this deployment's.
pub(super) fn incarnation_of(deployment: DeploymentId, identity: &MachineIdentity) -> Option<u32> {
    let name = identity.name().as_str();
    (0..INCARNATIONS)
        .find(|incarnation| machine_uuid(deployment, name, *incarnation) == identity.uuid())
}

impl Found {
    /// Refuses a VM that is not in every way ours: its UUID, our tag, and our marker.
    pub(super) fn check_owned(
        &self,
        deployment: DeploymentId,
        wanted: &MachineIdentity,
    ) -> Result<(), Failure> {
        let place = format!("VM {} on {}", self.vmid, self.node);
        let refused = |what: String, hint: &str| {
            Err(Failure::new(v1::FailureClass::Refused, what).with_hint(hint))
        };
        if self.config.uuid() != Some(wanted.uuid()) {
            let found = self.config.uuid().unwrap_or_default();
            return refused(
                format!("{place} is not machine {wanted}: its UUID is {found}"),
                "nothing was done to it; plan again: what there is has changed",
            );
        }
        if !self.config.tags().contains(MACHINE_TAG) {
            return refused(
                format!(
                    "{place} has the UUID of machine {wanted}, and not the tag `{MACHINE_TAG}`"
                ),
                "nothing was done to it; give it the tag again if it is to be looked after",
            );
        }
        let marker = marker(deployment, wanted);
        let description = self.config.description().unwrap_or_default();
        if !description.lines().any(|line| line.trim() == marker) {
            return refused(
                format!("{place} has the UUID of machine {wanted}, and not its marker"),
                &format!(
                    "nothing was done to it; put `{marker}` into its notes again if it is to be looked after"
                ),
            );
        }
        Ok(())
    }

    /// What a change must be made upon.
    pub(super) fn digest(&self) -> &str {
        self.config.digest().unwrap_or_default()
    }
}
