//! What a checked deployment is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use omni_scale_proto::id::{DeploymentId, HostName, SecretName, ServiceName, Sha256};
use omni_scale_proto::role::HostRole;
use uuid::Uuid;

use super::values::{DnsName, EmailAddress, HttpUrl, Issuer, LanAddress, NodeName, OmniVersion};
use crate::image::ImageReference;

/// A deployment, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Made by `init`; never changes.
    pub id: DeploymentId,
    /// The tailnet that everything is on.
    pub tailnet: Tailnet,
    /// The hosts that have agents.
    pub hosts: BTreeMap<HostName, Host>,
    /// Who says who a user is.
    pub identity: Identity,
    /// Omni and what it needs beside it.
    pub omni: Omni,
    /// What is allowed, and should be known. One sentence each.
    pub warnings: Vec<String>,
}

/// The tailnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tailnet {
    /// MagicDNS suffix: `tail1234.ts.net`.
    pub domain: DnsName,
    /// The control server. Absent: Tailscale's own.
    pub control_url: Option<HttpUrl>,
    /// PEM certificates of private authorities. Empty: none.
    pub extra_roots_pem: String,
}

/// A host that has an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// What its agent looks after.
    pub roles: BTreeSet<HostRole>,
    /// The full name of the host's own node on the tailnet.
    pub dns_name: DnsName,
}

/// Where identities come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// A tsidp of ours.
    Tsidp(Tsidp),
    /// Somebody else's issuer.
    Oidc {
        /// Its address.
        issuer: Issuer,
    },
}

/// A tsidp of ours, as a systemd unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tsidp {
    /// Where it runs.
    pub host: HostName,
    /// Its own node's name on the tailnet, from which its issuer comes.
    pub name: NodeName,
    /// The program.
    pub artifact: Artifact,
    /// Arguments beside those that omni-scale gives.
    pub extra_args: Vec<String>,
    /// Environment beside that which omni-scale gives. No secrets.
    pub environment: BTreeMap<String, String>,
    /// A key for the first login.
    pub auth_key: Option<SecretName>,
}

/// A program, by content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Where it is fetched. Absent: it is uploaded.
    pub url: Option<HttpUrl>,
    /// Its sum.
    pub sha256: Sha256,
}

/// Omni.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Omni {
    /// Where it runs.
    pub host: HostName,
    /// The name of the sidecar's node on the tailnet, which is Omni's address too.
    pub name: NodeName,
    /// The containers.
    pub stack: OmniStack,
}

/// Where the containers come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OmniStack {
    /// From this file.
    BuiltIn(Box<BuiltInStack>),
    /// From a Compose file of the user's.
    Compose(ComposeStack),
}

/// A Compose file of the user's, and which of its services play which part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComposeStack {
    /// The file; relative to the working directory, or absolute.
    pub file: PathBuf,
    /// A file of variables for it. Absent: `.env` beside it, if it is there.
    pub env_file: Option<PathBuf>,
    /// Active profiles.
    pub profiles: BTreeSet<String>,
    /// The service that is the tailnet node.
    pub sidecar: ServiceName,
    /// The service that is Omni.
    pub omni: ServiceName,
    /// The service that is the provider.
    pub provider: Option<ServiceName>,
    /// Omni's `/healthz`, seen from inside the sidecar's namespace.
    pub health_url: HttpUrl,
}

/// What the built-in stack needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltInStack {
    /// Where Talos machines reach Omni.
    pub lan_address: LanAddress,
    /// Prefixes all that Omni stores; never changes.
    pub account_id: Uuid,
    /// The image.
    pub image: ImageReference,
    /// What the image's tag says. None: not known, and taken for a current one.
    pub version: Option<OmniVersion>,
    /// The tailnet node.
    pub sidecar: Sidecar,
    /// Who may log in at first. Not empty.
    pub initial_users: Vec<EmailAddress>,
    /// The OpenPGP key that encrypts what Omni stores.
    pub encryption_key: SecretName,
    /// Omni's client at the issuer.
    pub client: Client,
    /// Whether a token without `email_verified` will do.
    pub allow_unverified_email: bool,
    /// The operator's acceptance of Omni's licence agreement.
    pub eula: Option<Eula>,
    /// TLS for the machine API. Absent: in the clear.
    pub machine_api: Option<MachineApiCertificate>,
    /// The Proxmox provider.
    pub provider: Option<Provider>,
}

/// The tailnet node of the stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sidecar {
    /// The image.
    pub image: ImageReference,
    /// A key for the first login.
    pub auth_key: Option<SecretName>,
    /// Arguments of `tailscale up` beside those that omni-scale gives.
    pub extra_args: Vec<String>,
    /// Environment beside that which omni-scale gives. No secrets.
    pub environment: BTreeMap<String, String>,
}

/// An OIDC client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its identifier.
    pub id: SecretName,
    /// Its secret.
    pub secret: SecretName,
}

/// Who accepted the licence agreement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eula {
    /// A person's name.
    pub name: String,
    /// Their address.
    pub email: EmailAddress,
}

/// A certificate for the machine API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineApiCertificate {
    /// The chain, PEM.
    pub certificate: SecretName,
    /// The key, PEM.
    pub key: SecretName,
}

/// The Proxmox provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// The image.
    pub image: ImageReference,
    /// Its id in Omni, which machine classes name.
    pub id: NodeName,
    /// Its key from Omni.
    pub key: SecretName,
    /// How it reaches Proxmox VE.
    pub configuration: ProviderConfiguration,
}

/// How the provider reaches Proxmox VE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderConfiguration {
    /// By these.
    Proxmox(ProxmoxApi),
    /// By a whole configuration file, which is a secret.
    File(SecretName),
}

/// An API token of Proxmox VE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxmoxApi {
    /// Ends in `/api2/json`.
    pub url: HttpUrl,
    /// `user@realm!token`.
    pub token_id: String,
    /// The token's secret.
    pub token_secret: SecretName,
    /// Whether any certificate will do.
    pub insecure_skip_verify: bool,
}
