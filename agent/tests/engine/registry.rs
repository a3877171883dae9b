//! A registry of our own on a free port of 127.0.0.1, and images of busybox in it.

use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::time::Duration;

use bollard::Docker;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, CreateContainerOptions, CreateImageOptionsBuilder,
    PushImageOptionsBuilder, RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder,
};
use futures_util::TryStreamExt as _;

/// A running registry; ends when dropped.
pub(crate) struct Registry {
    pub(crate) address: String,
    child: Child,
    _directory: tempfile::TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Registry {
    /// Starts one, and waits until it answers.
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap().port()
        };
        let address = format!("127.0.0.1:{port}");
        let configuration = directory.path().join("registry.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: {address}}}\n",
            directory.path().join("storage").display()
        );
        omni_scale_agent::files::write_atomically(&configuration, text.as_bytes(), 0o600).unwrap();
        #[expect(
            clippy::disallowed_methods,
            reason = "a real registry is a program of its own"
        )]
        let child = std::process::Command::new("docker-registry")
            .arg("serve")
            .arg(&configuration)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("`docker-registry` starts; it is in the Debian package of that name");
        let registry = Self {
            address,
            child,
            _directory: directory,
        };
        registry.answers().await;
        registry
    }

    async fn answers(&self) {
        let connected = async {
            while tokio::net::TcpStream::connect(&self.address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), connected)
            .await
            .expect("the registry listens within 20 s");
    }

    /// Pushes an image of busybox with a second layer that holds `content`; returns its reference
    /// by digest. The Engine keeps nothing of it.
    pub(crate) async fn publish(
        &self,
        docker: &Docker,
        name: &str,
        user: &str,
        content: &str,
    ) -> String {
        let repository = format!("{}/{name}", self.address);
        let options = CreateImageOptionsBuilder::new()
            .from_src("-")
            .repo(&repository)
            .tag("base")
            .build();
        let archive = bollard::body_full(busybox(&repository).into());
        let _: Vec<_> = docker
            .create_image(Some(options), Some(archive), None)
            .try_collect()
            .await
            .expect("an image can be imported");
        let base = format!("{repository}:base");
        let container = docker
            .create_container(
                None::<CreateContainerOptions>,
                ContainerCreateBody {
                    image: Some(base.clone()),
                    cmd: Some(vec!["/bin/true".to_owned()]),
                    ..ContainerCreateBody::default()
                },
            )
            .await
            .unwrap();
        let layer = archive_of(&[("etc/layer", content.as_bytes(), 0o644)]);
        docker
            .upload_to_container(
                &container.id,
                Some(
                    bollard::query_parameters::UploadToContainerOptionsBuilder::new()
                        .path("/")
                        .build(),
                ),
                bollard::body_full(layer.into()),
            )
            .await
            .unwrap();
        let options = CommitContainerOptionsBuilder::new()
            .container(&container.id)
            .repo(&repository)
            .tag("v1")
            .changes(&format!(
                "USER {user}\nCMD [\"/bin/busybox\",\"sleep\",\"1000\"]"
            ))
            .build();
        docker
            .commit_container(options, bollard::models::ContainerConfig::default())
            .await
            .unwrap();
        let options = RemoveContainerOptionsBuilder::new().force(true).build();
        docker
            .remove_container(&container.id, Some(options))
            .await
            .unwrap();
        let options = PushImageOptionsBuilder::new().tag("v1").build();
        let _: Vec<_> = docker
            .push_image(&repository, Some(options), None)
            .try_collect()
            .await
            .expect("an image can be pushed");
        let tagged = format!("{repository}:v1");
        let digest = docker
            .inspect_registry_image(&tagged, None)
            .await
            .unwrap()
            .descriptor
            .digest
            .unwrap();
        for reference in [&tagged, &base, &format!("{repository}@{digest}")] {
            let options = RemoveImageOptionsBuilder::new().force(true).build();
            let _ = docker.remove_image(reference, Some(options), None).await;
        }
        format!("{tagged}@{digest}")
    }
}

/// A static program that needs nothing of an image.
pub(crate) fn program() -> Vec<u8> {
    ["/bin/busybox", "/usr/bin/busybox"]
        .into_iter()
        .find_map(|path| std::fs::read(path).ok())
        .expect("a static busybox; it is in the Debian package `busybox-static`")
}

/// A root file system of one static program and its links. `mark` makes it a layer of its own,
/// which no other image on the Engine has.
fn busybox(mark: &str) -> Vec<u8> {
    let program = program();
    let mut builder = tar::Builder::new(archive_builder(&[
        ("bin/busybox", &program, 0o755),
        (
            "etc/passwd",
            b"root:x:0:0::/:/bin/sh\nomni:x:1000:1001::/:/bin/sh\n",
            0o644,
        ),
        ("etc/mark", mark.as_bytes(), 0o644),
        ("etc/group", b"root:x:0:\nomni:x:1001:\n", 0o644),
    ]));
    for name in [
        "sh", "sleep", "stat", "cat", "true", "test", "httpd", "echo", "touch", "wget", "kill",
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        header.set_mode(0o777);
        builder
            .append_link(&mut header, format!("bin/{name}"), "busybox")
            .unwrap();
    }
    builder.into_inner().unwrap()
}

fn archive_of(files: &[(&str, &[u8], u32)]) -> Vec<u8> {
    tar::Builder::new(archive_builder(files))
        .into_inner()
        .unwrap()
}

/// Entries without the end, so that more can follow.
fn archive_builder(files: &[(&str, &[u8], u32)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content, mode) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(*mode);
        builder.append_data(&mut header, path, *content).unwrap();
    }
    builder.get_ref().clone()
}
