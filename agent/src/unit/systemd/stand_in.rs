//! A `systemd1.Manager` on the other end of a socket pair, with the model of the fake behind it.

use std::collections::HashMap;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, Guid, OwnedObjectPath, Variant, interface};

use super::Systemd;
use super::backoff::Backoff;
use crate::unit::fake::{Refusal, UnitModel};
use crate::unit::job::Job;
use crate::unit::state::UnitState;

const UNIT_PATH: &str = "/org/freedesktop/systemd1/unit/tsidp_2eservice";
const UNKNOWN_PATH: &str = "/org/freedesktop/systemd1/unit/unknown_2eservice";

/// The other end: the unit's model, and the connections that were made to it.
#[derive(Clone)]
pub(super) struct ManagerStandIn {
    unit: String,
    pub(super) model: watch::Sender<UnitModel>,
    ends: Arc<Mutex<Vec<Connection>>>,
    refuses_connections: Arc<Mutex<bool>>,
}

impl ManagerStandIn {
    pub(super) fn new(unit: &str) -> Self {
        Self {
            unit: unit.to_owned(),
            model: watch::Sender::new(UnitModel::default()),
            ends: Arc::default(),
            refuses_connections: Arc::default(),
        }
    }

    /// The adapter, connected to this end.
    pub(super) fn adapter(&self) -> Systemd {
        let this = self.clone();
        let mut systemd = Systemd::with_connect(Arc::new(move || {
            let this = this.clone();
            Box::pin(async move { this.accept().await })
        }));
        systemd.backoff = Backoff {
            first: Duration::from_millis(1),
            last: Duration::from_millis(5),
        };
        systemd
    }

    /// Ends every connection, as a bus that restarts does, and refuses new ones until told.
    pub(super) async fn go_away(&self) {
        *self.refuses_connections.lock().unwrap() = true;
        let ends = std::mem::take(&mut *self.ends.lock().unwrap());
        for end in ends {
            end.close().await.unwrap();
        }
    }

    pub(super) fn come_back(&self) {
        *self.refuses_connections.lock().unwrap() = false;
    }

    fn state(&self) -> Box<dyn Fn() -> UnitState + Send + Sync> {
        let model = self.model.clone();
        Box::new(move || model.borrow().state())
    }

    async fn accept(&self) -> zbus::Result<Connection> {
        if *self.refuses_connections.lock().unwrap() {
            return Err(zbus::Error::Failure("connection refused".to_owned()));
        }
        let (here, there) = UnixStream::pair().unwrap();
        let server = zbus::connection::Builder::unix_stream(here)
            .server(Guid::generate())
            .p2p()
            .serve_at(
                "/org/freedesktop/systemd1",
                Manager {
                    rig: self.clone(),
                    subscribed: false,
                    version: "252 (fake)",
                },
            )
            .serve_at(
                UNIT_PATH,
                Unit {
                    state: self.state(),
                },
            )
            .serve_at(
                UNIT_PATH,
                Service {
                    state: self.state(),
                },
            )
            .serve_at(UNKNOWN_PATH, Unit { state: unknown() })
            .serve_at(UNKNOWN_PATH, Service { state: unknown() })
            .build();
        let client = zbus::connection::Builder::unix_stream(there).p2p().build();
        let (server, client) = tokio::try_join!(server, client)?;
        self.ends.lock().unwrap().push(server.clone());
        let mut model = self.model.subscribe();
        tokio::spawn(async move {
            while model.changed().await.is_ok() {
                let body = (
                    "org.freedesktop.systemd1.Unit",
                    HashMap::<String, Variant<'_>>::new(),
                    vec!["ActiveState"],
                );
                let sent = server
                    .emit_signal(
                        None::<&str>,
                        UNIT_PATH,
                        "org.freedesktop.DBus.Properties",
                        "PropertiesChanged",
                        &body,
                    )
                    .await;
                if sent.is_err() {
                    return;
                }
            }
        });
        Ok(client)
    }
}

fn unknown() -> Box<dyn Fn() -> UnitState + Send + Sync> {
    let mut model = UnitModel::default();
    model.installed = false;
    Box::new(move || model.state())
}

/// An error as systemd or polkit would send it.
struct Answer {
    name: &'static str,
    text: String,
}

impl Answer {
    fn no_such_unit(unit: &str) -> Self {
        Self {
            name: "org.freedesktop.systemd1.NoSuchUnit",
            text: format!("Unit {unit} not found."),
        }
    }

    fn refused(unit: &str, refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoSuchUnit => Self::no_such_unit(unit),
            Refusal::AccessDenied => Self {
                name: "org.freedesktop.DBus.Error.AccessDenied",
                text: "Permission denied".to_owned(),
            },
        }
    }
}

impl zbus::DBusError for Answer {
    fn create_reply(&self, call: &zbus::message::Header<'_>) -> zbus::Result<zbus::Message> {
        zbus::Message::error(call, self.name()).build(&self.text)
    }

    fn name(&self) -> zbus::names::ErrorName<'_> {
        zbus::names::ErrorName::from_static_str_unchecked(self.name)
    }

    fn description(&self) -> Option<&str> {
        Some(&self.text)
    }
}

struct Manager {
    rig: ManagerStandIn,
    subscribed: bool,
    version: &'static str,
}

impl Manager {
    /// Sends the signal before the method has answered, which is the harder order.
    async fn run(
        &self,
        name: &str,
        job: Job,
        emitter: SignalEmitter<'_>,
    ) -> Result<OwnedObjectPath, Answer> {
        if name != self.rig.unit {
            return Err(Answer::no_such_unit(name));
        }
        let mut word = Ok("done");
        self.rig.model.send_modify(|model| word = model.run(job));
        let word = word.map_err(|refusal| Answer::refused(name, refusal))?;
        let path = |id: u32| {
            OwnedObjectPath::try_from(format!("/org/freedesktop/systemd1/job/{id}")).unwrap()
        };
        // Somebody else's job ends first, and differently.
        Self::job_removed(&emitter, 6, path(6), "other.service".to_owned(), "failed")
            .await
            .unwrap();
        if !self.rig.model.borrow().jobs_hang {
            Self::job_removed(&emitter, 7, path(7), name.to_owned(), word)
                .await
                .unwrap();
        }
        Ok(path(7))
    }
}

#[interface(name = "org.freedesktop.systemd1.Manager")]
impl Manager {
    fn subscribe(&mut self) -> Result<(), Answer> {
        let again = std::mem::replace(&mut self.subscribed, true);
        let already = Answer {
            name: "org.freedesktop.systemd1.AlreadySubscribed",
            text: "Client is already subscribed.".to_owned(),
        };
        if again { Err(already) } else { Ok(()) }
    }

    fn load_unit(&self, name: &str) -> OwnedObjectPath {
        let known = name == self.rig.unit;
        let path = if known { UNIT_PATH } else { UNKNOWN_PATH };
        OwnedObjectPath::try_from(path).unwrap()
    }

    async fn start_unit(
        &self,
        name: &str,
        mode: &str,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> Result<OwnedObjectPath, Answer> {
        assert_eq!(mode, "replace");
        self.run(name, Job::Start, emitter).await
    }

    async fn stop_unit(
        &self,
        name: &str,
        mode: &str,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> Result<OwnedObjectPath, Answer> {
        assert_eq!(mode, "replace");
        self.run(name, Job::Stop, emitter).await
    }

    async fn restart_unit(
        &self,
        name: &str,
        mode: &str,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> Result<OwnedObjectPath, Answer> {
        assert_eq!(mode, "replace");
        self.run(name, Job::Restart, emitter).await
    }

    fn reset_failed_unit(&self, name: &str) -> Result<(), Answer> {
        let mut done = Ok(());
        self.rig
            .model
            .send_modify(|model| done = model.reset_failed());
        done.map_err(|refusal| Answer::refused(name, refusal))
    }

    #[zbus(property)]
    fn version(&self) -> String {
        self.version.to_owned()
    }

    #[zbus(signal)]
    async fn job_removed(
        emitter: &SignalEmitter<'_>,
        id: u32,
        job: OwnedObjectPath,
        unit: String,
        result: &str,
    ) -> zbus::Result<()>;
}

/// The properties that all units have. zbus answers `GetAll` from them.
struct Unit {
    state: Box<dyn Fn() -> UnitState + Send + Sync>,
}

#[interface(name = "org.freedesktop.systemd1.Unit")]
impl Unit {
    #[zbus(property)]
    fn load_state(&self) -> String {
        (self.state)().load_state
    }

    #[zbus(property)]
    fn fragment_path(&self) -> String {
        let fragment = (self.state)().fragment.unwrap_or_default();
        fragment.to_str().unwrap().to_owned()
    }

    #[zbus(property)]
    fn active_state(&self) -> String {
        (self.state)().active_state.to_string()
    }

    #[zbus(property)]
    fn sub_state(&self) -> String {
        (self.state)().sub_state
    }

    #[zbus(property, name = "InvocationID")]
    fn invocation_id(&self) -> Vec<u8> {
        let invocation = (self.state)().invocation;
        invocation.map_or_else(Vec::new, |id| id.as_bytes().to_vec())
    }

    #[zbus(property)]
    fn active_enter_timestamp(&self) -> u64 {
        u64::try_from((self.state)().active_since_milliseconds).unwrap() * 1000
    }

    #[zbus(property)]
    fn condition_timestamp(&self) -> u64 {
        let state = (self.state)();
        u64::from(state.invocation.is_some() || state.failed_condition.is_some())
    }

    #[zbus(property)]
    fn condition_result(&self) -> bool {
        (self.state)().failed_condition.is_none()
    }

    #[zbus(property)]
    fn conditions(&self) -> Vec<(String, bool, bool, String, i32)> {
        let unmet = (self.state)().failed_condition.into_iter();
        let conditions = unmet.map(|condition| {
            let (kind, parameter) = condition.split_once('=').unwrap();
            (kind.to_owned(), false, false, parameter.to_owned(), -1)
        });
        conditions.collect()
    }
}

/// The properties that only services have.
struct Service {
    state: Box<dyn Fn() -> UnitState + Send + Sync>,
}

#[interface(name = "org.freedesktop.systemd1.Service")]
impl Service {
    #[zbus(property)]
    fn result(&self) -> String {
        (self.state)().result
    }

    #[zbus(property, name = "NRestarts")]
    fn restarts(&self) -> u32 {
        (self.state)().restarts
    }

    #[zbus(property)]
    fn exec_main_status(&self) -> i32 {
        (self.state)().exec_main_status
    }

    #[zbus(property, name = "MainPID")]
    fn main_pid(&self) -> u32 {
        (self.state)().main_pid
    }
}
