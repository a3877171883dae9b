//! What tests need: a record of what is said, and the gate that holds tables of calls against the published schema.
//!
//! Nothing of it is in a product.

mod noise;
mod record;
pub mod schema;

pub use noise::read_everything;
pub use record::Record;

pub(crate) use record::Draft;
