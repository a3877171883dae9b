//! The ledger on a real disk: restarts, cuts, damage, growth.

use super::*;

#[derive(Debug)]
struct No;
impl From<LedgerError> for No {
    fn from(_: LedgerError) -> Self {
        Self
    }
}

fn granted(epoch: u64) -> Record {
    Record::LeaseGranted(LeaseGranted {
        epoch,
        deployment: "7f2c6a54-9f0e-4c1e-8f61-0a2d9f1f8a11".parse().unwrap(),
        holder: "ada@desk".to_owned(),
        rollout: format!("rollout {epoch}"),
        since_milliseconds: 1,
    })
}

async fn written(path: &Path, epochs: u64) {
    let ledger = Ledger::open(path).unwrap();
    for epoch in 1..=epochs {
        ledger.append(granted(epoch)).await.unwrap();
    }
}

fn alter(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut contents = std::fs::read(path).unwrap();
    change(&mut contents);
    files::write_atomically(path, &contents, 0o600).unwrap();
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    written(&path, 3).await;
    let ledger = Ledger::open(&path).unwrap();
    assert_eq!(ledger.read(Book::last_epoch), 3);
    assert!(ledger.damage().is_none());
}

#[tokio::test]
async fn a_torn_tail_is_dropped_and_writing_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    written(&path, 3).await;
    alter(&path, |contents| contents.truncate(contents.len() - 5));
    let ledger = Ledger::open(&path).unwrap();
    assert_eq!(ledger.read(Book::last_epoch), 2);
    ledger.append(granted(7)).await.unwrap();
    drop(ledger);
    let ledger = Ledger::open(&path).unwrap();
    assert_eq!(ledger.read(Book::last_epoch), 7);
    assert!(ledger.damage().is_none());
}

#[tokio::test]
async fn a_damaged_ledger_tells_what_it_could_read_and_takes_nothing_more() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    written(&path, 3).await;
    alter(&path, |contents| {
        let last = contents.len() - 40;
        contents[last] ^= 1;
    });
    let before = std::fs::read(&path).unwrap();
    let ledger = Ledger::open(&path).unwrap();
    assert_eq!(ledger.read(Book::last_epoch), 2);
    let refused = ledger.append(granted(4)).await.unwrap_err();
    assert!(
        refused.to_string().contains("is damaged at byte"),
        "{refused}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_ledger_of_a_newer_format_is_never_written_to() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    files::write_atomically(&path, b"omni-scale ledger 2\nwhatever\n", 0o600).unwrap();
    let ledger = Ledger::open(&path).unwrap();
    assert!(ledger.append(granted(1)).await.is_err());
    assert!(std::fs::read(&path).unwrap().ends_with(b"whatever\n"));
}

#[tokio::test]
async fn a_ledger_stays_small() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    let ledger = Ledger::open(&path).unwrap();
    for epoch in 1..=2000 {
        let Record::LeaseGranted(mut grant) = granted(epoch) else {
            unreachable!("it was just made")
        };
        grant.holder = "x".repeat(1000);
        ledger.append(Record::LeaseGranted(grant)).await.unwrap();
    }
    drop(ledger);
    assert!(std::fs::metadata(&path).unwrap().len() < COMPACT_ABOVE + 2048);
    assert_eq!(Ledger::open(&path).unwrap().read(Book::last_epoch), 2000);
}

#[tokio::test]
async fn two_agents_cannot_share_a_ledger() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    let _first = Ledger::open(&path).unwrap();
    let second = Ledger::open(&path).unwrap_err();
    assert!(matches!(second, LedgerError::InUse { .. }));
}

#[tokio::test]
async fn a_refused_decision_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    let ledger = Ledger::open(&path).unwrap();
    let refused: Result<(), No> = ledger.decide(|_| Err(No)).await;
    assert!(refused.is_err());
    assert_eq!(std::fs::read(&path).unwrap(), frame::HEADER);
}

#[tokio::test]
async fn a_ledger_that_was_closed_can_be_opened_although_a_child_is_being_started() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    let ledger = Ledger::open(&path).unwrap();
    // What a child has between its fork and its exec.
    let inherited = ledger.writer.lock().await.lock.try_clone().unwrap();
    drop(ledger);
    Ledger::open(&path).unwrap();
    drop(inherited);
}

#[tokio::test]
async fn a_ledger_whose_end_is_not_known_takes_nothing_more() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    let ledger = Ledger::open(&path).unwrap();
    ledger.append(granted(1)).await.unwrap();
    // A disk that takes neither a write nor a truncation.
    ledger.writer.lock().await.file = File::open(&path).unwrap();
    let failed = ledger.append(granted(2)).await.unwrap_err();
    assert!(matches!(failed, LedgerError::File(_)), "{failed}");
    ledger.writer.lock().await.file = OpenOptions::new().append(true).open(&path).unwrap();
    let refused = ledger.append(granted(2)).await.unwrap_err();
    assert!(matches!(refused, LedgerError::Broken { .. }), "{refused}");
    assert_eq!(ledger.read(Book::last_epoch), 1);
    drop(ledger);
    let again = Ledger::open(&path).unwrap();
    again.append(granted(2)).await.unwrap();
    assert_eq!(again.read(Book::last_epoch), 2);
}
