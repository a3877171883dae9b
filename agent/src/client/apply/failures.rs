//! Why the client could not be made so, and what to do next.

use omni_scale_proto::client::CheckedClient;
use omni_scale_proto::v1::{self, FailureClass};

use crate::client::grant;
use crate::client::issuer::IssuerError;
use crate::client::omni_client::OmniClient;
use crate::client::record::Attempt;
use crate::error::chain;
use crate::operation::Failure;

/// What to do by hand, once there is no client of ours at the issuer.
fn by_hand(client: &v1::Client) -> String {
    format!(
        "register a client with the redirect address {} there by hand, and give this host both with `omni-scale secret set HOST {}` and `omni-scale secret set HOST {}`",
        client.redirect_uri, client.id_secret, client.secret_secret
    )
}

pub(super) fn late(client: &CheckedClient) -> Failure {
    let text = format!(
        "Omni's OIDC client at {} was not done with in time",
        client.as_wire().issuer
    );
    Failure::new(FailureClass::Transient, text)
        .with_hint("apply again: it looks at what is there before it acts")
}

pub(super) fn not_listed(client: &CheckedClient, error: &IssuerError) -> Failure {
    let hint = format!(
        "nothing was registered; see that {} answers, then apply again",
        client.as_wire().issuer
    );
    Failure::from_error(FailureClass::Transient, error).with_hint(hint)
}

/// An attempt stays open because nobody can see what came of it, while another client is in force.
pub(super) fn perhaps_left(open: &Attempt) -> String {
    format!(
        "the answer to an earlier registration was lost: a second client `{}` may be left at {}, to be deleted there by hand",
        open.client.client_name, open.client.issuer
    )
}

impl OmniClient {
    pub(super) async fn not_registered(
        &self,
        client: &CheckedClient,
        error: &IssuerError,
    ) -> Failure {
        let wire = client.as_wire();
        match error {
            IssuerError::Refused { .. } => Failure::from_error(FailureClass::Refused, error)
                .with_hint(grant::advice(&*self.tailnet, &wire.issuer).await),
            IssuerError::NotThere { .. } | IssuerError::Rejected { .. } => {
                Failure::from_error(FailureClass::Permanent, error).with_hint(by_hand(wire))
            }
            IssuerError::Unreachable { .. } => Failure::from_error(FailureClass::Transient, error)
                .with_hint(format!(
                    "nothing was registered; see that this host reaches {}, then apply again",
                    wire.issuer
                )),
            IssuerError::Unknown { .. } => Failure::from_error(FailureClass::Transient, error)
                .with_hint("apply again: it lists the issuer's clients, and deletes one whose answer was lost before it registers another one"),
        }
    }

    /// `ids`: the one that was tried, and those that would have come next.
    pub(super) async fn not_deleted(
        &self,
        client: &CheckedClient,
        ids: &[&str],
        error: &IssuerError,
    ) -> Failure {
        let wire = client.as_wire();
        if !error.is_no() {
            return Failure::from_error(FailureClass::Transient, error)
                .with_hint("apply again: it looks at what is there before it acts");
        }
        let ids: Vec<String> = ids.iter().map(|id| format!("`{id}`")).collect();
        let text = format!(
            "clients of ours that are not in use stay at {}: {}: {}",
            wire.issuer,
            ids.join(", "),
            chain(error)
        );
        let advice = grant::advice(&*self.tailnet, &wire.issuer).await;
        Failure::new(FailureClass::Permanent, text).with_hint(advice)
    }

    /// An earlier answer was lost, and nobody can see whether it left a client behind.
    pub(super) async fn answer_lost(&self, closed: &IssuerError, open: &Attempt) -> Failure {
        let open_client = &open.client;
        let called = match &open.answer {
            Some(answer) => format!("`{}` (id `{}`)", open_client.client_name, answer.id),
            None => format!("`{}`", open_client.client_name),
        };
        let text = format!(
            "the answer to an earlier registration at {} was lost, so a client {called} may be there whose secret nobody has; and this host cannot look: {}",
            open_client.issuer,
            chain(closed)
        );
        let advice = grant::advice(&*self.tailnet, &open_client.issuer).await;
        let hint = format!(
            "{advice} Or delete the client {called} there by hand, {}",
            by_hand(open_client)
        );
        Failure::new(FailureClass::Permanent, text).with_hint(hint)
    }
}
