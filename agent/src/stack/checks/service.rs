//! Whether a service runs as it should, since long enough.

use std::time::Duration;

use omni_scale_proto::id::StackName;
use omni_scale_proto::v1::{self, ContainerHealth, ContainerState};

use super::super::{Stacks, observe};
use crate::clock;
use crate::service::checks::Finding;

/// Restarts after which a service that does not hold is in a loop, and no wait is worth while.
const RESTART_LOOP: u32 = 5;

impl Stacks {
    pub(super) async fn check_service(&self, check: &v1::ServiceCheck) -> Finding {
        let name: StackName = match check.stack.parse() {
            Ok(name) => name,
            Err(error) => return Finding::failed(format!("{error}")).finally(),
        };
        let observed = self.observe(&name, &[]).await;
        if !observed.known {
            return Finding::unknown(observed.reason);
        }
        let found = observed
            .services
            .iter()
            .find(|service| service.service == check.service);
        let Some(service) = found else {
            return Finding::failed(format!(
                "service `{}` of stack `{name}` has no container",
                check.service
            ));
        };
        let finding = judge(check, service, clock::now_milliseconds());
        if finding.status == v1::CheckStatus::Passed {
            return finding;
        }
        let evidence = self.evidence(&service.container_id).await;
        finding.with_evidence(evidence)
    }
}

fn judge(check: &v1::ServiceCheck, service: &v1::ServiceObservation, now: i64) -> Finding {
    let name = &check.service;
    let in_a_loop = service.restarts >= RESTART_LOOP;
    match service.state() {
        ContainerState::Running => {}
        ContainerState::Exited => {
            // The Engine does not start it again by itself.
            return Finding::failed(format!(
                "service `{name}` ended with exit code {}",
                service.exit_code
            ))
            .with_hint(format!("omni-scale logs {name}"))
            .finally();
        }
        other => {
            let finding = Finding::failed(format!(
                "service `{name}` is {}, after {} restarts, last with exit code {}",
                observe::state_word(other),
                service.restarts,
                service.exit_code
            ))
            .with_hint(format!("omni-scale logs {name}"));
            return if in_a_loop {
                finding.finally()
            } else {
                finding
            };
        }
    }
    if !service.namespace_live {
        return Finding::failed(format!(
            "service `{name}` is not on the live network namespace of `{}`",
            service.namespace_of
        ))
        .with_hint(
            "its namespace has been restarted or replaced; `omni-scale apply` makes it anew",
        );
    }
    if check.healthy {
        match service.health() {
            ContainerHealth::Healthy => {}
            ContainerHealth::None | ContainerHealth::Unspecified => {
                return Finding::failed(format!("service `{name}` has no health check")).finally();
            }
            health @ (ContainerHealth::Starting | ContainerHealth::Unhealthy) => {
                return Finding::failed(format!(
                    "service `{name}` is {}",
                    observe::health_word(health)
                ));
            }
        }
    }
    let held = now.saturating_sub(service.started_at_milliseconds);
    let rest = i64::from(check.hold_seconds) * 1_000 - held;
    let held = held / 1_000;
    if rest > 0 {
        let finding = Finding::failed(format!(
            "service `{name}` runs since {held} s; it must hold for {} s",
            check.hold_seconds
        ))
        .ripe_in(Duration::from_millis(rest.unsigned_abs()));
        return if in_a_loop {
            finding.finally()
        } else {
            finding
        };
    }
    Finding::passed(format!(
        "service `{name}` is {} since {held} s",
        observe::health_word(service.health())
    ))
}

#[cfg(test)]
mod tests {
    use omni_scale_proto::v1::CheckStatus;

    use super::*;

    fn running() -> v1::ServiceObservation {
        v1::ServiceObservation {
            service: "omni".to_owned(),
            state: ContainerState::Running.into(),
            health: ContainerHealth::Healthy.into(),
            namespace_live: true,
            started_at_milliseconds: 1_000_000,
            ..v1::ServiceObservation::default()
        }
    }

    fn judged(change: impl FnOnce(&mut v1::ServiceObservation), after: i64) -> (CheckStatus, bool) {
        let check = v1::ServiceCheck {
            stack: "omni".to_owned(),
            service: "omni".to_owned(),
            healthy: true,
            hold_seconds: 10,
        };
        let mut service = running();
        change(&mut service);
        let finding = judge(&check, &service, 1_000_000 + after);
        (finding.status, finding.may_change)
    }

    #[test]
    fn a_service_passes_when_it_has_held() {
        let failed_for_now = (CheckStatus::Failed, true);
        let failed_for_good = (CheckStatus::Failed, false);
        assert_eq!(judged(|_| {}, 10_000), (CheckStatus::Passed, true));
        assert_eq!(judged(|_| {}, 9_999), failed_for_now);
        assert_eq!(
            judged(|service| service.restarts = 5, 9_999),
            failed_for_good
        );
        assert_eq!(
            judged(|service| service.restarts = 5, 10_000),
            (CheckStatus::Passed, true)
        );
        assert_eq!(
            judged(|service| service.namespace_live = false, 10_000),
            failed_for_now
        );
        let health = |health: ContainerHealth| judged(|service| service.set_health(health), 10_000);
        assert_eq!(health(ContainerHealth::Starting), failed_for_now);
        assert_eq!(health(ContainerHealth::Unhealthy), failed_for_now);
        assert_eq!(health(ContainerHealth::None), failed_for_good);
        let state = |state: ContainerState| judged(|service| service.set_state(state), 10_000);
        assert_eq!(state(ContainerState::Exited), failed_for_good);
        assert_eq!(state(ContainerState::Restarting), failed_for_now);
    }
}
