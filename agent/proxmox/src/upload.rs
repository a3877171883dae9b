//! Files on their way to a storage: fetched by the node itself, or sent by us as `multipart/form-data`.
//!
//! Proxmox reads the parts in one fixed order (`content`, `checksum-algorithm`, `checksum`, `filename`), with the
//! disposition as the first header of each and an unquoted boundary (pve-http-server, AnyEvent.pm,
//! `file_upload_multipart`). It does not know chunked bodies, so the length is said beforehand.

use std::{
    fmt, io,
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll, ready},
};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::{
    fs::File,
    io::{AsyncRead, ReadBuf},
};
use uuid::Uuid;

use crate::ContentKind;

/// Bytes read from a file at a time.
const PIECE: usize = 64 * 1024;

/// Which sum a file is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChecksumAlgorithm {
    /// 64 hexadecimal digits.
    Sha256,
    /// 128 hexadecimal digits.
    Sha512,
}

impl ChecksumAlgorithm {
    /// As the API names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

/// The sum that a file must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    /// How it is computed.
    pub algorithm: ChecksumAlgorithm,
    /// In hexadecimal.
    pub hexadecimal: String,
}

/// A file that the node fetches by itself. With its checksum, asking again for a file that is there succeeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// What the file is to the storage.
    pub content: ContentKind,
    /// How it is to be called; ends in `.iso`, `.qcow2`, `.raw` or `.vmdk`.
    pub file_name: String,
    /// Where it is.
    pub url: String,
    /// What it must be. Not optional: without it the API refuses a file that is there already.
    pub checksum: Checksum,
}

/// A file that we send. An older file of the name is silently replaced.
#[derive(Debug)]
pub struct Upload {
    /// What the file is to the storage.
    pub content: ContentKind,
    /// How it is to be called.
    pub file_name: String,
    /// What it must be once it has arrived.
    pub checksum: Checksum,
    /// Where it comes from.
    pub source: UploadSource,
}

/// Where the bytes of an upload come from.
pub enum UploadSource {
    /// From memory.
    Bytes(Vec<u8>),
    /// From a file, read as it is sent.
    File(PathBuf),
}

/// Contents may hold one-time secrets.
impl fmt::Debug for UploadSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(formatter, "{} bytes", bytes.len()),
            Self::File(path) => write!(formatter, "{}", path.display()),
        }
    }
}

/// The parts around a file.
#[derive(Debug)]
pub(crate) struct Frames {
    pub(crate) content_type: String,
    before: String,
    after: String,
}

impl Frames {
    pub(crate) fn of(upload: &Upload) -> Self {
        let boundary = format!("omni-scale-{}", Uuid::new_v4().simple());
        let part = |name: &str, value: &str| {
            format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            )
        };
        // What would end the quoted name or the header is not part of any file's name.
        let file_name = upload.file_name.replace(['"', '\r', '\n', '\\', '/'], "_");
        let before = [
            part("content", upload.content.as_str()),
            part("checksum-algorithm", upload.checksum.algorithm.as_str()),
            part("checksum", &upload.checksum.hexadecimal),
            format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"filename\"; filename=\"{file_name}\"\r\n\
                 Content-Type: application/octet-stream\r\n\r\n"
            ),
        ]
        .concat();
        Self {
            content_type: format!("multipart/form-data; boundary={boundary}"),
            before,
            after: format!("\r\n--{boundary}--\r\n"),
        }
    }
}

/// The body of an upload, with its length known from the start.
#[derive(Debug)]
pub(crate) struct UploadBody {
    before: Option<Bytes>,
    source: Source,
    after: Option<Bytes>,
    left: u64,
}

#[derive(Debug)]
enum Source {
    Bytes(Option<Bytes>),
    File { file: File, left: u64 },
}

impl UploadBody {
    /// Opens the source. A file that grows meanwhile is cut at the length it had, one that shrinks is an error.
    pub(crate) async fn open(source: UploadSource, frames: &Frames) -> io::Result<Self> {
        let (source, length) = match source {
            UploadSource::Bytes(bytes) => {
                let length = bytes.len() as u64;
                (Source::Bytes(Some(bytes.into())), length)
            }
            UploadSource::File(path) => {
                let file = File::open(path).await?;
                let left = file.metadata().await?.len();
                (Source::File { file, left }, left)
            }
        };
        let around = (frames.before.len() + frames.after.len()) as u64;
        Ok(Self {
            before: Some(frames.before.clone().into()),
            source,
            after: Some(frames.after.clone().into()),
            left: around + length,
        })
    }

    pub(crate) fn length(&self) -> u64 {
        self.left
    }
}

impl Body for UploadBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        let piece = match (this.before.take(), &mut this.source) {
            (Some(before), _) => Some(before),
            (None, Source::Bytes(bytes)) => bytes.take(),
            (None, Source::File { left: 0, .. }) => None,
            (None, Source::File { file, left }) => {
                let mut buffer = vec![0; PIECE.min(usize::try_from(*left).unwrap_or(PIECE))];
                let mut read = ReadBuf::new(&mut buffer);
                ready!(Pin::new(file).poll_read(context, &mut read))?;
                let length = read.filled().len();
                if length == 0 {
                    let error =
                        io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter");
                    return Poll::Ready(Some(Err(error)));
                }
                buffer.truncate(length);
                *left -= length as u64;
                Some(buffer.into())
            }
        };
        let piece = piece
            .filter(|piece| !piece.is_empty())
            .or_else(|| this.after.take());
        if let Some(piece) = &piece {
            this.left = this.left.saturating_sub(piece.len() as u64);
        }
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn upload(source: UploadSource) -> Upload {
        Upload {
            content: ContentKind::Iso,
            file_name: "seed\".iso".into(),
            checksum: Checksum {
                algorithm: ChecksumAlgorithm::Sha256,
                hexadecimal: "ab".into(),
            },
            source,
        }
    }

    async fn sent(upload: Upload) -> (u64, String) {
        let frames = Frames::of(&upload);
        let body = UploadBody::open(upload.source, &frames).await.unwrap();
        let length = body.length();
        let bytes = body.collect().await.unwrap().to_bytes();
        let boundary = frames
            .content_type
            .split_once("boundary=")
            .unwrap()
            .1
            .to_owned();
        (
            length,
            String::from_utf8(bytes.to_vec())
                .unwrap()
                .replace(&boundary, "B"),
        )
    }

    #[tokio::test]
    async fn the_checksum_goes_before_the_file() {
        let (_, text) = sent(upload(UploadSource::Bytes(b"data".to_vec()))).await;
        assert_eq!(
            text,
            "--B\r\nContent-Disposition: form-data; name=\"content\"\r\n\r\niso\r\n\
             --B\r\nContent-Disposition: form-data; name=\"checksum-algorithm\"\r\n\r\nsha256\r\n\
             --B\r\nContent-Disposition: form-data; name=\"checksum\"\r\n\r\nab\r\n\
             --B\r\nContent-Disposition: form-data; name=\"filename\"; filename=\"seed_.iso\"\r\n\
             Content-Type: application/octet-stream\r\n\r\ndata\r\n--B--\r\n"
        );
    }

    #[tokio::test]
    async fn a_file_is_streamed_with_its_length_known() {
        let directory = tempfile::tempdir().unwrap();
        for size in [0, 1, PIECE, PIECE * 2 + 7] {
            let path = directory.path().join("image");
            let content = "x".repeat(size);
            tokio::fs::File::create(&path).await.unwrap();
            std::io::Write::write_all(
                &mut std::fs::File::create(&path).unwrap(),
                content.as_bytes(),
            )
            .unwrap();
            let given = upload(UploadSource::File(path));
            let frames = Frames::of(&given);
            let body = UploadBody::open(given.source, &frames).await.unwrap();
            let length = body.length();
            let bytes = body.collect().await.unwrap().to_bytes();
            assert_eq!(bytes.len() as u64, length);
            let expected = frames.before.len() + size + frames.after.len();
            assert_eq!(bytes.len(), expected);
            assert!(bytes.ends_with(frames.after.as_bytes()));
        }
    }

    #[test]
    fn contents_are_not_shown() {
        let shown = format!(
            "{:?}",
            upload(UploadSource::Bytes(b"one-time key".to_vec()))
        );
        assert!(shown.contains("12 bytes") && !shown.contains("one-time"));
    }
}
