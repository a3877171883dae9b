use super::*;

/// Tells a story with the coordinator dying at a record, and coming back.
async fn crash_and_resume(
    name: &str,
    (desired, agents): (Desired, FakeAgents),
    at: usize,
    moment: Moment,
    away: Duration,
    want: &[String],
) {
    let told = format!("{name}, dead {moment:?} record {at}, away {away:?}");
    let desk = Desk::new("ada@desk", &agents);
    let journal = desk.begin(desk.plan(&desired).await, FIRST);
    let end = desk.drive(journal, Some((at, moment))).await;
    assert!(matches!(end, End::Crashed), "{told}: {end:?}");
    tokio::time::sleep(away).await;
    if desk.phase() == Phase::Finished {
        assert_eq!(moment, Moment::After, "{told}");
    } else {
        let result = desk.resume().await;
        assert_eq!(result, RolloutResult::Done { changed: true }, "{told}");
    }
    assert_eq!(agents.portrait(), want, "{told}");
    assert!(is_done(name, &desk.plan(&desired).await), "{told}");
}

/// Tells a story once for each record, moment and time away.
async fn every_crash(story: usize) {
    let (name, (desired, agents)) = stories().swap_remove(story);
    let (want, records) = undisturbed(&desired, &agents).await;
    for at in 1..=records {
        for (moment, aways) in [
            // At once, while the agents still work, and after every lease has run out.
            (Moment::Before, &[0, 3, 60][..]),
            (Moment::Torn, &[0]),
            (Moment::After, &[0, 3, 60]),
        ] {
            for away in aways {
                let fresh = stories().swap_remove(story).1;
                let away = Duration::from_secs(*away);
                crash_and_resume(name, fresh, at, moment, away, &want).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_rollout_goes_on_from_any_record_to_the_same_end() {
    every_crash(0).await;
}

#[tokio::test(start_paused = true)]
async fn a_change_goes_on_from_any_record_to_the_same_end() {
    every_crash(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_made_is_made_once_from_any_record() {
    every_crash(2).await;
}

#[tokio::test(start_paused = true)]
async fn machines_are_made_once_from_any_record() {
    every_crash(3).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_is_registered_once_from_any_record() {
    every_crash(4).await;
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_dies_again_and_again_comes_to_the_same_end() {
    let (desired, agents) = fresh();
    let (want, records) = undisturbed(&desired, &agents).await;
    for every in 2..6 {
        let (desired, agents) = fresh();
        let desk = Desk::new("ada@desk", &agents);
        let mut journal = desk.begin(desk.plan(&desired).await, FIRST);
        let mut lives = 0;
        loop {
            lives += 1;
            assert!(lives <= 3 * records, "it gets nowhere");
            // Two records are spent on starting and taking the leases.
            let crash = Some((2 + every, Moment::After));
            if let End::Result(result) = desk.drive(journal, crash).await {
                assert_eq!(result.unwrap(), RolloutResult::Done { changed: true });
                break;
            }
            if desk.phase() == Phase::Finished {
                break;
            }
            journal = desk.open(FIRST);
        }
        assert!(lives > 2);
        assert_eq!(agents.portrait(), want);
    }
}

#[tokio::test(start_paused = true)]
async fn another_operator_without_the_journal_comes_to_the_same_end() {
    for story in 0..stories().len() {
        let (name, (desired, agents)) = stories().swap_remove(story);
        let (want, records) = undisturbed(&desired, &agents).await;
        for at in 1..=records {
            for moment in [Moment::Before, Moment::After] {
                let told = format!("{name}, dead {moment:?} record {at}");
                let (desired, agents) = stories().swap_remove(story).1;
                let lost = Desk::new("ada@desk", &agents);
                let journal = lost.begin(lost.plan(&desired).await, FIRST);
                let end = lost.drive(journal, Some((at, moment))).await;
                assert!(matches!(end, End::Crashed), "{told}");

                let other = Desk::new("bob@laptop", &agents);
                // At once: the lost coordinator's leases are still in force.
                let done = match other.settled_plan(&desired).await {
                    Err(AgentError::Held { holder, .. }) => {
                        assert_eq!(holder.holder, "ada@desk", "{told}");
                        false
                    }
                    Err(error) => panic!("{told}: {error}"),
                    Ok(plan) if is_done(name, &plan) => true,
                    Ok(plan) => match other.apply(plan).await {
                        RolloutResult::Done { .. } => true,
                        result => {
                            assert_eq!(result.exit().code(), 7, "{told}: {result:?}");
                            let text = format!("{result:?}");
                            assert!(text.contains("ada@desk"), "{told}: {text}");
                            false
                        }
                    },
                };
                if !done {
                    tokio::time::sleep(Duration::from_secs(31)).await;
                    let plan = other.settled_plan(&desired).await.unwrap();
                    let journal = other.begin(plan, 2);
                    let result = other.drive(journal, None).await.result();
                    assert!(
                        matches!(result, RolloutResult::Done { .. }),
                        "{told}: {result:?}"
                    );
                }
                assert_eq!(agents.portrait(), want, "{told}");
            }
        }
    }
}
