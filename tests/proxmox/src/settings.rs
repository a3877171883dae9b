//! What a simulated cluster is told about itself: its version's habits and how long things take.
//!
//! All times are milliseconds of virtual time.

use serde::{Deserialize, Serialize};

/// Habits and durations. Every field has a default, so that a start file names only what matters to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What `GET /version` says.
    pub version: String,
    /// Whether messages are in the reason phrase only: libpve-http-server-perl before 5.2.0, early 8.x (facts §1.2).
    pub reason_only: bool,
    /// For how long a new task is still unknown to `status` and `log` (facts §1.7; bpg retries 400 for this).
    pub task_unknown_ms: u64,
    /// How often nodes broadcast names and states of their VMs to `/cluster/resources` (facts §1.8: about 10 s).
    pub broadcast_ms: u64,
    /// The range of `GET /cluster/nextid`, end not included (facts §1.4).
    pub next_id: (u32, u32),
    /// The tags that a token without `Sys.Modify` may set (`user-tag-access: list`, facts §1.8); all by default.
    pub registered_tags: Option<Vec<String>>,
    /// Time of a create without disks.
    pub create_ms: u64,
    /// Time that an allocation holds its storage's lock.
    pub allocate_ms: u64,
    /// How fast an import copies, in bytes of virtual size per second.
    pub copy_per_second: u64,
    /// How fast `download-url` loads, in bytes per second.
    pub download_per_second: u64,
    /// Time of an upload's task.
    pub upload_ms: u64,
    /// Time to start a VM.
    pub start_ms: u64,
    /// Time to stop one.
    pub stop_ms: u64,
    /// Time until a new guest has shut down by itself.
    pub guest_shutdown_ms: u64,
    /// Time to delete one.
    pub destroy_ms: u64,
    /// Time to resize a disk.
    pub resize_ms: u64,
    /// Time to change a configuration.
    pub config_ms: u64,
    /// Time to remove a file from a storage.
    pub remove_ms: u64,
    /// Time until the HA manager does what a task asked it for.
    pub ha_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: "9.2.11".to_owned(),
            reason_only: false,
            task_unknown_ms: 200,
            broadcast_ms: 10_000,
            next_id: (100, 1_000_000),
            registered_tags: None,
            create_ms: 300,
            allocate_ms: 500,
            copy_per_second: 512 << 20,
            download_per_second: 64 << 20,
            upload_ms: 300,
            start_ms: 1_500,
            stop_ms: 500,
            guest_shutdown_ms: 4_000,
            destroy_ms: 800,
            resize_ms: 400,
            config_ms: 100,
            remove_ms: 200,
            ha_ms: 8_000,
        }
    }
}
