//! A model of a tsidp's endpoints for clients and tokens, behind [`Transport`], so that everything
//! above it is the real thing.
//!
//! It has both kinds: the current one with its gates, and the older one without. Faults come by
//! schedule, before a question has an effect or after it.

mod model;
mod token;
mod user;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use zeroize::Zeroizing;

pub use self::model::{HeldClient, Kind};
use self::model::{Model, Said};
pub use self::user::User;
use super::issuer::transport::{Method, Question, Reply, Transport, TransportError};
use super::issuer::{Issuer, TsidpEndpoints};

/// Which endpoint was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `POST /register`.
    Register,
    /// `POST /clients/new`.
    New,
    /// `GET /clients/`.
    List,
    /// `DELETE /clients/ID`.
    Delete,
    /// `POST /token`.
    Token,
}

/// What goes wrong with one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nobody is reached. No effect.
    NotSent,
    /// 403. No effect.
    Refused,
    /// 500. No effect.
    Failed,
    /// 500 after the effect: the current tsidp keeps a client in memory that it cannot write down.
    FailedAfter,
    /// It has its effect, and the connection breaks.
    Lost,
    /// It has its effect, and the content of the answer is cut off.
    Cut,
    /// It has its effect, and the answer is another document.
    Garbled,
    /// It has its effect, and the answer comes so much later.
    Late(Duration),
    /// Nothing ever happens.
    Hangs,
    /// It has its effect, and no answer ever comes.
    HangsAfter,
}

/// A tsidp in memory. Cheap to clone; all clones are the same.
#[derive(Debug, Clone)]
pub struct FakeTsidp {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    model: Model,
    faults: VecDeque<(Endpoint, Fault)>,
    asked: Vec<Endpoint>,
}

impl FakeTsidp {
    /// A tsidp of this kind, that calls itself `issuer`: `https://NAME.TAILNET`.
    pub fn new(issuer: &str, kind: Kind) -> Self {
        let state = State {
            model: Model::new(issuer, kind),
            faults: VecDeque::new(),
            asked: Vec::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// A current one that lets this host do everything.
    pub fn granted(issuer: &str) -> Self {
        let kind = Kind::Current {
            allow_dcr: true,
            allow_admin_ui: true,
        };
        Self::new(issuer, kind)
    }

    /// The port to it.
    pub fn issuer(&self) -> Arc<dyn Issuer> {
        Arc::new(TsidpEndpoints::over(self.clone()))
    }

    /// It becomes one of another kind, or with other grants. Its clients stay.
    pub fn become_of(&self, kind: Kind) {
        self.state().model.kind = kind;
    }

    /// It is renamed.
    pub fn rename(&self, issuer: &str) {
        issuer.clone_into(&mut self.state().model.issuer);
    }

    /// The next question of an endpoint goes wrong in this way; those after it as was said next.
    pub fn fail_next(&self, endpoint: Endpoint, fault: Fault) {
        self.state().faults.push_back((endpoint, fault));
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// Its clients, by id.
    pub fn clients(&self) -> Vec<HeldClient> {
        self.state().model.clients.values().cloned().collect()
    }

    /// Somebody makes a client: its id.
    pub fn add(&self, name: &str, redirect_uri: &str) -> String {
        let mut state = self.state();
        state.model.add(name, vec![redirect_uri.to_owned()]).id
    }

    /// Somebody deletes a client.
    pub fn remove(&self, id: &str) {
        self.state().model.clients.remove(id);
    }

    /// A browser of `user` comes to log in, as Omni sends it. The code; or why there is none.
    pub fn log_in(
        &self,
        client_id: &str,
        redirect_uri: &str,
        nonce: &str,
        user: User,
    ) -> Result<String, String> {
        let mut state = self.state();
        state.model.authorize(client_id, redirect_uri, nonce, user)
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Endpoint> {
        self.state().asked.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the effect of a question, unless a fault comes before it.
    fn begin(&self, question: &Question) -> Result<(Said, Option<Fault>), Option<TransportError>> {
        let mut state = self.state();
        let (host, path) = place(&question.url);
        let endpoint = endpoint(question.method, path);
        state.asked.extend(endpoint);
        let due = state.faults.front().copied();
        let fault = due
            .filter(|(at, _)| Some(*at) == endpoint)
            .map(|(_, fault)| fault);
        if fault.is_some() {
            state.faults.pop_front();
        }
        let not_sent = || {
            let source = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
            TransportError::NotSent(Box::new(source))
        };
        if host != state.model.issuer {
            return Err(Some(not_sent()));
        }
        match fault {
            Some(Fault::NotSent) => Err(Some(not_sent())),
            Some(Fault::Hangs) => Err(None),
            Some(Fault::Refused) => Ok((
                Said::error(403, "access_denied", "application capability not granted"),
                None,
            )),
            Some(Fault::Failed) => Ok((
                Said::error(500, "server_error", "Error getting WhoIs"),
                None,
            )),
            fault => {
                let path = path.to_owned();
                let content = question.content.as_ref();
                let content = content.map(|(kind, content)| (*kind, content.as_slice()));
                Ok((state.model.handle(question.method, &path, content), fault))
            }
        }
    }
}

#[async_trait]
impl Transport for FakeTsidp {
    async fn ask(&self, question: Question) -> Result<Reply, TransportError> {
        // A place where an agent can be killed: before anything has happened …
        tokio::task::yield_now().await;
        let (mut said, fault) = match self.begin(&question) {
            Ok(begun) => begun,
            Err(Some(error)) => return Err(error),
            Err(None) => std::future::pending().await,
        };
        // … and after it.
        tokio::task::yield_now().await;
        match fault {
            Some(Fault::Lost) => {
                let source = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
                return Err(TransportError::Lost(Box::new(source)));
            }
            Some(Fault::HangsAfter) => std::future::pending().await,
            Some(Fault::Late(time)) => tokio::time::sleep(time).await,
            Some(Fault::FailedAfter) => {
                said = Said::error(500, "server_error", "failed to store client");
            }
            Some(Fault::Garbled) => "{\"client\": []}".clone_into(&mut said.content),
            Some(Fault::Cut) => {
                let content = Err("its content was cut off".to_owned());
                let status = said.status;
                return Ok(Reply { status, content });
            }
            _ => {}
        }
        Ok(Reply {
            status: said.status,
            content: Ok(Zeroizing::new(said.content.into_bytes())),
        })
    }
}

/// The issuer and the path of an address.
fn place(url: &str) -> (&str, &str) {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find('/').map_or(url.len(), |at| host + at);
    url.split_at(end)
}

fn endpoint(method: Method, path: &str) -> Option<Endpoint> {
    Some(match (method, path) {
        (Method::Post, "/register") => Endpoint::Register,
        (Method::Post, "/clients/new") => Endpoint::New,
        (Method::Get, "/clients/") => Endpoint::List,
        (Method::Post, "/token") => Endpoint::Token,
        (Method::Delete, path) if path.starts_with("/clients/") => Endpoint::Delete,
        _ => return None,
    })
}
