//! The store on a real disk.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::secrets::error::LARGEST;

fn value(text: &str) -> SecretValue {
    SecretValue::new(text.as_bytes().to_vec())
}

fn name(text: &str) -> SecretName {
    text.parse().unwrap()
}

#[test]
fn a_secret_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let put = {
        let secrets = Secrets::open(directory.path()).unwrap();
        secrets.put(&name("client"), &value("hunter2\n")).unwrap()
    };
    let secrets = Secrets::open(directory.path()).unwrap();
    assert_eq!(secrets.get(&name("client")).unwrap().expose(), b"hunter2\n");
    assert_eq!(secrets.record(&name("client")), Some(put));
    let file = std::fs::metadata(directory.path().join("client")).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
}

#[test]
fn the_same_value_again_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let secrets = Secrets::open(directory.path()).unwrap();
    let first = secrets.put(&name("client"), &value("hunter2")).unwrap();
    assert_eq!(
        secrets.put(&name("client"), &value("hunter2")).unwrap(),
        first
    );
    let other = secrets.put(&name("client"), &value("hunter3")).unwrap();
    assert_ne!(other.keyed_digest, first.keyed_digest);
    let elsewhere = secrets.put(&name("other"), &value("hunter3")).unwrap();
    assert_ne!(elsewhere.keyed_digest, other.keyed_digest);
}

#[test]
fn a_consumed_value_is_gone_and_its_record_stays() {
    let directory = tempfile::tempdir().unwrap();
    let secrets = Secrets::open(directory.path()).unwrap();
    let put = secrets
        .put(&name("auth-key"), &value("tskey-auth-1"))
        .unwrap();
    secrets.consume(&name("auth-key")).unwrap();
    secrets.consume(&name("never-set")).unwrap();
    assert!(secrets.get(&name("auth-key")).is_none());
    let on_disk = std::fs::read(directory.path().join("auth-key")).unwrap();
    assert!(!String::from_utf8_lossy(&on_disk).contains("tskey"));
    let secrets = Secrets::open(directory.path()).unwrap();
    let record = secrets.record(&name("auth-key")).unwrap();
    assert!(record.consumed);
    assert_eq!(record.keyed_digest, put.keyed_digest);
}

#[test]
fn a_candidate_becomes_current_only_by_its_digest() {
    let directory = tempfile::tempdir().unwrap();
    let secrets = Secrets::open(directory.path()).unwrap();
    let candidate = secrets
        .put_candidate(&name("key"), &value("made here"))
        .unwrap();
    assert!(candidate.candidate);
    assert!(secrets.get(&name("key")).is_none());
    let wrong = secrets.confirm_candidate(&name("key"), "00").unwrap_err();
    assert!(matches!(wrong, SecretError::NoCandidate { .. }));
    let secrets = Secrets::open(directory.path()).unwrap();
    for _ in 0..2 {
        let digest = &candidate.keyed_digest;
        let confirmed = secrets.confirm_candidate(&name("key"), digest).unwrap();
        assert!(!confirmed.candidate);
    }
    assert_eq!(secrets.get(&name("key")).unwrap().expose(), b"made here");
    assert_eq!(secrets.list().len(), 1);
}

#[test]
fn a_private_key_that_is_replaced_stays_on_the_host() {
    let directory = tempfile::tempdir().unwrap();
    let secrets = Secrets::open(directory.path()).unwrap();
    let key = |body: &str| {
        value(&format!(
            "# of the first site\n-----BEGIN PGP PRIVATE KEY BLOCK-----\n{body}"
        ))
    };
    let first = secrets.put(&name("key"), &key("one")).unwrap();
    secrets.put(&name("key"), &key("two")).unwrap();
    let kept = format!(".replaced-key-{}", &first.keyed_digest[..16]);
    let contents = std::fs::read(directory.path().join(kept)).unwrap();
    assert!(contents.ends_with(b"one"));
    assert_eq!(Secrets::open(directory.path()).unwrap().list().len(), 1);
}

#[test]
fn values_outside_the_bounds_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let secrets = Secrets::open(directory.path()).unwrap();
    for text in [String::new(), "x".repeat(LARGEST + 1)] {
        let refused = secrets.put(&name("big"), &value(&text)).unwrap_err();
        assert!(matches!(refused, SecretError::Size { .. }));
    }
}

#[test]
fn a_damaged_file_is_named() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(directory.path()).unwrap();
    files::write_atomically(&directory.path().join("client"), b"hunter2", 0o600).unwrap();
    let error = Secrets::open(directory.path()).unwrap_err();
    assert!(error.to_string().contains("client` is damaged"), "{error}");
}

#[test]
fn nothing_prints_a_value() {
    let directory = tempfile::tempdir().unwrap();
    let secrets = Secrets::open(directory.path()).unwrap();
    secrets.put(&name("client"), &value("hunter2")).unwrap();
    let printed = format!("{secrets:?} {:?}", secrets.get(&name("client")));
    assert!(!printed.contains("hunter2"));
    assert_eq!(secrets.mask("it is hunter2"), "it is [secret client]");
}
