//! The lease's three methods.

use omni_scale_proto::id::DeploymentId;
use omni_scale_proto::v1;
use omni_scale_proto::v1::acquire_lease_response::Result as Answer;
use tonic::Status;

use super::Host;
use crate::lease::{Acquired, TIME_TO_LIVE};
use crate::operation::OperationError;
use crate::server::status::status;

pub(super) async fn acquire(
    host: &Host,
    request: v1::AcquireLeaseRequest,
) -> Result<v1::AcquireLeaseResponse, Status> {
    let asked: DeploymentId = request
        .deployment_id
        .parse()
        .map_err(|error| status(&OperationError::from(error)))?;
    host.operations
        .check_deployment(asked)
        .map_err(|error| status(&error))?;
    let acquired = host
        .leases
        .acquire(asked, &request.holder, &request.rollout_id)
        .await
        .map_err(|error| status(&error))?;
    let result = match acquired {
        Acquired::Held(holder) => Answer::Held(holder),
        Acquired::Granted(grant) => {
            tracing::info!(epoch = grant.epoch, whose = grant.whose(), "lease granted");
            let runs = |target: &v1::TargetStatus| !target.running_operation_id.is_empty();
            Answer::Granted(v1::LeaseGrant {
                epoch: grant.epoch,
                time_to_live_milliseconds: time_to_live(),
                running: host.operations.targets().into_iter().filter(runs).collect(),
            })
        }
    };
    Ok(v1::AcquireLeaseResponse {
        result: Some(result),
    })
}

pub(super) fn renew(
    host: &Host,
    request: &v1::RenewLeaseRequest,
) -> Result<v1::RenewLeaseResponse, Status> {
    let renewed = host.leases.renew(request.epoch, &request.rollout_id);
    renewed.map_err(|error| status(&error))?;
    Ok(v1::RenewLeaseResponse {
        time_to_live_milliseconds: time_to_live(),
    })
}

pub(super) async fn release(
    host: &Host,
    request: &v1::ReleaseLeaseRequest,
) -> Result<v1::ReleaseLeaseResponse, Status> {
    let released = host.leases.release(request.epoch, &request.rollout_id);
    released.await.map_err(|error| status(&error))?;
    tracing::info!(epoch = request.epoch, "lease given back");
    Ok(v1::ReleaseLeaseResponse {})
}

fn time_to_live() -> u32 {
    u32::try_from(TIME_TO_LIVE.as_millis()).unwrap_or(u32::MAX)
}
