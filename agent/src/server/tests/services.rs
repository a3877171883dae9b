//! What answers behind the door: checks, uploads, reflection and journals, over TLS.

use std::collections::BTreeMap;

use omni_scale_proto::id::Sha256;
use omni_scale_proto::role::HostRole;
use omni_scale_proto::v1;
use omni_scale_proto::v1::check::Kind;
use omni_scale_proto::v1::put_artifact_request::Message;
use omni_scale_proto::v1::unit_service_client::UnitServiceClient;
use tonic::{Code, Status};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::rig::{Client, Rig, allowed_program};
use crate::journal::JournalUnit;
use crate::secrets::SecretValue;

/// The last report on each check, by its id.
async fn run(
    rig: &Rig,
    checks: Vec<v1::Check>,
) -> Result<BTreeMap<String, v1::CheckReport>, Status> {
    let request = v1::RunChecksRequest { checks };
    let mut answers = rig
        .operator("operator")
        .run_checks(request)
        .await?
        .into_inner();
    let mut reports = BTreeMap::new();
    while let Some(answer) = answers.message().await? {
        let report = answer.report.unwrap();
        reports.insert(report.check_id.clone(), report);
    }
    Ok(reports)
}

fn check(id: &str, kind: Option<Kind>) -> v1::Check {
    v1::Check {
        check_id: id.to_owned(),
        wait_seconds: 0,
        kind,
    }
}

fn secret_check(name: &str) -> Kind {
    Kind::Secret(v1::SecretCheck {
        name: name.to_owned(),
        r#use: v1::SecretUse::Opaque.into(),
    })
}

#[tokio::test]
async fn every_check_is_answered_by_the_part_that_knows() {
    let rig = Rig::enrolled().await;
    let value = SecretValue::new(b"hunter2!".to_vec());
    rig.parts
        .secrets
        .put(&"set".parse().unwrap(), &value)
        .unwrap();
    let held = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = |address: &str, port: u16| {
        Kind::PortFree(v1::PortFreeCheck {
            address: address.to_owned(),
            port: port.into(),
            protocol: v1::PortProtocol::Udp.into(),
            stack: String::new(),
        })
    };
    let held_port = held.local_addr().unwrap().port();
    let name = |name: &str| {
        Kind::Tailnet(v1::TailnetCheck {
            expected_dns_name: name.to_owned(),
        })
    };
    let checks = vec![
        check("port held", Some(port("127.0.0.1", held_port))),
        check("port elsewhere", Some(port("192.0.2.1", held_port))),
        check("no port", Some(port("nowhere", 0))),
        check("secret set", Some(secret_check("set"))),
        check("secret missing", Some(secret_check("missing"))),
        check("secret misnamed", Some(secret_check("../etc/shadow"))),
        check("name", Some(name("omni.tail.test"))),
        check("other name", Some(name("omni-1.tail.test"))),
        check("other role", Some(Kind::Tun(v1::TunCheck {}))),
        check("of a later version", None),
    ];
    let asked = checks.len();
    let reports = run(&rig, checks).await.unwrap();
    assert_eq!(reports.len(), asked);
    let expected = [
        ("port held", v1::CheckStatus::Failed, "is in use"),
        ("port elsewhere", v1::CheckStatus::Failed, "not an address"),
        ("no port", v1::CheckStatus::Failed, "no address of a port"),
        ("secret set", v1::CheckStatus::Passed, "is set"),
        ("secret missing", v1::CheckStatus::Failed, "is not set"),
        ("secret misnamed", v1::CheckStatus::Failed, "secret name"),
        ("name", v1::CheckStatus::Passed, "omni.tail.test"),
        (
            "other name",
            v1::CheckStatus::Failed,
            "not omni-1.tail.test",
        ),
        ("other role", v1::CheckStatus::Failed, "role `omni`"),
        ("of a later version", v1::CheckStatus::Unknown, "knows"),
    ];
    for (id, status, words) in expected {
        let report = &reports[id];
        assert_eq!(report.status(), status, "{report:?}");
        assert!(report.summary.contains(words), "{report:?}");
    }
}

#[tokio::test]
async fn checks_are_bounded_and_not_for_viewers() {
    let rig = Rig::enrolled().await;
    let many = vec![check("x", Some(secret_check("x"))); 129];
    assert_eq!(
        run(&rig, many).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    let mut long = check("x", Some(secret_check("x")));
    long.wait_seconds = 901;
    let refused = run(&rig, vec![long]).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let viewer = rig
        .operator("viewer")
        .run_checks(v1::RunChecksRequest::default())
        .await;
    assert_eq!(viewer.unwrap_err().code(), Code::PermissionDenied);
}

/// One upload as it travels, from `offset` on.
async fn upload(
    mut client: Client,
    program: &[u8],
    offset: usize,
    chunks: &[&[u8]],
) -> Result<v1::PutArtifactResponse, Status> {
    let start = Message::Start(v1::ArtifactStart {
        sha256: Sha256::of(program).to_string(),
        size: program.len() as u64,
        offset: offset as u64,
    });
    let chunks = chunks.iter().map(|chunk| Message::Chunk(chunk.to_vec()));
    let requests: Vec<_> = [start]
        .into_iter()
        .chain(chunks)
        .map(|message| v1::PutArtifactRequest {
            message: Some(message),
        })
        .collect();
    let answer = client.put_artifact(tokio_stream::iter(requests)).await;
    answer.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn an_upload_that_broke_off_goes_on_where_it_ended() {
    let rig = Rig::enrolled_with_role(HostRole::Tsidp).await;
    let program = allowed_program();
    let admin = || rig.operator("admin");
    let part = upload(admin(), &program, 0, &[&program[..5]])
        .await
        .unwrap();
    assert_eq!((part.size, part.known), (5, false));
    // Whoever does not know how far it came is told.
    let anew = upload(admin(), &program, 0, &[&program]).await.unwrap_err();
    assert_eq!((anew.code(), anew.message()), (Code::OutOfRange, "5"));
    let rest = upload(admin(), &program, 5, &[&program[5..9], &program[9..]]).await;
    assert_eq!(rest.unwrap().size, program.len() as u64);
    let again = upload(admin(), &program, 0, &[&program]).await.unwrap();
    assert!(again.known);
}

#[tokio::test]
async fn an_upload_is_refused_unless_root_and_the_role_allow_it() {
    let rig = Rig::enrolled_with_role(HostRole::Tsidp).await;
    let program = allowed_program();
    let code = |result: Result<v1::PutArtifactResponse, Status>| result.unwrap_err().code();
    let operator = upload(rig.operator("operator"), &program, 0, &[]).await;
    assert_eq!(code(operator), Code::PermissionDenied);
    let other = upload(rig.operator("admin"), b"another program", 0, &[]).await;
    assert_eq!(code(other), Code::PermissionDenied);
    let chunk = vec![0; 256 * 1024 + 1];
    let large = upload(rig.operator("admin"), &program, 0, &[&chunk]).await;
    assert_eq!(code(large), Code::InvalidArgument);
    let elsewhere = Rig::enrolled().await;
    let elsewhere = upload(elsewhere.operator("admin"), &program, 0, &[]).await;
    assert_eq!(code(elsewhere), Code::Unimplemented);
}

#[tokio::test]
async fn what_can_be_asked_is_told_to_the_enrolled() {
    let rig = Rig::enrolled().await;
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let ask = async |channel| {
        let mut client = ServerReflectionClient::new(channel);
        let requests = tokio_stream::iter([request.clone()]);
        let mut answers = client.server_reflection_info(requests).await?.into_inner();
        Ok::<_, Status>(answers.message().await?.unwrap().message_response.unwrap())
    };
    let answer = ask(rig.connection_of("viewer")).await.unwrap();
    let MessageResponse::ListServicesResponse(listed) = answer else {
        panic!("{answer:?}");
    };
    let names: Vec<_> = listed.service.iter().map(|one| one.name.as_str()).collect();
    for name in [
        "omni_scale.v1.HostService",
        "omni_scale.v1.UnitService",
        "omni_scale.v1.StackService",
        "grpc.health.v1.Health",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert!(ask(rig.connection(None)).await.is_err());
}

#[tokio::test]
async fn the_units_journal_is_read_by_operators_and_holds_no_other_units_lines() {
    let rig = Rig::enrolled_with_role(HostRole::Tsidp).await;
    let unit = rig.parts.unit.as_ref().unwrap();
    unit.journal.say(JournalUnit::Agent, "serving");
    unit.journal.say(JournalUnit::Tsidp, "one");
    unit.journal.say(JournalUnit::Tsidp, "two");
    let read = async |role: &str, lines| {
        let mut client = UnitServiceClient::new(rig.connection_of(role));
        let request = v1::ReadJournalRequest {
            lines,
            follow: false,
        };
        let mut answers = client.read_journal(request).await?.into_inner();
        let mut lines = Vec::new();
        while let Some(answer) = answers.message().await? {
            lines.push(answer.line.unwrap().line);
        }
        Ok::<_, Status>(lines)
    };
    assert_eq!(read("operator", 10).await.unwrap(), ["one", "two"]);
    assert_eq!(read("operator", 1).await.unwrap(), ["two"]);
    let viewer = read("viewer", 1).await.unwrap_err();
    assert_eq!(viewer.code(), Code::PermissionDenied);
    let many = read("operator", 10_001).await.unwrap_err();
    assert_eq!(many.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn the_agents_own_journal_is_read_by_viewers_whatever_its_role() {
    for role in [HostRole::Omni, HostRole::Tsidp] {
        let rig = Rig::enrolled_with_role(role).await;
        rig.parts.journal.say(JournalUnit::Tsidp, "not this");
        rig.parts.journal.say(JournalUnit::Agent, "serving");
        let read = async |lines| {
            let request = v1::ReadAgentJournalRequest {
                lines,
                follow: false,
            };
            let mut viewer = rig.operator("viewer");
            let mut answers = viewer.read_agent_journal(request).await?.into_inner();
            let mut lines = Vec::new();
            while let Some(answer) = answers.message().await? {
                lines.push(answer.line.unwrap().line);
            }
            Ok::<_, Status>(lines)
        };
        assert_eq!(read(10).await.unwrap(), ["serving"]);
        let many = read(10_001).await.unwrap_err();
        assert_eq!(many.code(), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn a_damaged_ledger_is_told_and_nothing_is_changed() {
    let rig = Rig::enrolled_and_damaged().await;
    let described = rig
        .operator("viewer")
        .describe(v1::DescribeRequest {})
        .await
        .unwrap()
        .into_inner();
    assert!(described.damage.contains("is damaged"), "{described:?}");
    let request = v1::AcquireLeaseRequest {
        deployment_id: crate::operation::testing::deployment().to_string(),
        holder: "ada@desk".to_owned(),
        rollout_id: "one".to_owned(),
    };
    let refused = rig.operator("operator").acquire_lease(request).await;
    assert_eq!(refused.unwrap_err().code(), Code::DataLoss);
    let whole = Rig::enrolled().await;
    let mut viewer = whole.operator("viewer");
    let described = viewer.describe(v1::DescribeRequest {}).await.unwrap();
    assert_eq!(described.into_inner().damage, "");
}
