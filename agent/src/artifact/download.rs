//! Fetches an artifact over HTTP, checking its sum while it comes.
//!
//! It retries nothing: whoever asked knows from the error's class whether asking again may help.

use std::path::Path;

use omni_scale_proto::id::Sha256;
use omni_scale_proto::v1::{PullProgress, progress::Event};
use sha2::Digest as _;
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;
use url::Url;

use super::LARGEST;
use super::error::ArtifactError;
use super::source::{self, Answer};
use super::store::{ArtifactStore, finished};
use crate::files::FileError;
use crate::host_roots::HostRoots;
use crate::operation::Reporter;

/// Progress is told each time so many bytes have come.
const TELL_EVERY: u64 = 1024 * 1024;

/// Fetches artifacts into a store.
#[derive(Debug, Clone)]
pub struct Downloader {
    store: ArtifactStore,
    roots: HostRoots,
}

impl Downloader {
    /// Trusts whom the host trusts.
    pub fn new(store: ArtifactStore, roots: HostRoots) -> Self {
        Self { store, roots }
    }

    /// Fetches `url` and puts the program in it into the store.
    ///
    /// The caller has asked the policy. Bounded in size and in silence; the caller bounds the whole.
    pub async fn fetch(
        &self,
        url: &str,
        sum: &Sha256,
        reporter: &Reporter,
    ) -> Result<(), ArtifactError> {
        let url = Url::parse(url).map_err(|error| unreachable(url, error))?;
        let name = without_query(&url);
        let roots = self.roots.with("")?;
        let answer = source::get(url, &roots).await;
        let answer = answer.map_err(|error| unreachable(&name, error))?;
        if !matches!(answer.status(), 200..=299) {
            return Err(ArtifactError::Status {
                url: name,
                status: answer.status(),
            });
        }
        if answer.length().is_some_and(|size| size > LARGEST) {
            return Err(ArtifactError::TooLarge);
        }
        let path = self.store.incoming()?.join(format!("{sum}.download"));
        let progress = Progress::new(reporter, &name, answer.length());
        let found = receive(answer, &path, progress, &name).await?;
        if found != *sum {
            crate::files::remove(&path)?;
            let wanted = sum.clone();
            return Err(ArtifactError::SumDiffers { wanted, found });
        }
        let (store, sum) = (self.store.clone(), sum.clone());
        tokio::task::spawn_blocking(move || store.install(&path, &sum))
            .await
            .expect("installing does not panic and is not cancelled")
    }
}

/// Writes the body to `path`; the answer is its sum. It is on the disk when this returns.
async fn receive(
    mut answer: Answer,
    path: &Path,
    mut progress: Progress<'_>,
    name: &str,
) -> Result<Sha256, ArtifactError> {
    let mut file = File::create(path)
        .await
        .map_err(FileError::new("write", path))?;
    let mut hash = sha2::Sha256::new();
    loop {
        let chunk = answer.chunk().await;
        let Some(chunk) = chunk.map_err(|error| unreachable(name, error))? else {
            break;
        };
        progress.came(chunk.len())?;
        hash.update(&chunk);
        file.write_all(&chunk)
            .await
            .map_err(FileError::new("write", path))?;
    }
    file.sync_all()
        .await
        .map_err(FileError::new("write", path))?;
    progress.tell("Downloaded");
    Ok(finished(hash))
}

struct Progress<'a> {
    reporter: &'a Reporter,
    name: String,
    current: u64,
    told: u64,
    total: u64,
}

impl<'a> Progress<'a> {
    fn new(reporter: &'a Reporter, name: &str, total: Option<u64>) -> Self {
        Self {
            reporter,
            name: name.to_owned(),
            current: 0,
            told: 0,
            total: total.unwrap_or_default(),
        }
    }

    fn came(&mut self, bytes: usize) -> Result<(), ArtifactError> {
        self.current += u64::try_from(bytes).unwrap_or(u64::MAX);
        if self.current > LARGEST {
            return Err(ArtifactError::TooLarge);
        }
        if self.current - self.told >= TELL_EVERY {
            self.told = self.current;
            self.tell("Downloading");
        }
        Ok(())
    }

    fn tell(&self, status: &str) {
        self.reporter.send(Event::Pull(PullProgress {
            image: self.name.clone(),
            layer: String::new(),
            status: status.to_owned(),
            current: self.current,
            total: self.total,
        }));
    }
}

/// A query may carry a signature, which is nobody else's business.
fn without_query(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

fn unreachable(url: &str, source: impl std::error::Error + Send + Sync + 'static) -> ArtifactError {
    ArtifactError::Unreachable {
        url: url.to_owned(),
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::binary;
    use super::*;
    use omni_scale_proto::v1::FailureClass;
    use std::path::PathBuf;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    struct Rig {
        _directory: tempfile::TempDir,
        store: ArtifactStore,
        downloader: Downloader,
    }

    impl Rig {
        /// Why fetching fails.
        async fn error(&self, url: &str, sum: &Sha256) -> ArtifactError {
            let fetched = self.downloader.fetch(url, sum, &Reporter::default()).await;
            fetched.expect_err("it is not the artifact")
        }
    }

    fn rig() -> Rig {
        let directory = tempfile::tempdir().unwrap();
        let store = ArtifactStore::new(directory.path().join("programs"));
        let roots = HostRoots::in_file(PathBuf::from("/nonexistent"));
        Rig {
            downloader: Downloader::new(store.clone(), roots),
            store,
            _directory: directory,
        }
    }

    /// A server that gives each connection the next answer; what it was asked comes back.
    async fn serve(answers: Vec<Vec<u8>>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let base = address.clone();
        let asked = tokio::spawn(async move {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut connection, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let read = connection.read(&mut request).await.unwrap();
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                asked.push(request.lines().next().unwrap_or_default().to_owned());
                let answer = match std::str::from_utf8(&answer) {
                    Ok(text) => text.replace("{base}", &base).into_bytes(),
                    Err(_) => answer,
                };
                // A client that has had enough may be gone.
                let _ = connection.write_all(&answer).await;
            }
            asked
        });
        (address, asked)
    }

    fn ok(body: &[u8]) -> Vec<u8> {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    }

    #[tokio::test]
    async fn an_artifact_comes_with_progress_over_a_redirect() {
        let rig = rig();
        let body = binary(&"x".repeat(3 * 1024 * 1024));
        let redirect = b"HTTP/1.1 302 Found\r\nLocation: {base}/there?signature=1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let (address, asked) = serve(vec![redirect.to_vec(), ok(&body)]).await;
        let reporter = Reporter::default();
        let (_, mut events) = reporter.subscribe();
        let sum = Sha256::of(&body);
        let url = format!("{address}/here?token=secret");
        rig.downloader.fetch(&url, &sum, &reporter).await.unwrap();
        assert!(rig.store.holds(&sum).unwrap());
        assert_eq!(
            asked.await.unwrap(),
            [
                "GET /here?token=secret HTTP/1.1",
                "GET /there?signature=1 HTTP/1.1"
            ]
        );
        let mut last = None;
        while let Ok(event) = events.try_recv() {
            last = event.event;
        }
        let Some(Event::Pull(last)) = last else {
            panic!("progress is told");
        };
        let size = u64::try_from(body.len()).unwrap();
        assert_eq!((last.current, last.total), (size, size));
        assert_eq!(last.image, format!("{address}/here"));
    }

    #[tokio::test]
    async fn another_sum_leaves_nothing_behind() {
        let rig = rig();
        let (address, _asked) = serve(vec![ok(&binary("evil"))]).await;
        let sum = Sha256::of(&binary("good"));
        let error = rig.error(&address, &sum).await;
        assert!(matches!(error, ArtifactError::SumDiffers { .. }), "{error}");
        assert_eq!(error.class(), FailureClass::Permanent);
        assert!(!rig.store.holds(&sum).unwrap());
        let left = std::fs::read_dir(rig.store.incoming().unwrap()).unwrap();
        assert_eq!(left.count(), 0);
    }

    #[tokio::test]
    async fn answers_that_are_not_the_artifact_have_their_class() {
        let cases = [
            (
                "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
                FailureClass::Permanent,
            ),
            (
                "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
                FailureClass::Transient,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nhalf",
                FailureClass::Transient,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n",
                FailureClass::Permanent,
            ),
        ];
        for (answer, class) in cases {
            let rig = rig();
            let (address, _asked) = serve(vec![answer.as_bytes().to_vec()]).await;
            let sum = Sha256::of(b"x");
            let error = rig.error(&address, &sum).await;
            assert_eq!(error.class(), class, "{answer}");
        }
    }

    #[tokio::test]
    async fn redirects_without_end_are_left() {
        let rig = rig();
        let redirect = b"HTTP/1.1 302 Found\r\nLocation: {base}/again\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let (address, asked) = serve(vec![redirect.to_vec(); 6]).await;
        let sum = Sha256::of(b"x");
        let error = crate::error::chain(&rig.error(&address, &sum).await);
        assert!(error.contains("too many redirects"), "{error}");
        assert_eq!(asked.await.unwrap().len(), 6);
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_transient() {
        let rig = rig();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/x?token=secret", listener.local_addr().unwrap());
        drop(listener);
        let sum = Sha256::of(b"x");
        let error = rig.error(&url, &sum).await;
        assert_eq!(error.class(), FailureClass::Transient);
        assert!(!crate::error::chain(&error).contains("secret"));
    }
}
