//! `PutArtifact`: chunks into the store of artifacts.

use omni_scale_proto::id::Sha256;
use omni_scale_proto::v1;
use omni_scale_proto::v1::put_artifact_request::Message;
use tonic::{Status, Streaming};

use super::Host;
use crate::operation::OperationError;
use crate::server::status::{failure_status, status};
use crate::service::upload::UploadState;

/// The largest artifact, in bytes.
const LARGEST: u64 = 256 * 1024 * 1024;
/// The largest chunk, in bytes.
const LARGEST_CHUNK: usize = 256 * 1024;

pub(super) async fn put(
    host: &Host,
    mut requests: Streaming<v1::PutArtifactRequest>,
) -> Result<v1::PutArtifactResponse, Status> {
    let uploads = host.uploads.as_ref().ok_or_else(|| {
        Status::unimplemented(
            "no role of this host runs an artifact; artifacts go to the tsidp host",
        )
    })?;
    let Some(Message::Start(start)) = requests.message().await?.and_then(|first| first.message)
    else {
        return Err(Status::invalid_argument("an upload begins with its start"));
    };
    let sha256: Sha256 = start
        .sha256
        .parse()
        .map_err(|error| status(&OperationError::from(error)))?;
    if !(1..=LARGEST).contains(&start.size) {
        let message = format!("an artifact has 1 to {LARGEST} bytes, not {}", start.size);
        return Err(Status::invalid_argument(message));
    }
    let mut state = uploads
        .begin(&sha256, start.size)
        .await
        .map_err(|failure| failure_status(&failure))?;
    if let UploadState::Next { offset } = state
        && offset != start.offset
    {
        return Err(Status::out_of_range(format!("{offset}")));
    }
    while let Some(request) = requests.message().await? {
        let Some(Message::Chunk(chunk)) = request.message else {
            return Err(Status::invalid_argument("after the start come chunks"));
        };
        if chunk.len() > LARGEST_CHUNK {
            return Err(Status::invalid_argument("a chunk has at most 256 KiB"));
        }
        let UploadState::Next { offset } = state else {
            // Known already: what is sent nevertheless is not needed.
            continue;
        };
        state = uploads
            .append(&sha256, offset, &chunk)
            .await
            .map_err(|failure| failure_status(&failure))?;
    }
    match state {
        UploadState::Complete { size, known } => Ok(v1::PutArtifactResponse { size, known }),
        UploadState::Next { offset } => Ok(v1::PutArtifactResponse {
            size: offset,
            known: false,
        }),
    }
}
