//! Every state against every event, and what holds of every story.

use std::fmt::Write as _;
use std::sync::LazyLock;

use omni_scale_proto::operation::{Target, random_operation_id};
use proptest::prelude::*;

use super::*;
use crate::agents::Class;
use crate::plan::{StepId, Wave};
use crate::rollout::{Event, FailedCheck, Record, Refusal, RolloutState, StepFailure};

const STEP: StepId = StepId { wave: 6, number: 1 };

/// A plan whose one step is the provider's.
static ONE_STEP: LazyLock<Plan> = LazyLock::new(|| {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let (desired, agents) = running(&[("proxmox-provider", "siderolabs/provider:v0.4")]);
        Desk::new("ada@desk", &agents).plan(&desired).await
    })
});

fn failure(spent: bool) -> StepFailure {
    StepFailure {
        class: Class::Transient,
        message: "it did not work".to_owned(),
        hint: String::new(),
        evidence: Vec::new(),
        operation_spent: spent,
    }
}

fn start(attempt: u32, generation: u64) -> Event {
    Event::StepStarted {
        step: STEP,
        attempt,
        operation: random_operation_id([1; 32]),
        generation,
    }
}

fn undo(attempt: u32, generation: u64) -> Event {
    Event::UndoStarted {
        step: STEP,
        attempt,
        operation: random_operation_id([2; 32]),
        generation,
    }
}

fn attempt_failed(attempt: u32, spent: bool) -> Event {
    Event::AttemptFailed {
        step: STEP,
        attempt,
        failure: failure(spent),
    }
}

fn step_failed(spent: bool) -> Event {
    Event::StepFailed {
        step: STEP,
        failure: failure(spent),
    }
}

fn succeeded(generation: u64) -> Event {
    Event::StepSucceeded {
        step: STEP,
        generation,
        summary: "made so".to_owned(),
        warnings: Vec::new(),
    }
}

fn passed(wave: Wave) -> Event {
    Event::GatePassed {
        wave,
        warnings: Vec::new(),
    }
}

fn gate_failed(wave: Wave) -> Event {
    let failed = FailedCheck {
        host: examples::host("omni"),
        title: "it runs".to_owned(),
        summary: "it does not".to_owned(),
        hint: String::new(),
        evidence: Vec::new(),
        unknown: false,
    };
    Event::GateFailed {
        wave,
        failed: vec![failed],
    }
}

fn by() -> String {
    "ada@desk".to_owned()
}

fn held() -> Event {
    Event::Held {
        reason: "it failed".to_owned(),
        advice: "look at it".to_owned(),
    }
}

fn refused() -> Event {
    Event::Refused {
        refusal: Refusal::ChecksFailed { failed: Vec::new() },
    }
}

/// Every event, with the numbers that fit the stories below. The converged world has generation 1.
fn events() -> Vec<(&'static str, Event)> {
    let text = || "because".to_owned();
    vec![
        ("started", Event::Started { by: by() }),
        (
            "leases-taken",
            Event::LeasesTaken {
                epochs: [(examples::host("omni"), 1)].into(),
            },
        ),
        (
            "preflight-passed",
            Event::PreflightPassed {
                warnings: Vec::new(),
            },
        ),
        ("refused", refused()),
        ("step-started 1", start(1, 2)),
        ("step-started 2", start(2, 3)),
        ("step-started 2, unspent", start(2, 2)),
        (
            "reply-lost",
            Event::ReplyLost {
                step: STEP,
                reason: text(),
            },
        ),
        ("attempt-failed 1, spent", attempt_failed(1, true)),
        ("attempt-failed 1", attempt_failed(1, false)),
        ("step-succeeded", succeeded(2)),
        (
            "step-adopted",
            Event::StepAdopted {
                step: STEP,
                generation: 2,
            },
        ),
        ("step-failed", step_failed(false)),
        ("step-failed, spent", step_failed(true)),
        (
            "gate-attempt-failed 6",
            Event::GateAttemptFailed {
                wave: Wave::Provider,
                attempt: 1,
                reason: text(),
            },
        ),
        ("gate-passed 2", passed(Wave::Identity)),
        ("gate-passed 6", passed(Wave::Provider)),
        ("gate-failed 6", gate_failed(Wave::Provider)),
        ("undo-started 1", undo(1, 3)),
        ("undo-started 2", undo(2, 4)),
        (
            "undo-attempt-failed 1",
            Event::UndoAttemptFailed {
                step: STEP,
                attempt: 1,
                failure: failure(true),
            },
        ),
        (
            "undo-finished",
            Event::UndoFinished {
                step: STEP,
                generation: 3,
            },
        ),
        (
            "undo-failed",
            Event::UndoFailed {
                step: STEP,
                failure: failure(false),
            },
        ),
        ("held", held()),
        ("interrupted", Event::Interrupted { reason: text() }),
        ("undone", Event::Undone),
        ("stuck", Event::Stuck),
        ("aborted", Event::Aborted { by: by() }),
        ("finished", Event::Finished),
    ]
}

/// Every state, by the story that leads there.
fn states(plan: &Plan) -> Vec<(&'static str, RolloutState)> {
    let started = vec![Event::Started { by: by() }];
    let preflight = Event::PreflightPassed {
        warnings: Vec::new(),
    };
    let mut ready = started.clone();
    ready.push(preflight.clone());
    let mut waiting = ready.clone();
    waiting.extend([Wave::Identity, Wave::Client, Wave::Sidecar, Wave::Omni].map(passed));
    let after = |story: &[Event], more: &[Event]| -> Vec<Event> {
        story.iter().chain(more).cloned().collect()
    };
    let running = after(&waiting, &[start(1, 2)]);
    let done = after(&running, &[succeeded(2)]);
    let failed = after(&running, &[step_failed(true)]);
    let undoing = after(&failed, &[undo(1, 3)]);
    let undo_failed = Event::UndoFailed {
        step: STEP,
        failure: failure(false),
    };
    let stories: Vec<(&'static str, Vec<Event>)> = vec![
        ("new", Vec::new()),
        ("preparing", started.clone()),
        ("first gate", ready),
        ("waiting", waiting.clone()),
        ("running", running.clone()),
        ("retrying", after(&running, &[attempt_failed(1, true)])),
        (
            "retrying, unspent",
            after(&running, &[attempt_failed(1, false)]),
        ),
        ("last gate", done.clone()),
        ("last gate passed", after(&done, &[passed(Wave::Provider)])),
        ("failed, untouched", after(&running, &[step_failed(false)])),
        ("failed, touched", failed.clone()),
        ("gate failed", after(&done, &[gate_failed(Wave::Provider)])),
        ("undoing", undoing.clone()),
        (
            "undo retrying",
            after(
                &undoing,
                &[Event::UndoAttemptFailed {
                    step: STEP,
                    attempt: 1,
                    failure: failure(true),
                }],
            ),
        ),
        (
            "undo finished",
            after(
                &undoing,
                &[Event::UndoFinished {
                    step: STEP,
                    generation: 3,
                }],
            ),
        ),
        (
            "undo failed",
            after(&undoing, std::slice::from_ref(&undo_failed)),
        ),
        ("held", after(&failed, &[held()])),
        ("held, in flight", after(&running, &[held()])),
        ("refused", after(&started, &[refused()])),
        (
            "undone",
            after(
                &undoing,
                &[
                    Event::UndoFinished {
                        step: STEP,
                        generation: 3,
                    },
                    Event::Undone,
                ],
            ),
        ),
        ("stuck", after(&undoing, &[undo_failed, Event::Stuck])),
        ("aborted", after(&waiting, &[Event::Aborted { by: by() }])),
        (
            "finished",
            after(&done, &[passed(Wave::Provider), Event::Finished]),
        ),
    ];
    stories
        .into_iter()
        .map(|(name, story)| (name, RolloutState::replay(plan, &story).unwrap()))
        .collect()
}

#[test]
fn every_state_takes_the_events_that_may_follow_and_no_other() {
    let plan = &*ONE_STEP;
    let mut table = String::new();
    for (name, state) in states(plan) {
        let _ = writeln!(table, "{name} ({})", state.phase().word());
        for (event, value) in events() {
            if let Ok(next) = state.next(&value) {
                let _ = writeln!(table, "  {event} -> {}", next.phase().word());
            }
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn an_illegal_event_says_why() {
    let plan = &*ONE_STEP;
    let state = RolloutState::new(plan);
    let error = state.next(&start(1, 2)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`step-started` cannot follow: the rollout has not started"
    );
}

fn any_event() -> impl Strategy<Value = Event> {
    let events: Vec<Event> = events().into_iter().map(|(_, event)| event).collect();
    let gates = [Wave::Client, Wave::Sidecar, Wave::Omni].map(passed);
    proptest::sample::select([events, gates.to_vec()].concat())
}

proptest! {
    /// Whatever is tried: an end is an end, generations never fall, nothing is started before the
    /// gates before it have passed, and replaying what was taken leads to the same place.
    #[test]
    fn no_story_breaks_the_rules(tried in proptest::collection::vec(any_event(), 0..200)) {
        let plan = &*ONE_STEP;
        let host = examples::host("omni");
        let target = Target::Stack("omni".parse().unwrap());
        let mut state = RolloutState::new(plan);
        let mut taken = Vec::new();
        for event in tried {
            let Ok(next) = state.next(&event) else { continue };
            prop_assert!(!state.phase().is_end());
            prop_assert!(next.generation(&host, &target) >= state.generation(&host, &target));
            if let Event::StepStarted { generation, .. } = &event {
                prop_assert!(next.has_passed(Wave::Omni));
                prop_assert!(*generation > state.generation(&host, &target));
            }
            if *next.phase() == Phase::Finished {
                prop_assert!(plan.waves().iter().all(|wave| next.has_passed(wave.wave)));
            }
            taken.push(event);
            state = next;
        }
        prop_assert_eq!(RolloutState::replay(plan, &taken).unwrap(), state);
    }

    #[test]
    fn a_record_survives_its_line(event in any_event(), seq in 1u64.., time in any::<i64>()) {
        let record = Record { seq, time, event };
        let line = serde_json::to_string(&record).unwrap();
        prop_assert!(!line.contains('\n'));
        prop_assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record);
    }
}
