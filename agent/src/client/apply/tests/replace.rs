//! From one client to another, and what is deleted.

use omni_scale_proto::v1::{self, ClientState, FailureClass};

use super::*;
use crate::client::fake::Fault;

#[tokio::test]
async fn another_redirect_address_makes_another_client_and_the_old_one_goes_last() {
    let rig = Rig::applied(OPEN).await;
    let old = rig.stored(ID).unwrap();
    let done = rig.apply(moved()).await.unwrap();
    assert!(done.warnings.is_empty(), "{done:?}");
    rig.assert_in_order(&moved());
    assert_ne!(rig.stored(ID).unwrap(), old);
    let asked = rig.tsidp.asked();
    let last = |endpoint| asked.iter().rposition(|asked| *asked == endpoint);
    assert!(last(Endpoint::Register) < last(Endpoint::Delete));
}

#[tokio::test]
async fn a_replacement_that_fails_leaves_the_old_one_in_force() {
    for fault in [Fault::Refused, Fault::NotSent, Fault::Failed, Fault::Lost] {
        let rig = Rig::applied(OPEN).await;
        let old = (rig.stored(ID), rig.stored(SECRET));
        rig.tsidp.fail_next(Endpoint::Register, fault);
        rig.apply(moved()).await.unwrap_err();
        assert_eq!((rig.stored(ID), rig.stored(SECRET)), old);
        let held = rig.tsidp.clients();
        assert!(held.iter().any(|client| Some(&client.id) == old.0.as_ref()));
        // Whether it goes back or on, there is one in the end.
        let back = rig.restarted();
        back.apply(wire()).await.unwrap();
        back.assert_in_order(&wire());
        back.apply(moved()).await.unwrap();
        back.assert_in_order(&moved());
    }
}

#[tokio::test]
async fn a_deletion_that_is_refused_names_what_stays_and_the_grant() {
    let rig = Rig::applied(OPEN).await;
    let old = rig.stored(ID).unwrap();
    rig.tsidp.fail_next(Endpoint::Delete, Fault::Refused);
    let failure = rig.apply(moved()).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Permanent);
    assert!(failure.message.contains(&old), "{failure:?}");
    assert!(failure.hint.unwrap().contains("allow_admin_ui"));
    // The new one is in force, and what stays is not forgotten.
    let rig = rig.restarted();
    let observation = rig.observe(moved()).await;
    assert_eq!(observation.state(), ClientState::Registered);
    rig.apply(moved()).await.unwrap();
    rig.assert_in_order(&moved());
}

#[tokio::test]
async fn an_orphan_that_cannot_be_deleted_keeps_another_one_from_being_made() {
    let rig = Rig::new(OPEN);
    let orphans = [(); 2].map(|()| rig.tsidp.add(NAME, &wire().redirect_uri));
    rig.tsidp.fail_next(Endpoint::Delete, Fault::Refused);
    let failure = rig.apply(wire()).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Permanent);
    for orphan in &orphans {
        assert!(failure.message.contains(orphan), "{failure:?}");
    }
    assert_eq!(rig.registrations(), 0);
    rig.tsidp.fail_next(Endpoint::Delete, Fault::Lost);
    let failure = rig.apply(wire()).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Transient);
    rig.apply(wire()).await.unwrap();
    rig.assert_in_order(&wire());
}

#[tokio::test]
async fn a_client_that_the_issuer_has_lost_is_registered_again() {
    let rig = Rig::applied(OPEN).await;
    rig.tsidp.remove(&rig.stored(ID).unwrap());
    let observation = rig.observe(wire()).await;
    assert_eq!(observation.state(), ClientState::Lost);
    assert_eq!(observation.registered, Some(wire()));
    rig.apply(wire()).await.unwrap();
    rig.assert_in_order(&wire());
}

#[tokio::test]
async fn clients_of_other_people_are_not_touched() {
    let rig = Rig::new(OPEN);
    let names = [
        "",
        "omni-scale",
        "omni-scale 7f2c6a54",
        &format!("{NAME} "),
        "OMNI",
    ];
    let others = names.map(|name| rig.tsidp.add(name, &wire().redirect_uri));
    rig.tsidp.add(NAME, "https://elsewhere.tail.test/");
    rig.apply(wire()).await.unwrap();
    rig.apply(moved()).await.unwrap();
    rig.assert_in_order(&moved());
    let left = rig.tsidp.clients();
    for other in others {
        assert!(left.iter().any(|client| client.id == other), "{other}");
    }
}

#[tokio::test]
async fn an_issuer_that_was_renamed_has_one_client_and_the_old_name_is_told() {
    let rig = Rig::applied(OPEN).await;
    let old = rig.stored(ID).unwrap();
    let renamed = v1::Client {
        issuer: "https://idp.tail.test".to_owned(),
        ..wire()
    };
    rig.tsidp.rename(&renamed.issuer);
    let done = rig.apply(renamed.clone()).await.unwrap();
    rig.assert_in_order(&renamed);
    // Nobody answers there any more.
    assert!(done.warnings[0].contains(&old), "{done:?}");
    assert!(done.warnings[0].contains(ISSUER), "{done:?}");
}

#[tokio::test]
async fn other_names_for_the_secrets_move_the_client_and_leave_none_behind() {
    let rig = Rig::applied(OPEN).await;
    let other = v1::Client {
        id_secret: "other-id".to_owned(),
        secret_secret: "other-secret".to_owned(),
        ..wire()
    };
    // What Omni still runs with stays until there is another one.
    rig.tsidp.fail_next(Endpoint::Register, Fault::Failed);
    rig.apply(other.clone()).await.unwrap_err();
    assert_eq!(rig.ours()[0].id, rig.stored(ID).unwrap());
    rig.apply(other).await.unwrap();
    assert_eq!(rig.ours().len(), 1);
    assert_eq!(rig.ours()[0].id, rig.stored("other-id").unwrap());
}
