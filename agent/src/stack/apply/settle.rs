//! What an interrupted run left behind.
//!
//! A container's name tells how far a change had come (see [`Standby`]): one that was to take a
//! place was never started, or could not be removed, and goes; one that had the place gets it back
//! unless its successor has run.

use super::{Run, failure};
use crate::operation::Failure;
use crate::stack::engine::ContainerDetails;
use crate::stack::labels::{self, Standby};
use crate::stack::observe::Parts;

/// What is done with what stands by.
#[derive(Debug, PartialEq, Eq)]
enum Settlement {
    /// It is not needed.
    Discard { container: String, place: String },
    /// It gets its place back, where first another may have to go.
    Restore {
        container: String,
        service: String,
        place: String,
        instead_of: Option<String>,
    },
}

impl Run<'_> {
    /// Brings the project's containers into a state that has a meaning.
    pub(super) async fn settle(&mut self) -> Result<(), Failure> {
        let containers = self.look().await?;
        for settlement in settlements(&containers) {
            let settled = match &settlement {
                Settlement::Discard { container, place } => self.clear(container, place).await,
                Settlement::Restore {
                    container,
                    service,
                    place,
                    instead_of,
                } => {
                    self.reporter.stage(place, "settling an interrupted change");
                    if let Some(other) = instead_of {
                        let cleared = self.clear(other, place).await;
                        cleared.map_err(|error| failure(&error))?;
                    }
                    match self.restart_as_before(service, container).await {
                        Ok(()) => self.engine.rename(container, place).await,
                        Err(error) => Err(error),
                    }
                }
            };
            settled.map_err(|error| failure(&error))?;
        }
        Ok(())
    }
}

fn settlements(containers: &[ContainerDetails]) -> Vec<Settlement> {
    let parts = Parts::of(containers);
    let mut settlements = Vec::new();
    for (standby, place, container) in &parts.standing_by {
        let id = container.id.clone();
        let successor = parts.serving.values().find(|other| other.name == *place);
        settlements.push(match (standby, successor) {
            (Standby::Next, _) => Settlement::Discard {
                container: id,
                place: (*place).to_owned(),
            },
            (Standby::Previous, Some(successor)) if successor.started_at_milliseconds > 0 => {
                Settlement::Discard {
                    container: id,
                    place: (*place).to_owned(),
                }
            }
            (Standby::Previous, successor) => Settlement::Restore {
                container: id,
                service: container
                    .labels
                    .get(labels::SERVICE)
                    .cloned()
                    .unwrap_or_default(),
                place: (*place).to_owned(),
                instead_of: successor.map(|successor| successor.id.clone()),
            },
        });
    }
    settlements
}
