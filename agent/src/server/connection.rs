//! A connection whose other end is known, whatever carries it.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

use super::identity::Caller;

/// A byte stream and who is at its other end. Tests give it a duplex stream and a caller of their
/// choice; the listener a TLS stream and whom its certificate names.
pub struct Connection<Stream> {
    stream: Stream,
    caller: Caller,
    /// `None`: it stays as long as both ends want.
    over: Option<BoxFuture<'static, ()>>,
}

impl<Stream> Connection<Stream> {
    /// Binds a stream to its caller.
    pub const fn new(stream: Stream, caller: Caller) -> Self {
        Self {
            stream,
            caller,
            over: None,
        }
    }

    /// Ends the connection when `over` is ready, whatever the other end does.
    #[must_use]
    pub fn until(self, over: impl Future<Output = ()> + Send + 'static) -> Self {
        Self {
            over: Some(over.boxed()),
            ..self
        }
    }
}

impl<Stream> fmt::Debug for Connection<Stream> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Connection")
            .field("caller", &self.caller)
            .finish_non_exhaustive()
    }
}

impl<Stream> Connected for Connection<Stream> {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl<Stream: AsyncRead + Unpin> AsyncRead for Connection<Stream> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(over) = &mut self.over
            && over.poll_unpin(context).is_ready()
        {
            let reason = "this host has another tailnet address by now";
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                reason,
            )));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<Stream: AsyncWrite + Unpin> AsyncWrite for Connection<Stream> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    fn caller() -> Caller {
        Caller::Unidentified {
            reason: "a test".to_owned(),
            peer: None,
        }
    }

    #[tokio::test]
    async fn a_connection_ends_when_it_is_over_and_not_before() {
        for over in [false, true] {
            let (mut other, stream) = duplex(16);
            let connection = Connection::new(stream, caller());
            let mut connection = if over {
                connection.until(ready(()))
            } else {
                connection.until(pending())
            };
            other.write_all(b"a").await.unwrap();
            let read = connection.read_u8().await;
            assert_eq!(read.is_err(), over, "{read:?}");
        }
    }
}
