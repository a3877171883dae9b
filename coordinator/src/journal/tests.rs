use std::sync::Arc;

use super::memory::MemoryFiles;
use super::*;
use crate::agents::fake::FakeAgents;
use crate::plan::{Choices, Scope, examples, plan};
use crate::rollout::{Phase, SystemClock, observe};

const ROLLOUT: u128 = 7;

async fn a_plan() -> Plan {
    let desired = examples::desired();
    let agents = FakeAgents::new(&desired);
    agents.world().skew_to(&SystemClock);
    let observed = observe(&agents.seat(), &SystemClock, &Scope::of(&desired)).await;
    plan(&desired, &observed, Choices::default()).unwrap()
}

fn holder() -> LockHolder {
    LockHolder {
        by: "ada@desk".to_owned(),
        process: 42,
        since: 1,
    }
}

fn rollout() -> RolloutId {
    RolloutId::new(uuid::Uuid::from_u128(ROLLOUT))
}

fn name() -> String {
    file_name(rollout())
}

fn deployment() -> DeploymentId {
    examples::desired().deployment
}

async fn header() -> Header {
    Header {
        deployment: deployment(),
        rollout: rollout(),
        created: 1_800_000_000_000,
        by: "ada@desk".to_owned(),
        plan: a_plan().await,
    }
}

fn lock(files: &MemoryFiles) -> JournalLock {
    JournalLock::take(Arc::new(files.clone()), &holder()).unwrap()
}

fn started() -> Event {
    Event::Started {
        by: "ada@desk".to_owned(),
    }
}

/// A journal with two records.
async fn begun() -> (MemoryFiles, Vec<u8>) {
    let files = MemoryFiles::default();
    let mut journal = Journal::create(lock(&files), header().await).unwrap();
    journal.append(5, started()).unwrap();
    let epochs = [(examples::host("omni"), 3)].into();
    journal.append(6, Event::LeasesTaken { epochs }).unwrap();
    let content = files.content(&name()).unwrap();
    (files, content)
}

fn reading(content: &[u8]) -> Result<Story, JournalError> {
    let files = MemoryFiles::default();
    files.put(&name(), content);
    read(&files, deployment(), rollout())
}

#[tokio::test(start_paused = true)]
async fn what_was_written_is_read_and_gone_on_with() {
    let (files, _) = begun().await;
    let mut journal = Journal::open(lock(&files), deployment(), rollout()).unwrap();
    assert_eq!(*journal.state().phase(), Phase::Preparing);
    let warnings = Vec::new();
    let record = journal
        .append(7, Event::PreflightPassed { warnings })
        .unwrap();
    assert_eq!((record.seq, record.time), (3, 7));
    drop(journal);
    let story = read(&files, deployment(), rollout()).unwrap();
    assert_eq!(story.records.len(), 3);
    assert_eq!(*story.state.phase(), Phase::Running);
    assert_eq!(story.header.plan, a_plan().await);
}

#[tokio::test(start_paused = true)]
async fn a_torn_last_line_is_dropped_and_cut_before_the_next() {
    let (_, content) = begun().await;
    let last = content[..content.len() - 1]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .unwrap()
        + 1;
    for length in last..content.len() {
        let files = MemoryFiles::default();
        files.put(&name(), &content[..length]);
        let mut journal = Journal::open(lock(&files), deployment(), rollout()).unwrap();
        let epochs = [(examples::host("omni"), 4)].into();
        journal.append(8, Event::LeasesTaken { epochs }).unwrap();
        drop(journal);
        let story = read(&files, deployment(), rollout()).unwrap();
        assert_eq!(story.records.len(), 2, "cut at {length}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_journal_without_a_whole_header_never_began() {
    let (_, content) = begun().await;
    let header = content.iter().position(|byte| *byte == b'\n').unwrap();
    for length in [0, 1, header / 2, header] {
        let error = reading(&content[..length]).unwrap_err();
        assert!(matches!(error, JournalError::Empty { .. }), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn any_other_damage_is_refused_by_its_line() {
    let (_, content) = begun().await;
    let text = String::from_utf8(content).unwrap();
    let damaged = |text: String| match reading(text.as_bytes()).unwrap_err() {
        JournalError::Damaged { line, reason, .. } => format!("{line}: {reason}"),
        error => panic!("{error}"),
    };
    let gone = text.replacen("\"seq\":1", "\"seq\":2", 1);
    assert_eq!(damaged(gone), "2: record 2 stands where 1 should");
    let garbled = text.replacen("started", "st\u{fffd}rted", 1);
    assert!(damaged(garbled).starts_with("2: unknown variant"));
    let unknown_key = text.replacen("\"seq\":1", "\"seq\":1,\"more\":1", 1);
    assert!(damaged(unknown_key).starts_with("2: unknown field `more`"));
    let mut lines: Vec<&str> = text.lines().collect();
    lines.swap(1, 2);
    assert!(damaged(lines.join("\n") + "\n").starts_with("2: "));
    let illegal = text.replacen(
        "\"kind\":\"started\",\"by\":\"ada@desk\"",
        "\"kind\":\"finished\"",
        1,
    );
    assert!(damaged(illegal).contains("the rollout has not started"));
    assert!(damaged(format!("{text}\n")).starts_with("4: "));
}

#[tokio::test(start_paused = true)]
async fn a_changed_plan_and_one_of_others_are_refused() {
    let (files, content) = begun().await;
    let text = String::from_utf8(content).unwrap();
    let edited = text.replacen("\"generation\":1", "\"generation\":9", 1);
    assert_ne!(text, edited);
    let error = reading(edited.as_bytes()).unwrap_err();
    assert!(
        matches!(
            error,
            JournalError::Plan {
                source: PlanFileError::Changed,
                ..
            }
        ),
        "{error}"
    );
    let other = "0b0b0b0b-0b0b-4b0b-8b0b-0b0b0b0b0b0b".parse().unwrap();
    let error = read(&files, other, rollout()).unwrap_err();
    assert!(
        matches!(
            error,
            JournalError::Plan {
                source: PlanFileError::Foreign { .. },
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_newer_format_is_never_written_to() {
    let (_, content) = begun().await;
    let text = String::from_utf8(content).unwrap();
    let newer = text.replacen("\"version\":1", "\"version\":2", 1);
    let files = MemoryFiles::default();
    files.put(&name(), newer.as_bytes());
    let error = Journal::open(lock(&files), deployment(), rollout()).unwrap_err();
    assert!(
        matches!(error, JournalError::Newer { found: 2, .. }),
        "{error}"
    );
    assert_eq!(files.content(&name()).unwrap(), newer.as_bytes());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_follow_is_not_written() {
    let (files, before) = begun().await;
    let mut journal = Journal::open(lock(&files), deployment(), rollout()).unwrap();
    let error = journal.append(9, Event::Finished).unwrap_err();
    assert!(matches!(error, JournalError::Illegal { .. }), "{error}");
    assert_eq!(files.content(&name()).unwrap(), before);
    journal.append(9, started()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn after_a_failed_write_nothing_more_is_written() {
    let (files, _) = begun().await;
    let mut journal = Journal::open(lock(&files), deployment(), rollout()).unwrap();
    files.crash(1, memory::Moment::Torn, || {});
    assert!(journal.append(9, started()).is_err());
    let error = journal.append(9, started()).unwrap_err();
    assert!(matches!(error, JournalError::Broken { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn one_at_a_time_writes_and_the_other_is_told_who() {
    let files = MemoryFiles::default();
    let first = lock(&files);
    let refused = JournalLock::take(Arc::new(files.clone()), &holder()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "another omni-scale on this machine works on this deployment: ada@desk (process 42)"
    );
    drop(first);
    lock(&files);
}

#[tokio::test(start_paused = true)]
async fn a_directory_keeps_journals_as_memory_does() {
    let home = tempfile::tempdir().unwrap();
    let files: Arc<dyn JournalFiles> =
        Arc::new(JournalDirectory::open(home.path().join("rollouts")).unwrap());
    let lock = JournalLock::take(files.clone(), &holder()).unwrap();
    let refused = JournalLock::take(files.clone(), &holder()).unwrap_err();
    assert!(refused.to_string().contains("process 42"), "{refused}");
    let header = header().await;
    let mut journal = Journal::create(lock, header.clone()).unwrap();
    journal.append(5, started()).unwrap();
    let lock = journal.into_lock();
    let again = Journal::create(lock, header).unwrap_err();
    assert!(
        matches!(
            again,
            JournalError::File {
                tried: "create",
                ..
            }
        ),
        "{again}"
    );

    let path = home.path().join("rollouts").join(name());
    let mut torn = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    std::io::Write::write_all(&mut torn, b"{\"seq\":2,").unwrap();
    let lock = JournalLock::take(files.clone(), &holder()).unwrap();
    let mut journal = Journal::open(lock, deployment(), rollout()).unwrap();
    journal.append(6, started()).unwrap();
    drop(journal);
    let story = read(files.as_ref(), deployment(), rollout()).unwrap();
    assert_eq!(story.records.len(), 2);
    let listed = list(files.as_ref(), deployment()).unwrap();
    assert_eq!(listed.stories, [story]);
    assert!(listed.unreadable.is_empty(), "{listed:?}");
}

#[tokio::test]
async fn a_journal_that_cannot_be_read_is_listed_with_why() {
    let (files, _) = begun().await;
    let other = RolloutId::new(uuid::Uuid::from_u128(ROLLOUT + 1));
    files.put(&file_name(other), b"{}\n");
    files.put("notes.txt", b"mine");
    files.put(&file_name(RolloutId::new(uuid::Uuid::from_u128(1))), b"");
    let found = list(&files, deployment()).unwrap();
    assert_eq!(found.stories.len(), 1);
    let unreadable = found.unreadable.as_slice();
    assert!(
        matches!(unreadable, [JournalError::Damaged { line: 1, .. }]),
        "{unreadable:?}"
    );
}

/// A journal as version 1 wrote it: it must be read for ever.
#[test]
fn the_first_format_is_still_read() {
    let files = MemoryFiles::default();
    files.put(&name(), include_bytes!("fixtures/v1.jsonl"));
    let story = read(&files, deployment(), rollout()).unwrap();
    assert_eq!(story.records.len(), 17);
    assert_eq!(*story.state.phase(), Phase::Finished);
    assert_eq!(story.header.plan.steps().count(), 4);
}
