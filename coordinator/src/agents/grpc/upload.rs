//! Uploading an artifact: resumable, in chunks, with the sum that names it.

use std::io::{self, SeekFrom};
use std::path::Path;
use std::time::Duration;

use omni_scale_proto::id::{HostName, Sha256};
use omni_scale_proto::v1::{self, put_artifact_request::Message};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use super::GrpcAgents;
use crate::agents::AgentError;

/// Bound on the whole upload.
const UPLOAD: Duration = Duration::from_secs(3600);
/// Bytes in one message; the contract allows as much.
const CHUNK: usize = 256 * 1024;

/// Why an artifact is not on a host.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The agent.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The file.
    #[error("could not read the artifact")]
    Read {
        /// Why.
        source: io::Error,
    },
}

/// What is uploaded.
#[derive(Debug, Clone, Copy)]
pub struct Upload<'a> {
    /// The file.
    pub path: &'a Path,
    /// Its sum, which the agent checks.
    pub sha256: &'a Sha256,
    /// Its length in bytes.
    pub size: u64,
}

impl GrpcAgents {
    /// Uploads an artifact, from where an earlier upload ended. `sent` hears how many bytes are
    /// on their way.
    pub async fn put_artifact(
        &self,
        host: &HostName,
        upload: Upload<'_>,
        sent: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<v1::PutArtifactResponse, UploadError> {
        let (call, mut client) = self.host(host, "upload the artifact").await?;
        let mut offset = 0;
        loop {
            let (requests, stream) = mpsc::channel(4);
            let answer = async {
                let answer = client.put_artifact(ReceiverStream::new(stream));
                tokio::time::timeout(UPLOAD, answer).await
            };
            let (answer, read) = tokio::join!(answer, send_from(upload, offset, requests, sent));
            let refused = match answer {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) => status,
                Err(_) => return Err(call.no_answer(UPLOAD).into()),
            };
            read.map_err(|source| UploadError::Read { source })?;
            match held_length(&refused) {
                Some(held) if offset == 0 && (1..=upload.size).contains(&held) => offset = held,
                _ => return Err(call.error(refused).into()),
            }
        }
    }
}

/// Sends until the end of the file, or until the agent has answered.
async fn send_from(
    upload: Upload<'_>,
    mut offset: u64,
    requests: mpsc::Sender<v1::PutArtifactRequest>,
    sent: &(dyn Fn(u64) + Send + Sync),
) -> io::Result<()> {
    let mut file = File::open(upload.path).await?;
    file.seek(SeekFrom::Start(offset)).await?;
    let mut message = Message::Start(v1::ArtifactStart {
        sha256: upload.sha256.to_string(),
        size: upload.size,
        offset,
    });
    loop {
        let request = v1::PutArtifactRequest {
            message: Some(message),
        };
        if requests.send(request).await.is_err() {
            return Ok(());
        }
        sent(offset);
        let mut chunk = Vec::with_capacity(CHUNK);
        let limit = u64::try_from(CHUNK).unwrap_or(u64::MAX);
        let length = (&mut file).take(limit).read_to_end(&mut chunk).await?;
        if length == 0 {
            return Ok(());
        }
        offset += u64::try_from(length).unwrap_or(0);
        message = Message::Chunk(chunk);
    }
}

/// How much the agent holds, when it says that it goes on from there: the last number in its
/// words.
fn held_length(status: &Status) -> Option<u64> {
    if status.code() != Code::OutOfRange {
        return None;
    }
    status
        .message()
        .rsplit(|character: char| !character.is_ascii_digit())
        .find(|digits| !digits.is_empty())
        .and_then(|digits| digits.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_read_from_the_agents_words_only_when_it_asks_for_more() {
        let words = "upload of 0123abcd goes on at byte 262144";
        assert_eq!(held_length(&Status::out_of_range(words)), Some(262_144));
        assert_eq!(held_length(&Status::out_of_range("no number")), None);
        assert_eq!(held_length(&Status::internal(words)), None);
    }
}
