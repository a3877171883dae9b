//! What every command needs: the deployment, the credential, the agents.

use std::io::{BufRead as _, BufReader, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use omni_scale_proto::id::{DeploymentId, HostName};
use time::{Duration, OffsetDateTime};

use crate::agents::grpc::{GrpcAgents, Network};
use crate::arguments::{AuthorityArguments, GlobalArguments};
use crate::config::{Directories, Environment};
use crate::deployment::{self, Deployment, Disk, LoadError};
use crate::document::{Fields, Report, nearest, parse};
use crate::exit::Exit;
use crate::login::Issuers;
use crate::output::{Output, Stop, Terminals};
use crate::pki::{
    AskSecret, Authority, Certificate, Credential, Expiry, Passphrase, PassphraseSource, Store,
};
use crate::plan::Desired;
use crate::render::render;
use crate::rollout::WallClock;
use crate::surroundings::{Interrupts, Surroundings};

/// One run of one command.
pub struct Context {
    /// Where results and progress go.
    pub output: Output,
    /// Options of all commands.
    pub global: GlobalArguments,
    pub(super) environment: Environment,
    pub(super) directory: PathBuf,
    pub(super) terminals: Terminals,
    pub(super) person: Arc<dyn AskSecret>,
    pub(super) network: Arc<dyn Network>,
    pub(super) issuers: Arc<dyn Issuers>,
    pub(super) clock: Arc<dyn WallClock>,
    pub(super) interrupts: Arc<dyn Interrupts>,
    input: Arc<Mutex<Box<dyn Read + Send>>>,
}

impl Context {
    /// The run of a command in a world, printing to `output`, which has taken its streams.
    pub(crate) fn new(output: Output, global: GlobalArguments, world: World) -> Self {
        Self {
            output,
            global,
            environment: world.environment,
            directory: world.directory,
            terminals: world.terminals,
            person: world.person,
            network: world.network,
            issuers: world.issuers,
            clock: world.clock,
            interrupts: world.interrupts,
            input: Arc::new(Mutex::new(world.input)),
        }
    }

    /// A path as the person means it.
    pub(super) fn path(&self, path: &std::path::Path) -> PathBuf {
        self.directory.join(path)
    }

    /// The time, for certificates.
    pub(super) fn now(&self) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + Duration::milliseconds(self.clock.now_milliseconds())
    }

    /// Where the deployment file is.
    pub(super) fn deployment_path(&self) -> PathBuf {
        self.path(&self.global.deployment)
    }

    /// The deployment, checked.
    pub(super) fn deployment(&self) -> anyhow::Result<Deployment> {
        let path = self.deployment_path();
        let loaded = deployment::load(&Disk, &path);
        if let Err(LoadError::Unreadable { source, .. }) = &loaded
            && source.kind() == std::io::ErrorKind::NotFound
        {
            let stop = Stop::new(
                Exit::Usage,
                format!("there is no deployment at `{}`", path.display()),
            );
            let hint = "make one with `omni-scale init`, or name it with `--deployment FILE`";
            return Err(stop.hint(hint).into());
        }
        Ok(loaded?)
    }

    /// Only the id of the deployment: its file may be unfinished.
    pub(super) fn deployment_id(&self) -> anyhow::Result<DeploymentId> {
        let path = self.deployment_path();
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("could not read the deployment `{}`", path.display()))
            .context(Stop::new(Exit::Usage, "no deployment is known"))?;
        let tree = parse(&path.display().to_string(), &text)?;
        let report = Report::default();
        let id = Fields::of(&tree, "", &report).and_then(|fields| fields.required_parsed("id"));
        Ok(report.conclude(id)?)
    }

    /// Where the files of a deployment are on this machine.
    pub(super) fn directories(&self, deployment: DeploymentId) -> anyhow::Result<Directories> {
        Ok(Directories::of(&self.environment, deployment)?)
    }

    /// Keys and certificates of a deployment.
    pub(super) fn store(
        &self,
        deployment: DeploymentId,
        authority: Option<&AuthorityArguments>,
    ) -> anyhow::Result<Store> {
        let key = authority.and_then(|arguments| arguments.authority_key.as_deref());
        let directory = self.directories(deployment)?.config;
        Ok(Store::new(directory, key.map(|key| self.path(key))))
    }

    /// The authority, opened with its passphrase.
    pub(super) fn authority(
        &self,
        store: &Store,
        arguments: &AuthorityArguments,
    ) -> anyhow::Result<Authority> {
        let source = self.passphrase_source(arguments);
        let authority = store.open_authority(|| -> anyhow::Result<Passphrase> {
            Ok(source.read("the authority's key", self.person.as_ref())?)
        })?;
        self.warn_of_end(authority.certificate(), "the authority's certificate", "");
        Ok(authority)
    }

    /// Where the passphrase comes from.
    pub(super) fn passphrase_source(&self, arguments: &AuthorityArguments) -> PassphraseSource {
        match (&arguments.passphrase_file, arguments.passphrase_fd) {
            (Some(path), _) => PassphraseSource::File(self.path(path)),
            (None, Some(number)) => PassphraseSource::descriptor(number),
            (None, None) => PassphraseSource::Person,
        }
    }

    /// This operator's credential; they are told when it ends soon.
    pub(super) fn credential(&self, deployment: DeploymentId) -> anyhow::Result<Credential> {
        let credential = self.store(deployment, None)?.credential()?;
        let what = format!(
            "the certificate of operator `{}`",
            credential.operator().name
        );
        let renew = "omni-scale renew --operator";
        self.warn_of_end(credential.certificate(), &what, renew);
        Ok(credential)
    }

    /// The agents of the deployment, in the name of this operator.
    pub(super) fn agents(&self, deployment: &Deployment) -> anyhow::Result<Arc<GrpcAgents>> {
        let credential = self.credential(deployment.id)?;
        self.agents_of(deployment, &credential)
    }

    /// The agents of the deployment, in the name of somebody.
    pub(super) fn agents_of(
        &self,
        deployment: &Deployment,
        credential: &Credential,
    ) -> anyhow::Result<Arc<GrpcAgents>> {
        let hosts = deployment
            .hosts
            .iter()
            .map(|(name, host)| (name.clone(), host.dns_name.to_string()));
        let agents = GrpcAgents::new(hosts, credential, &self.network)?;
        Ok(Arc::new(agents))
    }

    /// Who asks agents, for people: `operator@machine`.
    pub(super) fn holder(&self, credential: &Credential) -> String {
        format!(
            "{}@{}",
            credential.operator().name,
            self.environment.machine
        )
    }

    /// Says when a certificate ends soon, or has ended.
    fn warn_of_end(&self, certificate: &Certificate, what: &str, renew: &str) {
        self.warn_of_expiry(certificate.expiry(self.now()), what, renew);
    }

    /// The same from what is known of a certificate elsewhere.
    pub(super) fn warn_of_expiry(&self, expiry: Expiry, what: &str, renew: &str) {
        let how = if renew.is_empty() {
            String::new()
        } else {
            format!("; run `{renew}`")
        };
        match expiry {
            Expiry::Far => {}
            Expiry::Near { days: 0 } => self.output.warn(&format!("{what} ends today{how}")),
            Expiry::Near { days } => {
                let plural = if days == 1 { "" } else { "s" };
                let text = format!("{what} ends in {days} day{plural}{how}");
                self.output.warn(&text);
            }
            Expiry::Past => self.output.warn(&format!("{what} has ended{how}")),
        }
    }

    /// All of standard input, up to `limit` bytes.
    pub(super) fn read_input(&self, limit: u64) -> std::io::Result<zeroize::Zeroizing<Vec<u8>>> {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        // Room from the start: a vector that grows leaves copies behind.
        let capacity = usize::try_from(limit).unwrap_or(0);
        let mut bytes = zeroize::Zeroizing::new(Vec::with_capacity(capacity));
        input.as_mut().take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Asks a question to which only `yes` means yes. Without a terminal nobody can be asked:
    /// `None`.
    pub(super) async fn confirm(&self, question: &str) -> std::io::Result<Option<bool>> {
        let answer = self.ask_line(&format!("{question} [yes/no]")).await?;
        Ok(answer.map(|answer| answer == "yes"))
    }

    /// Asks for one line. Without a terminal nobody can be asked: `None`. Whoever waits for the
    /// answer can stop waiting.
    pub(super) async fn ask_line(&self, question: &str) -> std::io::Result<Option<String>> {
        if !self.terminals.input {
            return Ok(None);
        }
        self.output.ask(question);
        let input = Arc::clone(&self.input);
        let reading = tokio::task::spawn_blocking(move || {
            let mut input = input.lock().unwrap_or_else(PoisonError::into_inner);
            let mut answer = String::new();
            BufReader::with_capacity(1, input.as_mut())
                .take(64)
                .read_line(&mut answer)?;
            Ok(answer.trim().to_owned())
        });
        let answer: std::io::Result<String> = reading.await?;
        answer.map(Some)
    }
}

/// What the deployment asks for.
pub(super) fn desired(deployment: &Deployment) -> anyhow::Result<Desired> {
    Ok(render(&Disk, deployment)?)
}

/// A host of the deployment.
pub(super) fn known_host(deployment: &Deployment, host: &HostName) -> anyhow::Result<()> {
    if deployment.hosts.contains_key(host) {
        return Ok(());
    }
    let names: Vec<&str> = deployment.hosts.keys().map(HostName::as_str).collect();
    let stop = Stop::new(Exit::Usage, format!("the deployment has no host `{host}`"));
    let hint = match nearest(host.as_str(), &names) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("it has {}", names.join(", ")),
    };
    Err(stop.hint(hint).into())
}

/// A world whose output streams were taken.
pub(crate) struct World {
    environment: Environment,
    directory: PathBuf,
    terminals: Terminals,
    person: Arc<dyn AskSecret>,
    network: Arc<dyn Network>,
    issuers: Arc<dyn Issuers>,
    clock: Arc<dyn WallClock>,
    interrupts: Arc<dyn Interrupts>,
    input: Box<dyn Read + Send>,
}

/// The two output streams of a world.
pub(crate) struct OutputStreams {
    pub(crate) output: Box<dyn std::io::Write + Send>,
    pub(crate) errors: Box<dyn std::io::Write + Send>,
}

impl World {
    /// Takes the output streams.
    pub(crate) fn split(surroundings: Surroundings) -> (Self, OutputStreams) {
        let world = Self {
            environment: surroundings.environment,
            directory: surroundings.directory,
            terminals: surroundings.terminals,
            person: surroundings.person,
            network: surroundings.network,
            issuers: surroundings.issuers,
            clock: surroundings.clock,
            interrupts: surroundings.interrupts,
            input: surroundings.input,
        };
        let streams = OutputStreams {
            output: surroundings.output,
            errors: surroundings.errors,
        };
        (world, streams)
    }

    pub(crate) const fn environment(&self) -> &Environment {
        &self.environment
    }

    pub(crate) const fn terminals(&self) -> Terminals {
        self.terminals
    }
}
