//! The cluster: its state, its time, and the way of a request through it.
//!
//! Nothing here sleeps or draws on the outside: time is virtual milliseconds that the caller advances, and chance
//! comes from a seed. The same calls give the same answers.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::access::Access;
use crate::answer::{Answer, Handled, Outcome, Reply, render};
use crate::call::Call;
use crate::faults::{Fault, Faults};
use crate::happenings::Scheduled;
use crate::images::RemoteImage;
use crate::machines::PowerEvent;
use crate::nodes::{Node, unknown_node};
use crate::random::Random;
use crate::record::{Exchange, redact};
use crate::refusal::Refusal;
use crate::request::{Method, Request};
use crate::resources::LastSeen;
use crate::routes::{self, Permission, Route};
use crate::settings::Settings;
use crate::storage::{Storage, Volume};
use crate::tasks::Task;
use crate::vms::Vm;
use crate::{routes::Call as Routed, schema};

/// When a cluster begins if nobody says otherwise: some day in 2026, in milliseconds.
pub const BEGINNING: u64 = 1_790_000_000_000;

/// A Proxmox VE cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cluster {
    /// Virtual time, milliseconds since the epoch.
    pub(crate) now: u64,
    pub(crate) random: Random,
    /// Habits and durations.
    pub settings: Settings,
    /// Nodes by name; the listener stands on the first.
    pub nodes: BTreeMap<String, Node>,
    /// Storages by name.
    pub storages: BTreeMap<String, Storage>,
    /// Who may do what.
    pub access: Access,
    /// What `download-url` finds, by address.
    pub images: BTreeMap<String, RemoteImage>,
    /// VMs by id.
    pub vms: BTreeMap<u32, Vm>,
    pub(crate) volumes: BTreeMap<String, Volume>,
    /// Tasks, oldest first.
    pub tasks: Vec<Task>,
    /// Faults to come.
    pub faults: Faults,
    pub(crate) agenda: Vec<Scheduled>,
    pub(crate) locks: BTreeMap<String, String>,
    pub(crate) quorum_lost_until: Option<u64>,
    pub(crate) next_pid: u64,
    pub(crate) last_seen: BTreeMap<u32, LastSeen>,
    pub(crate) next_broadcast: u64,
    pub(crate) foreign: BTreeSet<String>,
    pub(crate) violations: Vec<String>,
    pub(crate) power_events: Vec<PowerEvent>,
    revision: u64,
    #[serde(skip)]
    pub(crate) armed: Armed,
    #[serde(skip)]
    recording: bool,
    #[serde(skip)]
    recorded: Vec<Exchange>,
}

/// Faults that the request under way carries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Armed {
    pub(crate) no_worker: bool,
    pub(crate) worker_dies_after: Option<u64>,
    after: u64,
}

impl Cluster {
    /// A cluster with nothing in it.
    pub fn empty(seed: u64) -> Self {
        Self {
            now: BEGINNING,
            random: Random::seeded(seed),
            settings: Settings::default(),
            nodes: BTreeMap::new(),
            storages: BTreeMap::new(),
            access: Access::default(),
            images: BTreeMap::new(),
            vms: BTreeMap::new(),
            volumes: BTreeMap::new(),
            tasks: Vec::new(),
            faults: Faults::default(),
            agenda: Vec::new(),
            locks: BTreeMap::new(),
            quorum_lost_until: None,
            next_pid: 0x1000,
            last_seen: BTreeMap::new(),
            next_broadcast: BEGINNING,
            foreign: BTreeSet::new(),
            violations: Vec::new(),
            power_events: Vec::new(),
            revision: 0,
            armed: Armed::default(),
            recording: false,
            recorded: Vec::new(),
        }
    }

    /// Nodes `pve1` to `pveN`, each with `local` (files) and `fast` (thin volumes), and one token with every right.
    /// The token is [`crate::TOKEN`].
    pub fn with_nodes(seed: u64, count: u32) -> Self {
        let mut cluster = Self::empty(seed);
        for number in 1..=count {
            cluster
                .nodes
                .insert(format!("pve{number}"), Node::default());
        }
        let storage = |kind: &str, content: &[&str]| Storage {
            kind: kind.to_owned(),
            content: content.iter().map(|kind| (*kind).to_owned()).collect(),
            shared: false,
            total: 1 << 40,
            nodes: None,
            disabled: false,
        };
        cluster.storages.insert(
            "local".to_owned(),
            storage("dir", &["iso", "import", "vztmpl", "snippets"]),
        );
        cluster
            .storages
            .insert("fast".to_owned(), storage("lvmthin", &["images"]));
        let (id, secret) = crate::TOKEN.split_once('=').unwrap_or_default();
        cluster.access.grant(id, secret, "/", "Administrator");
        cluster
    }

    /// Virtual time, milliseconds since the epoch.
    pub const fn now(&self) -> u64 {
        self.now
    }

    /// Lets time pass, and everything happen that falls into it.
    pub fn advance(&mut self, milliseconds: u64) {
        self.advance_to(self.now + milliseconds);
    }

    /// As [`Self::advance`], up to a moment; nothing if that is past.
    pub fn advance_to(&mut self, moment: u64) {
        while let Some(next) = self.next_moment().filter(|next| *next <= moment) {
            self.now = self.now.max(next);
            self.do_next();
        }
        self.now = self.now.max(moment);
    }

    /// Lets time pass until nothing runs any more, at most ten minutes of it. Says whether that came about.
    pub fn settle(&mut self) -> bool {
        let limit = self.now + 600_000;
        while self.tasks.iter().any(|task| task.ended.is_none()) {
            match self.next_moment().filter(|next| *next <= limit) {
                Some(next) => self.advance_to(next),
                None => return false,
            }
        }
        true
    }

    fn next_moment(&self) -> Option<u64> {
        let task = self.next_task().map(|(due, _)| due);
        let agenda = self.agenda.iter().map(|entry| entry.at).min();
        let back = self.nodes.values().filter_map(|node| node.down_until).min();
        [task, agenda, back, Some(self.next_broadcast)]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whatever is first by now. Happenings come before work, so that a crash at a moment stops what was due then.
    fn do_next(&mut self) {
        let now = self.now;
        if let Some(at) = self.agenda.iter().position(|entry| entry.at <= now) {
            let entry = self.agenda.remove(at);
            self.touch();
            self.happen(entry.what);
        } else if let Some(node) = self
            .nodes
            .values_mut()
            .find(|node| node.down_until.is_some_and(|until| until <= now))
        {
            node.down_until = None;
            self.touch();
        } else if let Some((due, at)) = self.next_task().filter(|(due, _)| *due <= now) {
            let _ = due;
            self.touch();
            self.step_task(at);
        } else {
            self.broadcast();
        }
    }

    pub(crate) fn has_quorum(&self) -> bool {
        self.quorum_lost_until.is_none_or(|until| until <= self.now)
    }

    /// pve-cluster `Cluster.pm` `check_cfs_quorum`.
    pub(crate) fn check_quorum(&self) -> Result<(), Refusal> {
        if self.has_quorum() {
            Ok(())
        } else {
            Err(Refusal::died("cluster not ready - no quorum?"))
        }
    }

    /// The answer to the request under way comes so much later.
    pub(crate) fn delay_answer(&mut self, milliseconds: u64) {
        self.armed.after = milliseconds;
    }

    /// Grows with every change that is worth keeping.
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Something was changed from outside.
    pub(crate) const fn touch(&mut self) {
        self.revision += 1;
    }

    /// VMs that somebody else made: their uuids.
    pub const fn foreign(&self) -> &BTreeSet<String> {
        &self.foreign
    }

    /// Changes that were asked of VMs that somebody else made, in words. Empty, or the client is at fault.
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// The changes of power that nobody has been told of yet.
    pub fn take_power_events(&mut self) -> Vec<PowerEvent> {
        std::mem::take(&mut self.power_events)
    }

    /// Begins to keep every exchange.
    pub fn record(&mut self) {
        self.recording = true;
    }

    /// What was kept since the last time.
    pub fn take_recorded(&mut self) -> Vec<Exchange> {
        std::mem::take(&mut self.recorded)
    }

    /// One request, handled at this moment.
    pub fn handle(&mut self, request: &Request) -> Outcome {
        let found = routes::find(request.method, &request.segments());
        let template = found.as_ref().map(|(route, _)| route.template);
        let fault = self.faults.pick(request.method, template);
        self.armed = Armed::default();
        if request.method != Method::Get || fault.is_some() {
            self.touch();
        }
        let outcome = self.through(request, found, fault);
        self.armed = Armed::default();
        if self.recording {
            self.keep(request, &outcome, fault.is_some());
        }
        outcome
    }

    fn through(
        &mut self,
        request: &Request,
        found: Option<(&'static Route, BTreeMap<String, String>)>,
        fault: Option<Fault>,
    ) -> Outcome {
        let cut = |after: u64| Outcome {
            after,
            reply: Reply::Cut,
        };
        let gateway = |status: u16, reason: &str, after: u64| {
            let answer = Answer {
                status,
                reason: reason.to_owned(),
                body: None,
            };
            Outcome {
                after,
                reply: Reply::Answer(answer),
            }
        };
        // The listener's own node is down: nobody is there.
        if self
            .nodes
            .values()
            .next()
            .is_some_and(|node| !node.online())
        {
            return cut(0);
        }
        match fault {
            Some(Fault::Reset) => return cut(0),
            Some(Fault::NoRoute) => return gateway(595, "No route to host", 0),
            Some(Fault::GatewayTimeout { effect: false }) => {
                return gateway(596, "Broken pipe", 30_000);
            }
            Some(Fault::LockTimeout) => {
                let vmid = found
                    .as_ref()
                    .and_then(|(_, values)| values.get("vmid"))
                    .map_or("100", String::as_str);
                let text = format!(
                    "can't lock file '/var/lock/qemu-server/lock-{vmid}.conf' - got timeout"
                );
                let answer = render(&Err(Refusal::Died(text)), self.settings.reason_only);
                return Outcome {
                    after: 10_000,
                    reply: Reply::Answer(answer),
                };
            }
            Some(Fault::NoWorker) => self.armed.no_worker = true,
            Some(Fault::WorkerDies { after }) => self.armed.worker_dies_after = Some(after),
            Some(
                Fault::Slow { .. } | Fault::ReplyLost | Fault::GatewayTimeout { effect: true },
            )
            | None => {}
        }
        let handled = self.answer(request, found);
        let after = match (&handled, fault) {
            // facts §1.1: 401 is delayed by three seconds.
            (Err(Refusal::Unauthorized(_)), _) => 3_000,
            (_, Some(Fault::Slow { by })) => by,
            (Ok(success), _) => success.after,
            (Err(_), _) => self.armed.after,
        };
        match fault {
            Some(Fault::ReplyLost) => cut(after),
            Some(Fault::GatewayTimeout { effect: true }) => gateway(596, "Broken pipe", 30_000),
            _ => Outcome {
                after,
                reply: Reply::Answer(render(&handled, self.settings.reason_only)),
            },
        }
    }

    fn answer(
        &mut self,
        request: &Request,
        found: Option<(&'static Route, BTreeMap<String, String>)>,
    ) -> Handled {
        let caller = self.access.authenticate(request.authorization.as_deref())?;
        let upload = found
            .as_ref()
            .is_some_and(|(route, _)| route.call == Routed::Upload);
        let (parameters, upload) = request.parameters(upload)?;
        let Some((route, mut values)) = found else {
            let text = format!(
                "Method '{} {}' not implemented",
                request.method.name(),
                request.path
            );
            return Err(Refusal::NotImplemented(text));
        };
        for (name, value) in parameters {
            if values.insert(name.clone(), value).is_some() {
                return Err(Refusal::parameter(
                    &name,
                    "duplicate parameter (already defined in URI)",
                ));
            }
        }
        self.permit(&caller, route, &values)?;
        if let Some(node) = values
            .get("node")
            .filter(|_| route.template.starts_with("/nodes/{node}"))
        {
            let known = self.nodes.get(node).ok_or_else(|| unknown_node(node))?;
            if !known.online() {
                return Err(Refusal::Raw {
                    status: 595,
                    reason: "No route to host".to_owned(),
                });
            }
        }
        let values = schema::check(route.parameters, &values).map_err(Refusal::Parameters)?;
        let call = Call {
            caller,
            values,
            upload,
        };
        if request.method != Method::Get && route.template.contains("{vmid}") {
            self.note_violation(route, &call);
        }
        self.dispatch(route.call, &call)
    }

    /// Before the parameters are looked at (pve-access-control `RPCEnvironment.pm` `check_api2_permissions`).
    fn permit(
        &self,
        caller: &crate::access::Caller,
        route: &Route,
        values: &BTreeMap<String, String>,
    ) -> Result<(), Refusal> {
        let fill = |template: &str| {
            values
                .iter()
                .fold(template.to_owned(), |path, (name, value)| {
                    path.replace(&format!("{{{name}}}"), value)
                })
        };
        match route.permission {
            Permission::Everyone => Ok(()),
            Permission::All(path, privileges) => self.access.check(caller, &fill(path), privileges),
            Permission::Any(path, privileges) => {
                self.access.check_any(caller, &fill(path), privileges)
            }
            Permission::Download => {
                self.access.check(
                    caller,
                    &fill("/storage/{storage}"),
                    &["Datastore.AllocateTemplate"],
                )?;
                let whole = self
                    .access
                    .check(caller, "/", &["Sys.Audit", "Sys.Modify"])
                    .is_ok();
                let node = self
                    .access
                    .check(caller, &fill("/nodes/{node}"), &["Sys.AccessNetwork"])
                    .is_ok();
                if whole || node {
                    Ok(())
                } else {
                    Err(Refusal::Forbidden(String::new()))
                }
            }
        }
    }

    fn note_violation(&mut self, route: &Route, call: &Call) {
        let uuid = self.vms.get(&call.vmid()).and_then(Vm::uuid);
        if uuid.is_some_and(|uuid| self.foreign.contains(uuid)) {
            let text = format!(
                "{} {} on VM {}",
                route.method.name(),
                route.template,
                call.vmid()
            );
            self.violations.push(text);
        }
    }

    fn dispatch(&mut self, routed: Routed, call: &Call) -> Handled {
        match routed {
            Routed::Version => Ok(self.version()),
            Routed::Permissions => self.permissions(call),
            Routed::NextId => self.next_id(call),
            Routed::Resources => Ok(self.resources(call)),
            Routed::Options => Ok(self.datacenter_options(call)),
            Routed::Nodes => Ok(self.list_nodes(call)),
            Routed::NodeStatus => self.node_status(call),
            Routed::Dns => self.dns(call),
            Routed::Network => self.network(call),
            Routed::Storages => self.list_storages(call),
            Routed::Content => self.content(call),
            Routed::DeleteContent => self.delete_content(call),
            Routed::DownloadUrl => self.download_url(call),
            Routed::Upload => self.upload(call),
            Routed::Vms => Ok(self.list_vms(call)),
            Routed::CreateVm => self.create_vm(call),
            Routed::Config => self.config(call),
            Routed::UpdateConfig => self.update_config(call),
            Routed::UpdateConfigNow => self.update_config_now(call),
            Routed::Pending => self.pending(call),
            Routed::Resize => self.resize_vm(call),
            Routed::Current => self.current(call),
            Routed::Start => self.start_vm(call),
            Routed::Stop => self.stop_vm(call),
            Routed::Shutdown => self.shutdown_vm(call),
            Routed::DestroyVm => self.destroy_vm(call),
            Routed::Interfaces => self.interfaces(call),
            Routed::CloudInit => self.cloud_init(call),
            Routed::Tasks => Ok(self.list_tasks(call)),
            Routed::TaskStatus => self.task_status(call),
            Routed::TaskLog => self.task_log(call),
            Routed::StopTask => self.stop_task(call),
        }
    }

    fn keep(&mut self, request: &Request, outcome: &Outcome, fault: bool) {
        let upload = request.path.ends_with("/upload");
        let params = request
            .parameters(upload)
            .map(|(params, _)| params)
            .unwrap_or_default();
        let (status, body) = match &outcome.reply {
            Reply::Answer(answer) => (answer.status, answer.body.clone().unwrap_or(Value::Null)),
            Reply::Cut => (0, Value::Null),
        };
        self.recorded.push(Exchange {
            method: request.method.name().to_owned(),
            path: request.path.clone(),
            params: redact(&params),
            status,
            body,
            fault,
        });
    }
}
