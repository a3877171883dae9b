//! Those who share a network namespace, while its owner is exchanged or restarted.
//!
//! A namespace ends with its owner's process. A sharer that went on would keep a dead one,
//! without any network, and look healthy to the Engine; so sharers are stopped first, the last
//! one first, and are made anew afterwards if they are part of the change.

use omni_scale_proto::difference::ServiceChange;
use omni_scale_proto::v1::ContainerState;

use super::{Run, failure};
use crate::operation::Failure;
use crate::stack::engine::ContainerDetails;

impl Run<'_> {
    /// Stops whoever shares the namespace of `owner`; returns who was stopped, in start order.
    pub(super) async fn stop_sharers(
        &mut self,
        owner: &str,
        changes: &[ServiceChange],
    ) -> Result<Vec<ContainerDetails>, Failure> {
        let owner_id = self
            .serving
            .get(owner)
            .map(|container| container.id.clone());
        let order: Vec<String> = self
            .stack
            .start_order()
            .iter()
            .map(|service| service.name.clone())
            .collect();
        let mut sharers: Vec<(String, ContainerDetails)> = self
            .serving
            .iter()
            .filter(|(_, container)| container.namespace_container() == owner_id.as_deref())
            .filter(|(_, container)| {
                container.namespace_container().is_some() && has_process(container)
            })
            .map(|(service, container)| (service.clone(), container.clone()))
            .collect();
        // Containers of services that the stack no longer has come last.
        sharers.sort_by_key(|(service, _)| {
            order
                .iter()
                .position(|name| name == service)
                .unwrap_or(usize::MAX)
        });
        for (service, container) in sharers.iter().rev() {
            self.reporter.stage(
                service,
                format!("stopping: it shares the network namespace of `{owner}`, which ends now"),
            );
            let stopped = self.engine.stop(&container.id, None).await;
            stopped.map_err(|error| failure(&error))?;
            let in_scope = changes
                .iter()
                .any(|change| change.service.as_str() == service);
            if !in_scope {
                let warning = format!(
                    "`{service}` shares the network namespace of `{owner}` and is left stopped: it is not part of this change"
                );
                self.reporter.warning(&warning);
                self.warnings.push(warning);
            }
        }
        Ok(sharers
            .into_iter()
            .map(|(_, container)| container)
            .collect())
    }

    /// Starts sharers again after all, when their owner came back as it was. Best effort: the
    /// failure that led here is what the caller tells.
    pub(super) async fn start_sharers(&self, sharers: &[ContainerDetails]) {
        for sharer in sharers {
            if let Err(error) = self.engine.start(&sharer.id).await {
                let name = &sharer.name;
                self.reporter
                    .warning(format!("`{name}` could not be started again: {error}"));
            }
        }
    }
}

fn has_process(container: &ContainerDetails) -> bool {
    matches!(
        container.state,
        ContainerState::Running | ContainerState::Paused | ContainerState::Restarting
    )
}
