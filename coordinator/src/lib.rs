//! The brain of omni-scale: it reads the deployment, observes through agents, computes a plan,
//! shows it, and runs exactly it.

pub mod agents;
pub mod arguments;
pub mod compose;
pub mod config;
pub mod deployment;
pub mod document;
pub mod exit;
pub mod files;
pub mod image;
pub mod journal;
pub mod output;
pub mod pki;
pub mod plan;
pub mod render;
pub mod rollout;
