//! How long to wait and how much to read.

use std::time::Duration;

/// The bounds of one request. A call that moves an image takes its own time limit instead of `answer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// For the name, the connection and the TLS handshake together. 10 s by default.
    pub connect: Duration,
    /// From the request's first byte to the answer's last one. 45 s by default: a request for another
    /// node is given up by Proxmox after 30 s (pve-http-server, AnyEvent.pm:835), a 401 is held back for 3 s.
    pub answer: Duration,
    /// In bytes; a longer answer is an error. 16 MiB by default: `/cluster/resources` of 10,000 VMs has 5.
    pub largest_answer: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(45),
            largest_answer: 16 * 1024 * 1024,
        }
    }
}
