//! A body that ends when the right to it does, with the reason in its trailers.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use hyper::body::{Bytes, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

/// Frames of an answer that is there at once: its message and its trailers. No timer is set for it.
const AT_ONCE: u8 = 2;

/// The body of an answer. Whatever makes it is dropped when the right is lost.
pub struct GuardedBody {
    /// `None`: it has ended.
    body: Option<Body>,
    /// Frames that passed, up to [`AT_ONCE`].
    passed: u8,
    lost: BoxFuture<'static, Status>,
}

impl GuardedBody {
    /// Passes `body` on until `lost` is ready.
    pub const fn new(body: Body, lost: BoxFuture<'static, Status>) -> Self {
        Self {
            body: Some(body),
            passed: 0,
            lost,
        }
    }
}

impl hyper::body::Body for GuardedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        if this.passed < AT_ONCE
            && let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(context)
        {
            this.passed += 1;
            return Poll::Ready(frame);
        }
        this.passed = AT_ONCE;
        if let Poll::Ready(status) = this.lost.poll_unpin(context) {
            this.body = None;
            let mut trailers = HeaderMap::new();
            let added = status.add_header(&mut trailers);
            return Poll::Ready(Some(added.map(|()| Frame::trailers(trailers))));
        }
        Pin::new(body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body
            .as_ref()
            .is_none_or(hyper::body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(body) => body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::{pending, ready};
    use http_body_util::{BodyExt as _, StreamBody};

    /// Waits once for somebody else, and then has words.
    fn later() -> Body {
        let frames = futures_util::stream::once(async {
            tokio::task::yield_now().await;
            Ok::<_, Status>(Frame::data(Bytes::from_static(b"words")))
        });
        Body::new(StreamBody::new(frames))
    }

    #[tokio::test]
    async fn a_body_passes_while_the_right_is_there() {
        let body = GuardedBody::new(later(), pending().boxed());
        assert_eq!(body.collect().await.unwrap().to_bytes(), "words");
    }

    #[tokio::test]
    async fn a_body_ends_with_the_reason_when_the_right_is_lost() {
        let lost = ready(Status::permission_denied("taken back")).boxed();
        let collected = GuardedBody::new(later(), lost).collect().await.unwrap();
        let trailers = collected.trailers().unwrap().clone();
        assert_eq!(trailers["grpc-status"], "7");
        assert_eq!(trailers["grpc-message"], "taken%20back");
        assert!(collected.to_bytes().is_empty());
    }

    #[tokio::test]
    async fn a_body_that_never_waits_ends_too() {
        let endless = futures_util::stream::repeat_with(|| {
            Ok::<_, Status>(Frame::data(Bytes::from_static(b".")))
        });
        let lost = ready(Status::permission_denied("taken back")).boxed();
        let body = GuardedBody::new(Body::new(StreamBody::new(endless)), lost);
        let collected = body.collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()["grpc-status"], "7");
        assert_eq!(collected.to_bytes().len(), usize::from(AT_ONCE));
    }
}
