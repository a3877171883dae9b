//! A cluster of three nodes, and short ways to ask it.

use std::fs::OpenOptions;
use std::io::Write as _;

use omni_scale_proxmox_simulator::{
    Answer, Cluster, Method, Outcome, RemoteImage, Reply, Request, TOKEN, encode,
};
use serde_json::Value;

/// The image that `download-url` finds.
pub(crate) const IMAGE_URL: &str = "https://images.example/debian.qcow2";
/// Its SHA-256.
pub(crate) const IMAGE_SUM: &str =
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
/// Where the tests keep it.
pub(crate) const IMAGE: &str = "local:import/debian.qcow2";

pub(crate) struct Lab {
    pub(crate) cluster: Cluster,
    token: &'static str,
}

/// With `OMNI_SCALE_PROXMOX_TRAFFIC`, all that was said is appended to the file it names, for
/// `tests/tools/judge-proxmox-traffic`.
impl Drop for Lab {
    fn drop(&mut self) {
        #[expect(
            clippy::disallowed_methods,
            reason = "the harness says where the judge looks"
        )]
        let Ok(path) = std::env::var("OMNI_SCALE_PROXMOX_TRAFFIC") else {
            return;
        };
        let lines: String = self
            .cluster
            .take_recorded()
            .iter()
            .map(|exchange| serde_json::json!(exchange).to_string() + "\n")
            .collect();
        let file = OpenOptions::new().create(true).append(true).open(path);
        // One write, so that lines of several tests do not mix.
        file.and_then(|mut file| file.write_all(lines.as_bytes()))
            .expect("the traffic is kept");
    }
}

impl Lab {
    pub(crate) fn new() -> Self {
        let mut cluster = Cluster::with_nodes(1, 3);
        cluster.record();
        let image = RemoteImage {
            size: 300 << 20,
            virtual_size: 3 << 30,
            sums: [("sha256".to_owned(), IMAGE_SUM.to_owned())].into(),
            reachable: true,
        };
        cluster.images.insert(IMAGE_URL.to_owned(), image);
        Self {
            cluster,
            token: TOKEN,
        }
    }

    /// As somebody with other rights.
    pub(crate) fn with_token(mut self, token: &'static str) -> Self {
        self.token = token;
        self
    }

    pub(crate) fn outcome(&mut self, request: Request) -> Outcome {
        self.cluster.handle(&request.token(self.token))
    }

    pub(crate) fn send(&mut self, request: Request) -> Answer {
        match self.outcome(request).reply {
            Reply::Answer(answer) => answer,
            Reply::Cut => panic!("the connection was cut"),
        }
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.send(Request::new(Method::Get, path))
    }

    pub(crate) fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.send(Request::new(Method::Post, path).form(fields))
    }

    pub(crate) fn put(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.send(Request::new(Method::Put, path).form(fields))
    }

    pub(crate) fn delete(&mut self, path: &str) -> Answer {
        self.send(Request::new(Method::Delete, path))
    }

    /// The data of an answer that must be 200.
    pub(crate) fn data(&mut self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.reason);
        answer.data().clone()
    }

    /// How the task of an answer ends; time goes on until it does.
    pub(crate) fn ends(&mut self, answer: &Answer) -> String {
        assert_eq!(answer.status, 200, "{}", answer.reason);
        let upid = answer.data().as_str().expect("a UPID").to_owned();
        assert!(self.cluster.settle(), "the task never ended");
        let task = self
            .cluster
            .tasks
            .iter()
            .find(|task| task.upid == upid)
            .expect("the task");
        task.ended.as_ref().expect("an end").exit_status.clone()
    }

    /// A form that must be taken, and a task that must end well.
    pub(crate) fn done(&mut self, path: &str, fields: &[(&str, &str)]) {
        let answer = self.post(path, fields);
        assert_eq!(self.ends(&answer), "OK");
    }

    /// Loads the image to a node.
    pub(crate) fn image(&mut self, node: &str) {
        let fields = [
            ("content", "import"),
            ("filename", "debian.qcow2"),
            ("url", IMAGE_URL),
            ("checksum", IMAGE_SUM),
            ("checksum-algorithm", "sha256"),
        ];
        self.done(
            &format!("/nodes/{node}/storage/local/download-url"),
            &fields,
        );
    }

    /// A VM with a disk, a NIC and a name.
    pub(crate) fn vm(&mut self, node: &str, vmid: u32) {
        let vmid = vmid.to_string();
        self.done(
            &format!("/nodes/{node}/qemu"),
            &[
                ("vmid", &vmid),
                ("name", "a"),
                ("scsi0", "fast:8"),
                ("net0", NET),
            ],
        );
    }
}

/// A NIC on the bridge that every node has.
pub(crate) const NET: &str = "virtio,bridge=vmbr0";

/// A path to a UPID's part.
pub(crate) fn task_path(node: &str, upid: &str, part: &str) -> String {
    format!("/nodes/{node}/tasks/{}/{part}", encode(upid))
}

/// The message for one parameter of a 400.
pub(crate) fn fault_of(answer: &Answer, parameter: &str) -> String {
    assert_eq!(answer.status, 400, "{}", answer.reason);
    answer.body.as_ref().expect("a body")["errors"][parameter]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}
