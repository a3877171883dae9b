//! What the API answers with, as types. Read tolerantly, checked where it matters.

mod config;
mod content;
mod guest;
mod node;
mod options;
mod permissions;
mod resource;
mod status;
mod storage;
mod version;

pub use config::{ConfiguredDisk, VmConfig};
pub use content::{Content, ContentKind};
pub use guest::{GuestAddress, GuestInterface};
pub use node::{Interface, Memory, Node, NodeDns, NodeState, NodeStatus, Processor, UrlMetadata};
pub use options::DatacenterOptions;
pub use permissions::Permissions;
pub use resource::{Resource, ResourceKind};
pub use status::{PowerState, VmStatus};
pub use storage::Storage;
pub use version::Version;

pub(crate) use content::Contents;
pub(crate) use guest::GuestInterfaces;
