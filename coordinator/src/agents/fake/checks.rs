//! Checks, answered from the model.

use std::collections::BTreeMap;

use omni_scale_proto::id::HostName;
use omni_scale_proto::v1::{self, CheckStatus, check::Kind, vantage::Place};

use super::host::FakeHost;

/// The answer to a check on `host`. `Err` is what was found instead.
pub(super) fn answer(
    hosts: &BTreeMap<HostName, FakeHost>,
    issuers: &[String],
    host: &FakeHost,
    check: &v1::Check,
) -> v1::CheckReport {
    if let Some(Kind::Login(login)) = &check.kind
        && host.client.login.is_none()
    {
        return v1::CheckReport {
            check_id: check.check_id.clone(),
            status: CheckStatus::Unknown.into(),
            summary: if login.code_failure.is_empty() {
                "the device is tagged".to_owned()
            } else {
                login.code_failure.clone()
            },
            ..v1::CheckReport::default()
        };
    }
    let found = match &check.kind {
        None => Err("the check asks nothing".to_owned()),
        Some(kind) => ask(hosts, issuers, host, kind),
    };
    let (status, summary) = match found {
        Ok(()) => (CheckStatus::Passed, "as it should be".to_owned()),
        Err(found) => (CheckStatus::Failed, found),
    };
    v1::CheckReport {
        check_id: check.check_id.clone(),
        status: status.into(),
        summary,
        ..v1::CheckReport::default()
    }
}

fn ask(
    hosts: &BTreeMap<HostName, FakeHost>,
    issuers: &[String],
    host: &FakeHost,
    kind: &Kind,
) -> Result<(), String> {
    let require = |holds: bool, otherwise: String| if holds { Ok(()) } else { Err(otherwise) };
    let in_namespace = |vantage: &Option<v1::Vantage>| match vantage
        .as_ref()
        .and_then(|vantage| vantage.place.as_ref())
    {
        Some(Place::Namespace(of)) => require(
            host.stack.runs(&of.service),
            format!("`{}` does not run", of.service),
        ),
        Some(Place::Host(_)) | None => Ok(()),
    };
    match kind {
        Kind::Secret(check) => require(
            host.has_secret(&check.name),
            format!("secret `{}` is not set", check.name),
        ),
        Kind::Engine(_) => require(
            host.stack.engine_fault.is_empty(),
            host.stack.engine_fault.clone(),
        ),
        Kind::Tailnet(check) => require(
            check.expected_dns_name.is_empty() || check.expected_dns_name == host.dns_name,
            format!("its name is {}", host.dns_name),
        ),
        Kind::Discovery(check) => {
            in_namespace(&check.vantage)?;
            let served = hosts.values().any(|other| {
                let applied = other.unit.applied.as_ref();
                other.unit.active && applied.is_some_and(|unit| unit.issuer == check.issuer)
            });
            require(
                served || issuers.contains(&check.issuer),
                format!("{} does not answer", check.issuer),
            )
        }
        Kind::Http(check) => {
            in_namespace(&check.vantage)?;
            require(
                host.stack.runs(&check.service),
                format!("{} does not answer", check.url),
            )
        }
        Kind::Service(check) => require(
            host.stack.runs(&check.service),
            format!("`{}` does not run on the live namespace", check.service),
        ),
        Kind::SidecarName(check) => require(
            host.stack.runs(&check.service),
            format!("`{}` does not run", check.service),
        ),
        Kind::NodeNameFree(check) => require(
            !host.taken_names.contains(&check.dns_name),
            format!("a device is called {} already", check.dns_name),
        ),
        Kind::PortFree(_)
        | Kind::Tun(_)
        | Kind::StackPolicy(_)
        | Kind::UnitPolicy(_)
        | Kind::Hypervisor(_) => Ok(()),
        Kind::Login(check) => {
            require(!check.code.is_empty(), check.code_failure.clone())?;
            require(
                host.client.login == Some(true),
                "the token holds no `email_verified`".to_owned(),
            )
        }
    }
}
