//! Whether there is room: VMIDs and bytes. Pure.

use std::collections::{BTreeMap, BTreeSet};

use omni_scale_proto::machine::CheckedMachine;
use omni_scale_proxmox::{Storage, Vmid};

use super::Report;
use super::needs::{Needs, OnNode};
use crate::machine::survey::Survey;

/// Storages that take more than they have: what is not written yet takes no room.
const THIN: [&str; 5] = ["lvmthin", "rbd", "zfspool", "zfs", "btrfs"];

/// Whether each range has VMIDs enough for the machines that want one of it.
pub(super) fn vmids(machines: &[&CheckedMachine], survey: &Survey, report: &mut Report) {
    let taken: BTreeSet<u32> = survey
        .guests()
        .iter()
        .filter_map(|guest| guest.vmid)
        .map(Vmid::get)
        .collect();
    let mut wanted: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    for machine in machines {
        let range = machine.vmids();
        *wanted.entry((*range.start(), *range.end())).or_default() += 1;
    }
    for ((first, last), count) in wanted {
        let used = taken.range(first..=last).count();
        let size = usize::try_from(last - first)
            .unwrap_or(usize::MAX)
            .saturating_add(1);
        let free = size.saturating_sub(used);
        if free < count {
            report.missing(format!(
                "{count} VMIDs of {first} to {last} are needed, and {free} are free"
            ));
        }
    }
}

/// Whether a node's storages take what they must, and have room for it.
pub(super) fn storages(
    node: &str,
    on_node: &OnNode,
    needs: &Needs,
    storages: &[Storage],
    report: &mut Report,
) {
    for (name, contents) in &on_node.storages {
        let found = storages
            .iter()
            .find(|storage| storage.storage.as_str() == name);
        let Some(storage) = found else {
            report.missing(format!(
                "node `{node}` has no storage `{name}`, or the token may not see it"
            ));
            continue;
        };
        if !storage.active {
            report.missing(format!("node `{node}` does not reach storage `{name}`"));
        }
        for content in contents {
            let takes = storage.content.iter().any(|kind| kind.as_str() == *content);
            if !takes {
                report.missing(format!(
                    "storage `{name}` does not take content `{content}`: `pvesm set {name} --content …,{content}`"
                ));
            }
        }
        let gibibytes = if storage.shared {
            needs.space(name)
        } else {
            on_node.space.get(name).copied().unwrap_or(0)
        };
        room(node, storage, gibibytes, report);
    }
}

fn room(node: &str, storage: &Storage, gibibytes: u64, report: &mut Report) {
    let Some(available) = storage.available else {
        return;
    };
    let available = available >> 30;
    if gibibytes <= available {
        return;
    }
    let line = format!(
        "storage `{}` on `{node}` has {available} GiB free, and machines want {gibibytes} GiB of it",
        storage.storage
    );
    if THIN.contains(&storage.kind.as_str()) && available > 0 {
        report.warn(line);
    } else {
        report.missing(line);
    }
}
