//! What becomes of an agent's identity, and what it refuses to become.

use super::*;

use crate::identity::testing::{Authority, Leaf, now};

fn store(directory: &Path) -> IdentityStore {
    IdentityStore::open(directory).unwrap()
}

fn refused(store: &IdentityStore, leaf: &Leaf, authority: &Authority) -> String {
    let pending = store.prepare().unwrap();
    let offer = authority.offer(&pending, leaf);
    crate::error::chain(&store.enroll(&pending, &offer, now()).unwrap_err())
}

#[test]
fn an_agent_makes_its_own_identity_and_keeps_it() {
    let directory = tempfile::tempdir().unwrap();
    let first = store(directory.path()).current();
    assert!(first.enrolled.is_none());
    assert_eq!(store(directory.path()).current().leaf(), first.leaf());
}

#[test]
fn an_enrolled_agent_has_its_certificate_also_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let store_before = store(directory.path());
    let deployment = store_before.deployment();
    assert_eq!(*deployment.borrow(), None);
    let pending = store_before.prepare().unwrap();
    let offer = authority.offer(&pending, &Leaf::default());
    store_before.enroll(&pending, &offer, now()).unwrap();
    assert_eq!(*deployment.borrow(), Some(offer.enrolled.deployment));
    let current = store(directory.path()).current();
    assert_eq!(current.enrolled, Some(offer.enrolled));
    assert_eq!(current.chain, offer.chain);
    assert!(current.not_after_milliseconds > 0);
    // Nothing of the identity before is left.
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
}

#[test]
fn certificates_that_cannot_be_served_with_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let authority = Authority::new();
    let plain = Leaf::default();
    let client = Leaf {
        client_use: true,
        ..plain.clone()
    };
    assert!(refused(&store, &client, &authority).contains("not for serving alone"));
    let elsewhere = Leaf {
        name: "other",
        ..plain.clone()
    };
    assert!(refused(&store, &elsewhere, &authority).contains("for serving as `omni` now"));
    let expired = Leaf {
        expired: true,
        ..plain.clone()
    };
    assert!(refused(&store, &expired, &authority).contains("expired"));

    let (mine, theirs) = (store.prepare().unwrap(), store.prepare().unwrap());
    let offer = authority.offer(&theirs, &plain);
    let other_key = store.enroll(&mine, &offer, now()).unwrap_err();
    assert!(crate::error::chain(&other_key).contains("not for the key"));

    let mut offer = authority.offer(&mine, &plain);
    offer.enrolled.authority = Authority::new().certificate;
    assert!(store.enroll(&mine, &offer, now()).is_err());
    offer.enrolled.authority = offer.chain[0].clone();
    let no_authority = store.enroll(&mine, &offer, now()).unwrap_err();
    assert!(crate::error::chain(&no_authority).contains("not that of a certificate authority"));
    offer.chain.clear();
    assert!(store.enroll(&mine, &offer, now()).is_err());
    assert!(store.current().enrolled.is_none());
}

#[test]
fn a_renewal_takes_a_new_certificate_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let authority = Authority::new();
    let early = store.prepare().unwrap();
    let offer = authority.offer(&early, &Leaf::default());
    assert!(matches!(
        store.renew(&early, &offer, now()),
        Err(IdentityError::NotEnrolled)
    ));
    store.enroll(&early, &offer, now()).unwrap();
    store
        .put_deny_list(&DenyList::checked(3, &["ab".to_owned()]).unwrap())
        .unwrap();

    let pending = store.prepare().unwrap();
    let offer = authority.offer(&pending, &Leaf::default());
    let other = Authority::new();
    for (moved, what) in [
        (
            Enrolled {
                host: "idp".parse().unwrap(),
                ..offer.enrolled.clone()
            },
            "host name",
        ),
        (
            Enrolled {
                authority: other.certificate,
                ..offer.enrolled.clone()
            },
            "authority",
        ),
        (
            Enrolled {
                deployment: "00000000-0000-4000-8000-000000000000".parse().unwrap(),
                ..offer.enrolled.clone()
            },
            "deployment",
        ),
    ] {
        let offer = Offer {
            enrolled: moved,
            ..offer.clone()
        };
        let refused = store
            .renew(&pending, &offer, now())
            .unwrap_err()
            .to_string();
        assert!(refused.contains(what), "{refused}");
    }
    store.renew(&pending, &offer, now()).unwrap();
    let current = store.current();
    assert_eq!(current.chain, offer.chain);
    assert!(
        current.deny_list.refuses("AB"),
        "the deny list outlives a renewal"
    );
}

#[test]
fn an_older_deny_list_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let list = |version, serial: &str| DenyList::checked(version, &[serial.to_owned()]).unwrap();
    assert!(matches!(
        store.put_deny_list(&list(1, "a")),
        Err(IdentityError::NotEnrolled)
    ));
    let pending = store.prepare().unwrap();
    let offer = Authority::new().offer(&pending, &Leaf::default());
    store.enroll(&pending, &offer, now()).unwrap();
    store.put_deny_list(&list(2, "a")).unwrap();
    store.put_deny_list(&list(2, "a")).unwrap();
    for version in [1, 2] {
        let refused = store.put_deny_list(&list(version, "b")).unwrap_err();
        assert!(matches!(
            refused,
            IdentityError::StaleDenyList { current: 2, .. }
        ));
    }
    let again = IdentityStore::open(directory.path()).unwrap();
    assert!(again.current().deny_list.refuses("a"));
}

#[test]
fn a_damaged_identity_is_named_and_leaves_the_old_one_in_force() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let chain = directory.path().join("current/agent.pem");
    disk::write_atomically(&chain, b"nothing", 0o600).unwrap();
    let error = store.reload().unwrap_err().to_string();
    assert!(error.contains("agent.pem` is damaged"), "{error}");
    assert!(!store.current().chain.is_empty());
}

#[test]
fn who_was_revoked_stays_so_over_an_enrolment_by_the_same_authority_alone() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let authority = Authority::new();
    let enroll = |authority: &Authority| {
        let pending = store.prepare().unwrap();
        let offer = authority.offer(&pending, &Leaf::default());
        store.enroll(&pending, &offer, now()).unwrap();
    };
    enroll(&authority);
    let list = DenyList::checked(3, &["ab".to_owned()]).unwrap();
    store.put_deny_list(&list).unwrap();
    enroll(&authority);
    assert_eq!(store.current().deny_list, list);
    enroll(&Authority::new());
    assert_eq!(store.current().deny_list, DenyList::default());
}
