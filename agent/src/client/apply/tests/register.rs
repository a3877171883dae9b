//! From nothing to one client, and what becomes of an answer that was lost.

use omni_scale_proto::v1::FailureClass;
use tokio::time::Instant;

use super::*;
use crate::client::fake::Fault;

#[tokio::test]
async fn a_client_is_registered_once_whatever_tsidp_it_is() {
    for kind in [OPEN, DCR_ONLY, Kind::Older] {
        let rig = Rig::new(kind);
        let done = rig.apply(wire()).await.unwrap();
        assert!(done.warnings.is_empty(), "{done:?}");
        assert!(done.summary.contains(ISSUER), "{done:?}");
        rig.assert_in_order(&wire());
        let asked = rig.registrations();
        let rig = rig.restarted();
        let again = rig.apply(wire()).await.unwrap();
        assert!(again.summary.contains("as it should be"), "{again:?}");
        assert_eq!(rig.registrations(), asked);
        rig.assert_in_order(&wire());
    }
}

#[tokio::test]
async fn the_older_tsidp_is_asked_elsewhere_after_a_404_and_never_after_a_no() {
    let rig = Rig::applied(Kind::Older).await;
    let asked = rig.tsidp.asked();
    let place = |endpoint| asked.iter().position(|asked| *asked == endpoint);
    assert!(place(Endpoint::Register) < place(Endpoint::New));
    // Its gate for `/register` is shut, and that for `/clients/new` is open.
    let rig = Rig::new(Kind::Current {
        allow_dcr: false,
        allow_admin_ui: true,
    });
    let failure = rig.apply(wire()).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Refused);
    assert!(!rig.tsidp.asked().contains(&Endpoint::New));
    assert!(rig.ours().is_empty());
}

#[tokio::test]
async fn a_refusal_says_which_grant_to_write() {
    let rig = Rig::new(CLOSED);
    let failure = rig.apply(wire()).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Refused);
    assert!(failure.message.contains(ISSUER), "{failure:?}");
    let hint = failure.hint.unwrap();
    for part in [
        "\"src\": [\"100.64.0.7\"]",
        "tsidp.tail.test",
        "\"tailscale.com/cap/tsidp\": [{\"allow_dcr\": true, \"allow_admin_ui\": true}]",
    ] {
        assert!(hint.contains(part), "{hint}");
    }
    assert!(!hint.contains('*'), "{hint}");
    // Nothing is open: with that grant, even without its second half, it is registered.
    let rig = rig.restarted();
    rig.tsidp.become_of(DCR_ONLY);
    rig.apply(wire()).await.unwrap();
    rig.assert_in_order(&wire());
}

#[tokio::test]
async fn an_answer_that_was_lost_is_found_and_deleted_by_the_next_try() {
    for kind in [OPEN, Kind::Older] {
        for fault in [
            Fault::Lost,
            Fault::Cut,
            Fault::Garbled,
            Fault::FailedAfter,
            Fault::Failed,
        ] {
            let rig = Rig::new(kind);
            let endpoint = match kind {
                Kind::Older => Endpoint::New,
                Kind::Current { .. } => Endpoint::Register,
            };
            rig.tsidp.fail_next(endpoint, fault);
            let failure = rig.apply(wire()).await.unwrap_err();
            assert_eq!(failure.class, FailureClass::Transient, "{failure:?}");
            let left = usize::from(fault != Fault::Failed);
            assert_eq!(rig.ours().len(), left, "{fault:?}");
            assert_eq!((rig.stored(ID), rig.stored(SECRET)), (None, None));
            let rig = rig.restarted();
            rig.apply(wire()).await.unwrap();
            rig.assert_in_order(&wire());
        }
    }
}

#[tokio::test]
async fn an_answer_that_was_lost_where_nobody_can_look_is_for_people() {
    let rig = Rig::new(DCR_ONLY);
    rig.tsidp.fail_next(Endpoint::Register, Fault::Lost);
    rig.apply(wire()).await.unwrap_err();
    let rig = rig.restarted();
    for _ in 0..2 {
        let failure = rig.apply(wire()).await.unwrap_err();
        assert_eq!(failure.class, FailureClass::Permanent, "{failure:?}");
        let hint = failure.hint.unwrap();
        for part in [
            NAME,
            "\"100.64.0.7\"",
            "`omni-scale secret set HOST omni-client-id`",
            "`omni-scale secret set HOST omni-client-secret`",
        ] {
            assert!(hint.contains(part), "{hint}");
        }
    }
    assert_eq!((rig.registrations(), rig.ours().len()), (1, 1));
    // One way out: the grant.
    rig.tsidp.become_of(OPEN);
    rig.apply(wire()).await.unwrap();
    rig.assert_in_order(&wire());
}

#[tokio::test]
async fn an_id_and_a_secret_that_were_set_by_hand_end_an_open_attempt() {
    let rig = Rig::new(DCR_ONLY);
    rig.tsidp.fail_next(Endpoint::Register, Fault::Lost);
    rig.apply(wire()).await.unwrap_err();
    rig.set(ID, "mine");
    rig.apply(wire()).await.unwrap_err();
    rig.set(SECRET, "my secret");
    let done = rig.apply(wire()).await.unwrap();
    assert!(done.summary.contains("set by somebody"), "{done:?}");
    assert_eq!(rig.registrations(), 1);
    assert_eq!(rig.stored(ID).as_deref(), Some("mine"));
}

#[tokio::test]
async fn what_was_never_sent_leaves_nothing_open() {
    let rig = Rig::new(DCR_ONLY);
    rig.tsidp.fail_next(Endpoint::Register, Fault::NotSent);
    let failure = rig.apply(wire()).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Transient, "{failure:?}");
    assert!(rig.omni.records.get().attempt.is_none());
    rig.apply(wire()).await.unwrap();
    rig.assert_in_order(&wire());
}

#[tokio::test]
async fn an_issuer_that_cannot_be_asked_for_its_list_is_asked_for_nothing_else() {
    for fault in [Fault::NotSent, Fault::Lost, Fault::Failed, Fault::Garbled] {
        let rig = Rig::new(OPEN);
        rig.tsidp.fail_next(Endpoint::List, fault);
        let failure = rig.apply(wire()).await.unwrap_err();
        assert_eq!(failure.class, FailureClass::Transient, "{failure:?}");
        assert_eq!(rig.registrations(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_hangs_is_left_at_the_deadline_and_looked_at_again() {
    for fault in [Fault::Hangs, Fault::HangsAfter] {
        let rig = Rig::new(OPEN);
        rig.tsidp.fail_next(Endpoint::Register, fault);
        let began = Instant::now();
        let failure = rig.apply(wire()).await.unwrap_err();
        assert_eq!(failure.class, FailureClass::Transient, "{failure:?}");
        assert_eq!(began.elapsed().as_secs(), 120);
        let rig = rig.restarted();
        rig.apply(wire()).await.unwrap();
        rig.assert_in_order(&wire());
    }
}
