//! What has become of a creation that was begun: ours, somebody else's, half-made, or nothing.
//!
//! Until a creation's task ends, the configuration holds nothing but its lock: only the list of tasks says whose it is.

use std::collections::BTreeSet;
use std::time::Duration;

use omni_scale_proxmox::{NodeName, TaskQuery, TaskState, Upid, Vmid};
use tokio::time::sleep;

use super::Making;
use crate::machine::record::{Attempt, Place};
use crate::machine::survey::{Reading, Survey, read};
use crate::machine::trouble::Trouble;
use crate::machine::work::Work;

/// What Proxmox calls the making of a VM.
pub(crate) const CREATION: &str = "qmcreate";
/// How far apart the clocks of this host and of a node may be, in seconds.
const CLOCKS: u64 = 600;
/// Between two looks at a lock that nobody seems to hold: a task may have ended a moment ago.
const PAUSE: Duration = Duration::from_secs(3);

/// What has become of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fate {
    /// Nothing has the VMID, and nobody makes anything there.
    Nothing,
    /// A task of ours is at work.
    Running(Upid),
    /// It is whole: whose it is stands in it.
    Whole,
    /// A creation left it half-made.
    Stub(Place),
    /// Somebody else has the VMID.
    Theirs,
}

impl Making<'_> {
    /// Brings the attempt that is written down to an end. True: nothing stands in the way of another request.
    pub(super) async fn settle(&mut self, survey: &Survey) -> Result<bool, Trouble> {
        let Some(attempt) = self.work.record().and_then(|record| record.attempt) else {
            return self.settle_forgotten(survey).await;
        };
        match fate(&self.work, survey, &attempt).await? {
            Fate::Nothing => Ok(true),
            Fate::Whole => Ok(false),
            Fate::Running(task) => {
                self.work.stage(format!(
                    "waiting for the creation of VM {}",
                    attempt.place.vmid
                ));
                let name = task.to_string();
                self.work
                    .keep(move |record| {
                        if let Some(attempt) = &mut record.attempt {
                            attempt.task = Some(name);
                        }
                    })
                    .await?;
                // However it ends, what it leaves is looked at.
                let _ = self.work.wait(&task).await;
                Ok(false)
            }
            Fate::Stub(place) => {
                self.work.warn(format!(
                    "a creation left VM {} on {} half-made: `{}` on that node clears it",
                    place.vmid,
                    place.node,
                    clearing(place.vmid)
                ));
                self.work
                    .keep(move |record| {
                        record.add_stub(place);
                        record.attempt = None;
                    })
                    .await?;
                Ok(false)
            }
            Fate::Theirs => {
                self.work.keep(|record| record.attempt = None).await?;
                Ok(false)
            }
        }
    }
}

impl Making<'_> {
    /// An agent that has lost its records may have begun this very machine: until a creation of its own has ended,
    /// what it makes cannot be told.
    async fn settle_forgotten(&self, survey: &Survey) -> Result<bool, Trouble> {
        let known = self.work.machines.records(self.work.deployment);
        let attempts = known.values().filter_map(|record| record.attempt.as_ref());
        let claimed: BTreeSet<Vmid> = attempts.map(|attempt| attempt.place.vmid).collect();
        for guest in survey.guests() {
            let (Some(vmid), Some(node)) = (guest.vmid, &guest.node) else {
                continue;
            };
            let half_made = guest.lock.as_deref() == Some("create") && !claimed.contains(&vmid);
            if !half_made || !self.machine.vmids().contains(&vmid.get()) {
                continue;
            }
            if let Some(task) = running(&self.work, node, vmid, true).await? {
                self.work.stage(format!(
                    "waiting for the creation of VM {vmid}, which may be it"
                ));
                // However it ends, what it leaves is looked at.
                let _ = self.work.wait(&task).await;
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What a person types on the node.
pub(crate) fn clearing(vmid: Vmid) -> String {
    format!("qm unlock {vmid} && qm destroy {vmid}")
}

/// What has become of an attempt, by a look at the cluster.
async fn fate(work: &Work<'_>, survey: &Survey, attempt: &Attempt) -> Result<Fate, Trouble> {
    if let Some(node) = survey.node_of(attempt.place.vmid) {
        return look(work, node, attempt).await;
    }
    let running = running(work, &attempt.place.node, attempt.place.vmid, true).await?;
    Ok(running.map_or(Fate::Nothing, Fate::Running))
}

/// What has become of an attempt whose VMID is taken on this node. What seems to be left half-made is looked at twice.
pub(crate) async fn look(
    work: &Work<'_>,
    node: &NodeName,
    attempt: &Attempt,
) -> Result<Fate, Trouble> {
    let mut fate = look_once(work, node, attempt).await?;
    if let Fate::Stub(place) = &fate {
        sleep(PAUSE).await;
        fate = look_once(work, &place.node, attempt).await?;
    }
    if let Fate::Stub(Place { node, vmid }) = &fate {
        let begun = attempt.not_begun || attempt.task.is_some();
        if !begun && !ended(work, node, attempt).await? {
            work.warn(format!(
                "VM {vmid} on {node} is locked for a creation that nobody is seen to make; it may be ours"
            ));
        }
    }
    Ok(fate)
}

async fn look_once(work: &Work<'_>, node: &NodeName, attempt: &Attempt) -> Result<Fate, Trouble> {
    let vmid = attempt.place.vmid;
    let config = match read(&work.client, node, vmid).await {
        Reading::Config(config) => config,
        Reading::Gone => return Ok(Fate::Nothing),
        Reading::Unreadable(why) => {
            let message = format!("what has become of VM {vmid} on {node} is not known: {why}");
            return Err(Trouble::passing(message));
        }
    };
    if let Some(uuid) = config.uuid() {
        let ours = uuid == work.identity.uuid();
        return Ok(if ours { Fate::Whole } else { Fate::Theirs });
    }
    if config.lock() != Some("create") {
        return Ok(Fate::Theirs);
    }
    if let Some(task) = running(work, node, vmid, true).await? {
        return Ok(Fate::Running(task));
    }
    if running(work, node, vmid, false).await?.is_some() {
        return Ok(Fate::Theirs);
    }
    Ok(Fate::Stub(Place {
        node: node.clone(),
        vmid,
    }))
}

/// The creation of ours that is at work on a VMID, or anything of anybody's: what others restore looks like a creation.
async fn running(
    work: &Work<'_>,
    node: &NodeName,
    vmid: Vmid,
    own: bool,
) -> Result<Option<Upid>, Trouble> {
    let query = TaskQuery {
        node: node.clone(),
        vmid: Some(vmid),
        kind: own.then(|| CREATION.to_owned()),
        since_unix_seconds: None,
        own,
    };
    let tasks = work.client.tasks(&query).await?;
    let mut running = tasks
        .into_iter()
        .filter(|task| task.state == TaskState::Running);
    Ok(running.next().map(|task| task.upid))
}

/// Whether a creation of ours has come to an end there since the attempt began.
async fn ended(work: &Work<'_>, node: &NodeName, attempt: &Attempt) -> Result<bool, Trouble> {
    let query = TaskQuery {
        node: node.clone(),
        vmid: Some(attempt.place.vmid),
        kind: Some(CREATION.to_owned()),
        since_unix_seconds: Some(attempt.since_unix_seconds.saturating_sub(CLOCKS)),
        own: true,
    };
    Ok(!work.client.tasks(&query).await?.is_empty())
}
