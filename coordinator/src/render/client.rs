//! Omni's client at a tsidp of ours.

use omni_scale_proto::client::client_name;
use omni_scale_proto::v1;

use super::{issuer, omni_dns_name};
use crate::deployment::{Deployment, Identity, OmniStack};
use crate::plan::DesiredClient;

/// Where Omni has browsers sent back to. Source: siderolabs/omni, internal/backend/oidc/handlers.go.
const CONSUME: &str = "/oidc/consume";

/// `None`: nothing can be registered at somebody else's issuer, and of a stack of the user's own
/// nobody knows where the client's id and secret go.
pub(super) fn render(deployment: &Deployment) -> Option<DesiredClient> {
    let (Identity::Tsidp(_), OmniStack::BuiltIn(stack)) =
        (&deployment.identity, &deployment.omni.stack)
    else {
        return None;
    };
    Some(DesiredClient {
        client: v1::Client {
            issuer: issuer(deployment).to_string(),
            redirect_uri: format!("https://{}{CONSUME}", omni_dns_name(deployment)),
            client_name: client_name(deployment.id),
            id_secret: stack.client.id.to_string(),
            secret_secret: stack.client.secret.to_string(),
            extra_roots_pem: deployment.tailnet.extra_roots_pem.clone(),
        },
        expected_emails: stack
            .initial_users
            .iter()
            .map(ToString::to_string)
            .collect(),
        unverified_email_accepted: stack.allow_unverified_email,
    })
}
