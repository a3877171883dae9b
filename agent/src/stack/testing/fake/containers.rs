//! Containers of the model.

use std::time::Duration;

use async_trait::async_trait;
use omni_scale_proto::v1::{ContainerHealth, ContainerState, RestartPolicy};

use super::{FakeEngine, by_digest, missing};
use crate::stack::engine::{
    CommandOutput, ContainerDetails, ContainerSpecification, Containers, EngineError, EventKind,
    NetworkAttachment, OneShot,
};
use crate::stack::labels;
use crate::stack::testing::Behaviour;

#[async_trait]
impl Containers for FakeEngine {
    async fn project_containers(
        &self,
        project: &str,
    ) -> Result<Vec<ContainerDetails>, EngineError> {
        let model = self.called(format!("list {project}")).await?;
        Ok(model
            .containers
            .values()
            .map(|container| container.details.clone())
            .filter(|details| {
                details.labels.get(labels::PROJECT).map(String::as_str) == Some(project)
            })
            .collect())
    }

    async fn labelled_containers(&self, label: &str) -> Result<Vec<String>, EngineError> {
        let model = self.called(format!("list-label {label}")).await?;
        let (name, value) = label
            .split_once('=')
            .map_or((label, None), |(n, v)| (n, Some(v)));
        Ok(model
            .containers
            .values()
            .filter(|container| {
                let found = container.details.labels.get(name);
                found.is_some_and(|found| value.is_none_or(|value| value == found))
            })
            .map(|container| container.details.id.clone())
            .collect())
    }

    async fn container(&self, container: &str) -> Result<Option<ContainerDetails>, EngineError> {
        let model = self.called(format!("inspect {container}")).await?;
        Ok(model.find(container).map(|found| found.details.clone()))
    }

    async fn create(&self, specification: &ContainerSpecification) -> Result<String, EngineError> {
        let mut model = self
            .called(format!("create {}", specification.name))
            .await?;
        if model.find(&specification.name).is_some() {
            return Err(EngineError::Conflict {
                attempt: format!("cannot create container `{}`", specification.name),
                message: "the container name is already in use".to_owned(),
            });
        }
        let reference = by_digest(&specification.image);
        let image = model.held_images.get(&reference).cloned();
        let image = image.ok_or_else(|| missing("image", &specification.image))?;
        if let NetworkAttachment::Networks(endpoints) = &specification.network {
            for endpoint in endpoints {
                if !model.networks.contains_key(&endpoint.network) {
                    return Err(missing("network", &endpoint.network));
                }
            }
        }
        if let NetworkAttachment::Container(owner) = &specification.network
            && model.find(owner).is_none()
        {
            return Err(missing("container", owner));
        }
        let id = model.insert(specification, &image);
        let event = model.event(&id, EventKind::Created);
        drop(model);
        self.tell(event);
        Ok(id)
    }

    async fn put_archive(&self, container: &str, archive: Vec<u8>) -> Result<(), EngineError> {
        let mut model = self.called(format!("put {container}")).await?;
        let found = model
            .find_mut(container)
            .ok_or_else(|| missing("container", container))?;
        found.archives.push(archive);
        Ok(())
    }

    async fn read_file(&self, container: &str, path: &str) -> Result<Option<Vec<u8>>, EngineError> {
        let model = self.called(format!("read {container} {path}")).await?;
        let found = model
            .find(container)
            .ok_or_else(|| missing("container", container))?;
        let image = model.registry.get(&by_digest(&found.details.image));
        Ok(image.and_then(|image| image.files.get(path).cloned()))
    }

    async fn start(&self, container: &str) -> Result<(), EngineError> {
        let name = self
            .named(container)
            .map_or_else(|| container.to_owned(), |found| found.name);
        let mut model = self.called(format!("start {name}")).await?;
        let details = model
            .find(container)
            .ok_or_else(|| missing("container", container))?
            .details
            .clone();
        if details.is_running() {
            return Ok(());
        }
        let cannot = |message: String| EngineError::Failed {
            attempt: format!("cannot start container `{name}`"),
            status: 500,
            message,
        };
        if let Some(owner) = details.namespace_container()
            && !model
                .find(owner)
                .is_some_and(|owner| owner.details.is_running())
        {
            return Err(cannot(format!(
                "cannot join network of a non running container: {owner}"
            )));
        }
        let service = details
            .labels
            .get(labels::SERVICE)
            .cloned()
            .unwrap_or_default();
        let behaviour = model
            .behaviours
            .get(&service)
            .copied()
            .unwrap_or(Behaviour::Healthy);
        let now = model.tick();
        let found = model
            .find_mut(container)
            .ok_or_else(|| missing("container", container))?;
        if behaviour == Behaviour::DoesNotStart {
            "exec: \"/omni\": no such file".clone_into(&mut found.details.error);
            return Err(cannot(found.details.error.clone()));
        }
        let checked = found.specification.health_check.is_some();
        found.details.state = ContainerState::Running;
        found.details.exit_code = 0;
        found.details.started_at_milliseconds = now;
        found.details.health = if checked {
            ContainerHealth::Starting
        } else {
            ContainerHealth::None
        };
        let id = found.details.id.clone();
        let started = model.event(&id, EventKind::Started);
        let call = format!("start {name}");
        let lost = model.lost_answers.iter().position(|lost| *lost == call);
        let lost = lost.map(|position| model.lost_answers.remove(position));
        drop(model);
        self.tell(started);
        match behaviour {
            Behaviour::Healthy if checked => self.check_later(id, ContainerHealth::Healthy),
            Behaviour::Unhealthy if checked => self.check_later(id, ContainerHealth::Unhealthy),
            Behaviour::Exits(code) => self.end(&id, code),
            _ => {}
        }
        match lost {
            None => Ok(()),
            Some(call) => Err(EngineError::TimedOut {
                attempt: format!("cannot {call}"),
                seconds: 60,
            }),
        }
    }

    async fn stop(&self, container: &str, _grace: Option<Duration>) -> Result<(), EngineError> {
        let name = self
            .named(container)
            .map_or_else(|| container.to_owned(), |found| found.name);
        let mut model = self.called(format!("stop {name}")).await?;
        let found = model
            .find_mut(container)
            .ok_or_else(|| missing("container", container))?;
        if matches!(
            found.details.state,
            ContainerState::Created | ContainerState::Exited
        ) {
            return Ok(());
        }
        found.details.state = ContainerState::Exited;
        found.details.exit_code = 143;
        let id = found.details.id.clone();
        let died = model.event(&id, EventKind::Died { exit_code: 143 });
        let stopped = model.event(&id, EventKind::Stopped);
        drop(model);
        self.tell(died);
        self.tell(stopped);
        Ok(())
    }

    async fn set_restart(
        &self,
        container: &str,
        policy: RestartPolicy,
        _attempts: u32,
    ) -> Result<(), EngineError> {
        let name = self
            .named(container)
            .map_or_else(|| container.to_owned(), |found| found.name);
        let call = format!("restart-policy {} {name}", policy.as_str_name());
        let mut model = self.called(call).await?;
        let found = model
            .find_mut(container)
            .ok_or_else(|| missing("container", container))?;
        found.details.restart = match policy {
            RestartPolicy::Unspecified => RestartPolicy::No,
            policy => policy,
        };
        Ok(())
    }

    async fn rename(&self, container: &str, name: &str) -> Result<(), EngineError> {
        let before = self
            .named(container)
            .map_or_else(|| container.to_owned(), |found| found.name);
        let mut model = self.called(format!("rename {before} {name}")).await?;
        if model.find(name).is_some() {
            return Err(EngineError::Conflict {
                attempt: format!("cannot rename container `{before}` to `{name}`"),
                message: "the container name is already in use".to_owned(),
            });
        }
        let found = model
            .find_mut(container)
            .ok_or_else(|| missing("container", container))?;
        name.clone_into(&mut found.details.name);
        Ok(())
    }

    async fn remove(&self, container: &str) -> Result<(), EngineError> {
        let name = self
            .named(container)
            .map_or_else(|| container.to_owned(), |found| found.name);
        let mut model = self.called(format!("remove {name}")).await?;
        let found = model
            .find(container)
            .ok_or_else(|| missing("container", container))?;
        if found.details.is_running() {
            return Err(EngineError::Conflict {
                attempt: format!("cannot remove container `{name}`"),
                message: "you cannot remove a running container".to_owned(),
            });
        }
        let id = found.details.id.clone();
        let event = model.event(&id, EventKind::Destroyed);
        model.containers.remove(&id);
        drop(model);
        self.tell(event);
        Ok(())
    }

    async fn execute(
        &self,
        container: &str,
        command: &[&str],
        _bound: Duration,
    ) -> Result<CommandOutput, EngineError> {
        let model = self
            .called(format!("execute {container} {}", command.join(" ")))
            .await?;
        let running = model
            .find(container)
            .is_some_and(|found| found.details.is_running());
        if !running {
            return Err(EngineError::Conflict {
                attempt: format!("cannot run a command in container `{container}`"),
                message: "container is not running".to_owned(),
            });
        }
        let program = command.first().copied().unwrap_or_default();
        let answer = model
            .answers
            .get(&command.join(" "))
            .or_else(|| model.answers.get(program));
        let (exit_code, output) = answer.cloned().unwrap_or_default();
        Ok(CommandOutput {
            exit_code,
            stdout: output.into_bytes(),
            stderr: Vec::new(),
        })
    }

    async fn run_to_end(&self, one_shot: &OneShot) -> Result<CommandOutput, EngineError> {
        let image = &one_shot.container.image;
        let model = self.called(format!("run {image}")).await?;
        if let NetworkAttachment::Container(owner) = &one_shot.container.network
            && !model
                .find(owner)
                .is_some_and(|owner| owner.details.is_running())
        {
            return Err(missing("container", owner));
        }
        if !model.held_images.contains_key(image) {
            return Err(missing("image", image));
        }
        let (exit_code, output) = model.answers.get("run").cloned().unwrap_or_default();
        Ok(CommandOutput {
            exit_code,
            stdout: output.into_bytes(),
            stderr: Vec::new(),
        })
    }
}
