//! tsidp's endpoints for clients, in both of its kinds.
//!
//! The current one registers at `/register` for nodes with `allow_dcr`, and lists and deletes below
//! `/clients/` for those with `allow_admin_ui`. The older one has no `/register`, which it answers
//! with 404 from the last of its handlers (cmd/tsidp/ui.go, `handleUI`), and makes clients at
//! `/clients/new` for anybody on the tailnet. So a 404 of `/register` is certain to have made nothing,
//! and what it says no to in any other way is not tried elsewhere.

use async_trait::async_trait;
use omni_scale_proto::client::CheckedClient;
use serde::Serialize;
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::answer::{Asked, is_id, listing, registration, token};
use super::https::Https;
use super::transport::{ContentType, Method, Question, Transport, TransportError};
use super::{Attempt, Exchange, IdToken, Issuer, IssuerError, ListedClient, Registered};
use crate::error::chain;
use crate::host_roots::HostRoots;

/// Speaks with a tsidp over a transport.
#[derive(Debug, Clone)]
pub struct TsidpEndpoints<Carrier> {
    transport: Carrier,
}

impl TsidpEndpoints<Https> {
    /// Over HTTPS from this host, trusting whom it trusts.
    pub fn over_https(roots: HostRoots) -> Self {
        Self::over(Https::new(roots))
    }
}

impl<Carrier: Transport> TsidpEndpoints<Carrier> {
    /// Over another transport.
    pub const fn over(transport: Carrier) -> Self {
        Self { transport }
    }

    /// Asks, and gives the content of an answer that says yes.
    async fn ask(
        &self,
        client: &CheckedClient,
        asked: Asked<'_>,
        method: Method,
        path: &str,
        content: Option<(ContentType, Zeroizing<Vec<u8>>)>,
    ) -> Result<Zeroizing<Vec<u8>>, IssuerError> {
        let wire = client.as_wire();
        let question = Question {
            method,
            url: format!("{}{path}", wire.issuer),
            content,
            extra_roots_pem: wire.extra_roots_pem.clone(),
        };
        match self.transport.ask(question).await {
            Ok(reply) => asked.content(reply),
            Err(TransportError::NotSent(source)) => Err(IssuerError::Unreachable {
                issuer: asked.issuer.to_owned(),
                attempt: asked.attempt,
                source,
            }),
            Err(error @ TransportError::Lost(_)) => Err(asked.unknown(chain(&error))),
        }
    }
}

fn asked(client: &CheckedClient, attempt: Attempt) -> Asked<'_> {
    Asked {
        issuer: &client.as_wire().issuer,
        attempt,
        secret: &[],
    }
}

/// RFC 7591, section 2.
#[derive(Serialize)]
struct Registration<'a> {
    redirect_uris: [&'a str; 1],
    client_name: &'a str,
    token_endpoint_auth_method: &'static str,
    grant_types: [&'static str; 1],
    response_types: [&'static str; 1],
}

fn form(fields: &[(&str, &str)]) -> (ContentType, Zeroizing<Vec<u8>>) {
    // Three bytes for each that is escaped: it never grows, so no copy is left behind.
    let room = fields
        .iter()
        .map(|(name, value)| 3 * (name.len() + value.len()) + 2);
    let text = String::with_capacity(room.sum());
    let mut form = form_urlencoded::Serializer::new(text);
    form.extend_pairs(fields);
    (
        ContentType::Form,
        Zeroizing::new(form.finish().into_bytes()),
    )
}

#[async_trait]
impl<Carrier: Transport> Issuer for TsidpEndpoints<Carrier> {
    async fn register(&self, client: &CheckedClient) -> Result<Registered, IssuerError> {
        let wire = client.as_wire();
        let asked = asked(client, Attempt::Register);
        let registration = Registration {
            redirect_uris: [&wire.redirect_uri],
            client_name: &wire.client_name,
            token_endpoint_auth_method: "client_secret_post",
            grant_types: ["authorization_code"],
            response_types: ["code"],
        };
        let json = serde_json::to_vec(&registration).expect("plain fields have a form in JSON");
        let json = Some((ContentType::Json, Zeroizing::new(json)));
        let answered = self
            .ask(client, asked, Method::Post, "/register", json)
            .await;
        let content = match answered {
            Err(IssuerError::NotThere { .. }) => {
                let fields = [
                    ("name", wire.client_name.as_str()),
                    ("redirect_uri", &wire.redirect_uri),
                ];
                let form = Some(form(&fields));
                self.ask(client, asked, Method::Post, "/clients/new", form)
                    .await?
            }
            answered => answered?,
        };
        self::registration(&content).map_err(|reason| asked.unknown(reason))
    }

    async fn list(&self, client: &CheckedClient) -> Result<Vec<ListedClient>, IssuerError> {
        let asked = asked(client, Attempt::List);
        let content = self
            .ask(client, asked, Method::Get, "/clients/", None)
            .await?;
        listing(&content).map_err(|reason| asked.unknown(reason))
    }

    async fn delete(&self, client: &CheckedClient, id: &str) -> Result<(), IssuerError> {
        let asked = asked(client, Attempt::Delete);
        if !is_id(id) {
            return Err(IssuerError::Rejected {
                issuer: asked.issuer.to_owned(),
                attempt: asked.attempt,
                text: "its id cannot stand in an address".to_owned(),
            });
        }
        let path = format!("/clients/{id}");
        self.ask(client, asked, Method::Delete, &path, None).await?;
        Ok(())
    }

    async fn exchange(
        &self,
        client: &CheckedClient,
        exchange: Exchange<'_>,
    ) -> Result<IdToken, IssuerError> {
        let Ok(secret) = std::str::from_utf8(exchange.secret.expose()) else {
            return Err(IssuerError::Rejected {
                issuer: client.as_wire().issuer.clone(),
                attempt: Attempt::Exchange,
                text: "invalid_client: the secret that is stored is no text".to_owned(),
            });
        };
        let hidden = [secret, exchange.code];
        let asked = Asked {
            secret: &hidden,
            ..asked(client, Attempt::Exchange)
        };
        let form = form(&[
            ("grant_type", "authorization_code"),
            ("code", exchange.code),
            ("redirect_uri", &client.as_wire().redirect_uri),
            ("client_id", exchange.id),
            ("client_secret", secret),
        ]);
        let content = self
            .ask(client, asked, Method::Post, "/token", Some(form))
            .await?;
        token(&content).map_err(|reason| asked.unknown(reason))
    }
}
