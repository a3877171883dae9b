//! What is asked of an issuer and how its answers are read; and the adapter against a real server.

mod answers;
mod https;
mod server;
