//! What is to be done, decided before anything is done.

mod desired;

pub use desired::{Desired, DesiredHost, DesiredIdentity, DesiredSecret, DesiredStack, Wave};
