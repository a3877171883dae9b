//! Whole runs in process: the real coordinator against real agents, over gRPC and TLS on a network
//! in memory. Foreign parts (systemd, the Engine, tailscaled, products) are models; everything
//! between the command line and the ports of the agent is the real thing, ledger and journal on
//! the disk included. Time is paused, so nothing waits and nothing depends on how fast a machine is.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod boundaries;
mod cluster;
mod desk;
mod disturbed;
mod host;
mod machines;
mod operators;
mod rollout;
mod site;
mod unknown;
