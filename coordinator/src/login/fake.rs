//! Issuers for tests: every login gives a code, unless the test wants otherwise.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::{Issuers, LoginCode, LoginError, LoginRequest};

/// What issuers answer instead of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginTrouble {
    /// Nobody answers.
    Unreachable,
    /// The client is not known.
    Client,
}

/// The issuers. Clones share their state.
#[derive(Debug, Clone, Default)]
pub struct FakeIssuers(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    trouble: Option<LoginTrouble>,
    asked: Vec<LoginRequest>,
}

impl FakeIssuers {
    /// From now on, this is what is answered.
    pub fn answer(&self, trouble: Option<LoginTrouble>) {
        self.state().trouble = trouble;
    }

    /// What was asked, in order.
    pub fn asked(&self) -> Vec<LoginRequest> {
        self.state().asked.clone()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Issuers for FakeIssuers {
    async fn code(&self, request: &LoginRequest) -> Result<LoginCode, LoginError> {
        let issuer = request.issuer.clone();
        let mut state = self.state();
        state.asked.push(request.clone());
        match state.trouble {
            None => Ok(LoginCode(format!("code of {}", request.nonce))),
            Some(LoginTrouble::Unreachable) => Err(LoginError::Unreachable {
                issuer,
                source: "no route to host".into(),
            }),
            Some(LoginTrouble::Client) => Err(LoginError::Client {
                issuer,
                answer: "400 invalid client ID".to_owned(),
            }),
        }
    }
}
