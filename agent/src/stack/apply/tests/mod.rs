//! The executor against the model of an engine.

mod faults;
mod files;
mod order;
mod refusals;

use std::time::Duration;

use omni_scale_proto::stack::CheckedStack;
use omni_scale_proto::v1;
use tokio::time::Instant;

use super::Apply;
use crate::stack::testing::{self, StackHost};

/// The example stack with another image for one service.
fn with_newer_image(service: &str) -> v1::Stack {
    let mut stack = testing::stack();
    let service = stack
        .services
        .iter_mut()
        .find(|other| other.name == service)
        .unwrap();
    service.image = testing::image(&format!("registry.example/{}", service.name), '2');
    stack
}
