//! YAML documents as trees that know where each part stands.
//!
//! Deployment and Compose files are read from these trees, not through serde, because a person
//! who has made three mistakes wants to hear of three, each with its line and column.
//!
//! Invariants: a tree is finite and bounded in size (aliases are copied, up to a limit), keys of a
//! mapping are unique text, merge keys (`<<`) are already resolved. Reading never panics.

mod fields;
mod node;
mod parse;
mod problem;
mod suggestion;

pub use fields::Fields;
pub use node::{Content, Entry, Node, Scalar, ScalarKind};
pub use parse::parse;
pub use problem::{Location, Problem, Problems, Report};
pub use suggestion::nearest;
