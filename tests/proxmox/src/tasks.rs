//! Tasks: worker processes with a UPID, a log and an end (facts §1.7).

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::access::Caller;
use crate::answer::{Handled, Success};
use crate::call::Call;
use crate::cluster::Cluster;
use crate::jobs::{Job, Scratch, Step};
use crate::refusal::Refusal;
use crate::schema;

/// A task, running or ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    /// `UPID:node:pid:pstart:starttime:type:id:user:`
    pub upid: String,
    /// The node that it runs on.
    pub node: String,
    /// `qmcreate`, `qmstart`…
    pub kind: String,
    /// What it works on, mostly a VMID.
    pub id: String,
    /// `u@r` or `u@r!token`.
    pub user: String,
    /// When it began, in virtual milliseconds.
    pub started: u64,
    /// Its log.
    pub log: Vec<String>,
    /// How it ended and when; `None` while it runs.
    pub ended: Option<Ended>,
    pub(crate) pid: u64,
    pub(crate) warnings: u32,
    pub(crate) due: u64,
    pub(crate) job: Option<Job>,
    /// Set by a fault: the worker dies at this moment and cleans nothing up.
    pub(crate) dies_at: Option<u64>,
}

/// The end of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// `OK`, `WARNINGS: n`, a message, or `unexpected status`.
    pub exit_status: String,
    /// Virtual milliseconds.
    pub at: u64,
}

impl Task {
    /// Whether it has ended well: warnings are a success.
    pub fn succeeded(&self) -> bool {
        self.ended.as_ref().is_some_and(|ended| {
            ended.exit_status == "OK" || ended.exit_status.starts_with("WARNINGS")
        })
    }

    fn row(&self) -> Value {
        let (user, token) = match self.user.split_once('!') {
            Some((user, token)) => (user, Some(token)),
            None => (self.user.as_str(), None),
        };
        let mut row = json!({
            "upid": self.upid,
            "node": self.node,
            "pid": self.pid,
            "pstart": self.pid * 100,
            "starttime": self.started / 1000,
            "type": self.kind,
            "id": self.id,
            "user": user,
        });
        if let Some(token) = token {
            row["tokenid"] = json!(token);
        }
        row
    }

    /// A token sees only its own tasks, a user also those of its tokens (pve-manager `Tasks.pm` `check_task_user`).
    fn is_of(&self, caller: &Caller) -> bool {
        self.user == caller.0 || self.user.split('!').next() == Some(caller.0.as_str())
    }

    fn end(&mut self, result: Result<(), String>, now: u64) {
        let exit_status = match result {
            Ok(()) if self.warnings > 0 => format!("WARNINGS: {}", self.warnings),
            Ok(()) => "OK".to_owned(),
            Err(message) => message,
        };
        self.log.push(match exit_status.as_str() {
            "OK" => "TASK OK".to_owned(),
            text if text.starts_with("WARNINGS: ") => format!("TASK {text}"),
            text => format!("TASK ERROR: {text}"),
        });
        self.ended = Some(Ended {
            exit_status,
            at: now,
        });
        self.job = None;
    }
}

impl Cluster {
    /// Starts a worker for a caller and gives its UPID.
    pub(crate) fn spawn(
        &mut self,
        caller: &Caller,
        node: &str,
        kind: &str,
        id: &str,
        job: Job,
    ) -> Result<String, Refusal> {
        if std::mem::take(&mut self.armed.no_worker) {
            return Err(Refusal::died("got no worker upid - start worker failed"));
        }
        self.next_pid += 1;
        let (pid, started) = (self.next_pid, self.now);
        let upid = format!(
            "UPID:{node}:{pid:08X}:{:08X}:{:08X}:{kind}:{id}:{}:",
            pid * 100,
            started / 1000,
            caller.0
        );
        let dies_at = self
            .armed
            .worker_dies_after
            .take()
            .map(|after| started + after);
        self.tasks.push(Task {
            upid: upid.clone(),
            node: node.to_owned(),
            kind: kind.to_owned(),
            id: id.to_owned(),
            user: caller.0.clone(),
            started,
            log: Vec::new(),
            ended: None,
            pid,
            warnings: 0,
            due: started,
            job: Some(job),
            dies_at,
        });
        Ok(upid)
    }

    /// When the next task has something to do.
    pub(crate) fn next_task(&self) -> Option<(u64, usize)> {
        let running = self
            .tasks
            .iter()
            .enumerate()
            .filter(|(_, task)| task.ended.is_none());
        running
            .map(|(at, task)| (task.dies_at.map_or(task.due, |dies| dies.min(task.due)), at))
            .min()
    }

    /// One step of a task that is due.
    pub(crate) fn step_task(&mut self, at: usize) {
        let now = self.now;
        let Some(task) = self.tasks.get_mut(at) else {
            return;
        };
        if task.dies_at.is_some_and(|dies| dies <= now) {
            self.kill_task(at);
            return;
        }
        let Some(mut job) = task.job.take() else {
            return;
        };
        let mut scratch = Scratch::new(&task.upid, &task.node, &task.user);
        let step = job.step(self, &mut scratch);
        let Some(task) = self.tasks.get_mut(at) else {
            return;
        };
        task.warnings += scratch.warnings;
        task.log.append(&mut scratch.lines);
        match step {
            Step::Again(after) => {
                task.due = now + after.max(1);
                task.job = Some(job);
            }
            Step::Done(result) => {
                task.end(result, now);
                let upid = task.upid.clone();
                self.unlock_all(&upid);
            }
        }
    }

    /// The worker dies: no end in its log, its locks gone, nothing cleaned up.
    pub(crate) fn kill_task(&mut self, at: usize) {
        let now = self.now;
        if let Some(task) = self.tasks.get_mut(at) {
            task.ended = Some(Ended {
                exit_status: "unexpected status".to_owned(),
                at: now,
            });
            task.job = None;
            let upid = task.upid.clone();
            self.unlock_all(&upid);
        }
    }

    /// Takes a lock for a worker.
    pub(crate) fn try_lock(&mut self, name: &str, upid: &str) -> bool {
        self.locks
            .entry(name.to_owned())
            .or_insert_with(|| upid.to_owned())
            == upid
    }

    pub(crate) fn unlock(&mut self, name: &str) {
        self.locks.remove(name);
    }

    fn unlock_all(&mut self, upid: &str) {
        self.locks.retain(|_, holder| holder != upid);
    }

    /// The answer of a call that waits for its own task: null if it ends well. Virtual time goes on meanwhile.
    pub(crate) fn wait_for(&mut self, upid: &str) -> Handled {
        for _ in 0..1000 {
            let Some(at) = self.tasks.iter().position(|task| task.upid == upid) else {
                break;
            };
            let Some(task) = self.tasks.get(at) else {
                break;
            };
            match &task.ended {
                Some(ended)
                    if ended.exit_status == "OK" || ended.exit_status.starts_with("WARNINGS") =>
                {
                    return Ok(Success::default());
                }
                Some(ended) => return Err(Refusal::died(ended.exit_status.clone())),
                None => self.advance_to(task.due),
            }
        }
        Ok(Success::new(upid))
    }

    fn task(&self, call: &Call, privilege: &str) -> Result<&Task, Refusal> {
        let upid = call.get("upid").unwrap_or_default();
        let parts: Vec<&str> = upid.split(':').collect();
        if parts.len() != 9 || parts.first() != Some(&"UPID") || parts.last() != Some(&"") {
            return Err(Refusal::parameter("upid", "unable to parse worker upid"));
        }
        let task = self
            .tasks
            .iter()
            .find(|task| task.upid == upid && task.node == call.node())
            .filter(|task| self.now >= task.started + self.settings.task_unknown_ms)
            .ok_or_else(|| Refusal::parameter("upid", "no such task"))?;
        if !task.is_of(&call.caller) {
            self.access
                .check(&call.caller, &format!("/nodes/{}", task.node), &[privilege])?;
        }
        Ok(task)
    }

    pub(crate) fn task_status(&self, call: &Call) -> Handled {
        let task = self.task(call, "Sys.Audit")?;
        let mut row = task.row();
        row["status"] = json!(if task.ended.is_some() {
            "stopped"
        } else {
            "running"
        });
        if let Some(ended) = &task.ended {
            row["exitstatus"] = json!(ended.exit_status);
        }
        Ok(Success::new(row))
    }

    /// facts §1.7: 50 lines unless told otherwise, `total` beside them.
    pub(crate) fn task_log(&self, call: &Call) -> Handled {
        let task = self.task(call, "Sys.Audit")?;
        let number = |name: &str, default: usize| {
            call.number(name)
                .and_then(|value| usize::try_from(value).ok())
                .unwrap_or(default)
        };
        let limit = match number("limit", 50) {
            0 => usize::MAX,
            limit => limit,
        };
        let mut total = task.log.len();
        let mut lines: Vec<Value> = task
            .log
            .iter()
            .enumerate()
            .skip(number("start", 0))
            .take(limit)
            .map(|(at, line)| json!({"n": at + 1, "t": line}))
            .collect();
        if total == 0 {
            // The real one does not like an empty list.
            total = 1;
            lines.push(json!({"n": 1, "t": "no content"}));
        }
        Ok(Success {
            data: lines.into(),
            total: Some(total),
            after: 0,
        })
    }

    pub(crate) fn stop_task(&mut self, call: &Call) -> Handled {
        let upid = self.task(call, "Sys.Modify")?.upid.clone();
        let now = self.now;
        if let Some(task) = self
            .tasks
            .iter_mut()
            .find(|task| task.upid == upid && task.ended.is_none())
        {
            task.log.push("received interrupt".to_owned());
            let job = task.job.take();
            task.end(Err("received interrupt".to_owned()), now);
            if let Some(job) = job {
                job.interrupted(self, &upid);
            }
            self.unlock_all(&upid);
        }
        Ok(Success::default())
    }

    pub(crate) fn list_tasks(&self, call: &Call) -> Success {
        let node = call.node();
        let auditor = self
            .access
            .may(&call.caller, &format!("/nodes/{node}"), "Sys.Audit");
        let source = call.get("source").unwrap_or("archive");
        let wanted: Option<Vec<&str>> = call
            .get("statusfilter")
            .map(|text| schema::list(text).collect());
        let mut rows: Vec<&Task> = self
            .tasks
            .iter()
            .filter(|task| task.node == node && (auditor || task.is_of(&call.caller)))
            .filter(|task| match source {
                "archive" => task.ended.is_some(),
                "active" => task.ended.is_none(),
                _ => true,
            })
            .filter(|task| {
                call.number("vmid").is_none_or(|vmid| {
                    let vmid = vmid.to_string();
                    task.id == vmid || task.id.split('@').next() == Some(vmid.as_str())
                })
            })
            .filter(|task| call.get("typefilter").is_none_or(|kind| kind == task.kind))
            .filter(|task| {
                call.get("userfilter")
                    .is_none_or(|user| task.user.contains(user))
            })
            .filter(|task| {
                call.number("since")
                    .is_none_or(|since| seconds(task.started) >= since)
            })
            .filter(|task| {
                call.number("until")
                    .is_none_or(|until| seconds(task.started) <= until)
            })
            .filter(|task| !call.flag("errors") || !task.succeeded())
            .filter(|task| {
                wanted
                    .as_ref()
                    .is_none_or(|wanted| wanted.contains(&state(task)))
            })
            .collect();
        rows.reverse();
        let total = rows.len();
        let number = |name: &str, default: usize| {
            call.number(name)
                .and_then(|value| usize::try_from(value).ok())
                .unwrap_or(default)
        };
        let rows: Vec<Value> = rows
            .into_iter()
            .skip(number("start", 0))
            .take(number("limit", 50))
            .map(|task| {
                let mut row = task.row();
                match &task.ended {
                    Some(ended) => {
                        row["endtime"] = json!(ended.at / 1000);
                        row["status"] = json!(ended.exit_status);
                    }
                    None => row["status"] = json!("RUNNING"),
                }
                row
            })
            .collect();
        Success {
            data: rows.into(),
            total: Some(total),
            after: 0,
        }
    }
}

fn state(task: &Task) -> &'static str {
    match task.ended.as_ref().map(|ended| ended.exit_status.as_str()) {
        None | Some("unexpected status") => "unknown",
        Some("OK") => "ok",
        Some(text) if text.starts_with("WARNINGS") => "warning",
        Some(_) => "error",
    }
}

fn seconds(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds / 1000).unwrap_or(i64::MAX)
}
