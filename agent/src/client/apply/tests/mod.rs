//! Every way that an application can go, over a model of a tsidp.

mod observe;
mod register;
mod replace;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use omni_scale_proto::client::CheckedClient;
use omni_scale_proto::id::SecretName;
use omni_scale_proto::v1;
use omni_scale_proto::v1::SecretUse;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::client::fake::{Endpoint, FakeTsidp, HeldClient, Kind};
use crate::client::omni_client::{ClientParts, OmniClient};
use crate::operation::{Done, Failure, Reporter};
use crate::secrets::{SecretValue, Secrets};
use crate::tailnet::FakeTailnet;

pub(crate) const ISSUER: &str = "https://tsidp.tail.test";
pub(crate) const NAME: &str = "omni-scale 7f2c6a54-9f0e-4c1e-8f61-0a2d9f1f8a11";
pub(crate) const ID: &str = "omni-client-id";
pub(crate) const SECRET: &str = "omni-client-secret";
pub(crate) const DCR_ONLY: Kind = Kind::Current {
    allow_dcr: true,
    allow_admin_ui: false,
};
const CLOSED: Kind = Kind::Current {
    allow_dcr: false,
    allow_admin_ui: false,
};
pub(crate) const OPEN: Kind = Kind::Current {
    allow_dcr: true,
    allow_admin_ui: true,
};

pub(crate) fn wire() -> v1::Client {
    v1::Client {
        issuer: ISSUER.to_owned(),
        redirect_uri: "https://omni.tail.test/oidc/consume".to_owned(),
        client_name: NAME.to_owned(),
        id_secret: ID.to_owned(),
        secret_secret: SECRET.to_owned(),
        extra_roots_pem: String::new(),
    }
}

pub(crate) fn moved() -> v1::Client {
    v1::Client {
        redirect_uri: "https://sidero.tail.test/oidc/consume".to_owned(),
        ..wire()
    }
}

pub(crate) fn checked(wire: v1::Client) -> CheckedClient {
    CheckedClient::try_from(wire).unwrap()
}

/// A host that runs Omni, and its tsidp.
pub(crate) struct Rig {
    directory: TempDir,
    pub(crate) tsidp: FakeTsidp,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) omni: Arc<OmniClient>,
}

impl Rig {
    pub(crate) fn new(kind: Kind) -> Self {
        let tsidp = FakeTsidp::new(ISSUER, kind);
        Self::open(tempfile::tempdir().unwrap(), tsidp)
    }

    fn open(directory: TempDir, tsidp: FakeTsidp) -> Self {
        let address = Ipv4Addr::new(100, 64, 0, 7);
        let secrets = Arc::new(Secrets::open(&directory.path().join("secrets")).unwrap());
        let omni = OmniClient::open(ClientParts {
            issuer: tsidp.issuer(),
            tailnet: Arc::new(FakeTailnet::running("omni-host.tail.test", address)),
            secrets: secrets.clone(),
            directory: directory.path().join("client"),
        });
        Self {
            omni: omni.unwrap(),
            directory,
            tsidp,
            secrets,
        }
    }

    /// With the client registered.
    pub(crate) async fn applied(kind: Kind) -> Self {
        let rig = Self::new(kind);
        rig.apply(wire()).await.unwrap();
        rig
    }

    /// After a restart of the agent.
    pub(crate) fn restarted(self) -> Self {
        Self::open(self.directory, self.tsidp)
    }

    pub(crate) async fn apply(&self, wire: v1::Client) -> Result<Done, Failure> {
        let deadline = Instant::now() + Duration::from_secs(120);
        let reporter = Reporter::default();
        self.omni.apply(&checked(wire), deadline, &reporter).await
    }

    pub(crate) async fn observe(&self, wire: v1::Client) -> v1::ClientObservation {
        self.omni.observe(&checked(wire)).await
    }

    pub(crate) fn stored(&self, name: &str) -> Option<String> {
        let value = self.secrets.get(&name.parse().unwrap())?;
        Some(String::from_utf8(value.expose().to_vec()).unwrap())
    }

    pub(crate) fn set(&self, name: &str, value: &str) {
        let name: SecretName = name.parse().unwrap();
        let value = SecretValue::new(value.as_bytes().to_vec());
        let usage = match name.as_str() {
            ID => SecretUse::OidcClientId,
            SECRET => SecretUse::OidcClientSecret,
            _ => SecretUse::Opaque,
        };
        self.secrets.put_for(&name, &value, usage).unwrap();
    }

    /// The clients with our name.
    fn ours(&self) -> Vec<HeldClient> {
        let mut clients = self.tsidp.clients();
        clients.retain(|client| client.name == NAME);
        clients
    }

    /// One client of ours is at the issuer, with this redirect address, and is the one that is stored.
    fn assert_in_order(&self, wire: &v1::Client) {
        let ours = self.ours();
        assert_eq!(ours.len(), 1, "{ours:?}");
        assert_eq!(ours[0].redirect_uris.join(" "), wire.redirect_uri);
        assert_eq!(self.stored(ID).as_ref(), Some(&ours[0].id));
        assert_eq!(self.stored(SECRET).as_ref(), Some(&ours[0].secret));
        let record = self.omni.records.get();
        assert_eq!((record.attempt, record.former), (None, None));
    }

    /// How often a client was asked for.
    fn registrations(&self) -> usize {
        let asked = self.tsidp.asked();
        let new = asked
            .iter()
            .filter(|endpoint| matches!(endpoint, Endpoint::Register | Endpoint::New));
        new.count()
    }
}
