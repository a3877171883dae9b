//! Infra providers as this stand-in sees them. The path they register on is **not** the real product's API.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::keys::PROVIDER_PREFIX;

/// A provider sends every 30 s, and is connected while the last one is younger than this (facts/omni.md §4.4).
const CONNECTED_FOR: Duration = Duration::from_secs(31);

/// Who was heard, and when. In memory only: the real one keeps health in memory too.
#[derive(Debug, Default)]
pub(super) struct Providers(BTreeMap<String, Instant>);

/// What a provider is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Registered,
    /// The key is not an infra provider's.
    PermissionDenied,
    /// The key belongs to this other id.
    OtherId(String),
}

impl Providers {
    /// A sign of life of provider `id`, with the name of the service account whose key it holds.
    pub(super) fn heartbeat(&mut self, id: &str, account: &str) -> Verdict {
        let Some(own) = account.strip_prefix(PROVIDER_PREFIX) else {
            return Verdict::PermissionDenied;
        };
        if own != id {
            return Verdict::OtherId(own.to_owned());
        }
        self.0.insert(id.to_owned(), Instant::now());
        Verdict::Registered
    }

    pub(super) fn status(&self) -> Value {
        self.0
            .iter()
            .map(|(id, heard)| {
                let ago = heard.elapsed();
                (id.clone(), json!({ "connected": ago < CONNECTED_FOR, "last_heartbeat_seconds_ago": ago.as_secs() }))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_provider_is_connected_for_31_seconds() {
        let mut providers = Providers::default();
        assert_eq!(
            providers.heartbeat("proxmox", "infra-provider:proxmox"),
            Verdict::Registered
        );
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(providers.status()["proxmox"]["connected"], json!(true));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(providers.status()["proxmox"]["connected"], json!(false));
    }

    #[tokio::test]
    async fn another_key_or_another_id_is_refused() {
        let mut providers = Providers::default();
        assert_eq!(
            providers.heartbeat("proxmox", "automation"),
            Verdict::PermissionDenied
        );
        let verdict = providers.heartbeat("proxmox", "infra-provider:Proxmox");
        assert_eq!(verdict, Verdict::OtherId("Proxmox".to_owned()));
        assert_eq!(providers.status(), json!({}));
    }
}
