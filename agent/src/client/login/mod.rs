//! A probe login, judged: whether what Omni will be told of a user is what it needs.
//!
//! The operator's device asks for the code, since a user stands behind it; this host exchanges it,
//! since the secret is here. Neither code, token nor secret is in what is said.

mod judge;
mod token;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use omni_scale_proto::client::CheckedClient;
use omni_scale_proto::v1::{self, CheckStatus};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use self::judge::{Wanted, judge, judge_failure, proven_before};
use super::issuer::{Exchange, one_line};
use super::omni_client::{Credentials, OmniClient, Stored};
use super::record::Proof;
use crate::clock;
use crate::error::chain;
use crate::service::checks::{ClientChecks, Finding};

#[async_trait]
impl ClientChecks for Arc<OmniClient> {
    async fn login(&self, check: &v1::LoginCheck) -> Finding {
        // One code is good for one try, so asking again brings no other answer.
        self.judge_login(check).await.finally()
    }
}

impl OmniClient {
    async fn judge_login(self: &Arc<Self>, check: &v1::LoginCheck) -> Finding {
        let client = match CheckedClient::try_from(check.client.clone().unwrap_or_default()) {
            Ok(client) => client,
            Err(error) => return Finding::failed(chain(&error)),
        };
        let stored = self.stored(&client);
        let (credentials, given) = match usable(&stored, client.as_wire()) {
            Ok(usable) => usable,
            Err(finding) => return finding,
        };
        let (finding, email) = self.exchange(&client, credentials, given, check).await;
        match finding.status {
            CheckStatus::Passed => {
                let proof = email.map(|email| Proof {
                    client_id: credentials.id.clone(),
                    at_milliseconds: clock::now_milliseconds(),
                    email: one_line(&email),
                });
                self.keep_proof(proof).await;
                finding
            }
            CheckStatus::Failed => {
                // An older login says nothing any more.
                self.keep_proof(None).await;
                finding
            }
            _ => match self.records.get().proven {
                Some(proof) if proof.client_id == credentials.id => {
                    proven_before(finding, &day(proof.at_milliseconds), &proof.email)
                }
                _ => finding,
            },
        }
    }

    /// The second part of the answer: whose login it was.
    async fn exchange(
        &self,
        client: &CheckedClient,
        credentials: &Credentials,
        given: bool,
        check: &v1::LoginCheck,
    ) -> (Finding, Option<String>) {
        if check.code.is_empty() {
            let reason = match one_line(&check.code_failure) {
                reason if reason.is_empty() => "no code could be had".to_owned(),
                reason => reason,
            };
            let hint = format!("{} goes on without a login", judge::WITHOUT);
            return (Finding::unknown(reason).with_hint(hint), None);
        }
        let exchange = Exchange {
            id: &credentials.id,
            secret: &credentials.secret,
            code: &check.code,
        };
        let wire = client.as_wire();
        let token = match self.issuer.exchange(client, exchange).await {
            Ok(token) => token,
            Err(error) => {
                let names = [wire.id_secret.as_str(), &wire.secret_secret];
                return (judge_failure(&error, given, names), None);
            }
        };
        let claims = match token::claims(token.expose()) {
            Ok(claims) => claims,
            Err(reason) => {
                let text = format!(
                    "the ID token of {} is not understood: {reason}",
                    wire.issuer
                );
                return (Finding::unknown(text), None);
            }
        };
        let wanted = Wanted {
            issuer: &wire.issuer,
            client_id: &credentials.id,
            nonce: &check.nonce,
            emails: &check.expected_emails,
            unverified_accepted: check.unverified_email_accepted,
        };
        (judge(&claims, wanted), claims.email)
    }

    async fn keep_proof(self: &Arc<Self>, proof: Option<Proof>) {
        let kept = self.remember(|record| record.proven = proof).await;
        if let Err(failure) = kept {
            tracing::warn!(error = %chain(&failure), "what a login proved is not kept");
        }
    }
}

/// What there is to log in with, and whether somebody set it. A secret is sent to nobody on a
/// caller's word alone: one that was registered goes to its own issuer, and one that was set must at
/// least be such a secret.
fn usable<'a>(stored: &'a Stored, wire: &v1::Client) -> Result<(&'a Credentials, bool), Finding> {
    match stored {
        Stored::Missing { reason, .. } => Err(Finding::failed(format!(
            "there is no client to log in with: {reason}"
        ))
        .with_hint("`omni-scale apply` registers one")),
        Stored::Given(credentials) if credentials.are_a_clients => Ok((credentials, true)),
        Stored::Given(_) => Err(Finding::unknown(
            "what is set as the client's id and secret was not set as such, and is sent to nobody",
        )
        .with_hint(format!(
            "set them again with {}; {} goes on without a login",
            judge::set_both([&wire.id_secret, &wire.secret_secret]),
            judge::WITHOUT
        ))),
        Stored::Registered {
            credentials,
            registration,
        } => {
            let issuer = &registration.client.issuer;
            if *issuer == wire.issuer {
                return Ok((credentials, false));
            }
            Err(Finding::failed(format!(
                "the client is registered at {issuer}, and its secret is sent nowhere else"
            ))
            .with_hint("`omni-scale apply` registers one at the issuer of the deployment"))
        }
    }
}

fn day(at_milliseconds: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(at_milliseconds / 1000).ok();
    let text = time.and_then(|time| time.format(&Rfc3339).ok());
    text.unwrap_or_else(|| "an unknown day".to_owned())
}
