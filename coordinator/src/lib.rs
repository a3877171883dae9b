//! The brain of omni-scale: it reads the deployment, observes through agents, computes a plan,
//! shows it, and runs exactly it.

pub mod agents;
pub mod deployment;
pub mod document;
pub mod image;
pub mod plan;
pub mod rollout;
