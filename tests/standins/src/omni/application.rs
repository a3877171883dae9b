//! What the ports share while the program serves.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::{
    providers::Providers,
    settings::Settings,
    state::{Account, State},
};
use crate::environment::Environment;

/// A started stand-in.
#[derive(Debug)]
pub(super) struct Application {
    settings: Settings,
    version: String,
    minor: u16,
    account: Account,
    fingerprint: String,
    starts: u64,
    sqlite_starts: u64,
    providers: Mutex<Providers>,
}

impl Application {
    pub(super) fn new(
        settings: Settings,
        mut state: State,
        fingerprint: String,
        environment: &Environment,
    ) -> Self {
        Self {
            account: state.account().clone(),
            starts: state.record().starts,
            sqlite_starts: state.sqlite_starts,
            settings,
            version: environment.version.clone(),
            minor: environment.minor(),
            fingerprint,
            providers: Mutex::default(),
        }
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn minor(&self) -> u16 {
        self.minor
    }

    pub(super) fn eula_accepted(&self) -> bool {
        self.account.eula_accepted
    }

    pub(super) fn providers(&self) -> MutexGuard<'_, Providers> {
        self.providers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What tests ask: whose data this is, and how often it was started. No secret is in it.
    pub(super) fn status(&self) -> Value {
        json!({
            "version": self.version,
            "account_id": self.settings.account_id,
            "users": self.account.users,
            "service_accounts": self.account.service_accounts,
            "eula_accepted": self.account.eula_accepted,
            "key_fingerprint": self.fingerprint,
            "starts": self.starts,
            "sqlite_starts": self.sqlite_starts,
        })
    }

    pub(super) fn metrics(&self) -> String {
        format!(
            "# HELP omni_stand_in_starts_total Starts that the state has seen.\n\
             # TYPE omni_stand_in_starts_total counter\n\
             omni_stand_in_starts_total {}\n",
            self.starts
        )
    }
}
