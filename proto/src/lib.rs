//! The contract between the omni-scale coordinator and its agents.
