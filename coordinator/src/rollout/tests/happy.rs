use super::*;
use crate::agents::fake::Call;
use crate::rollout::{Event, StepState, Stopper};

#[tokio::test(start_paused = true)]
async fn everything_is_made_in_order_and_then_there_is_nothing_to_do() {
    let (desired, agents) = fresh();
    let desk = Desk::new("ada@desk", &agents);
    let plan = desk.plan(&desired).await;
    let listener = Listener::default();
    let journal = desk.begin(plan, FIRST);
    let result = desk
        .drive_and_listen(journal, None, &listener, &StopSignal::never())
        .await
        .result();
    assert_eq!(result, RolloutResult::Done { changed: true });
    assert_eq!(result.exit().code(), 0);
    assert!(desk.plan(&desired).await.is_noop());

    let words: Vec<String> = desk
        .story(FIRST)
        .records
        .iter()
        .map(|record| match &record.event {
            Event::StepStarted { step, .. } => format!("start {step}"),
            Event::StepSucceeded { step, .. } => format!("done {step}"),
            Event::GatePassed { wave, .. } => format!("gate {}", wave.number()),
            Event::Started { .. } => "started".to_owned(),
            Event::LeasesTaken { .. } => "leases".to_owned(),
            Event::PreflightPassed { .. } => "preflight".to_owned(),
            Event::Finished => "finished".to_owned(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        words.join(", "),
        "started, leases, preflight, start 2.1, done 2.1, gate 2, gate 3, \
         start 4.1, done 4.1, gate 4, start 5.1, done 5.1, gate 5, start 6.1, done 6.1, gate 6, \
         finished"
    );
    let told = listener.told();
    let checked = |happening: &&Happening| matches!(happening, Happening::Checked { .. });
    assert!(told.iter().filter(checked).count() > 10);
    // The leases were given back.
    assert!(agents.world().host("omni").current_lease().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_plan_with_nothing_to_do_asks_nothing_of_anybody() {
    let (desired, agents) = running(&[]);
    let desk = Desk::new("ada@desk", &agents);
    let plan = desk.plan(&desired).await;
    let before = agents.world().log.len();
    assert_eq!(
        desk.apply(plan).await,
        RolloutResult::Done { changed: false }
    );
    assert_eq!(agents.world().log.len(), before);
}

#[tokio::test(start_paused = true)]
async fn the_operations_are_the_ones_of_the_plan() {
    let (desired, agents) = fresh();
    let desk = Desk::new("ada@desk", &agents);
    let plan = desk.plan(&desired).await;
    let planned: Vec<_> = plan
        .steps()
        .map(|step| (step.operation.clone(), step.generation))
        .collect();
    desk.apply(plan).await;
    let sent: Vec<_> = desk
        .story(FIRST)
        .records
        .into_iter()
        .filter_map(|record| match record.event {
            Event::StepStarted {
                operation,
                generation,
                ..
            } => Some((operation, generation)),
            _ => None,
        })
        .collect();
    assert_eq!(sent, planned);
}

#[tokio::test(start_paused = true)]
async fn an_operator_can_stop_it_and_go_on() {
    let (desired, agents) = fresh();
    let (want, _) = undisturbed(&desired, &agents).await;
    let (desired, agents) = fresh();
    let desk = Desk::new("ada@desk", &agents);
    let journal = desk.begin(desk.plan(&desired).await, FIRST);
    let (stopper, signal) = Stopper::new();
    let listener = Listener::default();
    let (end, ()) = tokio::join!(
        desk.drive_and_listen(journal, None, &listener, &signal),
        async {
            tokio::time::sleep(Duration::from_secs(7)).await;
            stopper.stop("interrupted by the operator");
        }
    );
    let result = end.result();
    assert!(
        matches!(result, RolloutResult::Interrupted { .. }),
        "{result:?}"
    );
    assert!(agents.world().host("omni").current_lease().is_none());
    // What ran has come to its end, and that was written down.
    for host in ["idp", "omni"] {
        let mut world = agents.world();
        let mut targets = world.host(host).targets.values();
        assert!(targets.all(|target| target.running.is_none()), "{host}");
    }
    let story = desk.story(FIRST);
    let mut steps = story.state.steps().values().map(|step| &step.state);
    assert!(steps.all(|state| !matches!(state, StepState::Running(_))));
    assert_eq!(desk.resume().await, RolloutResult::Done { changed: true });
    assert_eq!(agents.portrait(), want);
}

#[tokio::test(start_paused = true)]
async fn an_aborted_rollout_cannot_go_on_and_says_what_it_left() {
    let (desired, agents) = fresh();
    let desk = Desk::new("ada@desk", &agents);
    let journal = desk.begin(desk.plan(&desired).await, FIRST);
    // Dead right after the first step was written down.
    let end = desk.drive(journal, Some((4, Moment::After))).await;
    assert!(matches!(end, End::Crashed));
    let engine = desk.engine(&agents.seat());
    let mut journal = desk.open(FIRST);
    let left = engine.abort(&mut journal).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].host.as_str(), "idp");
    drop(journal);
    assert!(agents.world().host("idp").current_lease().is_none());
    let End::Result(Err(EngineError::Ended { phase })) = desk.drive(desk.open(FIRST), None).await
    else {
        panic!("it went on");
    };
    assert_eq!(phase, "aborted");
    assert_eq!(agents.calls("idp", Call::Apply), 0);
}
