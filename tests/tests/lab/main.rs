//! What must hold on real hosts: on the lab that `tests/lab/up` has brought up.
//!
//! Every test leaves the lab as it found it: rolled out, everything running. They take turns,
//! because there is one lab. Each says how long it took.

mod client;
mod compose;
mod control;
mod coordinators;
mod from_nothing;
mod hosts;
mod kills;
mod nodes;
mod operators;
mod plans;
mod policy;
mod reboot;
mod rollout;
mod running;
mod seed;
mod site;
mod tailnet;
mod upgrades;
mod watching;
