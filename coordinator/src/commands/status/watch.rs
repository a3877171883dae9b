//! `status --watch`: the table, kept up to date from the agents' streams.
//!
//! One task follows one stream. When it ends, what it told is unknown until it is there again.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use omni_scale_proto::id::{HostName, StackName};
use omni_scale_proto::v1;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use super::row::Row;
use super::rows::rows;
use super::view::{HostView, Seen, reason, seen};
use super::{Context, lines, print};
use crate::agents::grpc::{Changes, GrpcAgents, Health};
use crate::agents::{AgentError, Agents as _};
use crate::exit::Exit;
use crate::plan::MachinesScope;

/// How long a stream that ended is left alone.
const REST: Duration = Duration::from_secs(2);
/// What has no stream of its own (lease, tailnet) is asked for this often.
const DESCRIBE_EVERY: Duration = Duration::from_secs(10);
/// Changes that come together are drawn together.
const TOGETHER: Duration = Duration::from_millis(100);
/// Ages on the screen are renewed this often.
const TICK: Duration = Duration::from_secs(5);

/// One piece of news.
struct News {
    host: HostName,
    what: What,
}

enum What {
    Describe(Seen<v1::DescribeResponse>),
    Unit(Seen<v1::UnitObservation>),
    Stack(Seen<v1::StackObservation>),
    Machines(Seen<v1::MachinesObservation>),
    /// What is said of the unit's own node.
    UnitNode(Vec<v1::NodeCondition>),
    /// What is said of the nodes in containers, by container id.
    StackNodes(BTreeMap<String, Vec<v1::NodeCondition>>),
    Health(String, Health),
}

/// Shows it until somebody stops it.
pub(super) async fn run(
    context: &Context,
    agents: Arc<GrpcAgents>,
    mut views: Vec<HostView>,
) -> anyhow::Result<Exit> {
    let (sender, mut news) = mpsc::channel(64);
    let mut tasks = JoinSet::new();
    for view in &views {
        follow(&mut tasks, &agents, view, &sender);
    }
    let mut screen = Screen::new(context);
    let mut tick = interval(TICK);
    // One wait for all of it: between two, Ctrl-C would be heard by nobody.
    let mut interrupted = pin!(context.interrupts.next());
    loop {
        tokio::select! {
            () = &mut interrupted => return Ok(Exit::Done),
            _ = tick.tick() => screen.draw(&rows(&views), true)?,
            piece = news.recv() => {
                let Some(piece) = piece else { return Ok(Exit::Done) };
                take(&mut views, piece);
                while let Ok(Some(piece)) = timeout(TOGETHER, news.recv()).await {
                    take(&mut views, piece);
                }
                screen.draw(&rows(&views), false)?;
            }
        }
    }
}

/// Where the table stands.
struct Screen<'a> {
    context: &'a Context,
    /// The screen can be cleared.
    moves: bool,
    last: Option<Vec<Row>>,
}

impl<'a> Screen<'a> {
    fn new(context: &'a Context) -> Self {
        let surface = context.output.surface();
        Self {
            context,
            moves: surface.live && context.terminals.output,
            last: None,
        }
    }

    /// Draws the table. Where it cannot be drawn over, only when something has changed.
    fn draw(&mut self, rows: &[Row], for_ages: bool) -> anyhow::Result<()> {
        let same = self.last.as_deref() == Some(rows);
        if self.moves {
            let mut text = String::from("\u{1b}[H\u{1b}[2J");
            for line in lines(self.context, rows) {
                text.push_str(&line);
                text.push('\n');
            }
            text.push_str("\nCtrl-C ends this.\n");
            self.context.output.raw(text.as_bytes())?;
        } else if !same && !for_ages {
            if self.last.is_some() && !self.context.output.is_json() {
                self.context.output.data("")?;
            }
            print(self.context, rows)?;
        }
        self.last = Some(rows.to_vec());
        Ok(())
    }
}

fn take(views: &mut [HostView], news: News) {
    let Some(view) = views.iter_mut().find(|view| view.host == news.host) else {
        return;
    };
    match news.what {
        What::Describe(describe) => view.describe = describe,
        What::Unit(mut unit) => {
            // Streams tell no nodes: what was said of it last still holds.
            if let (Seen::Known(new), Some(Seen::Known(old))) = (&mut unit, &view.unit) {
                new.node_conditions.clone_from(&old.node_conditions);
            }
            view.unit = Some(unit);
        }
        What::UnitNode(said) => {
            if let Some(Seen::Known(unit)) = &mut view.unit {
                unit.node_conditions = said;
            }
        }
        What::Stack(mut observation) => {
            let Some(stack) = &mut view.stack else {
                return;
            };
            if let (Seen::Known(new), Seen::Known(old)) = (&mut observation, &stack.observation) {
                keep_nodes(new, old);
            }
            stack.observation = observation;
        }
        What::StackNodes(said) => {
            let stack = view.stack.as_mut().map(|stack| &mut stack.observation);
            if let Some(Seen::Known(stack)) = stack {
                for service in &mut stack.services {
                    let said = said.get(&service.container_id).cloned();
                    service.node_conditions = said.unwrap_or_default();
                }
            }
        }
        What::Machines(observation) => {
            if let Some(machines) = &mut view.machines {
                machines.observation = observation;
            }
        }
        What::Health(name, health) => {
            view.health.insert(name, health);
        }
    }
}

/// What was said last of the node in a container that still runs still holds.
fn keep_nodes(new: &mut v1::StackObservation, old: &v1::StackObservation) {
    for service in &mut new.services {
        let mut before = old.services.iter();
        let same = before.find(|one| one.container_id == service.container_id);
        if let Some(same) = same.filter(|_| service.state() == v1::ContainerState::Running) {
            service.node_conditions.clone_from(&same.node_conditions);
        }
    }
}

fn follow(
    tasks: &mut JoinSet<()>,
    agents: &Arc<GrpcAgents>,
    view: &HostView,
    sender: &mpsc::Sender<News>,
) {
    let follower = Follower {
        agents: Arc::clone(agents),
        host: view.host.clone(),
        sender: sender.clone(),
    };
    tasks.spawn(follower.clone().describe());
    if view.unit.is_some() {
        tasks.spawn(follower.clone().unit());
        tasks.spawn(follower.clone().unit_node());
    }
    if let Some(stack) = &view.stack {
        tasks.spawn(follower.clone().stack(stack.name.clone()));
        tasks.spawn(follower.clone().stack_nodes(stack.name.clone()));
    }
    if let Some(machines) = &view.machines {
        tasks.spawn(follower.clone().machines(machines.scope.clone()));
    }
    for name in view.health_names() {
        tasks.spawn(follower.clone().health(name));
    }
}

/// Follows one host's streams.
#[derive(Clone)]
struct Follower {
    agents: Arc<GrpcAgents>,
    host: HostName,
    sender: mpsc::Sender<News>,
}

impl Follower {
    async fn tell(&self, what: What) {
        let host = self.host.clone();
        // Nobody listens any more: the program ends.
        let _ = self.sender.send(News { host, what }).await;
    }

    async fn describe(self) {
        let mut every = interval(DESCRIBE_EVERY);
        loop {
            every.tick().await;
            let described = self.agents.describe(&self.host).await;
            self.tell(What::Describe(seen(described))).await;
        }
    }

    async fn unit(self) {
        loop {
            let stream = self.agents.watch_unit(&self.host).await;
            self.forward(stream, What::Unit).await;
        }
    }

    async fn stack(self, name: StackName) {
        loop {
            let stream = self.agents.watch_stack(&self.host, &name).await;
            self.forward(stream, What::Stack).await;
        }
    }

    async fn unit_node(self) {
        let mut every = interval(DESCRIBE_EVERY);
        loop {
            every.tick().await;
            // Why there is no answer, the streams tell.
            if let Ok(seen) = self.agents.observe_unit(&self.host).await {
                self.tell(What::UnitNode(seen.node_conditions)).await;
            }
        }
    }

    async fn stack_nodes(self, name: StackName) {
        let mut every = interval(DESCRIBE_EVERY);
        loop {
            every.tick().await;
            if let Ok(seen) = self.agents.observe_stack(&self.host, &name, &[]).await {
                let services = seen.services.into_iter();
                let said = services.map(|one| (one.container_id, one.node_conditions));
                self.tell(What::StackNodes(said.collect())).await;
            }
        }
    }

    async fn machines(self, scope: MachinesScope) {
        loop {
            let stream = self.agents.watch_machines(&self.host, &scope).await;
            self.forward(stream, What::Machines).await;
        }
    }

    async fn health(self, name: String) {
        loop {
            let stream = self.agents.watch_health(&self.host, &name).await;
            let health = |seen| {
                let health = match seen {
                    Seen::Known(health) => health,
                    Seen::Waiting | Seen::Lost(_) => Health::Unknown,
                };
                What::Health(name.clone(), health)
            };
            self.forward(stream, health).await;
        }
    }

    /// Passes everything on until the stream ends, then rests.
    async fn forward<T>(
        &self,
        stream: Result<Changes<T>, AgentError>,
        what: impl Fn(Seen<T>) -> What,
    ) {
        let why = match stream {
            Err(error) => reason(&error),
            Ok(mut stream) => loop {
                match stream.next().await {
                    Some(Ok(change)) => self.tell(what(Seen::Known(change))).await,
                    Some(Err(error)) => break reason(&error),
                    None => break "the agent ended the stream".to_owned(),
                }
            },
        };
        self.tell(what(Seen::Lost(why))).await;
        sleep(REST).await;
    }
}
