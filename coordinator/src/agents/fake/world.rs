//! The world's work: what operations do to the hosts.

use std::collections::{BTreeMap, BTreeSet};

use omni_scale_proto::id::HostName;
use omni_scale_proto::operation::Target;
use omni_scale_proto::v1;
use tokio::sync::watch;
use tokio::time::Instant;

use super::faults::{Call, Script};
use super::host::FakeHost;
use crate::agents::{Action, AgentError, Control};
use crate::plan::{Desired, Purpose};

/// Where the models' clocks begin, in milliseconds since the Unix epoch.
const EPOCH_MILLISECONDS: i64 = 1_800_000_000_000;

/// All hosts.
#[derive(Debug)]
pub struct World {
    /// By name.
    pub hosts: BTreeMap<HostName, FakeHost>,
    /// Issuers of others that answer.
    pub issuers: Vec<String>,
    /// Images whose containers exit at once.
    pub bad_images: BTreeSet<String>,
    /// Sums of programs that do not stay up.
    pub bad_programs: BTreeSet<String>,
    /// Services whose containers end, by themselves, when the check with this id is asked next.
    pub ends_when_asked: Vec<(String, String)>,
    /// Checks, by the beginning of their id, that fail whatever the model says.
    pub failing_checks: Vec<String>,
    /// Every call, in order.
    pub log: Vec<(HostName, Call)>,
    pub(super) script: Script,
    /// Rises when a host's connections are cut: who waits for an answer loses it.
    pub(super) cuts: watch::Sender<BTreeMap<HostName, u64>>,
    pub(super) began: Instant,
}

/// What an operation does.
#[derive(Debug, Clone)]
pub(super) enum Task {
    Apply(Box<Action>),
    Control(Control),
}

impl Task {
    pub(super) fn target(&self) -> Target {
        match self {
            Self::Apply(action) => action.target(),
            Self::Control(control) => control.target(),
        }
    }
}

impl World {
    /// A host.
    pub fn host(&mut self, name: &str) -> &mut FakeHost {
        self.hosts
            .iter_mut()
            .find(|(host, _)| host.as_str() == name)
            .map(|(_, host)| host)
            .expect("tests name hosts of the deployment")
    }

    /// Makes every machine, and enrols the hosts that they become.
    pub(super) fn make_machines(&mut self, desired: &Desired) {
        let Some(wanted) = &desired.machines else {
            return;
        };
        let cluster = &mut self.host(wanted.host.as_str()).machines;
        cluster.converge(wanted, desired.deployment);
        for group in &wanted.groups {
            if let Purpose::Host(name) = &group.purpose {
                let host = self.host(name.as_str());
                host.reachable = true;
                host.deployment = Some(desired.deployment);
            }
        }
    }

    /// Sets every host's clock by another one.
    pub fn skew_to(&mut self, clock: &dyn crate::rollout::WallClock) {
        let offset = clock.now_milliseconds() - self.now_milliseconds();
        for host in self.hosts.values_mut() {
            host.clock_offset_milliseconds = offset;
        }
    }

    pub(super) fn now_milliseconds(&self) -> i64 {
        let elapsed = i64::try_from(self.began.elapsed().as_millis());
        EPOCH_MILLISECONDS + elapsed.unwrap_or(i64::MAX / 2)
    }

    pub(super) fn at(&mut self, host: &HostName, tried: &str) -> Result<&mut FakeHost, AgentError> {
        let found = self.hosts.get_mut(host).filter(|found| found.reachable);
        let found = found.ok_or_else(|| unreachable(host, tried))?;
        if found.deployment.is_none() {
            return Err(AgentError::NotEnrolled {
                host: host.clone(),
                tried: tried.to_owned(),
            });
        }
        Ok(found)
    }

    pub(super) fn carry_out(&mut self, host: &HostName, action: &Action) {
        self.perform(host, &Task::Apply(Box::new(action.clone())), usize::MAX)
            .expect("the story can be told");
        let targets = &mut self.host(host.as_str()).targets;
        let target = targets.entry(action.target().to_string()).or_default();
        target.generation += 1;
        target.unfinished = None;
    }

    /// Does the work of an operation. `limit` bounds how much of it.
    pub(super) fn perform(
        &mut self,
        host: &HostName,
        task: &Task,
        limit: usize,
    ) -> Result<(), String> {
        match task {
            Task::Apply(action) => match action.as_ref() {
                Action::EnrollHost {
                    name, host: new, ..
                } => self.enroll(host, name.as_str(), new, limit),
                action => self.apply(host, action, limit),
            },
            Task::Control(_) if limit < usize::MAX => Ok(()),
            Task::Control(Control::Unit { action }) => {
                let host = self.hosts.get_mut(host).ok_or("no such host")?;
                host.unit.control(*action)
            }
            Task::Control(Control::Stack {
                services, action, ..
            }) => {
                let host = self.hosts.get_mut(host).ok_or("no such host")?;
                host.stack.control(services, *action, &self.bad_images)
            }
            Task::Control(Control::Machine { name, action, .. }) => {
                let host = self.hosts.get_mut(host).ok_or("no such host")?;
                host.machines.control(name.as_str(), *action)
            }
        }
    }

    /// The host that a machine becomes is enrolled, and its first boot finished.
    fn enroll(
        &mut self,
        made_by: &HostName,
        machine: &str,
        new: &HostName,
        limit: usize,
    ) -> Result<(), String> {
        let made_by = self.hosts.get_mut(made_by).ok_or("no such host")?;
        let deployment = made_by.deployment;
        if limit == usize::MAX {
            made_by.machines.finish_first_boot(machine)?;
        }
        let new = self.hosts.get_mut(new).ok_or("no such host")?;
        if !new.reachable {
            return Err("its agent does not answer".to_owned());
        }
        new.deployment = deployment;
        Ok(())
    }

    fn apply(&mut self, host: &HostName, action: &Action, limit: usize) -> Result<(), String> {
        let bad_images = self.bad_images.clone();
        let bad_programs = self.bad_programs.clone();
        let host = self.hosts.get_mut(host).ok_or("no such host")?;
        match action {
            Action::ApplyUnit { .. } | Action::ApplyClient { .. } if limit == 0 => Ok(()),
            Action::ApplyUnit { configuration } => {
                let bad = configuration
                    .artifact
                    .as_ref()
                    .is_some_and(|artifact| bad_programs.contains(&artifact.sha256));
                host.unit.apply(configuration, bad)?;
                if let Some(secret) = host.secrets.get_mut(&configuration.auth_key_secret) {
                    secret.consumed = true;
                }
                Ok(())
            }
            Action::ApplyMachine { machine, .. } => {
                host.machines.apply(machine, limit < usize::MAX)?;
                let boots = limit == usize::MAX && machine.kind() == v1::MachineKind::Host;
                let mut others = self.hosts.iter_mut();
                if boots
                    && let Some((_, new)) = others.find(|(host, _)| host.as_str() == machine.name)
                {
                    new.reachable = true;
                }
                Ok(())
            }
            Action::EnrollHost { .. } => Err("it is no work of one host".to_owned()),
            Action::ApplyClient { client } => {
                host.client
                    .apply(client, &mut host.secrets, limit < usize::MAX)
            }
            Action::ApplyStack {
                stack,
                services,
                remove_orphans,
                ..
            } => host.stack.apply(
                stack,
                services,
                remove_orphans,
                &mut host.secrets,
                &bad_images,
                limit,
            ),
        }
    }
}

pub(super) fn unreachable(host: &HostName, tried: &str) -> AgentError {
    AgentError::Unreachable {
        host: host.clone(),
        tried: tried.to_owned(),
        source: "no route to host".into(),
    }
}
