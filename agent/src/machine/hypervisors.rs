//! Which cluster is asked, and as whom. The token's secret goes nowhere but to an address that root allows.

use std::sync::Arc;

use omni_scale_proto::id::SecretName;
use omni_scale_proto::v1::{self, FailureClass};
use omni_scale_proxmox::{Address, ApiToken, Bounds, Client, Trust, TrustError};
use zeroize::Zeroizing;

use super::Machines;
use crate::operation::Failure;

/// The key of agent.toml that allows clusters.
const KEY: &str = "hypervisors";

/// Makes clients of clusters.
pub trait Hypervisors: Send + Sync {
    /// A client that connects to nobody yet.
    fn client(
        &self,
        address: Address,
        token: ApiToken,
        trust: &Trust,
    ) -> Result<Client, TrustError>;
}

/// Over TLS, as everybody else asks them.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProxmoxHypervisors;

impl Hypervisors for ProxmoxHypervisors {
    fn client(
        &self,
        address: Address,
        token: ApiToken,
        trust: &Trust,
    ) -> Result<Client, TrustError> {
        Client::new(address, token, trust, Bounds::default())
    }
}

/// Whether a text can stand in agent.toml for a cluster that may be asked.
pub fn is_address(text: &str) -> bool {
    text.parse::<Address>().is_ok()
}

impl Machines {
    /// A client of the cluster that a caller names, if root allows it.
    pub(super) async fn client(&self, asked: &v1::Hypervisor) -> Result<Client, Failure> {
        let address: Address = asked.url.parse().map_err(invalid)?;
        self.check_allowed(&address)?;
        let token = self.token(asked)?;
        let trust = self.trust(asked).await?;
        let client = self.inner.hypervisors.client(address, token, &trust);
        client.map_err(invalid)
    }

    fn check_allowed(&self, address: &Address) -> Result<(), Failure> {
        let allowed = &self.inner.policy.hypervisors;
        let same = |text: &String| {
            text.parse::<Address>().is_ok_and(|known| {
                known.port() == address.port() && known.host().eq_ignore_ascii_case(address.host())
            })
        };
        if allowed.iter().any(same) {
            return Ok(());
        }
        let message = format!("this host does not allow the hypervisor `https://{address}`");
        Err(Failure::new(FailureClass::Refused, message).with_hint(format!(
            "root may add it to `{KEY}` in /etc/omni-scale/agent.toml, then `systemctl restart omni-scale-agent`"
        )))
    }

    fn token(&self, asked: &v1::Hypervisor) -> Result<ApiToken, Failure> {
        let name: SecretName = asked.token_secret.parse().map_err(invalid)?;
        let unset = || {
            let message = format!("secret `{name}`, the API token's, is not set on this host");
            Failure::new(FailureClass::Permanent, message)
                .with_hint(format!("`omni-scale secret set HOST {name}` sets it"))
        };
        let value = self.inner.secrets.get(&name).ok_or_else(unset)?;
        let text = std::str::from_utf8(value.expose()).unwrap_or_default();
        ApiToken::new(&asked.token_id, Zeroizing::new(text.trim().to_owned())).map_err(invalid)
    }

    async fn trust(&self, asked: &v1::Hypervisor) -> Result<Trust, Failure> {
        if !asked.certificate_sha256.is_empty() {
            let pins: Result<_, _> = asked
                .certificate_sha256
                .iter()
                .map(|pin| pin.parse())
                .collect();
            return Ok(Trust::Pins(pins.map_err(invalid)?));
        }
        let (roots, extra) = (self.inner.roots.clone(), asked.roots_pem.clone());
        match super::aside::aside(move || roots.with(&extra)).await {
            Ok(Ok(pem)) => Ok(Trust::Authority(pem)),
            Ok(Err(error)) => Err(Failure::from_error(FailureClass::Permanent, &error)),
            Err(error) => Err(Failure::from_error(FailureClass::Bug, &error)),
        }
    }
}

/// Cheap to pass on.
pub(super) type SharedHypervisors = Arc<dyn Hypervisors>;

fn invalid(error: impl std::error::Error) -> Failure {
    Failure::from_error(FailureClass::Permanent, &error)
}
