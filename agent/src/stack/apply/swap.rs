//! A new container takes a service's place.
//!
//! The order is what keeps a failure harmless: the new container is made complete under a name of
//! its own while the old one still runs; only then is the old one stopped and set aside, the new
//! one given the name and started; the old one goes when the new one has started. Any failure
//! before that brings the old one back. A crash in between is settled by the next run.

use omni_scale_proto::difference::ServiceChange;
use omni_scale_proto::stack::{namespace_of, service_digest};
use omni_scale_proto::v1::{self, FailureClass};

use super::{Run, container, failure, labels};
use crate::error::chain;
use crate::operation::Failure;
use crate::stack::container::Surroundings;
use crate::stack::engine::{ContainerDetails, EngineError, VolumeUse};
use crate::stack::labels::Standby;

impl Run<'_> {
    /// Puts a new container in the service's place, whether there was one before or not.
    pub(super) async fn swap_in(
        &mut self,
        service: &v1::Service,
        changes: &[ServiceChange],
    ) -> Result<(), Failure> {
        let place = labels::container_name(self.stack.name().as_str(), service);
        let old = self.serving.get(&service.name).cloned();
        let next = self.make_next(service, &place, old.as_ref()).await?;
        let sharers = self.stop_sharers(&service.name, changes).await?;
        if old.is_some() {
            self.reporter
                .stage(&service.name, "stopping the old container");
        }
        let exchanged = self
            .exchange(&service.name, &place, &next, old.as_ref())
            .await;
        if let Err(error) = exchanged {
            let started = self.has_started(&next, &service.name, &error).await?;
            if !started {
                let evidence = self.stacks.evidence(&next).await;
                let cause = failure(&error).with_evidence(evidence);
                let brought_back = self.bring_back(service, &place, &next, old.as_ref());
                let brought_back = brought_back.await;
                if old.is_some() {
                    self.start_sharers(&sharers).await;
                }
                return Err(told(cause, service, brought_back));
            }
        }
        if let Some(old) = old
            && let Err(error) = self.engine.remove(&old.id).await
        {
            let name = Standby::Previous.name(&place, &old.id);
            let warning = format!("the previous container `{name}` could not be removed: {error}");
            self.reporter.warning(&warning);
            self.warnings.push(warning);
        }
        self.refresh(&service.name, &next).await
    }

    /// Creates the new container, complete but for its name and its start.
    async fn make_next(
        &self,
        service: &v1::Service,
        place: &str,
        old: Option<&ContainerDetails>,
    ) -> Result<String, Failure> {
        self.reporter.stage(&service.name, "creating");
        let image = self.image(service).await?;
        let namespace_container = namespace_of(service)
            .and_then(|owner| self.serving.get(owner))
            .map(|owner| owner.id.clone());
        let surroundings = Surroundings {
            name: Standby::Next.name(place, service_digest(service).as_str()),
            image_id: image.id.clone(),
            environment: self.environment(service)?,
            secret_digests: self.secret_digests(service),
            namespace_container,
            inherited: old.map(nameless_volumes).unwrap_or_default(),
        };
        let specification = container::specification(self.stack, service, surroundings)
            .map_err(|error| Failure::from_error(FailureClass::Permanent, &error))?;
        let created = self.engine.create(&specification).await;
        let id = created.map_err(|error| failure(&error))?;
        if let Err(cause) = self.put_files(service, &image, &id).await {
            // Nothing was touched yet; the next run would settle it as well.
            let _ = self.engine.remove(&id).await;
            return Err(cause);
        }
        Ok(id)
    }

    /// Stops the old one, gives its name to the new one, starts that.
    async fn exchange(
        &self,
        service: &str,
        place: &str,
        next: &str,
        old: Option<&ContainerDetails>,
    ) -> Result<(), EngineError> {
        if let Some(old) = old {
            self.engine.stop(&old.id, None).await?;
            // An Engine that is killed now would start it again beside the new one when it comes
            // back, on the same volumes and ports: it starts whatever has `always`.
            self.engine
                .set_restart(&old.id, v1::RestartPolicy::No, 0)
                .await?;
            let aside = Standby::Previous.name(&old.name, &old.id);
            self.engine.rename(&old.id, &aside).await?;
        }
        self.engine.rename(next, place).await?;
        self.reporter.stage(service, "starting");
        self.engine.start(next).await
    }

    /// Whether the new container has run although the exchange failed: the answer to its start may be lost, and what
    /// it has done to its volumes then, the old one cannot undo. Fails when nobody can tell.
    async fn has_started(
        &self,
        next: &str,
        service: &str,
        error: &EngineError,
    ) -> Result<bool, Failure> {
        match self.engine.container(next).await {
            Ok(seen) => Ok(seen.is_some_and(|seen| seen.started_at_milliseconds > 0)),
            Err(unseen) => {
                let mut failure = failure(&unseen);
                failure.message = format!(
                    "service `{service}`: {}; whether the new container has started is not known ({}): the next \
                     apply looks",
                    chain(error),
                    failure.message
                );
                Err(failure)
            }
        }
    }

    /// Undoes an exchange that failed; says how that went.
    async fn bring_back(
        &mut self,
        service: &v1::Service,
        place: &str,
        next: &str,
        old: Option<&ContainerDetails>,
    ) -> Result<Option<String>, EngineError> {
        self.clear(next, place).await?;
        let Some(old) = old else {
            return Ok(None);
        };
        self.restart_as_before(&service.name, &old.id).await?;
        let now = self.engine.container(&old.id).await?;
        if now.is_some_and(|now| now.name != old.name) {
            self.engine.rename(&old.id, &old.name).await?;
        }
        if old.started_at_milliseconds > 0 {
            self.engine.start(&old.id).await?;
            return Ok(Some("the previous container runs again".to_owned()));
        }
        Ok(Some("the previous container is there again".to_owned()))
    }
}

impl Run<'_> {
    /// Stops a container and takes it away. One that the Engine cannot remove now is set aside, so that it keeps
    /// nobody from the place; the next run tries again.
    pub(super) async fn clear(&mut self, container: &str, place: &str) -> Result<(), EngineError> {
        self.engine.stop(container, None).await?;
        let Err(error) = self.engine.remove(container).await else {
            return Ok(());
        };
        self.engine
            .set_restart(container, v1::RestartPolicy::No, 0)
            .await?;
        let aside = Standby::Next.name(place, container);
        let now = self.engine.container(container).await?;
        if now.is_some_and(|now| now.name != aside) {
            self.engine.rename(container, &aside).await?;
        }
        let error = chain(&error);
        let warning = format!("container `{aside}` stays for now: {error}");
        self.reporter.warning(&warning);
        self.warnings.push(warning);
        Ok(())
    }

    /// A container that gets its place back is restarted by the Engine as it was made to be.
    pub(super) async fn restart_as_before(
        &self,
        service: &str,
        container: &str,
    ) -> Result<(), EngineError> {
        let record = self.stacks.record(self.stack.name());
        let applied = record.and_then(|record| record.services.get(service).cloned());
        let Some(made_from) = applied.or_else(|| self.stack.service(service).cloned()) else {
            return Ok(());
        };
        let (policy, attempts) = (made_from.restart(), made_from.restart_attempts);
        self.engine.set_restart(container, policy, attempts).await
    }
}

fn told(
    mut cause: Failure,
    service: &v1::Service,
    brought_back: Result<Option<String>, EngineError>,
) -> Failure {
    cause.message = match brought_back {
        Ok(None) => format!("service `{}`: {}", service.name, cause.message),
        Ok(Some(state)) => format!("service `{}`: {}; {state}", service.name, cause.message),
        Err(error) => format!(
            "service `{}`: {}; and the previous container could not be brought back: {}",
            service.name,
            cause.message,
            chain(&error)
        ),
    };
    cause
}

/// Volumes that an image asked for and nobody named: 64 hex digits. Compose gives them to the
/// next container too; otherwise what is in them would be out of reach.
fn nameless_volumes(old: &ContainerDetails) -> Vec<VolumeUse> {
    old.volumes
        .iter()
        .filter(|volume| {
            volume.name.len() == 64 && volume.name.chars().all(|c| c.is_ascii_hexdigit())
        })
        .cloned()
        .collect()
}
