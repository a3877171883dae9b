//! The program as a whole, in process: typed words in, text and exit codes out.
//!
//! Agents are models of hosts behind real gRPC and TLS, on a network in memory, under a paused
//! clock. Nothing here waits for anything but work.

mod beginning;
mod confidential;
mod control;
mod desk;
mod documents;
mod exits;
mod machines;
mod mistakes;
mod operators;
mod rollout;
mod secrets;

use desk::{Desk, IDP, OMNI, VALUE};
