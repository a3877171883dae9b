//! What a person's word for a part of the deployment means.

use omni_scale_proto::id::{HostName, ServiceName, StackName};

use crate::arguments::TargetName;
use crate::document::nearest;
use crate::exit::Exit;
use crate::output::Stop;
use crate::plan::{Desired, DesiredIdentity, DesiredMachines};

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
            check_no_machine(desired, service)?;
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

/// Machines have commands of their own, and no log: nothing of ours runs inside of them.
fn check_no_machine(desired: &Desired, name: &ServiceName) -> anyhow::Result<()> {
    let machines = desired.machines.iter().map(DesiredMachines::scope);
    let mut names = machines.flat_map(|scope| scope.names);
    if !names.any(|machine| machine.as_str() == name.as_str()) {
        return Ok(());
    }
    let stop = Stop::new(
        Exit::Usage,
        format!("`{name}` is a machine, and no unit or service"),
    );
    let hint = "`omni-scale machines --help` shows what can be done with machines; their consoles \
                are in Proxmox VE";
    Err(stop.hint(hint).into())
}
