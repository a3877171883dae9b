//! What the program takes from its surroundings: the environment and the places of its files.
//!
//! This is the only module that reads environment variables. They are read once, in `main`, and
//! passed down by value.

mod directories;
mod environment;

pub use directories::{Directories, NoHome};
pub use environment::Environment;
