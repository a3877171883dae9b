//! The services of the stack: which play a part, and how all are called.

use omni_scale_proto::id::ServiceName;
use omni_scale_proto::stack::CheckedStack;
use omni_scale_proto::v1;

use crate::plan::desired::DesiredStack;
use crate::plan::refusal::DesiredError;

/// Refuses a part that no service plays.
pub(super) fn check_parts(wanted: &DesiredStack, stack: &CheckedStack) -> Result<(), DesiredError> {
    let played = [
        (Some(&wanted.sidecar), "sidecar"),
        (Some(&wanted.omni), "omni"),
        (wanted.provider.as_ref(), "provider"),
    ];
    for (service, part) in played {
        if let Some(service) = service
            && stack.service(service.as_str()).is_none()
        {
            return Err(DesiredError::NoSuchService {
                service: service.to_string(),
                part,
            });
        }
    }
    Ok(())
}

/// A service's name.
pub(super) fn name_of(service: &v1::Service) -> ServiceName {
    service
        .name
        .parse()
        .expect("a checked stack has valid service names")
}
