//! Secrets that are given to a rollout as files, for hosts that do not exist when it begins:
//! `DIRECTORY/HOST/NAME`.
//!
//! All of them are read and checked before anything is done. A secret that a host has already is
//! left as it is.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use omni_scale_proto::id::{HostName, SecretName};
use omni_scale_proto::v1::SecretUse;
use zeroize::Zeroizing;

use super::session::Session;
use crate::agents::{AgentError, Agents as _};
use crate::commands::{Context, secret};
use crate::exit::Exit;
use crate::files;
use crate::output::Stop;
use crate::plan::Desired;

/// Group and others.
const NOT_THE_OWNERS: u32 = 0o077;

/// The secrets of a directory.
#[derive(Default)]
pub(super) struct GivenSecrets(Vec<GivenSecret>);

struct GivenSecret {
    host: HostName,
    name: SecretName,
    usage: SecretUse,
    value: Zeroizing<Vec<u8>>,
}

impl GivenSecrets {
    /// Reads all of them.
    pub(super) fn read(directory: &Path, desired: &Desired) -> anyhow::Result<Self> {
        let mut given = Vec::new();
        for (host, path) in entries(directory)? {
            let parsed = host.parse().ok();
            let known = parsed.filter(|host| desired.hosts.contains_key(host));
            let Some(host) = known else {
                let hosts: Vec<&str> = desired.hosts.keys().map(HostName::as_str).collect();
                return Err(refused(&path, "is not named like a host of the deployment")
                    .hint(format!("it has {}", hosts.join(", ")))
                    .into());
            };
            for (name, path) in entries(&path)? {
                let wanted = desired.secrets.iter();
                let mut wanted = wanted.filter(|secret| secret.host == host);
                let Some(wanted) = wanted.find(|secret| secret.name.as_str() == name) else {
                    let why = format!("is no secret that the deployment names for host `{host}`");
                    return Err(refused(&path, &why).into());
                };
                check_mode(&path)?;
                given.push(GivenSecret {
                    host: host.clone(),
                    name: wanted.name.clone(),
                    usage: wanted.usage,
                    value: secret::usable(Zeroizing::new(files::read(&path)?))
                        .with_context(|| format!("could not use `{}`", path.display()))?,
                });
            }
        }
        Ok(Self(given))
    }

    /// Sets what is not set yet on hosts that answer.
    pub(super) async fn put(&self, context: &Context, session: &Session) -> anyhow::Result<()> {
        for given in &self.0 {
            let known = match session.agents.list_secrets(&given.host).await {
                Ok(known) => known,
                // Planning says what is wrong with it, or makes it.
                Err(AgentError::Unreachable { .. } | AgentError::NotEnrolled { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            let mut known = known.iter();
            if known.any(|known| known.name == given.name.as_str() && !known.candidate) {
                continue;
            }
            let agents = session.agents.as_ref();
            let setting = secret::Setting {
                agents,
                deployment: session.deployment.id,
                holder: session.by.clone(),
                host: &given.host,
                name: &given.name,
                usage: given.usage,
            };
            setting.put(context, &given.value).await?;
            let (name, host) = (&given.name, &given.host);
            context
                .output
                .say(&format!("set secret `{name}` on host `{host}`"));
        }
        Ok(())
    }
}

/// What is in a directory, by name.
fn entries(directory: &Path) -> anyhow::Result<Vec<(String, std::path::PathBuf)>> {
    let failed = || {
        let stop = Stop::new(
            Exit::Usage,
            format!("could not read the directory `{}`", directory.display()),
        );
        stop.hint("the secret NAME of HOST is the file `HOST/NAME` in the directory of `--secrets`")
    };
    let read =
        fs::read_dir(directory).map_err(|error| anyhow::Error::from(error).context(failed()))?;
    let mut entries = Vec::new();
    for entry in read {
        let entry = entry.map_err(|error| anyhow::Error::from(error).context(failed()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        entries.push((name, entry.path()));
    }
    entries.sort();
    Ok(entries)
}

fn check_mode(path: &Path) -> anyhow::Result<()> {
    let mode = fs::metadata(path)
        .with_context(|| format!("could not look at `{}`", path.display()))?
        .permissions()
        .mode();
    if mode & NOT_THE_OWNERS == 0 {
        return Ok(());
    }
    let stop = refused(path, "can be read by others");
    Err(stop.hint(format!("`chmod 600 {}`", path.display())).into())
}

fn refused(path: &Path, why: &str) -> Stop {
    Stop::new(
        Exit::Usage,
        format!("nothing was done: `{}` {why}", path.display()),
    )
}
