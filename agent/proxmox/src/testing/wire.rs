//! Connections in memory, for tests whose time is paused: a real socket would let it run ahead.

use std::{fmt, sync::Arc};

use tokio::io::DuplexStream;

/// Makes the client's ends of connections; whoever made it answers on the other ends, in plain HTTP.
#[derive(Clone)]
pub struct Wire(Arc<dyn Fn() -> DuplexStream + Send + Sync>);

impl Wire {
    /// Connections that `connect` makes.
    pub fn new(connect: impl Fn() -> DuplexStream + Send + Sync + 'static) -> Self {
        Self(Arc::new(connect))
    }

    pub(crate) fn connect(&self) -> DuplexStream {
        (self.0)()
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Wire")
    }
}
