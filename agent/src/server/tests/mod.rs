//! The agent as callers meet it: real TCP, real TLS, the real role table, the real host service. Only the tailnet is a
//! double, and the address is loopback's.

mod authorisation;
mod enrolment;
mod gate;
mod machines;
mod rig;
mod services;
mod tailnet;
