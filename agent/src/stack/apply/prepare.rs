//! Everything that can fail without harm, before anything is stopped: names, secrets, images,
//! networks and volumes.

use std::collections::{BTreeMap, BTreeSet};

use omni_scale_proto::difference::{ServiceAction, ServiceChange};
use omni_scale_proto::id::SecretName;
use omni_scale_proto::stack::secrets_of;
use omni_scale_proto::v1::{self, FailureClass, mount::Source, network_mode::Mode};

use super::{Run, container, failure, labels};
use crate::operation::Failure;
use crate::stack::archive::{self, PreparedFile};
use crate::stack::engine::{EnvironmentEntry, ImageDetails};
use crate::stack::text::{self, TextError};

impl Run<'_> {
    /// Makes ready what the changes need.
    pub(super) async fn prepare(&self, changes: &[ServiceChange]) -> Result<(), Failure> {
        let made: Vec<&v1::Service> = changes
            .iter()
            .filter(|change| {
                matches!(
                    change.action,
                    ServiceAction::Create | ServiceAction::Recreate
                )
            })
            .filter_map(|change| self.stack.service(change.service.as_str()))
            .collect();
        for service in &made {
            container::check(service)
                .map_err(|error| Failure::from_error(FailureClass::Permanent, &error))?;
            self.check_name(service).await?;
        }
        self.check_secrets(&made)?;
        for service in &made {
            self.ensure_image(service).await?;
        }
        self.ensure_resources(&made).await
    }

    /// The place must be free, or ours.
    async fn check_name(&self, service: &v1::Service) -> Result<(), Failure> {
        let name = labels::container_name(self.stack.name().as_str(), service);
        let found = self.engine.container(&name).await;
        let Some(found) = found.map_err(|error| failure(&error))? else {
            return Ok(());
        };
        let label = |label: &str| found.labels.get(label).map(String::as_str);
        let ours = label(labels::DIGEST).is_some()
            && label(labels::PROJECT) == Some(self.stack.name().as_str())
            && label(labels::SERVICE) == Some(&service.name);
        if ours {
            return Ok(());
        }
        let message = format!(
            "container `{name}` has the name that service `{}` needs, and was not made by omni-scale",
            service.name
        );
        Err(Failure::new(FailureClass::Permanent, message).with_hint(format!(
            "rename it (`docker rename {name} …`) or remove it (`docker rm {name}`, which keeps its volumes)"
        )))
    }

    fn check_secrets(&self, services: &[&v1::Service]) -> Result<(), Failure> {
        let missing: BTreeSet<&str> = services
            .iter()
            .flat_map(|service| secrets_of(service))
            .filter(|name| {
                let name = name.parse::<SecretName>();
                name.is_ok_and(|name| self.secrets.get(&name).is_none())
            })
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let missing: Vec<&str> = missing.into_iter().collect();
        let message = format!(
            "these secrets are not set on this host: {}",
            missing.join(", ")
        );
        Err(Failure::new(FailureClass::Permanent, message)
            .with_hint(format!("omni-scale secret set HOST {}", missing[0])))
    }

    async fn ensure_resources(&self, services: &[&v1::Service]) -> Result<(), Failure> {
        let mut networks = BTreeSet::new();
        let mut volumes = BTreeSet::new();
        for service in services {
            if let Some(Mode::Networks(all)) = service
                .network_mode
                .as_ref()
                .and_then(|mode| mode.mode.as_ref())
            {
                networks.extend(all.memberships.iter().map(|one| one.network.as_str()));
            }
            volumes.extend(
                service
                    .mounts
                    .iter()
                    .filter_map(|mount| match &mount.source {
                        Some(Source::Volume(name)) => Some(name.as_str()),
                        _ => None,
                    }),
            );
        }
        let wire = self.stack.as_wire();
        for network in &wire.networks {
            if networks.contains(network.name.as_str()) {
                self.ensure_network(network).await?;
            }
        }
        for volume in &wire.volumes {
            if volumes.contains(volume.name.as_str()) {
                self.ensure_volume(volume).await?;
            }
        }
        Ok(())
    }

    async fn ensure_network(&self, network: &v1::Network) -> Result<(), Failure> {
        let name = &network.engine_name;
        if network.external {
            let there = self.engine.network_exists(name).await;
            return must_exist(there.map_err(|error| failure(&error))?, "network", name);
        }
        let specification = container::network_specification(self.stack, network);
        let made = self.engine.ensure_network(&specification).await;
        if made.map_err(|error| failure(&error))? {
            self.reporter.stage(name, "network created");
        }
        Ok(())
    }

    async fn ensure_volume(&self, volume: &v1::Volume) -> Result<(), Failure> {
        let name = &volume.engine_name;
        if volume.external {
            let there = self.engine.volume_exists(name).await;
            return must_exist(there.map_err(|error| failure(&error))?, "volume", name);
        }
        let specification = container::volume_specification(self.stack, volume);
        let made = self.engine.ensure_volume(&specification).await;
        if made.map_err(|error| failure(&error))? {
            self.reporter.stage(name, "volume created");
        }
        Ok(())
    }

    /// The variables with their values.
    pub(super) fn environment(
        &self,
        service: &v1::Service,
    ) -> Result<Vec<EnvironmentEntry>, Failure> {
        let mut entries = Vec::new();
        for variable in &service.environment {
            let text = variable.value.clone().unwrap_or_default();
            let value = text::expand_variable(&text, self.secrets);
            entries.push(EnvironmentEntry {
                name: variable.name.clone(),
                value: value.map_err(|error| unusable(service, &variable.name, &error))?,
            });
        }
        Ok(entries)
    }

    /// Keyed digests of the values that a service's container gets.
    pub(super) fn secret_digests(&self, service: &v1::Service) -> BTreeMap<String, String> {
        secrets_of(service)
            .into_iter()
            .filter_map(|name| {
                let digest = self.secrets.keyed_digest(&name.parse().ok()?)?;
                Some((name.to_owned(), digest))
            })
            .collect()
    }

    /// Puts a service's files into its container, which was not started yet.
    pub(super) async fn put_files(
        &self,
        service: &v1::Service,
        image: &ImageDetails,
        container: &str,
    ) -> Result<(), Failure> {
        let mut prepared = Vec::new();
        let mut default_owner = None;
        for file in &service.files {
            let text = file.content.clone().unwrap_or_default();
            let content = match text::expand(&text, self.secrets) {
                Ok(content) => content,
                Err(TextError::Missing { secret }) if file.one_time => {
                    let activity = format!("`{secret}` is used up; `{}` is left out", file.path);
                    self.reporter.stage(&service.name, activity);
                    continue;
                }
                Err(error) => return Err(unusable(service, &file.path, &error)),
            };
            let mut owner = match (file.user_id, default_owner) {
                (Some(_), _) => archive::Owner::default(),
                (None, Some(owner)) => owner,
                (None, None) => {
                    let owner = self.image_owner(service, image, container).await?;
                    default_owner = Some(owner);
                    owner
                }
            };
            owner.user = file.user_id.unwrap_or(owner.user);
            owner.group = file.group_id.unwrap_or(owner.group);
            prepared.push(PreparedFile {
                path: file.path.clone(),
                content,
                mode: file.mode,
                owner,
            });
        }
        if prepared.is_empty() {
            return Ok(());
        }
        let archive = archive::archive(&prepared)
            .map_err(|error| Failure::from_error(FailureClass::Permanent, &error))?;
        let put = self.engine.put_archive(container, archive).await;
        put.map_err(|error| failure(&error))
    }

    /// The user that the container's program runs as.
    async fn image_owner(
        &self,
        service: &v1::Service,
        image: &ImageDetails,
        container: &str,
    ) -> Result<archive::Owner, Failure> {
        let user = if service.user.is_empty() {
            &image.user
        } else {
            &service.user
        };
        let mut names = [String::new(), String::new()];
        if !archive::is_numeric(user) {
            for (names, path) in names.iter_mut().zip(["/etc/passwd", "/etc/group"]) {
                let content = self.engine.read_file(container, path).await;
                let content = content
                    .map_err(|error| failure(&error))?
                    .unwrap_or_default();
                *names = String::from_utf8_lossy(&content).into_owned();
            }
        }
        archive::owner(user, &names[0], &names[1]).map_err(|error| {
            let message = format!("cannot give service `{}` its files: {error}", service.name);
            Failure::new(FailureClass::Permanent, message)
        })
    }
}

fn must_exist(exists: bool, kind: &str, name: &str) -> Result<(), Failure> {
    if exists {
        return Ok(());
    }
    let message = format!("external {kind} `{name}` is not there");
    let hint = format!("docker {kind} create {name}");
    Err(Failure::new(FailureClass::Permanent, message).with_hint(hint))
}

fn unusable(service: &v1::Service, what: &str, error: &TextError) -> Failure {
    let message = format!(
        "cannot write `{what}` of service `{}`: {error}",
        service.name
    );
    Failure::new(FailureClass::Permanent, message)
}

/// Names of a service's one-time keys.
pub(super) fn one_time_keys(service: &v1::Service) -> BTreeSet<SecretName> {
    service
        .files
        .iter()
        .filter(|file| file.one_time)
        .filter_map(|file| file.content.as_ref())
        .flat_map(text::references)
        .filter_map(|reference| reference.name.parse().ok())
        .collect()
}
