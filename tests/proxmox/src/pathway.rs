//! The way of a request through the cluster: fault, credentials, parameters, permission, proxy, handler, record.
//!
//! The order is that of pve-manager `HTTPServer.pm` `rest_handler`: who may not call learns nothing of its parameters.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::access::Caller;
use crate::answer::{Answer, Handled, Outcome, Reply, render};
use crate::call::Call;
use crate::cluster::{Armed, Cluster};
use crate::faults::Fault;
use crate::nodes::unknown_node;
use crate::record::{Exchange, redact};
use crate::refusal::Refusal;
use crate::request::{Method, Request};
use crate::routes::{self, Call as Routed, Permission, Route};
use crate::schema;
use crate::vms::Vm;

impl Cluster {
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
        caller: &Caller,
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
                self.check_network(caller, &fill("/nodes/{node}"))
            }
            Permission::Network => self.check_network(caller, &fill("/nodes/{node}")),
        }
    }

    /// The network of a node, or rights on `/`.
    fn check_network(&self, caller: &Caller, node: &str) -> Result<(), Refusal> {
        let whole = &["Sys.Audit", "Sys.Modify"];
        let whole = self.access.check(caller, "/", whole).is_ok();
        let node = self.access.check(caller, node, &["Sys.AccessNetwork"]);
        if whole || node.is_ok() {
            Ok(())
        } else {
            Err(Refusal::Forbidden(String::new()))
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
            Routed::UrlMetadata => self.url_metadata(call),
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
