//! Finding a task again whose name was lost with the reply.

use crate::{Client, Error, NodeName, TaskEntry, Vmid, calls, request::Request};

/// Rows asked for at a time.
const PAGE: usize = 500;

/// Pages read before giving up: a node's archive holds 1,000 tasks by default.
const MOST_PAGES: usize = 20;

/// Which tasks to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskQuery {
    /// Where they work.
    pub node: NodeName,
    /// Which VM they work upon.
    pub vmid: Option<Vmid>,
    /// What kind of work, such as `qmcreate`.
    pub kind: Option<String>,
    /// By the node's clock, in seconds since 1970; allow for a difference of the clocks.
    pub since_unix_seconds: Option<u64>,
    /// Only those that this client's own token began.
    pub own: bool,
}

impl TaskQuery {
    fn accepts(&self, entry: &TaskEntry, token: &str) -> bool {
        let upid = &entry.upid;
        let wanted_vm = self.vmid.is_none_or(|vmid| upid.id() == vmid.to_string());
        let wanted_kind = self.kind.as_deref().is_none_or(|kind| upid.kind() == kind);
        let recent = self
            .since_unix_seconds
            .is_none_or(|since| upid.started_unix_seconds() >= since);
        wanted_vm && wanted_kind && recent && (!self.own || upid.user() == token)
    }
}

impl Client {
    /// Tasks of a node, at work and ended, the newest first. The token sees its own; those of others need
    /// `Sys.Audit` on the node.
    pub async fn tasks(&self, query: &TaskQuery) -> Result<Vec<TaskEntry>, Error> {
        let mut found: Vec<TaskEntry> = Vec::new();
        for page in 0..MOST_PAGES {
            let request = Request::new(&calls::TASKS, &[query.node.as_str()])
                .with("source", "all")
                .with("start", page * PAGE)
                .with("limit", PAGE)
                .maybe("vmid", query.vmid)
                .maybe("typefilter", query.kind.as_ref())
                .maybe("since", query.since_unix_seconds);
            let rows: Vec<TaskEntry> = self.ask(request).await?;
            let full = rows.len() >= PAGE;
            for row in rows {
                // A task that ends between two pages is in both lists.
                let known = found.iter().any(|known| known.upid == row.upid);
                if !known && query.accepts(&row, self.token_id()) {
                    found.push(row);
                }
            }
            if !full {
                break;
            }
        }
        found.sort_by_key(|entry| std::cmp::Reverse(entry.upid.started_unix_seconds()));
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TaskState;

    fn entry(kind: &str, vmid: &str, started: &str, user: &str) -> TaskEntry {
        TaskEntry {
            upid: format!("UPID:pve1:0000C3F1:0A1B2C3D:{started}:{kind}:{vmid}:{user}:")
                .parse()
                .unwrap(),
            state: TaskState::Running,
        }
    }

    #[test]
    fn only_what_is_asked_for_is_accepted_whatever_the_node_filters() {
        let query = TaskQuery {
            node: "pve1".parse().unwrap(),
            vmid: Some(Vmid::new(105).unwrap()),
            kind: Some("qmcreate".into()),
            since_unix_seconds: Some(0x65A1_0000),
            own: true,
        };
        let token = "omni@pve!scale";
        for (entry, accepted) in [
            (entry("qmcreate", "105", "65A10000", token), true),
            (entry("qmcreate", "105", "65A0FFFF", token), false),
            (entry("qmcreate", "106", "65A10000", token), false),
            (entry("qmclone", "105", "65A10000", token), false),
            (entry("qmcreate", "105", "65A10000", "omni@pve"), false),
            (
                entry("qmcreate", "105", "65A10000", "omni@pve!other"),
                false,
            ),
        ] {
            assert_eq!(query.accepts(&entry, token), accepted, "{}", entry.upid);
        }
    }
}
