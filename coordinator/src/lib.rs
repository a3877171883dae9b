//! The brain of omni-scale: it reads the deployment, observes through agents, computes a plan,
//! shows it, and runs exactly it.

pub mod plan;
