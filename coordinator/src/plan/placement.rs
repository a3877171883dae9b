//! Which node of the hypervisor each machine goes to.
//!
//! Machines of one group are spread, so that one node's end takes as few of them as possible; among
//! equally good nodes the one with the most memory left is taken. Machines that exist stay where
//! they are and count.

use std::collections::{BTreeMap, BTreeSet};

/// A node, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name at the hypervisor.
    pub name: String,
    /// Whether the cluster sees it.
    pub online: bool,
    /// Mebibytes. A measurement: it chooses between nodes that are equally good otherwise.
    pub free_memory_mebibytes: u64,
}

/// Machines that are declared together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Two of them on one node defeat their purpose: they are control planes.
    pub apart: bool,
    /// Nodes that they may go to. Empty: all.
    pub nodes: BTreeSet<String>,
    /// Its machines, in the order in which they are placed.
    pub machines: Vec<Machine>,
}

/// A machine to place, or one that has its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Its name.
    pub name: String,
    /// Mebibytes.
    pub memory_mebibytes: u32,
    /// Where it is. `None`: it does not exist.
    pub node: Option<String>,
}

/// Where every machine goes, or stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    /// Node by machine.
    pub nodes: BTreeMap<String, String>,
    /// What is not as good as it should be, for people.
    pub warnings: Vec<String>,
}

/// Why a machine has no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("machine `{machine}` has no node to go to: {reason}")]
pub struct NoPlace {
    /// The machine.
    pub machine: String,
    /// Which nodes there are, and what is wrong with them.
    pub reason: String,
}

/// Places the machines of all groups.
pub fn place(groups: &[Group], nodes: &[Node]) -> Result<Placement, NoPlace> {
    let mut free: BTreeMap<&str, i128> = nodes
        .iter()
        .filter(|node| node.online)
        .map(|node| (node.name.as_str(), i128::from(node.free_memory_mebibytes)))
        .collect();
    let mut placement = Placement::default();
    for group in groups {
        let mut members = standing(group);
        for machine in &group.machines {
            let node = if let Some(node) = &machine.node {
                node.clone()
            } else {
                let node = best(group, &members, &free).ok_or_else(|| NoPlace {
                    machine: machine.name.clone(),
                    reason: why_none(group, nodes),
                })?;
                let left = free
                    .get_mut(node.as_str())
                    .expect("it was chosen from these");
                *left -= i128::from(machine.memory_mebibytes);
                members
                    .entry(node.clone())
                    .or_default()
                    .push(machine.name.clone());
                node
            };
            placement.nodes.insert(machine.name.clone(), node);
        }
        placement.warnings.extend(crowded(group, &members, &free));
    }
    Ok(placement)
}

/// Machines of the group by the node where they are.
fn standing(group: &Group) -> BTreeMap<String, Vec<String>> {
    let mut members: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for machine in &group.machines {
        if let Some(node) = &machine.node {
            members
                .entry(node.clone())
                .or_default()
                .push(machine.name.clone());
        }
    }
    members
}

fn allowed(group: &Group, node: &str) -> bool {
    group.nodes.is_empty() || group.nodes.contains(node)
}

fn best(
    group: &Group,
    members: &BTreeMap<String, Vec<String>>,
    free: &BTreeMap<&str, i128>,
) -> Option<String> {
    free.iter()
        .filter(|(node, _)| allowed(group, node))
        .min_by_key(|&(node, left)| (members.get(*node).map_or(0, Vec::len), -left, *node))
        .map(|(node, _)| (*node).to_owned())
}

fn why_none(group: &Group, nodes: &[Node]) -> String {
    let offline: Vec<&str> = nodes
        .iter()
        .filter(|node| allowed(group, &node.name) && !node.online)
        .map(|node| node.name.as_str())
        .collect();
    if !offline.is_empty() {
        return format!("{} offline", listed(&offline));
    }
    let there: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    let wanted: Vec<&str> = group.nodes.iter().map(String::as_str).collect();
    format!(
        "group `{}` is pinned to {}, and the cluster has {}",
        group.name,
        wanted.join(", "),
        there.join(", ")
    )
}

/// Control planes that share a node, and what would part them.
fn crowded(
    group: &Group,
    members: &BTreeMap<String, Vec<String>>,
    free: &BTreeMap<&str, i128>,
) -> Vec<String> {
    if !group.apart {
        return Vec::new();
    }
    let idle: Vec<&str> = free
        .keys()
        .filter(|node| allowed(group, node) && !members.contains_key(**node))
        .copied()
        .collect();
    members
        .iter()
        .filter(|(_, machines)| machines.len() > 1)
        .map(|(node, machines)| {
            let names: Vec<&str> = machines.iter().map(String::as_str).collect();
            let together = format!(
                "{} of group `{}` share node {node}: when it ends, so do they",
                names.join(" and "),
                group.name
            );
            if idle.is_empty() {
                format!("{together}; no other node is online and allowed for them")
            } else {
                format!("{together}; {} free for them", listed(&idle))
            }
        })
        .collect()
}

fn listed(nodes: &[&str]) -> String {
    let verb = if nodes.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", nodes.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(online: &[(&str, u64)], offline: &[&str]) -> Vec<Node> {
        let node = |name: &str, online, free| Node {
            name: name.to_owned(),
            online,
            free_memory_mebibytes: free,
        };
        let up = online.iter().map(|(name, free)| node(name, true, *free));
        up.chain(offline.iter().map(|name| node(name, false, 0)))
            .collect()
    }

    fn group(machines: &[(&str, Option<&str>)]) -> Group {
        Group {
            name: "control-plane".to_owned(),
            apart: true,
            nodes: BTreeSet::new(),
            machines: machines
                .iter()
                .map(|(name, node)| Machine {
                    name: (*name).to_owned(),
                    memory_mebibytes: 4096,
                    node: node.map(str::to_owned),
                })
                .collect(),
        }
    }

    fn where_to(placement: &Placement) -> Vec<&str> {
        placement.nodes.values().map(String::as_str).collect()
    }

    #[test]
    fn control_planes_go_to_nodes_of_their_own_however_little_memory_one_has() {
        let nodes = nodes(&[("pve1", 64_000), ("pve2", 64_000), ("pve3", 100)], &[]);
        let three = group(&[("cp-1", None), ("cp-2", None), ("cp-3", None)]);
        let placement = place(&[three], &nodes).unwrap();
        assert_eq!(where_to(&placement), ["pve1", "pve2", "pve3"]);
        assert!(placement.warnings.is_empty(), "{placement:?}");
    }

    #[test]
    fn a_machine_that_exists_stays_and_counts() {
        let nodes = nodes(&[("pve1", 1), ("pve2", 64_000), ("pve3", 32_000)], &[]);
        let three = group(&[("cp-1", None), ("cp-2", Some("pve2")), ("cp-3", None)]);
        let placement = place(&[three], &nodes).unwrap();
        assert_eq!(where_to(&placement), ["pve3", "pve2", "pve1"]);
    }

    #[test]
    fn what_must_share_a_node_is_said_with_names() {
        let nodes = nodes(&[("pve1", 9_000), ("pve2", 64_000)], &["pve3"]);
        let three = group(&[("cp-1", None), ("cp-2", None), ("cp-3", None)]);
        let placement = place(&[three], &nodes).unwrap();
        assert_eq!(where_to(&placement), ["pve2", "pve1", "pve2"]);
        assert_eq!(
            placement.warnings,
            [
                "cp-1 and cp-3 of group `control-plane` share node pve2: when it ends, so do they; no other node is online and allowed for them"
            ]
        );
    }

    #[test]
    fn machines_that_already_share_a_node_are_told_of_the_free_one() {
        let nodes = nodes(&[("pve1", 1), ("pve2", 1)], &[]);
        let two = group(&[("cp-1", Some("pve1")), ("cp-2", Some("pve1"))]);
        let placement = place(&[two], &nodes).unwrap();
        assert!(
            placement.warnings[0].ends_with("pve2 is free for them"),
            "{placement:?}"
        );
    }

    #[test]
    fn workers_follow_the_memory_that_is_left() {
        let nodes = nodes(&[("pve1", 10_000), ("pve2", 20_000)], &[]);
        let mut workers = group(&[("w-1", None), ("w-2", None), ("w-3", None), ("w-4", None)]);
        workers.apart = false;
        let placement = place(&[workers], &nodes).unwrap();
        assert_eq!(where_to(&placement), ["pve2", "pve1", "pve2", "pve1"]);
        assert!(placement.warnings.is_empty());
    }

    #[test]
    fn a_pinned_group_goes_nowhere_else() {
        let mut pinned = group(&[("cp-1", None)]);
        pinned.nodes = BTreeSet::from(["pve2".to_owned()]);
        let both = nodes(&[("pve1", 64_000), ("pve2", 1)], &[]);
        assert_eq!(
            where_to(&place(&[pinned.clone()], &both).unwrap()),
            ["pve2"]
        );

        let away = nodes(&[("pve1", 64_000)], &["pve2"]);
        let error = place(&[pinned.clone()], &away).unwrap_err();
        assert_eq!(error.reason, "pve2 is offline");

        let gone = nodes(&[("pve1", 64_000)], &[]);
        let error = place(&[pinned], &gone).unwrap_err();
        assert_eq!(
            error.reason,
            "group `control-plane` is pinned to pve2, and the cluster has pve1"
        );
    }

    #[test]
    fn the_same_world_gives_the_same_placement() {
        let nodes = nodes(&[("pve1", 5), ("pve2", 5), ("pve3", 5)], &[]);
        let mut reversed = nodes.clone();
        reversed.reverse();
        let machines = [group(&[("cp-1", None), ("cp-2", None)])];
        assert_eq!(place(&machines, &nodes), place(&machines, &reversed));
    }
}
