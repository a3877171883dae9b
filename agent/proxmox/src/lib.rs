//! A thin typed client of the Proxmox VE API: one method per call, and nothing decided.
//!
//! It knows how the API speaks (forms, property strings, errors in reason phrases, tasks) and says
//! what an answer means ([`Class`], [`Complaint`]). It retries no request, chooses no VMID, adopts no
//! VM and reads neither environment nor configuration: that is its caller's.
//! Invariants: never a panic on what a network sends; every wait and every answer is bounded; nobody
//! is trusted but a pinned certificate or a given authority; the token's secret is never shown.
//!
//! The way through the rooms: [`Client`] builds a `request` of a row of [`CALLS`], `exchange` sends
//! it over a `connection` judged by `trust`, `answer` tells data from refusals, `model` gives it types.

mod address;
mod answer;
mod bounds;
mod calls;
mod certificate;
mod client;
mod complaint;
mod connection;
mod encoding;
mod error;
mod exchange;
mod fingerprint;
mod model;
mod name;
mod request;
mod task;
mod token;
mod tolerant;
mod trust;
mod upid;
mod upload;
mod value;

#[cfg(test)]
mod scripted;

#[cfg(feature = "testing")]
pub mod testing;

pub use address::{Address, AddressError};
pub use bounds::Bounds;
pub use calls::{CALLS, Call, Method, PATH_EXAMPLES, Parameter};
pub use certificate::PeerCertificate;
pub use client::Client;
pub use complaint::Complaint;
pub use connection::ConnectError;
pub use error::{Asked, Class, Error, LostReply, MissingPrivilege, UnreadableAnswer};
pub use fingerprint::{Fingerprint, FingerprintError};
pub use model::{
    ConfiguredDisk, Content, ContentKind, DatacenterOptions, GuestAddress, GuestInterface,
    Interface, Memory, Node, NodeDns, NodeState, NodeStatus, Permissions, PowerState, Processor,
    Resource, ResourceKind, Storage, UrlMetadata, Version, VmConfig, VmStatus,
};
pub use name::{NameError, NodeName, StorageId, VmName, Vmid, VolumeId};
pub use task::{
    LogLine, Patience, TaskEnd, TaskEntry, TaskFailure, TaskQuery, TaskState, TaskStatus, WaitError,
};
pub use token::{ApiToken, TokenError};
/// What [`Client::wait`] is given up by.
pub use tokio_util::sync::CancellationToken;
pub use trust::{Trust, TrustError};
pub use upid::{Upid, UpidError};
pub use upload::{Checksum, ChecksumAlgorithm, Download, Upload, UploadSource};
pub use value::{
    BootOrder, Bus, Cdrom, CloudInit, Disk, DiskSize, DiskSource, EfiDisk, Firmware, IpConfig,
    Ipv4, Ipv6, MacAddress, Network, PropertyString, Screen, ScsiController, Slot, Smbios, SshKeys,
    TagList, ValueError, VmChange, VmSettings,
};
