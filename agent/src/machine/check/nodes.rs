//! What one node must have: storages, bridges, a processor, the right resolver, and a way to the images.

use std::collections::BTreeSet;

use omni_scale_proxmox::{Class, Client, ContentKind, Error, NodeName, Permissions};

use super::Report;
use super::needs::{Needs, OnNode};
use super::rights::zones_of;
use super::space;
use crate::error::chain;
use crate::machine::settings::image_volume;
use crate::machine::trouble::Trouble;
use crate::machine::work::unspeakable;
use crate::operation::Failure;
use omni_scale_proto::v1::{MachineImage, MachineImageKind};

/// What each level of the x86-64 architecture adds, as Linux names it.
const LEVELS: [(&str, &[&str]); 3] = [
    ("x86-64-v2", &["popcnt", "sse4_1", "sse4_2", "ssse3"]),
    ("x86-64-v3", &["avx2", "bmi1", "bmi2", "fma", "movbe"]),
    (
        "x86-64-v4",
        &["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"],
    ),
];

/// What looks at nodes.
pub(super) struct Sight<'a> {
    pub(super) client: &'a Client,
    pub(super) permissions: &'a Permissions,
    pub(super) needs: &'a Needs,
    pub(super) nameservers: &'a [String],
}

impl Sight<'_> {
    /// Looks at one node. True: an image must be fetched there.
    pub(super) async fn node(&self, name: &str, report: &mut Report) -> Result<bool, Failure> {
        let Some(needs) = self.needs.on(name) else {
            return Ok(false);
        };
        let node: NodeName = name
            .parse()
            .map_err(|error| unspeakable(&error).failure())?;
        let storages = self.client.storages(&node, None).await.map_err(failed)?;
        space::storages(name, needs, self.needs, &storages, report);
        self.bridges(&node, needs, report).await?;
        self.processor(&node, needs, report).await;
        self.resolver(&node, report).await;
        self.images(&node, needs, report).await
    }

    /// A bridge that the token may not use is not listed: its privilege is missing, not it.
    async fn bridges(
        &self,
        node: &NodeName,
        needs: &OnNode,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let bridges = self.client.bridges(node).await.map_err(failed)?;
        for bridge in &needs.bridges {
            let there = bridges.iter().find(|known| known.name == *bridge);
            let is_vnet = there.is_some_and(|known| known.kind.as_deref() == Some("vnet"));
            if is_vnet {
                report.vnets.insert(bridge.clone());
            }
            let seen = zones_of(bridge, is_vnet, self.permissions).any(|zone| {
                let path = format!("/sdn/zones/{zone}/{bridge}");
                let privileges = ["SDN.Use", "SDN.Audit"];
                let mut privileges = privileges.iter();
                privileges.any(|privilege| self.permissions.holds(&path, privilege))
            });
            if seen && there.is_none() {
                report.missing(format!("node `{node}` has no bridge `{bridge}`"));
            }
        }
        Ok(())
    }

    async fn processor(&self, node: &NodeName, needs: &OnNode, report: &mut Report) {
        // Without the right to ask, the missing right is told.
        let Ok(status) = self.client.node_status(node).await else {
            return;
        };
        let flags = status.processor.flags.unwrap_or_default();
        let flags: BTreeSet<&str> = flags.split_whitespace().collect();
        if flags.is_empty() {
            return;
        }
        for cpu in &needs.cpus {
            let lacking: Vec<&str> = wanted(cpu).filter(|flag| !flags.contains(flag)).collect();
            if !lacking.is_empty() {
                report.missing(format!(
                    "node `{node}` cannot give a processor `{cpu}`: it lacks {}",
                    lacking.join(", ")
                ));
            }
        }
    }

    /// Whoever asks a public resolver gets the tailnet's addresses for names that machines need on the LAN.
    async fn resolver(&self, node: &NodeName, report: &mut Report) {
        if self.nameservers.is_empty() {
            return;
        }
        let Ok(dns) = self.client.node_dns(node).await else {
            return;
        };
        let servers = dns.servers();
        let others: Vec<&str> = servers
            .into_iter()
            .filter(|server| !self.nameservers.iter().any(|known| known == server))
            .collect();
        if !others.is_empty() {
            report.warn(format!(
                "node `{node}` asks {} for names, and not {}: what is configured on it sees other addresses than the \
                 machines",
                others.join(", "),
                self.nameservers.join(", ")
            ));
        }
    }

    async fn images(
        &self,
        node: &NodeName,
        needs: &OnNode,
        report: &mut Report,
    ) -> Result<bool, Failure> {
        let mut missing = false;
        for image in needs.images.values() {
            if self.has(node, image).await? {
                continue;
            }
            missing = true;
            match self.client.url_metadata(node, &image.url).await {
                // Without the privilege to ask, the privilege stands in the list.
                Ok(_) | Err(Error::Forbidden { .. }) => {}
                Err(error) if error.class() == Class::Transient => return Err(failed(error)),
                Err(error) => report.missing(format!(
                    "node `{node}` cannot fetch {}: {}",
                    image.url,
                    chain(&error)
                )),
            }
        }
        Ok(missing)
    }

    async fn has(&self, node: &NodeName, image: &MachineImage) -> Result<bool, Failure> {
        let volume = image_volume(image).map_err(|error| unspeakable(&error).failure())?;
        let storage = image.storage.parse();
        let storage = storage.map_err(|error| unspeakable(&error).failure())?;
        let kind = match image.kind() {
            MachineImageKind::Iso => ContentKind::Iso,
            MachineImageKind::Disk | MachineImageKind::Unspecified => ContentKind::Import,
        };
        match self.client.content(node, &storage, Some(&kind), None).await {
            Ok(content) => Ok(content.iter().any(|file| file.volume == volume)),
            Err(error) if error.class() == Class::Transient => Err(failed(error)),
            // A storage that is not there, or not for that: told already.
            Err(_) => Ok(false),
        }
    }
}

/// What a processor must be able to do.
fn wanted(cpu: &str) -> impl Iterator<Item = &'static str> {
    let (base, aes) = match cpu.strip_suffix("-AES") {
        Some(base) => (base, true),
        None => (cpu, false),
    };
    let level = LEVELS.iter().position(|(name, _)| *name == base);
    let levels = level.map_or(0, |level| level + 1);
    let flags = LEVELS.iter().take(levels).flat_map(|(_, flags)| *flags);
    flags.copied().chain(aes.then_some("aes"))
}

fn failed(error: Error) -> Failure {
    Trouble::from(error).failure()
}
