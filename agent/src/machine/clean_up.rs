//! What a machine leaves beside its VM: its secrets are used up, its first-boot ISO is deleted.
//!
//! A storage that does not let go of the ISO is told of, with what to type: it keeps no deletion from its end.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use omni_scale_proxmox::{Node, NodeName, NodeState, StorageId};
use tokio::time::sleep;

use super::settings::first_boot_file;
use super::trouble::Trouble;
use super::work::Work;

/// Before the second try at what may pass.
const PAUSE: Duration = Duration::from_secs(3);

/// A place where the ISO may still lie.
struct Doubt {
    /// Why, as the beginning of a sentence.
    why: String,
    /// Where, as far as it is known.
    storage: Option<StorageId>,
    /// It was seen there.
    seen: bool,
}

impl Work<'_> {
    /// Sees to what a machine leaves. An error means that its secrets are not used up.
    pub(super) async fn clean_up(&self) -> Result<(), Trouble> {
        self.use_up_secrets().await?;
        let mut found_it = false;
        let mut doubts = Vec::new();
        match twice(|| self.nodes().boxed()).await {
            Ok(nodes) => {
                for node in nodes {
                    found_it |= self.clean_node(&node, &mut doubts).await;
                }
            }
            Err(why) => doubts.push(Doubt::at(format!("no node could be searched ({why})"))),
        }
        self.tell_of(&doubts, found_it);
        Ok(())
    }

    /// Deletes the ISO from a node where no machine comes to use it. An error is why not.
    pub(super) async fn withdraw_first_boot(&self, node: &NodeName) -> Result<(), String> {
        twice(|| self.delete_first_boot(node).boxed()).await
    }

    async fn nodes(&self) -> Result<Vec<Node>, Trouble> {
        Ok(self.client.nodes().await?)
    }

    /// Deletes the ISO from a node. Whether it is gone from where it was.
    async fn clean_node(&self, node: &Node, doubts: &mut Vec<Doubt>) -> bool {
        let name = &node.node;
        if node.state != NodeState::Online {
            doubts.push(Doubt::at(format!("node {name} is not online")));
            return false;
        }
        let storages = match twice(|| self.iso_storages(name).boxed()).await {
            Ok(storages) => storages,
            Err(why) => {
                let why = format!("node {name} does not tell its storages ({why})");
                doubts.push(Doubt::at(why));
                return false;
            }
        };
        let mut found_it = false;
        for storage in storages {
            match self.clean_storage(name, &storage).await {
                Ok(had_it) => found_it |= had_it,
                Err(doubt) => doubts.push(doubt),
            }
        }
        found_it
    }

    /// Deletes the ISO from a storage. Whether it was there.
    async fn clean_storage(&self, node: &NodeName, storage: &StorageId) -> Result<bool, Doubt> {
        let doubt = |why: String, seen| Doubt {
            why,
            storage: Some(storage.clone()),
            seen,
        };
        let search = || self.first_boot_on(node, storage).boxed();
        let volume = twice(search).await.map_err(|why| {
            let why = format!("storage `{storage}` of node {node} could not be searched ({why})");
            doubt(why, false)
        })?;
        let Some(volume) = volume else {
            return Ok(false);
        };
        let delete = || self.delete_volume(node, storage, &volume).boxed();
        twice(delete).await.map_err(|why| {
            let why = format!("`{volume}` could not be deleted on node {node} ({why})");
            doubt(why, true)
        })?;
        Ok(true)
    }

    /// Says where the ISO may still lie. It lies in one place only, and nowhere but where it was put.
    fn tell_of(&self, doubts: &[Doubt], found_it: bool) {
        let told = self.told();
        let put = told.as_ref().map(|told| told.storage.as_str());
        for doubt in doubts {
            let elsewhere = match (&doubt.storage, put) {
                (Some(storage), Some(put)) => storage.as_str() != put,
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            if !doubt.seen && (found_it || elsewhere) {
                continue;
            }
            let storage = doubt.storage.as_ref().map(StorageId::as_str);
            let storage = storage.or(put).unwrap_or_default();
            let conditional = if doubt.seen {
                "delete it there"
            } else {
                "if the machine's first-boot ISO lies there, delete it"
            };
            let file = first_boot_file(&self.uuid());
            let why = &doubt.why;
            self.warn(format!(
                "{why}: {conditional} with `pvesm free {storage}:iso/{file}`"
            ));
        }
    }
}

impl Doubt {
    fn at(why: String) -> Self {
        Self {
            why,
            storage: None,
            seen: false,
        }
    }
}

/// Once more after what may pass. An error is why not.
async fn twice<'a, T>(work: impl Fn() -> BoxFuture<'a, Result<T, Trouble>>) -> Result<T, String> {
    let ended = match work().await {
        Err(Trouble::Passing(_)) => {
            sleep(PAUSE).await;
            work().await
        }
        ended => ended,
    };
    ended.map_err(|trouble| trouble.failure().message)
}
