//! An issuer that answers as long as its unit runs, behind the port [`IssuerProbe`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::FakeUnits;
use crate::unit::issuer::{Answer, IssuerProbe};

/// What the unit's program answers on the network. Cheap to clone; all clones are the same.
#[derive(Debug, Clone)]
pub struct FakeIssuer {
    units: FakeUnits,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    answers_as: Option<String>,
    cannot_be_asked: Option<String>,
    asked: usize,
}

impl FakeIssuer {
    /// A program that answers as `issuer` while the unit of `units` runs.
    pub fn new(units: FakeUnits, issuer: &str) -> Self {
        Self {
            units,
            state: Arc::new(Mutex::new(State {
                answers_as: Some(issuer.to_owned()),
                cannot_be_asked: None,
                asked: 0,
            })),
        }
    }

    /// The program answers as another issuer, or as none.
    pub fn answer_as(&self, issuer: Option<&str>) {
        self.state().answers_as = issuer.map(ToOwned::to_owned);
    }

    /// This host cannot ask, until told otherwise.
    pub fn cannot_be_asked(&self, reason: Option<&str>) {
        self.state().cannot_be_asked = reason.map(ToOwned::to_owned);
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.state().asked
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl IssuerProbe for FakeIssuer {
    async fn ask(&self, issuer: &str, _extra_roots_pem: &str, _within: Duration) -> Answer {
        let mut state = self.state();
        state.asked += 1;
        if let Some(reason) = state.cannot_be_asked.clone() {
            return Answer::Unknown { reason };
        }
        let running = self.units.state().is_running();
        if running && state.answers_as.as_deref() == Some(issuer) {
            return Answer::Passed {
                summary: format!("{issuer} answers"),
            };
        }
        Answer::Failed {
            reason: format!("nobody answers as {issuer}"),
            may_pass: true,
        }
    }
}
