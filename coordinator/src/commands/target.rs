//! What a person's word for a part of the deployment means.

use omni_scale_proto::id::{HostName, ServiceName, StackName};

use crate::arguments::TargetName;
use crate::document::nearest;
use crate::exit::Exit;
use crate::output::Stop;
use crate::plan::{Desired, DesiredIdentity};

/// A part of the deployment, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// The tsidp unit.
    Unit {
        /// Its host.
        host: HostName,
    },
    /// Services of the stack. None named: all.
    Stack {
        /// Its host.
        host: HostName,
        /// Its name.
        name: StackName,
        /// The services.
        services: Vec<ServiceName>,
    },
}

/// Finds it.
pub(super) fn find(desired: &Desired, target: &TargetName) -> anyhow::Result<Place> {
    let stack = |services| -> anyhow::Result<Place> {
        Ok(Place::Stack {
            host: desired.stack.host.clone(),
            name: desired.stack.stack.name.parse()?,
            services,
        })
    };
    match target {
        TargetName::Tsidp => match &desired.identity {
            DesiredIdentity::Tsidp { host, .. } => Ok(Place::Unit { host: host.clone() }),
            DesiredIdentity::External { issuer } => {
                let message = format!("the deployment has no tsidp; its issuer is {issuer}");
                Err(Stop::new(Exit::Usage, message).into())
            }
        },
        TargetName::Omni => stack(vec![desired.stack.omni.clone()]),
        TargetName::Stack => stack(Vec::new()),
        TargetName::Service(service) => {
            let names: Vec<&str> = desired
                .stack
                .stack
                .services
                .iter()
                .map(|service| service.name.as_str())
                .collect();
            if names.contains(&service.as_str()) {
                return stack(vec![service.clone()]);
            }
            let stop = Stop::new(Exit::Usage, format!("the stack has no service `{service}`"));
            let hint = match nearest(service.as_str(), &names) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("it has {}; or say `tsidp` or `stack`", names.join(", ")),
            };
            Err(stop.hint(hint).into())
        }
        TargetName::Agent => {
            let stop = Stop::new(Exit::Usage, "agents do not control themselves");
            let hint = "on its host: `sudo systemctl restart omni-scale-agent`";
            Err(stop.hint(hint).into())
        }
    }
}
