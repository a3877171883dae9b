//! What a checked deployment is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use omni_scale_proto::id::{
    CapabilityName, DeploymentId, HostName, SecretName, ServiceName, Sha256,
};
use omni_scale_proto::role::HostRole;
use uuid::Uuid;

use super::values::{
    DnsName, EmailAddress, HttpUrl, Issuer, LanAddress, NodeName, OmniVersion, SearchDomain,
};
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
    /// Where machines are made. Absent: omni-scale makes none.
    pub proxmox: Option<Proxmox>,
    /// The machines to make, by the name of their group.
    pub machines: BTreeMap<NodeName, MachineGroup>,
    /// What is allowed, and should be known. One sentence each.
    pub warnings: Vec<String>,
}

/// A Proxmox VE cluster on which an agent makes machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxmox {
    /// The host whose agent reaches it.
    pub host: HostName,
    /// `https://NAME:PORT`, without a path.
    pub url: HttpUrl,
    /// `user@realm!token`.
    pub token_id: String,
    /// The token's secret.
    pub token_secret: SecretName,
    /// How its certificate is known.
    pub trust: ProxmoxTrust,
    /// VMIDs that machines may get.
    pub vmids: RangeInclusive<u32>,
    /// Storage of disks, where a machine names no other.
    pub storage: String,
    /// Storage of images and of what machines are first booted with.
    pub image_storage: String,
    /// Bridge, where a machine names no other.
    pub bridge: String,
    /// Name servers of the machines, which know the names of this site. Not empty.
    pub nameservers: Vec<IpAddr>,
    /// Search domain of the machines.
    pub search: SearchDomain,
}

/// How the certificate of Proxmox VE is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxmoxTrust {
    /// It is one of these, by the SHA-256 over the certificate.
    Pins(Vec<Sha256>),
    /// An authority of these PEM certificates, or one that the agent's host trusts, signed it.
    Authorities(String),
}

/// Machines that are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineGroup {
    /// How many. 1 to 100.
    pub count: u32,
    /// What they are for.
    pub kind: MachineKind,
    /// 1 to 512.
    pub cores: u32,
    /// Mebibytes.
    pub memory_mebibytes: u32,
    /// Proxmox's word for the processor that they see.
    pub cpu: String,
    /// The first one is booted from. Not empty.
    pub disks: Vec<MachineDisk>,
    /// Not empty.
    pub networks: Vec<MachineNetwork>,
    /// What they are made from.
    pub image: MachineImage,
    /// Nodes that they may be on. Empty: all.
    pub nodes: BTreeSet<String>,
}

/// What machines are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MachineKind {
    /// A host of this deployment, of the group's name.
    Host(HostMachine),
    /// They join Omni.
    Talos {
        /// Omni's join document.
        join: SecretName,
        /// Two of them on one node defeat their purpose.
        control_plane: bool,
    },
}

/// How a machine becomes a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostMachine {
    /// A key for its first login to the tailnet, on the host of the proxmox agent.
    pub auth_key: SecretName,
    /// Its address and its gateway. Absent: DHCP.
    pub address: Option<StaticAddress>,
    /// Repositories of packages, each with the key that signs it.
    pub repositories: Vec<PackageRepository>,
    /// Names of packages to install from its repositories.
    pub packages: Vec<String>,
    /// Packages by address and sum.
    pub files: Vec<PackageFile>,
    /// SSH keys that may log in as `root`. Empty: nobody may.
    pub ssh_keys: Vec<String>,
}

/// An address that is given, not asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticAddress {
    /// The address.
    pub address: IpAddr,
    /// Bits of its network.
    pub prefix_length: u8,
    /// The router.
    pub gateway: IpAddr,
}

/// A repository of Debian packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageRepository {
    /// Its name among the machine's sources: a DNS label.
    pub name: NodeName,
    /// `https://…`
    pub url: HttpUrl,
    /// `bookworm`, `stable` …
    pub suite: String,
    /// `main` …
    pub components: Vec<String>,
    /// ASCII-armoured OpenPGP key that signs it.
    pub key: String,
}

/// A package, by content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageFile {
    /// Where it is fetched.
    pub url: HttpUrl,
    /// Its sum.
    pub sha256: Sha256,
}

/// A disk of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineDisk {
    /// Gibibytes.
    pub size_gibibytes: u32,
    /// Where it lies.
    pub storage: String,
}

/// A network interface of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineNetwork {
    /// The bridge.
    pub bridge: String,
    /// 1 to 4094. Absent: untagged.
    pub vlan: Option<u16>,
}

/// What a machine is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineImage {
    /// Where the Proxmox node fetches it.
    pub url: HttpUrl,
    /// Its sum.
    pub sha256: Sha256,
    /// Whether it is booted as a CD-ROM; otherwise it becomes the first disk.
    pub iso: bool,
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
    /// What agents of hosts that are made demand of a device that asks them. Absent: nothing.
    pub capability: Option<CapabilityName>,
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
