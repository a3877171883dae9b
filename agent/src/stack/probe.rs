//! Asking from inside a container's network namespace.
//!
//! The agent cannot enter it (no capability), and images may be empty, so the probe program of the
//! package is made an image of one file, named by its sum, and run in a container of its own that
//! joins the namespace: no capabilities, read-only, an unprivileged user, few processes, little
//! memory, bounded in time, removed. The request goes in by standard input: with the host's roots
//! in it, it is too large for an argument, and a read-only container takes no files.

use std::path::PathBuf;
use std::time::Duration;

use omni_scale_probe::{ProbeReport, ProbeRequest};
use omni_scale_proto::id::Sha256;
use omni_scale_proto::v1;
use rand::RngCore as _;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use super::archive::{self, Owner, PreparedFile};
use super::engine::{
    CommandOutput, ContainerSpecification, Engine, EngineError, NetworkAttachment, OneShot,
};
use super::labels;
use crate::clock;
use crate::files;
use crate::secrets::SecretValue;

/// Repository of the image, which is never pulled.
const REPOSITORY: &str = "omni-scale-probe";
/// The one file of the image.
const PROGRAM: &str = "/omni-scale-probe";
/// The largest program that is read, in bytes.
const LARGEST_PROGRAM: u64 = 64 * 1024 * 1024;
/// Beyond the request's own bound: creating, starting and removing the container.
const MARGIN: Duration = Duration::from_secs(20);
/// Most memory of a probe, in bytes.
const MEMORY: u64 = 64 * 1024 * 1024;
/// `nobody`, in every distribution.
const NOBODY: &str = "65534:65534";

/// Why a probe could not be taken. A probe that was taken and failed has a report.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The program of the package cannot be read.
    #[error("the probe `{}` is not there", path.display())]
    NoProgram {
        /// Where it should be.
        path: PathBuf,
    },
    /// The program of the package cannot be read.
    #[error(transparent)]
    Program(#[from] files::FileError),
    /// The Engine did not do it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The program did not report.
    #[error("the probe ended with exit code {exit_code}: {said}")]
    Silent {
        /// Of the program.
        exit_code: i64,
        /// What it said instead, in short.
        said: String,
    },
    /// The request cannot be written, or the program cannot be put into an image.
    #[error("the probe cannot be prepared")]
    Prepare(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The probe program as an image, made when it is first needed.
#[derive(Debug)]
pub struct ProbeImage {
    program: PathBuf,
    /// `omni-scale-probe:TAG`, once it is there.
    image: OnceCell<String>,
}

impl ProbeImage {
    /// The program at this path.
    pub fn new(program: PathBuf) -> Self {
        Self {
            program,
            image: OnceCell::new(),
        }
    }

    /// Takes a probe in the namespace of a container.
    pub async fn probe(
        &self,
        engine: &dyn Engine,
        container: &str,
        request: &ProbeRequest,
    ) -> Result<ProbeReport, ProbeError> {
        let input = serde_json::to_vec(request);
        let input = input.map_err(|error| ProbeError::Prepare(Box::new(error)))?;
        let bound = Duration::from_millis(request.timeout_milliseconds.into()) + MARGIN;
        let network = NetworkAttachment::Container(container.to_owned());
        let output = self.run(engine, network, Vec::new(), input, bound).await?;
        // 0 and 1 are answers; everything else is a probe that could not be taken.
        if matches!(output.exit_code, 0 | 1)
            && let Ok(report) = serde_json::from_slice(&output.stdout)
        {
            return Ok(report);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(ProbeError::Silent {
            exit_code: output.exit_code,
            said: said.trim().chars().take(300).collect(),
        })
    }

    /// Starts a container that is given a device of the host, and nothing to do.
    pub async fn try_device(
        &self,
        engine: &dyn Engine,
        device: &v1::Device,
    ) -> Result<(), ProbeError> {
        let devices = vec![device.clone()];
        self.run(engine, NetworkAttachment::None, devices, Vec::new(), MARGIN)
            .await?;
        Ok(())
    }

    async fn run(
        &self,
        engine: &dyn Engine,
        network: NetworkAttachment,
        devices: Vec<v1::Device>,
        input: Vec<u8>,
        bound: Duration,
    ) -> Result<CommandOutput, ProbeError> {
        let image = self.image.get_or_try_init(|| self.import(engine)).await?;
        sweep(engine).await?;
        let until = clock::now_milliseconds() + i64::try_from(bound.as_millis()).unwrap_or(0);
        let mut random = [0; 6];
        rand::thread_rng().fill_bytes(&mut random);
        let suffix = data_encoding::HEXLOWER.encode(&random);
        let one_shot = OneShot {
            container: ContainerSpecification {
                name: format!("{REPOSITORY}-{suffix}"),
                image: image.clone(),
                labels: [
                    (labels::PROBE.to_owned(), "run".to_owned()),
                    (labels::PROBE_UNTIL.to_owned(), until.to_string()),
                ]
                .into(),
                entrypoint: Some(vec![PROGRAM.to_owned()]),
                command: Some(Vec::new()),
                user: NOBODY.to_owned(),
                network,
                devices,
                capabilities_drop: vec!["ALL".to_owned()],
                security_options: vec!["no-new-privileges".to_owned()],
                read_only: true,
                restart: v1::RestartPolicy::No,
                // What it says comes back over the attached connection; nothing goes to the disk.
                logging: Some(v1::Logging {
                    driver: "none".to_owned(),
                    ..v1::Logging::default()
                }),
                process_limit: Some(32),
                memory_limit: Some(MEMORY),
                ..ContainerSpecification::default()
            },
            input,
            bound,
        };
        match engine.run_to_end(&one_shot).await {
            // Somebody has pruned the Engine's images.
            Err(EngineError::NotFound { .. }) if engine.image(image).await?.is_none() => {
                self.import(engine).await?;
                Ok(engine.run_to_end(&one_shot).await?)
            }
            ended => Ok(ended?),
        }
    }

    /// Makes the image unless it is there; forgets those of older programs.
    async fn import(&self, engine: &dyn Engine) -> Result<String, ProbeError> {
        let path = self.program.clone();
        let program = spawn_blocking(move || files::read(&path, LARGEST_PROGRAM)).await;
        let program = program
            .map_err(|error| ProbeError::Prepare(Box::new(error)))??
            .ok_or_else(|| ProbeError::NoProgram {
                path: self.program.clone(),
            })?;
        let tag: String = Sha256::of(&program).as_str().chars().take(12).collect();
        let image = format!("{REPOSITORY}:{tag}");
        if engine.image(&image).await?.is_none() {
            let archive = archive::archive(&[PreparedFile {
                path: PROGRAM.to_owned(),
                content: SecretValue::new(program),
                mode: 0o555,
                owner: Owner::default(),
            }]);
            let archive = archive.map_err(|error| ProbeError::Prepare(Box::new(error)))?;
            let label = format!("{}=image", labels::PROBE);
            engine.import(REPOSITORY, &tag, &label, archive).await?;
        }
        let ours = engine.labelled_images(labels::PROBE).await?;
        for old in ours.iter().filter(|name| **name != image) {
            // One that is in use goes next time.
            if let Err(error) = engine.forget_image(old).await {
                tracing::debug!(image = %old, %error, "an old probe image stays");
            }
        }
        Ok(image)
    }
}

/// Removes probes that have outlived their bound: an agent that was killed left them behind.
async fn sweep(engine: &dyn Engine) -> Result<(), EngineError> {
    let label = format!("{}=run", labels::PROBE);
    let now = clock::now_milliseconds();
    for left in engine.labelled_containers(&label).await? {
        let Some(details) = engine.container(&left).await? else {
            continue;
        };
        let until = details.labels.get(labels::PROBE_UNTIL);
        let until = until.and_then(|until| until.parse::<i64>().ok());
        if until.is_none_or(|until| until < now) {
            engine.stop(&left, Some(Duration::ZERO)).await?;
            engine.remove(&left).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use omni_scale_probe::BodyExpectation;

    use super::*;
    use crate::stack::engine::{Containers as _, Images as _};
    use crate::stack::testing::{StackHost, running_stack};

    const REPORT: &str = r#"{"url":"http://127.0.0.1:8080/healthz","met":true,"steps":[],"nameservers":[],"addresses":[],"elapsed_milliseconds":1}"#;

    fn request() -> ProbeRequest {
        ProbeRequest::status(
            "http://127.0.0.1:8080/healthz",
            200,
            BodyExpectation::Empty,
            "",
        )
    }

    async fn host() -> StackHost {
        let host = running_stack().await;
        let program = host.directory.path().join("omni-scale-probe");
        files::write_atomically(&program, b"\x7fELF", 0o755).unwrap();
        host.engine.answer("run", 0, REPORT);
        host
    }

    #[tokio::test(start_paused = true)]
    async fn the_image_is_made_once_and_again_when_it_is_gone() {
        let host = host().await;
        let asked = request();
        let probe = || host.stacks.probe.probe(&host.engine, "omni-omni-1", &asked);
        assert!(probe().await.unwrap().met);
        assert!(probe().await.unwrap().met);
        let imports = |calls: &[String]| {
            calls
                .iter()
                .filter(|call| call.starts_with("import"))
                .count()
        };
        assert_eq!(imports(&host.engine.calls()), 1);
        let image = host.stacks.probe.image.get().unwrap().clone();
        host.engine.forget_image(&image).await.unwrap();
        assert!(probe().await.unwrap().met);
        assert_eq!(imports(&host.engine.calls()), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_says_nothing_is_no_answer() {
        let host = host().await;
        host.engine.answer("run", 2, "");
        let error = host
            .stacks
            .probe
            .probe(&host.engine, "omni-omni-1", &request())
            .await
            .unwrap_err();
        assert!(
            matches!(error, ProbeError::Silent { exit_code: 2, .. }),
            "{error}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_probe_that_has_outlived_its_bound_is_swept() {
        let host = host().await;
        let left = |name: &str, until: i64| ContainerSpecification {
            name: name.to_owned(),
            image: crate::stack::testing::image("registry.example/omni", '1'),
            labels: [
                (labels::PROBE.to_owned(), "run".to_owned()),
                (labels::PROBE_UNTIL.to_owned(), until.to_string()),
            ]
            .into(),
            ..ContainerSpecification::default()
        };
        let now = clock::now_milliseconds();
        host.engine.create(&left("old", now - 1_000)).await.unwrap();
        host.engine
            .create(&left("running", now + 60_000))
            .await
            .unwrap();
        let probe = &host.stacks.probe;
        probe
            .probe(&host.engine, "omni-omni-1", &request())
            .await
            .unwrap();
        assert!(host.engine.named("old").is_none());
        assert!(host.engine.named("running").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_program_is_named() {
        let host = running_stack().await;
        let error = host
            .stacks
            .probe
            .probe(&host.engine, "omni-omni-1", &request())
            .await
            .unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("omni-scale-probe` is not there"),
            "{error}"
        );
    }
}
