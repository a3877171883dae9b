//! What stands in for Omni and its Proxmox provider in the lab, where their images cannot be had.
//!
//! Seen from outside (flags, files, ports, messages, exit codes, time taken) the programs behave as the real ones were
//! seen to behave; what they cannot know they refuse rather than invent. They manage nothing.
//! What the lab asks of them beyond that is below `/stand-in/`, which is not the real product's API.

pub mod environment;
pub mod failure;
pub mod keys;
mod log;
pub mod omni;
pub mod pace;
pub mod provider;
