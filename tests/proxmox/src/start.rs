//! The start file of the program: where it listens, what it keeps, and what the cluster is when it begins.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use crate::access::{Entry, Token};
use crate::cluster::Cluster;
use crate::faults::Rule;
use crate::images::RemoteImage;
use crate::nodes::Node;
use crate::settings::Settings;
use crate::storage::Storage;

/// The start file (TOML). What it says of the cluster holds only until there is a state to go on from.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Names and addresses of the certificate.
    pub names: Vec<String>,
    /// The directory of state and certificate, which must be there.
    pub state: PathBuf,
    /// A file to append every exchange to.
    #[serde(default)]
    pub record: Option<PathBuf>,
    /// A program and its arguments, run for each start and stop of a VM with its facts as JSON on standard input.
    #[serde(default)]
    pub machine: Vec<String>,
    /// How many times as fast as the world's the cluster's time runs.
    #[serde(default = "one")]
    pub speed: u32,
    /// The seed of everything that is made up.
    #[serde(default)]
    pub seed: u64,
    /// Habits and durations.
    #[serde(default)]
    pub settings: Settings,
    /// Nodes by name; the listener stands on the first.
    pub nodes: BTreeMap<String, Node>,
    /// Storages by name.
    pub storages: BTreeMap<String, Storage>,
    /// Tokens by `USER@REALM!TOKENID`.
    pub tokens: BTreeMap<String, StartToken>,
    /// The access list.
    pub access: Vec<Entry>,
    /// What `download-url` finds, by address.
    #[serde(default)]
    pub images: BTreeMap<String, RemoteImage>,
    /// Faults to come.
    #[serde(default)]
    pub faults: Vec<Rule>,
}

const fn one() -> u32 {
    1
}

/// A token of the start file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartToken {
    /// Its secret.
    pub secret: String,
    /// Whether it has only the rights given to itself; the default of Proxmox VE.
    #[serde(default = "yes")]
    pub privilege_separation: bool,
}

impl std::fmt::Debug for StartToken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("StartToken").finish_non_exhaustive()
    }
}

const fn yes() -> bool {
    true
}

impl Start {
    /// The cluster as the file describes it, at this moment of the world (milliseconds since the epoch).
    pub fn cluster(self, now: u64) -> Cluster {
        let mut cluster = Cluster::empty(self.seed);
        cluster.advance_to(now);
        cluster.settings = self.settings;
        cluster.nodes = self.nodes;
        cluster.storages = self.storages;
        cluster.images = self.images;
        cluster.access.entries = self.access;
        cluster.access.tokens = self
            .tokens
            .into_iter()
            .map(|(id, token)| {
                (
                    id,
                    Token {
                        secret: token.secret,
                        privilege_separation: token.privilege_separation,
                    },
                )
            })
            .collect();
        for rule in self.faults {
            cluster.faults.add(rule);
        }
        cluster
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_readme_starts() {
        let readme = include_str!("../README.md");
        let example = readme
            .split("```toml\n")
            .nth(1)
            .and_then(|rest| rest.split("```").next())
            .unwrap();
        let start: Start = toml::from_str(example).unwrap();
        let cluster = start.cluster(crate::BEGINNING);
        assert_eq!(cluster.nodes.len(), 3);
        assert!(cluster.access.tokens.contains_key("omni-scale@pve!agent"));
    }
}
