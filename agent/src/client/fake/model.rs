//! What a tsidp does with a question, as its two kinds do it.
//!
//! Sources: tailscale/tsidp, server/clients.go and server/token.go; the older one is
//! tailscale/tailscale, cmd/tsidp/tsidp.go.

use std::collections::BTreeMap;

use omni_scale_proto::id::Sha256;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::token::{Bearer, id_token};
use super::user::User;
use crate::client::issuer::transport::{ContentType, Method};

/// Which tsidp it is, and what it lets this host do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// github.com/tailscale/tsidp.
    Current {
        /// This node may register clients.
        allow_dcr: bool,
        /// This node may list, make and delete clients.
        allow_admin_ui: bool,
    },
    /// tailscale.com/cmd/tsidp: no gates, no `/register`.
    Older,
}

/// A client that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldClient {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: String,
    /// Its name.
    pub name: String,
    /// Where it may send browsers back to.
    pub redirect_uris: Vec<String>,
}

/// A login that waits for its code to be exchanged.
#[derive(Debug, Clone)]
pub(super) struct Login {
    pub(super) client: HeldClient,
    pub(super) redirect_uri: String,
    pub(super) nonce: String,
    pub(super) user: User,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) status: u16,
    pub(super) content: String,
}

impl Said {
    pub(super) fn error(status: u16, code: &str, description: &str) -> Self {
        let content = json!({"error": code, "error_description": description});
        let content = content.to_string();
        Self { status, content }
    }

    fn plain(status: u16, text: &str) -> Self {
        let content = format!("tsidp: {text}\n");
        Self { status, content }
    }

    fn json(status: u16, content: &Value) -> Self {
        let content = content.to_string();
        Self { status, content }
    }
}

/// All that it knows.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) issuer: String,
    pub(super) kind: Kind,
    pub(super) clients: BTreeMap<String, HeldClient>,
    logins: BTreeMap<String, Login>,
    /// Counts what is made, so that nothing is made twice.
    made: u64,
}

impl Model {
    pub(super) fn new(issuer: &str, kind: Kind) -> Self {
        Self {
            issuer: issuer.to_owned(),
            kind,
            clients: BTreeMap::new(),
            logins: BTreeMap::new(),
            made: 0,
        }
    }

    /// What stands for chance: 64 hex digits.
    fn hex(&mut self, what: &str) -> String {
        self.made += 1;
        Sha256::of(format!("{what} {}", self.made).as_bytes()).into()
    }

    pub(super) fn add(&mut self, name: &str, redirect_uris: Vec<String>) -> HeldClient {
        let id = self.hex("id")[..32].to_owned();
        let client = HeldClient {
            secret: self.hex("secret"),
            id: id.clone(),
            name: name.to_owned(),
            redirect_uris,
        };
        self.clients.insert(id, client.clone());
        client
    }

    pub(super) fn authorize(
        &mut self,
        client_id: &str,
        redirect_uri: &str,
        nonce: &str,
        user: User,
    ) -> Result<String, String> {
        let client = self.clients.get(client_id).ok_or("invalid client ID")?;
        if !client.redirect_uris.iter().any(|uri| uri == redirect_uri) {
            return Err("redirect_uri mismatch".to_owned());
        }
        let login = Login {
            client: client.clone(),
            redirect_uri: redirect_uri.to_owned(),
            nonce: nonce.to_owned(),
            user,
        };
        let code = self.hex("code");
        self.logins.insert(code.clone(), login);
        Ok(code)
    }

    pub(super) fn handle(
        &mut self,
        method: Method,
        path: &str,
        content: Option<(ContentType, &[u8])>,
    ) -> Said {
        let denied = || Said::error(403, "access_denied", "application capability not granted");
        match (self.kind, path) {
            (_, "/token") => self.token(&form(content)),
            (Kind::Current { allow_dcr, .. }, "/register") if method == Method::Post => {
                if allow_dcr {
                    self.register(content)
                } else {
                    denied()
                }
            }
            (Kind::Current { allow_admin_ui, .. }, _) if !allow_admin_ui => denied(),
            (Kind::Current { .. }, path) => match path.strip_prefix("/clients/") {
                Some(rest) => self.clients(method, rest, content),
                None => Said::error(404, "not_found", "not found"),
            },
            (Kind::Older, path) => match path.strip_prefix("/clients/") {
                Some(rest) => self.clients(method, rest, content),
                None => Said::plain(404, "not found"),
            },
        }
    }

    fn register(&mut self, content: Option<(ContentType, &[u8])>) -> Said {
        let bytes = content.map(|(_, bytes)| bytes).unwrap_or_default();
        let Ok(asked) = serde_json::from_slice::<Value>(bytes) else {
            return Said::error(400, "invalid_request", "invalid request body");
        };
        let uris: Vec<String> = asked["redirect_uris"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|uri| uri.as_str().map(ToOwned::to_owned))
            .collect();
        if uris.is_empty() {
            return Said::error(400, "invalid_client_metadata", "redirect_uris is required");
        }
        let name = asked["client_name"].as_str().unwrap_or_default();
        let client = self.add(name, uris);
        Said::json(201, &self.shown(&client, true))
    }

    fn clients(
        &mut self,
        method: Method,
        rest: &str,
        content: Option<(ContentType, &[u8])>,
    ) -> Said {
        let wrong = || Said::error(405, "invalid_request", "method not allowed");
        match (rest, method) {
            ("new", Method::Post) => {
                let form = form(content);
                let field = |name: &str| form.get(name).cloned().unwrap_or_default();
                let (name, uri) = (field("name"), field("redirect_uri"));
                if uri.is_empty() {
                    return Said::error(400, "invalid_request", "missing redirect_uri or name");
                }
                let client = self.add(&name, uri.lines().map(ToOwned::to_owned).collect());
                Said::json(200, &self.shown(&client, true))
            }
            ("", Method::Get) => {
                let listed = self.clients.values();
                let listed: Vec<Value> = listed.map(|client| self.shown(client, false)).collect();
                Said::json(200, &listed.into())
            }
            ("new" | "", _) => wrong(),
            (id, method) => {
                if !self.clients.contains_key(id) {
                    return match self.kind {
                        Kind::Current { .. } => Said::error(404, "not_found", "client not found"),
                        Kind::Older => Said::plain(404, "not found"),
                    };
                }
                if method != Method::Delete {
                    return wrong();
                }
                self.clients.remove(id);
                self.logins.retain(|_, login| login.client.id != id);
                Said {
                    status: 204,
                    content: String::new(),
                }
            }
        }
    }

    /// A client as this kind writes it.
    fn shown(&self, client: &HeldClient, with_secret: bool) -> Value {
        let first = client.redirect_uris.first().cloned().unwrap_or_default();
        let mut shown = match self.kind {
            Kind::Current { .. } => json!({
                "client_id": client.id,
                "client_name": client.name,
                "redirect_uris": client.redirect_uris,
                "created_at": "2026-02-20T10:00:00Z",
                "redirect_uri": first,
            }),
            Kind::Older => json!({
                "client_id": client.id,
                "name": client.name,
                "redirect_uri": first,
            }),
        };
        if with_secret {
            shown["client_secret"] = client.secret.clone().into();
        }
        shown
    }

    fn token(&mut self, form: &BTreeMap<String, String>) -> Said {
        let older = self.kind == Kind::Older;
        let error = |status, code: &str, description: &str| {
            if older {
                Said::plain(status, description)
            } else {
                Said::error(status, code, description)
            }
        };
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let Some(login) = self.logins.remove(field("code")) else {
            return error(400, "invalid_grant", "code not found");
        };
        if field("client_id") != login.client.id {
            return if older {
                Said::plain(400, "client_id mismatch")
            } else {
                Said::error(400, "invalid_client", "client authentication failed")
            };
        }
        if field("client_secret") != login.client.secret {
            return if older {
                Said::plain(401, "invalid client credentials")
            } else {
                Said::error(401, "invalid_client", "client authentication failed")
            };
        }
        if field("redirect_uri") != login.redirect_uri {
            return error(400, "invalid_request", "redirect_uri mismatch");
        }
        if login.user.tagged {
            return error(400, "invalid_request", "tagged nodes not supported");
        }
        let bearer = Bearer {
            user: &login.user,
            client: &login.client.id,
            nonce: &login.nonce,
        };
        match id_token(&self.issuer, older, bearer) {
            Ok(token) => Said::json(
                200,
                &json!({"id_token": token, "token_type": "Bearer", "access_token": "a", "expires_in": 300}),
            ),
            Err(description) => error(400, "invalid_request", &description),
        }
    }
}

fn form(content: Option<(ContentType, &[u8])>) -> BTreeMap<String, String> {
    match content {
        Some((ContentType::Form, bytes)) => form_urlencoded::parse(bytes).into_owned().collect(),
        _ => BTreeMap::new(),
    }
}
