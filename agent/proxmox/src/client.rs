//! The client: one method per call, by what is asked about.

mod cluster;
mod node;
mod storage;
mod task;
mod vm;

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    Address, ApiToken, Bounds, Error, PeerCertificate, Trust, TrustError, Upid, answer,
    exchange::{Failure, Peer, exchange},
    request::Request,
    trust::Verifier,
};

/// A client of one node's API, which speaks for the whole cluster. Cheap to clone.
///
/// Every method sends one request, or as many as a list has pages; none is repeated. What a mutation that returns a
/// task has done is known when the task has ended ([`Client::wait`]).
#[derive(Debug, Clone)]
pub struct Client {
    peer: Arc<Peer>,
    token: ApiToken,
    #[cfg(feature = "testing")]
    record: Option<Arc<crate::testing::Record>>,
}

impl Client {
    /// A client that asks `address` with `token`, and believes whom `trust` says. Connects to nobody yet.
    pub fn new(
        address: Address,
        token: ApiToken,
        trust: &Trust,
        bounds: Bounds,
    ) -> Result<Self, TrustError> {
        let peer = Peer {
            address,
            verifier: Verifier::new(trust)?,
            authorization: token
                .header()
                .expect("the token was checked when it was made"),
            bounds,
            #[cfg(feature = "testing")]
            wire: None,
        };
        Ok(Self {
            peer: Arc::new(peer),
            token,
            #[cfg(feature = "testing")]
            record: None,
        })
    }

    /// The same client, which writes what is said to `record`.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn recorded(mut self, record: Arc<crate::testing::Record>) -> Self {
        self.record = Some(record);
        self
    }

    /// The same client over connections of a test's own making, without TCP and TLS: time can be paused.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn over(mut self, wire: crate::testing::Wire) -> Self {
        self.peer = Arc::new(Peer {
            wire: Some(wire),
            ..(*self.peer).clone()
        });
        self
    }

    /// Who asks, as it stands in UPIDs.
    pub fn token_id(&self) -> &str {
        self.token.id()
    }

    /// Who is asked.
    pub fn address(&self) -> &Address {
        &self.peer.address
    }

    /// The certificate that the node showed last; `None` before the first connection.
    pub fn certificate(&self) -> Option<PeerCertificate> {
        self.peer.verifier.shown()
    }

    /// Sends a request and reads its data.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<T, Error> {
        let asked = Box::new(request.asked(&self.peer.address));
        let data = self.send(request).await?;
        answer::typed(asked, data)
    }

    /// Sends a request that begins a task.
    pub(crate) async fn begin(&self, request: Request) -> Result<Upid, Error> {
        self.ask(request).await
    }

    async fn send(&self, request: Request) -> Result<Value, Error> {
        let asked = Box::new(request.asked(&self.peer.address));
        #[cfg(feature = "testing")]
        let draft = self
            .record
            .as_ref()
            .map(|_| crate::testing::Draft::of(&request));
        let outcome = exchange(&self.peer, request).await;
        #[cfg(feature = "testing")]
        if let (Some(record), Some(draft)) = (&self.record, draft) {
            record.write(&draft, outcome.as_ref().ok());
        }
        match outcome {
            Ok(answer) => answer::data(asked, &answer, &self.token),
            Err(Failure::Connect(source)) => Err(Error::Unreachable { asked, source }),
            Err(Failure::Source(source)) => Err(Error::Unsendable { asked, source }),
            Err(Failure::Lost(source)) => Err(Error::Lost { asked, source }),
        }
    }
}

#[cfg(test)]
mod tests;
