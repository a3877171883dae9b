//! One observer of the unit for all who watch: it lives as long as somebody does.
//!
//! State comes by systemd's signals; the product is asked every 15 s, and at once when the unit
//! begins to run. Nobody watches: nothing is asked.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use omni_scale_proto::unit::CheckedUnit;
use omni_scale_proto::v1::{UnitObservation, VerificationStatus};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::state::InvocationId;
use super::tsidp::TsidpUnit;
use super::units::{Sighting, TSIDP_UNIT};
use super::verification::unknown;
use crate::service::health::{Health, HealthSource};

/// How often the product is asked while somebody watches.
const ASK_EVERY: Duration = Duration::from_secs(15);
/// An answer that is younger is not asked for again when somebody begins to watch.
const FRESH_FOR: Duration = Duration::from_secs(5);
/// Bound on one question: whoever asks for the health must have an answer within 5 s.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);
/// An answer that is older says nothing any more: the next one should have come.
const WORTH_FOR: Duration = Duration::from_secs(20);

/// The name of this unit's health.
const HEALTH_NAME: &str = "tsidp";

/// Watches the unit for whoever wants to know.
#[derive(Debug, Clone)]
pub struct UnitWatch {
    tsidp: Arc<TsidpUnit>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    latest: watch::Sender<Option<UnitObservation>>,
    /// Whether the observer runs. Held while it decides to end, so that nobody is left unobserved.
    observing: Mutex<bool>,
}

impl UnitWatch {
    /// Nobody watches yet.
    pub fn new(tsidp: Arc<TsidpUnit>) -> Self {
        Self {
            tsidp,
            shared: Arc::new(Shared {
                latest: watch::Sender::new(None),
                observing: Mutex::default(),
            }),
        }
    }

    /// Follows the unit as a whole for as long as the receiver lives. `None`: nothing was seen yet.
    /// The generation is the caller's to add.
    pub fn observations(&self) -> watch::Receiver<Option<UnitObservation>> {
        let mut observing = self.observing();
        let receiver = self.shared.latest.subscribe();
        if !*observing {
            *observing = true;
            self.shared.latest.send_replace(None);
            tokio::spawn(self.clone().observe());
        }
        receiver
    }

    async fn observe(self) {
        let mut sightings = self.tsidp.units.watch(TSIDP_UNIT);
        let mut records = self.tsidp.records.watch();
        let mut next_question = Instant::now();
        let mut last_run = None;
        loop {
            let answered = self.tsidp.verifications.changes();
            let sighting = sightings.borrow_and_update().clone();
            records.mark_unchanged();
            let run = running(&sighting);
            let mut observation = self.tsidp.describe(&sighting).await;
            if run.is_some() && !self.tsidp.verifications.is_fresh(run, WORTH_FOR) {
                // Nobody watched for a while, or it has just been started.
                observation.verification = Some(unknown("it is being asked"));
            }
            self.publish(observation);
            if run.is_some() && run != last_run {
                next_question = Instant::now();
            }
            last_run = run;
            tokio::select! {
                () = self.shared.latest.closed() => if self.ends() { return },
                // The other ends of these live as long as the unit's caretaker.
                _ = sightings.changed() => {}
                _ = records.changed() => {}
                () = answered => {}
                () = self.ask(run, next_question) => next_question = Instant::now() + ASK_EVERY,
            }
        }
    }

    /// Asks the product when it is time. What is not running is not asked.
    async fn ask(&self, run: Option<InvocationId>, when: Instant) {
        sleep_until(when).await;
        let applied = self.tsidp.records.get().applied;
        let unit = applied.and_then(|applied| CheckedUnit::try_from(applied).ok());
        let (Some(run), Some(unit)) = (run, unit) else {
            return;
        };
        if self.tsidp.verifications.is_fresh(Some(run), FRESH_FOR) {
            return;
        }
        let roots = &unit.as_wire().extra_roots_pem;
        let question = self.tsidp.issuer.ask(unit.issuer(), roots, ANSWER_WITHIN);
        let answer = question.await;
        self.tsidp.verifications.remember(&answer, Some(run));
    }

    fn publish(&self, observation: UnitObservation) {
        let observation = Some(observation);
        self.shared.latest.send_if_modified(|latest| {
            let differs = *latest != observation;
            if differs {
                *latest = observation;
            }
            differs
        });
    }

    /// Whether nobody watches any more; then the observer is over.
    fn ends(&self) -> bool {
        let mut observing = self.observing();
        *observing = self.shared.latest.receiver_count() > 0;
        !*observing
    }

    fn observing(&self) -> std::sync::MutexGuard<'_, bool> {
        self.shared
            .observing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn running(sighting: &Sighting) -> Option<InvocationId> {
    match sighting {
        Sighting::Known(state) if state.is_running() => state.invocation,
        Sighting::Known(_) | Sighting::Lost { .. } => None,
    }
}

/// What an observation means for somebody who only wants to know whether it works.
fn health(observation: &UnitObservation) -> Health {
    if !observation.known {
        return Health::Unknown;
    }
    if observation.active_state != "active" {
        return Health::NotServing;
    }
    let verification = observation.verification.as_ref();
    match verification.map(omni_scale_proto::v1::Verification::status) {
        Some(VerificationStatus::Passed) => Health::Serving,
        Some(VerificationStatus::Failed) => Health::NotServing,
        Some(VerificationStatus::Unknown | VerificationStatus::Unspecified) | None => {
            Health::Unknown
        }
    }
}

impl HealthSource for UnitWatch {
    fn watch(&self, name: &str) -> Option<watch::Receiver<Health>> {
        if name != HEALTH_NAME {
            return None;
        }
        let mut observations = self.observations();
        let (sender, receiver) = watch::channel(Health::Unknown);
        tokio::spawn(async move {
            loop {
                let now = observations.borrow_and_update().as_ref().map(health);
                let now = now.unwrap_or(Health::Unknown);
                sender.send_if_modified(|health| std::mem::replace(health, now) != now);
                tokio::select! {
                    () = sender.closed() => return,
                    changed = observations.changed() => if changed.is_err() { return },
                }
            }
        });
        Some(receiver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::apply::tests::{ISSUER, Rig};
    use crate::unit::job::Job;

    async fn becomes(receiver: &mut watch::Receiver<Health>, wanted: Health) {
        // Paused time runs ahead as far as it takes; the bound is the contract's.
        let wait = receiver.wait_for(|health| *health == wanted);
        tokio::time::timeout(ASK_EVERY * 2, wait)
            .await
            .unwrap_or_else(|_| panic!("it never becomes {wanted:?}"))
            .unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn health_follows_the_unit_the_bus_and_the_product() {
        let (rig, _) = Rig::applied().await;
        let source = UnitWatch::new(rig.tsidp.clone());
        let mut health = source.watch("tsidp").unwrap();
        becomes(&mut health, Health::Serving).await;
        rig.units.lose("the bus is restarted");
        becomes(&mut health, Health::Unknown).await;
        rig.units.find();
        becomes(&mut health, Health::Serving).await;
        rig.issuer.answer_as(None);
        becomes(&mut health, Health::NotServing).await;
        rig.issuer.cannot_be_asked(Some("no nameserver"));
        becomes(&mut health, Health::Unknown).await;
        rig.units.somebody_runs(Job::Stop);
        becomes(&mut health, Health::NotServing).await;
        let stopped = rig.tsidp.observe().await.verification.unwrap();
        assert!(stopped.summary.contains("inactive"), "{}", stopped.summary);
        assert!(source.watch("omni").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_product_said_before_anybody_watched_is_no_evidence() {
        let (rig, _) = Rig::applied().await;
        let source = UnitWatch::new(rig.tsidp.clone());
        for (answer, wanted) in [(None, Health::NotServing), (Some(ISSUER), Health::Serving)] {
            rig.issuer.answer_as(answer);
            tokio::time::sleep(WORTH_FOR).await;
            // As a check does: the first evidence counts, and then nobody watches any more.
            let mut health = source.watch("tsidp").unwrap();
            let first = health.wait_for(|health| *health != Health::Unknown).await;
            assert_eq!(*first.unwrap(), wanted);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_restart_makes_the_answer_of_before_worthless() {
        let (rig, _) = Rig::applied().await;
        let source = UnitWatch::new(rig.tsidp.clone());
        let mut health = source.watch("tsidp").unwrap();
        becomes(&mut health, Health::Serving).await;
        rig.issuer.answer_as(None);
        rig.units.somebody_runs(Job::Restart);
        becomes(&mut health, Health::NotServing).await;
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_asked_while_nobody_watches() {
        let (rig, _) = Rig::applied().await;
        let source = UnitWatch::new(rig.tsidp.clone());
        let asked = rig.issuer.asked();
        tokio::time::sleep(ASK_EVERY * 4).await;
        assert_eq!(rig.issuer.asked(), asked);
        let (one, two) = (source.watch("tsidp"), source.watch("tsidp"));
        tokio::time::sleep(ASK_EVERY * 4).await;
        let while_watched = rig.issuer.asked() - asked;
        assert!((3..=5).contains(&while_watched), "{while_watched}");
        drop((one, two));
        tokio::time::sleep(ASK_EVERY).await;
        let asked = rig.issuer.asked();
        tokio::time::sleep(ASK_EVERY * 4).await;
        assert_eq!(rig.issuer.asked(), asked);
    }

    #[tokio::test(start_paused = true)]
    async fn a_unit_that_was_never_set_up_is_not_healthy() {
        let rig = Rig::new();
        rig.units.somebody_runs(Job::Start);
        let source = UnitWatch::new(rig.tsidp.clone());
        let mut observations = source.observations();
        let seen = observations
            .wait_for(Option::is_some)
            .await
            .map(|seen| seen.clone());
        let seen = seen.unwrap().map(|seen| health(&seen));
        assert_eq!(seen, Some(Health::Unknown));
        assert_eq!(rig.issuer.asked(), 0);
        // An observer that went round without rest would not let the time pass.
        tokio::time::sleep(ASK_EVERY * 4).await;
    }
}
