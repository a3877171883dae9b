//! The leases of a rollout: all hosts or none, in the order of their names, renewed while it runs.
//!
//! A lease that another rollout has taken is lost for good. One that merely ran out, while its
//! host could not be reached, is taken again, and kept when its epoch shows that nobody had it in
//! between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use omni_scale_proto::id::HostName;
use omni_scale_proto::v1;
use tokio::time::{Instant, sleep, timeout};

use super::event::{Happening, RolloutEvents, chain};
use super::observe::{bounded, no_answer};
use crate::agents::{AgentError, Agents, Holder, LeaseGrant, LeaseRequest};

/// How often leases are renewed: three times in their life.
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// The longest that one renewal may take, so that the next is not late.
const RENEW_WITHIN: Duration = Duration::from_secs(8);
/// The longest that giving one back may take: it ends by itself.
const RELEASE_WITHIN: Duration = Duration::from_secs(5);
/// The longest wait between two tries to take leases that somebody else holds.
const TRY_AGAIN_WITHIN: Duration = Duration::from_secs(5);

/// The leases that are held.
pub(super) struct Leases<'a> {
    agents: &'a dyn Agents,
    request: LeaseRequest,
    events: &'a dyn RolloutEvents,
    held: Mutex<BTreeMap<HostName, Held>>,
    /// Held by who takes a lease again: steps side by side would take it from each other.
    retaking: tokio::sync::Mutex<()>,
    running: Vec<(HostName, v1::TargetStatus)>,
}

#[derive(Debug, Clone)]
struct Held {
    epoch: u64,
    until: Instant,
    /// How often it was asked for again without an answer: each may have raised the epoch.
    unanswered: u64,
    lost: Option<Loss>,
}

/// A lease is over: who has it now, if anybody is known to.
#[derive(Debug, Clone)]
struct Loss(Option<Holder>);

/// Why a lease cannot be used.
#[derive(Debug)]
pub(super) enum LeaseTrouble {
    /// Somebody else has it, or had it.
    Lost {
        host: HostName,
        holder: Option<Holder>,
    },
    /// It ran out, and its host does not answer.
    Unsure(Box<AgentError>),
}

impl<'a> Leases<'a> {
    /// Takes all leases. Waits at most `patience` for those that somebody else holds.
    pub(super) async fn take(
        agents: &'a dyn Agents,
        request: LeaseRequest,
        hosts: &BTreeSet<&HostName>,
        patience: Duration,
        events: &'a dyn RolloutEvents,
    ) -> Result<Self, AgentError> {
        let end = Instant::now() + patience;
        let mut told = false;
        loop {
            let leases = Self {
                agents,
                request: request.clone(),
                events,
                held: Mutex::default(),
                retaking: tokio::sync::Mutex::default(),
                running: Vec::new(),
            };
            let refused = match leases.take_all(hosts).await {
                Ok(running) => return Ok(Self { running, ..leases }),
                Err(refused) => refused,
            };
            // All or none.
            leases.release().await;
            let AgentError::Held { host, holder, .. } = &refused else {
                return Err(refused);
            };
            let rest = Duration::from_millis(holder.remaining_milliseconds.into());
            let now = Instant::now();
            if now >= end {
                return Err(refused);
            }
            if !told {
                events.tell(Happening::Waiting {
                    what: format!(
                        "the lease of host `{host}`, which `{}` holds",
                        holder.holder
                    ),
                    at_most_seconds: patience.as_secs(),
                });
                told = true;
            }
            // A little more than the rest: the agent's answer was on the way meanwhile.
            let rest = (rest + Duration::from_millis(100)).min(TRY_AGAIN_WITHIN);
            sleep(rest.min(end - now)).await;
        }
    }

    async fn take_all(
        &self,
        hosts: &BTreeSet<&HostName>,
    ) -> Result<Vec<(HostName, v1::TargetStatus)>, AgentError> {
        let mut running = Vec::new();
        for &host in hosts {
            let asked = Instant::now();
            let question = self.agents.acquire_lease(host, &self.request);
            let grant = bounded(host, "take the lease", question).await?;
            self.note(host, &grant, asked);
            running.extend(
                grant
                    .running
                    .into_iter()
                    .map(|status| (host.clone(), status)),
            );
        }
        Ok(running)
    }

    fn note(&self, host: &HostName, grant: &LeaseGrant, asked: Instant) {
        let held = Held {
            epoch: grant.epoch,
            // Counted from before the question: never longer than the agent means.
            until: asked + grant.time_to_live,
            unanswered: 0,
            lost: None,
        };
        self.held().insert(host.clone(), held);
    }

    /// Operations of earlier holders that were running when the leases were taken.
    pub(super) fn running(&self) -> &[(HostName, v1::TargetStatus)] {
        &self.running
    }

    /// The epochs, by host.
    pub(super) fn epochs(&self) -> BTreeMap<HostName, u64> {
        let held = self.held();
        held.iter()
            .map(|(host, held)| (host.clone(), held.epoch))
            .collect()
    }

    /// Renews all leases for as long as it is polled.
    pub(super) async fn keep(&self) {
        loop {
            sleep(RENEW_EVERY).await;
            let hosts: Vec<HostName> = self.held().keys().cloned().collect();
            join_all(hosts.iter().map(|host| self.renew(host))).await;
        }
    }

    async fn renew(&self, host: &HostName) {
        let Some(held) = self.held().get(host).cloned() else {
            return;
        };
        if held.lost.is_some() {
            return;
        }
        let asked = Instant::now();
        let question = self.agents.renew_lease(host, &self.request, held.epoch);
        let answer = match timeout(RENEW_WITHIN, question).await {
            Ok(answer) => answer,
            Err(_) => Err(no_answer(host, "renew the lease", RENEW_WITHIN)),
        };
        match answer {
            Ok(time_to_live) => {
                if let Some(held) = self.held().get_mut(host) {
                    held.until = held.until.max(asked + time_to_live);
                }
            }
            Err(AgentError::LeaseLost {
                holder: Some(holder),
                ..
            }) if !self.is_ours(&holder) => self.lose(host, Some(holder)),
            Err(AgentError::LeaseLost { .. }) => self.doubt(host),
            Err(error) => self.events.tell(Happening::LeaseInDanger {
                host: host.clone(),
                reason: chain(&error),
            }),
        }
    }

    /// Whether the holder is this rollout, under whatever epoch.
    pub(super) fn is_ours(&self, holder: &Holder) -> bool {
        holder.rollout == self.request.rollout
    }

    /// The agent says that the lease is over, and nobody else has it.
    pub(super) fn doubt(&self, host: &HostName) {
        if let Some(held) = self.held().get_mut(host) {
            held.until = Instant::now();
        }
    }

    fn lose(&self, host: &HostName, holder: Option<Holder>) {
        if let Some(held) = self.held().get_mut(host) {
            held.lost = Some(Loss(holder));
        }
    }

    /// The epoch to act under on `host`, once no lease of the rollout is lost.
    pub(super) async fn epoch(&self, host: &HostName) -> Result<u64, LeaseTrouble> {
        if let Ok(epoch) = self.in_force(host)? {
            return Ok(epoch);
        }
        let _turn = self.retaking.lock().await;
        let held = match self.in_force(host)? {
            Ok(epoch) => return Ok(epoch),
            Err(held) => held,
        };
        let asked = Instant::now();
        let question = self.agents.acquire_lease(host, &self.request);
        match bounded(host, "take the lease again", question).await {
            Ok(grant) => {
                self.note(host, &grant, asked);
                let ours = held.epoch + 1..=held.epoch + 1 + held.unanswered;
                if !ours.contains(&grant.epoch) {
                    self.lose(host, None);
                }
                self.none_is_lost()?;
                Ok(grant.epoch)
            }
            Err(AgentError::Held { holder, .. }) => {
                self.lose(host, Some(holder.clone()));
                Err(LeaseTrouble::Lost {
                    host: host.clone(),
                    holder: Some(holder),
                })
            }
            Err(error) => {
                if matches!(error, AgentError::Unknown { .. })
                    && let Some(held) = self.held().get_mut(host)
                {
                    held.unanswered += 1;
                }
                Err(LeaseTrouble::Unsure(Box::new(error)))
            }
        }
    }

    /// The epoch of a lease that is in force, or the lease that ran out.
    fn in_force(&self, host: &HostName) -> Result<Result<u64, Held>, LeaseTrouble> {
        self.none_is_lost()?;
        let Some(held) = self.held().get(host).cloned() else {
            return Err(LeaseTrouble::Lost {
                host: host.clone(),
                holder: None,
            });
        };
        let in_force = Instant::now() < held.until;
        Ok(if in_force { Ok(held.epoch) } else { Err(held) })
    }

    fn none_is_lost(&self) -> Result<(), LeaseTrouble> {
        let held = self.held();
        let lost = held
            .iter()
            .find_map(|(host, held)| Some((host, held.lost.clone()?)));
        match lost {
            Some((host, Loss(holder))) => Err(LeaseTrouble::Lost {
                host: host.clone(),
                holder,
            }),
            None => Ok(()),
        }
    }

    /// Gives all leases back, as far as their hosts answer.
    pub(super) async fn release(&self) {
        let held: Vec<(HostName, u64)> = self
            .held()
            .iter()
            .filter(|(_, held)| held.lost.is_none())
            .map(|(host, held)| (host.clone(), held.epoch))
            .collect();
        join_all(held.iter().map(|(host, epoch)| async move {
            let question = self.agents.release_lease(host, &self.request, *epoch);
            // A lease that cannot be given back runs out.
            let _ = timeout(RELEASE_WITHIN, question).await;
        }))
        .await;
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<HostName, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
