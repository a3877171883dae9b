//! Which role may call which RPC, by the caller's certificate: one table, deny by default, asked
//! before anything is decoded. The tailnet's half is asked after it, in `gate`.

use omni_scale_proto::role::Role;
use tonic::Status;

use super::identity::Caller;
use crate::identity::DenyList;

/// What a caller must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requirement {
    /// Anybody who came without a certificate; the one-time token decides about them.
    Enrolling,
    /// An operator with this role or a higher one.
    Role(Role),
}

use Requirement::{Enrolling, Role as AtLeast};

/// Every RPC and what it requires. A path that is not here is refused.
pub const TABLE: &[(&str, Requirement)] = &[
    ("/omni_scale.v1.HostService/Describe", AtLeast(Role::Viewer)),
    ("/omni_scale.v1.HostService/WhoAmI", AtLeast(Role::Viewer)),
    (
        "/omni_scale.v1.HostService/RunChecks",
        AtLeast(Role::Operator),
    ),
    (
        "/omni_scale.v1.HostService/AcquireLease",
        AtLeast(Role::Operator),
    ),
    (
        "/omni_scale.v1.HostService/RenewLease",
        AtLeast(Role::Operator),
    ),
    (
        "/omni_scale.v1.HostService/ReleaseLease",
        AtLeast(Role::Operator),
    ),
    (
        "/omni_scale.v1.HostService/PutSecret",
        AtLeast(Role::Operator),
    ),
    (
        "/omni_scale.v1.HostService/GenerateSecret",
        AtLeast(Role::Operator),
    ),
    (
        "/omni_scale.v1.HostService/ListSecrets",
        AtLeast(Role::Viewer),
    ),
    ("/omni_scale.v1.HostService/Enroll", Enrolling),
    (
        "/omni_scale.v1.HostService/RenewCertificate",
        AtLeast(Role::Admin),
    ),
    (
        "/omni_scale.v1.HostService/PutDenyList",
        AtLeast(Role::Admin),
    ),
    (
        "/omni_scale.v1.HostService/PutArtifact",
        AtLeast(Role::Admin),
    ),
    (
        "/omni_scale.v1.HostService/ReadAgentJournal",
        AtLeast(Role::Viewer),
    ),
    (
        "/omni_scale.v1.UnitService/ObserveUnit",
        AtLeast(Role::Viewer),
    ),
    (
        "/omni_scale.v1.UnitService/ApplyUnit",
        AtLeast(Role::Operator),
    ),
    (
        "/omni_scale.v1.UnitService/ControlUnit",
        AtLeast(Role::Operator),
    ),
    (
        "/omni_scale.v1.UnitService/WatchUnit",
        AtLeast(Role::Viewer),
    ),
    (
        "/omni_scale.v1.UnitService/ReadJournal",
        AtLeast(Role::Operator),
    ),
    (
        "/omni_scale.v1.ClientService/ObserveClient",
        AtLeast(Role::Viewer),
    ),
    (
        "/omni_scale.v1.ClientService/ApplyClient",
        AtLeast(Role::Operator),
    ),
    (
        "/omni_scale.v1.StackService/ObserveStack",
        AtLeast(Role::Viewer),
    ),
    (
        "/omni_scale.v1.StackService/ApplyStack",
        AtLeast(Role::Operator),
    ),
    (
        "/omni_scale.v1.StackService/ControlStack",
        AtLeast(Role::Operator),
    ),
    (
        "/omni_scale.v1.StackService/WatchStack",
        AtLeast(Role::Viewer),
    ),
    (
        "/omni_scale.v1.StackService/ReadLogs",
        AtLeast(Role::Operator),
    ),
    (
        "/omni_scale.v1.MachineService/ObserveMachines",
        AtLeast(Role::Viewer),
    ),
    (
        "/omni_scale.v1.MachineService/ApplyMachine",
        AtLeast(Role::Operator),
    ),
    (
        "/omni_scale.v1.MachineService/ControlMachine",
        AtLeast(Role::Operator),
    ),
    (
        "/omni_scale.v1.MachineService/DeleteMachine",
        AtLeast(Role::Admin),
    ),
    (
        "/omni_scale.v1.MachineService/WatchMachines",
        AtLeast(Role::Viewer),
    ),
    (
        "/omni_scale.v1.MachineService/RevealEnrollmentSecret",
        AtLeast(Role::Admin),
    ),
    (
        "/omni_scale.v1.MachineService/FinishFirstBoot",
        AtLeast(Role::Operator),
    ),
    ("/grpc.health.v1.Health/Check", AtLeast(Role::Viewer)),
    ("/grpc.health.v1.Health/Watch", AtLeast(Role::Viewer)),
    (
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        AtLeast(Role::Viewer),
    ),
];

/// What `path` requires. `None`: there is no such RPC.
pub fn requirement(path: &str) -> Option<Requirement> {
    TABLE
        .iter()
        .find(|(known, _)| *known == path)
        .map(|(_, requirement)| *requirement)
}

/// Whether `caller`'s certificate allows `path` at `now` (milliseconds since the Unix epoch).
pub fn authorise(
    path: &str,
    caller: Option<&Caller>,
    deny_list: &DenyList,
    now: i64,
) -> Result<(), Status> {
    let Some(requirement) = requirement(path) else {
        return Err(Status::unimplemented(format!("this agent has no `{path}`")));
    };
    match (caller, requirement) {
        (None, _) => Err(Status::unauthenticated(
            "the connection carries no identity",
        )),
        (Some(Caller::Enrolling { .. }), Enrolling) => Ok(()),
        (Some(Caller::Enrolling { .. }), AtLeast(_)) => Err(Status::unauthenticated(
            "without a certificate of this agent's deployment only `Enroll` can be called; run `omni-scale enroll` for \
             this host",
        )),
        (Some(Caller::Unidentified { reason, .. }), _) => {
            Err(Status::unauthenticated(reason.clone()))
        }
        (Some(Caller::Operator(_)), Enrolling) => Err(Status::permission_denied(
            "this agent is enrolled already; a new enrolment needs a token made by root on the host, and no certificate",
        )),
        (Some(Caller::Operator(operator)), AtLeast(role)) => {
            let name = &operator.identity.name;
            if deny_list.refuses(&operator.serial) {
                Err(Status::unauthenticated(format!(
                    "the certificate of `{name}` was revoked"
                )))
            } else if operator.not_after_milliseconds <= now {
                Err(Status::unauthenticated(format!(
                    "the certificate of `{name}` has expired; `omni-scale renew --operator` makes a new one"
                )))
            } else if operator.identity.role < role {
                let own = operator.identity.role;
                Err(Status::permission_denied(format!(
                    "the certificate of `{name}` has the role {own}; this needs {role}"
                )))
            } else {
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::identity::OperatorCaller;
    use omni_scale_proto::role::OperatorIdentity;
    use prost::Message as _;
    use tonic::Code;

    fn operator(role: Role) -> Caller {
        Caller::Operator(OperatorCaller {
            identity: OperatorIdentity {
                name: "ada".parse().unwrap(),
                role,
            },
            serial: "0a".to_owned(),
            not_after_milliseconds: 1000,
            authority: None,
            peer: None,
        })
    }

    fn deny_list(serials: &[&str]) -> DenyList {
        let serials: Vec<String> = serials.iter().map(|&serial| serial.to_owned()).collect();
        DenyList::checked(1, &serials).unwrap()
    }

    fn code(path: &str, caller: Option<&Caller>) -> Code {
        authorise(path, caller, &deny_list(&[]), 0)
            .map_or_else(|status| status.code(), |()| Code::Ok)
    }

    const DESCRIBE: &str = "/omni_scale.v1.HostService/Describe";
    const APPLY: &str = "/omni_scale.v1.StackService/ApplyStack";
    const UPLOAD: &str = "/omni_scale.v1.HostService/PutArtifact";
    const ENROLL: &str = "/omni_scale.v1.HostService/Enroll";

    #[test]
    fn every_rpc_of_the_contract_has_a_row_and_no_row_is_left_over() {
        let set =
            prost_types::FileDescriptorSet::decode(omni_scale_proto::FILE_DESCRIPTOR_SET).unwrap();
        let mut ours = std::collections::BTreeSet::new();
        for file in set.file {
            for service in file.service {
                for method in service.method {
                    let package = file.package.clone().unwrap_or_default();
                    ours.insert(format!(
                        "/{package}.{}/{}",
                        service.name.clone().unwrap_or_default(),
                        method.name.unwrap_or_default()
                    ));
                }
            }
        }
        let table: std::collections::BTreeSet<String> = TABLE
            .iter()
            .map(|(path, _)| (*path).to_owned())
            .filter(|path| path.starts_with("/omni_scale."))
            .collect();
        assert_eq!(ours, table);
    }

    #[test]
    fn each_role_reaches_its_own_and_no_more() {
        let cases = [
            (
                Role::Viewer,
                [Code::Ok, Code::PermissionDenied, Code::PermissionDenied],
            ),
            (Role::Operator, [Code::Ok, Code::Ok, Code::PermissionDenied]),
            (Role::Admin, [Code::Ok, Code::Ok, Code::Ok]),
        ];
        for (role, expected) in cases {
            let caller = operator(role);
            assert_eq!(
                [DESCRIBE, APPLY, UPLOAD].map(|path| code(path, Some(&caller))),
                expected,
                "{role}"
            );
        }
    }

    #[test]
    fn logs_are_not_for_viewers() {
        let viewer = operator(Role::Viewer);
        for path in [
            "/omni_scale.v1.UnitService/ReadJournal",
            "/omni_scale.v1.StackService/ReadLogs",
        ] {
            assert_eq!(code(path, Some(&viewer)), Code::PermissionDenied);
        }
    }

    #[test]
    fn without_a_certificate_only_enrolment_is_reached() {
        let anybody = Caller::Enrolling {
            peer: None,
            shown_certificate: Vec::new(),
        };
        assert_eq!(code(ENROLL, Some(&anybody)), Code::Ok);
        assert_eq!(code(DESCRIBE, Some(&anybody)), Code::Unauthenticated);
        assert_eq!(
            code(ENROLL, Some(&operator(Role::Admin))),
            Code::PermissionDenied
        );
    }

    #[test]
    fn nobody_and_the_unidentified_reach_nothing() {
        let unidentified = Caller::Unidentified {
            reason: "no name".to_owned(),
            peer: None,
        };
        for (path, _) in TABLE {
            assert_eq!(code(path, None), Code::Unauthenticated, "{path}");
            assert_eq!(
                code(path, Some(&unidentified)),
                Code::Unauthenticated,
                "{path}"
            );
        }
        assert_eq!(
            code(
                "/omni_scale.v1.HostService/Undocumented",
                Some(&operator(Role::Admin))
            ),
            Code::Unimplemented
        );
    }

    #[test]
    fn revoked_and_expired_certificates_are_refused_on_living_connections() {
        let admin = operator(Role::Admin);
        let revoked = authorise(DESCRIBE, Some(&admin), &deny_list(&["0a"]), 0).unwrap_err();
        assert!(revoked.message().contains("revoked"), "{revoked}");
        let expired = authorise(DESCRIBE, Some(&admin), &deny_list(&[]), 1000).unwrap_err();
        assert!(expired.message().contains("expired"), "{expired}");
    }
}
