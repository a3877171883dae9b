//! Stacks: the containers of one Compose project, made and kept as a typed description says.
//!
//! What comes in is a [`CheckedStack`](omni_scale_proto::stack::CheckedStack); YAML is never seen here. [`engine`] is
//! the port to a container engine and [`docker`] its adapter; [`container`], [`archive`], [`policy`] and [`observe`]
//! are pure; [`Stacks`] is what the RPC methods use. Nothing here removes a volume.

pub mod applied;
mod apply;
pub mod archive;
mod checks;
mod conditions;
pub mod container;
mod control;
pub mod docker;
pub mod engine;
pub mod feed;
mod health;
pub mod labels;
mod left_behind;
pub mod logs;
mod node;
pub mod observe;
pub mod policy;
pub mod probe;
mod resolve;
mod stacks;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod text;
mod watch;

pub use apply::Apply;
pub use conditions::ended;
pub use control::{Control, ControlAction, UnknownAction};
pub use health::StackHealth;
pub use left_behind::start_left_behind;
pub use logs::ReadLogs;
pub use stacks::Stacks;
