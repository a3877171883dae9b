//! `WhoAmI`: both halves of who is calling, and which of them limits.

use omni_scale_proto::role::Role;
use omni_scale_proto::v1::{self, RoleLimit};
use tonic::{Request, Status};

use crate::server::gate::TailnetCaller;
use crate::server::identity::{Caller, OperatorCaller};

/// What the caller is taken for. The gate has let them through; this is for what they are told.
pub(super) fn who_am_i(request: &Request<v1::WhoAmIRequest>) -> Result<v1::WhoAmIResponse, Status> {
    let (Some(Caller::Operator(certificate)), Some(tailnet)) = (
        request.extensions().get::<Caller>(),
        request.extensions().get::<TailnetCaller>(),
    ) else {
        return Err(Status::unauthenticated("the connection names no operator"));
    };
    Ok(answer(certificate.clone(), tailnet.clone()))
}

fn answer(certificate: OperatorCaller, tailnet: TailnetCaller) -> v1::WhoAmIResponse {
    let own = certificate.identity.role;
    let (effective, limit) = both(own, tailnet.grant.as_ref().map(|grant| grant.role));
    let (role, source) = tailnet
        .grant
        .map(|grant| (grant.role.to_string(), grant.source))
        .unwrap_or_default();
    let peer = tailnet.peer;
    v1::WhoAmIResponse {
        name: certificate.identity.name.into(),
        role: own.to_string(),
        certificate_serial: certificate.serial,
        certificate_not_after_milliseconds: certificate.not_after_milliseconds,
        peer_address: certificate
            .peer
            .map_or(String::new(), |peer| peer.to_string()),
        node_name: peer.dns_name.clone(),
        node_id: peer.node_id.clone(),
        login: peer.login.clone().unwrap_or_default(),
        tags: peer.tags.clone(),
        tailnet_role: role,
        tailnet_role_source: source,
        effective_role: effective.to_string(),
        limited_by: limit.into(),
    }
}

/// The role that holds, and which half keeps it from being higher.
fn both(certificate: Role, tailnet: Option<Role>) -> (Role, RoleLimit) {
    match tailnet {
        Some(tailnet) if tailnet < certificate => (tailnet, RoleLimit::Tailnet),
        Some(tailnet) if tailnet == certificate => (certificate, RoleLimit::Neither),
        Some(_) | None => (certificate, RoleLimit::Certificate),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lower_role_holds_and_its_half_is_named() {
        use Role::{Admin, Operator, Viewer};
        for (certificate, tailnet, expected) in [
            (Admin, None, (Admin, RoleLimit::Certificate)),
            (Admin, Some(Viewer), (Viewer, RoleLimit::Tailnet)),
            (Viewer, Some(Admin), (Viewer, RoleLimit::Certificate)),
            (Operator, Some(Operator), (Operator, RoleLimit::Neither)),
        ] {
            assert_eq!(both(certificate, tailnet), expected);
        }
    }
}
