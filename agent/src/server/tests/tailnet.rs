//! The tailnet's half on the wire: refusals as callers get them, and an address that moves.

use std::net::Ipv4Addr;

use omni_scale_proto::v1;
use serde_json::json;
use tonic::Code;

use super::rig::Rig;
use crate::tailnet::{FakeTailnet, Peer};

const POLICY: &str = "[tailnet]\ncapability = 'example.com/cap/omni-scale'\n";

fn with_role(role: &str) -> Peer {
    let values = vec![json!({"roles": [role]})];
    Peer {
        capabilities: [("example.com/cap/omni-scale".to_owned(), values)].into(),
        ..FakeTailnet::desk()
    }
}

#[tokio::test]
async fn the_lower_of_both_roles_holds_and_who_am_i_says_which() {
    let rig = Rig::enrolled_with(POLICY).await;
    rig.parts.tailnet.set_peer(Some(with_role("viewer")));
    let mut admin = rig.operator("admin");
    let me = admin
        .who_am_i(v1::WhoAmIRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (
            me.role.as_str(),
            me.tailnet_role.as_str(),
            me.effective_role.as_str()
        ),
        ("admin", "viewer", "viewer")
    );
    assert_eq!(me.limited_by(), v1::RoleLimit::Tailnet);
    assert_eq!(
        me.tailnet_role_source,
        "capability `example.com/cap/omni-scale`"
    );
    assert_eq!((me.node_id.as_str(), me.tags.len()), ("nDESK", 0));
    let list = v1::PutDenyListRequest {
        version: 1,
        serials: Vec::new(),
    };
    let refused = admin.put_deny_list(list).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("this needs admin"), "{refused}");
}

#[tokio::test]
async fn a_good_certificate_is_of_no_use_off_the_tailnet_and_without_the_grant() {
    let rig = Rig::enrolled_with(POLICY).await;
    let refused = rig
        .operator("admin")
        .describe(v1::DescribeRequest {})
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(
        refused.message().contains("grants device `desk`"),
        "{refused}"
    );

    let rig = Rig::enrolled().await;
    rig.parts.tailnet.set_peer(None);
    let refused = rig
        .operator("admin")
        .describe(v1::DescribeRequest {})
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(
        refused.message().contains("127.0.0.1 is no device"),
        "{refused}"
    );
}

#[tokio::test]
async fn nobody_enrols_an_agent_from_off_the_tailnet() {
    let rig = Rig::unenrolled().await;
    rig.parts.tailnet.set_peer(None);
    let (mut stranger, _) = rig.stranger();
    let refused = stranger.enroll(tokio_stream::empty()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(
        refused
            .message()
            .contains("no device of this host's tailnet"),
        "{refused}"
    );
}

#[tokio::test]
async fn while_tailscaled_is_silent_nobody_is_let_in() {
    let rig = Rig::enrolled().await;
    rig.parts.tailnet.forget_peers();
    let refused = rig
        .operator("admin")
        .describe(v1::DescribeRequest {})
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(
        refused.message().contains("cannot tell who is calling"),
        "{refused}"
    );
}

#[tokio::test]
async fn connections_to_a_former_address_end() {
    let rig = Rig::enrolled().await;
    let mut client = rig.operator("viewer");
    client.describe(v1::DescribeRequest {}).await.unwrap();
    let mut journal = rig
        .operator("viewer")
        .read_agent_journal(v1::ReadAgentJournalRequest {
            lines: 0,
            follow: true,
        })
        .await
        .unwrap()
        .into_inner();
    rig.listens_on
        .send_replace(Some(Ipv4Addr::new(127, 0, 0, 9)));
    // The stream is cut, not left hanging.
    while let Ok(Some(_)) = journal.message().await {}
    // The lazy client dials the former address again, where nobody listens any more.
    assert!(client.describe(v1::DescribeRequest {}).await.is_err());
}
