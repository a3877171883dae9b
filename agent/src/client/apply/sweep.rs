//! Deletes clients of ours that are not the one in force: nobody has their secrets, or will use
//! them any more.
//!
//! Ours is what has our name to the letter, and what the record says this agent registered. Nothing
//! else is touched.

use std::sync::Arc;

use omni_scale_proto::client::CheckedClient;

use super::SUBJECT;
use crate::client::issuer::{IssuerError, ListedClient};
use crate::client::omni_client::OmniClient;
use crate::client::record::{Attempt, Former};
use crate::error::chain;
use crate::operation::{Failure, Reporter};

/// What came of it.
#[derive(Debug)]
pub(super) struct Swept {
    /// Set when the issuer does not list its clients to this node: its answer.
    pub(super) closed: Option<IssuerError>,
    /// What is left for people to do.
    pub(super) warnings: Vec<String>,
}

impl OmniClient {
    /// Deletes all clients of ours but `kept`.
    pub(super) async fn sweep(
        self: &Arc<Self>,
        client: &CheckedClient,
        kept: Option<&str>,
        reporter: &Reporter,
    ) -> Result<Swept, Failure> {
        let mut warnings = Vec::new();
        let record = self.records.get();
        if let Some(former) = record.former.filter(|former| Some(&*former.id) != kept) {
            warnings.extend(self.delete_former(client, &former, reporter).await?);
        }
        let closed = match self.issuer.list(client).await {
            Ok(listed) => {
                let ours = ours(&listed, client, kept);
                self.delete_all(client, &ours, reporter).await?;
                None
            }
            Err(error) if error.is_no() => Some(error),
            Err(error) => return Err(super::failures::not_listed(client, &error)),
        };
        let listed = closed.is_none();
        let wire = client.as_wire();
        let elsewhere = |open: &Attempt| {
            open.client.issuer != wire.issuer || open.client.client_name != wire.client_name
        };
        if let Some(open) = record.attempt.filter(elsewhere).filter(|_| listed) {
            // It would not be in this list, or not under this name.
            warnings.push(super::failures::perhaps_left(&open));
        }
        self.remember(move |record| {
            record.former = None;
            if listed {
                // Whatever came of it is gone, unless it is the one that is kept.
                record.attempt = None;
                record.unswept = false;
            }
        })
        .await?;
        Ok(Swept { closed, warnings })
    }

    async fn delete_all(
        &self,
        client: &CheckedClient,
        ids: &[&str],
        reporter: &Reporter,
    ) -> Result<(), Failure> {
        for (place, id) in ids.iter().enumerate() {
            reporter.stage(
                SUBJECT,
                format!("deleting the client `{id}`, which is not in use"),
            );
            match self.issuer.delete(client, id).await {
                Ok(()) | Err(IssuerError::NotThere { .. }) => {}
                Err(error) => return Err(self.not_deleted(client, &ids[place..], &error).await),
            }
        }
        Ok(())
    }

    /// Deletes what was replaced. At another issuer than the wanted one, which may be gone for good,
    /// what cannot be deleted is left for people.
    async fn delete_former(
        &self,
        client: &CheckedClient,
        former: &Former,
        reporter: &Reporter,
    ) -> Result<Option<String>, Failure> {
        let issuer = &former.client.issuer;
        if *issuer == client.as_wire().issuer {
            self.delete_all(client, &[&former.id], reporter).await?;
            return Ok(None);
        }
        let Ok(at_former) = CheckedClient::try_from(former.client.clone()) else {
            return Ok(None);
        };
        reporter.stage(
            SUBJECT,
            format!("deleting the client `{}` at {issuer}", former.id),
        );
        let failed = match self.issuer.delete(&at_former, &former.id).await {
            Ok(()) | Err(IssuerError::NotThere { .. }) => return Ok(None),
            Err(error) => chain(&error),
        };
        Ok(Some(format!(
            "the former client `{}` may still be at {issuer}, to be deleted there by hand: {failed}",
            former.id
        )))
    }
}

/// The ids of the clients with our name, but for `kept`.
fn ours<'a>(
    listed: &'a [ListedClient],
    client: &CheckedClient,
    kept: Option<&str>,
) -> Vec<&'a str> {
    let name = &client.as_wire().client_name;
    let ours = listed
        .iter()
        .filter(|listed| listed.name == *name && Some(&*listed.id) != kept);
    ours.map(|listed| &*listed.id).collect()
}
