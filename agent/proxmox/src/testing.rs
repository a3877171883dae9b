//! What tests need: a record of what is said, and the gate that holds tables of calls against the published schema.
//!
//! Nothing of it is in a product.

mod noise;
mod record;
pub mod schema;
mod wire;

pub use noise::read_everything;
pub use record::Record;
pub use wire::Wire;

pub(crate) use record::Draft;
