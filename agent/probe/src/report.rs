//! What a probe found: its steps in the order they were taken, each with its outcome.
//!
//! A report is complete in itself: it says at which step the probe stopped and why, in words for an operator, and
//! carries a class for the code that decides whether waiting longer could help.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use serde::{Deserialize, Serialize};

/// What one probe found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeReport {
    /// The URL that was asked.
    pub url: String,
    /// Whether the expectation was met.
    pub met: bool,
    /// The steps that were taken, in order; the last one is the one that failed when `met` is false.
    pub steps: Vec<StepReport>,
    /// The nameservers that were asked, in order; empty when the probe did not ask DNS itself.
    pub nameservers: Vec<SocketAddr>,
    /// The addresses that the name has, in the order in which they are tried.
    pub addresses: Vec<IpAddr>,
    /// The address that accepted the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<SocketAddr>,
    /// The certificate that the peer showed, whether it was accepted or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PeerCertificate>,
    /// The status code of the answer to the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// The issuer that the discovery document names, whether it is the wanted one or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Time from beginning to end, in milliseconds.
    pub elapsed_milliseconds: u64,
}

/// One step of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepReport {
    /// Which step.
    pub step: Step,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took, in milliseconds.
    pub elapsed_milliseconds: u64,
}

/// The steps of a probe, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Reading the request: only reported when it makes no sense.
    Request,
    /// Turning the host name into addresses.
    Resolve,
    /// Opening a TCP connection to one of them.
    Connect,
    /// The TLS handshake (`https` only).
    Tls,
    /// Sending the request, and the status code of the answer.
    Http,
    /// What the body says.
    Document,
    /// Fetching the signing keys that a discovery document names.
    Jwks,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// As it should.
    Ok,
    /// Not as it should; nothing after it was tried.
    Failed {
        /// For code that decides.
        class: FailureClass,
        /// For people: a lowercase fragment without a full stop.
        message: String,
    },
}

/// Why a step failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The request makes no sense: nothing was tried.
    BadRequest,
    /// The list of nameservers could not be read, or is empty.
    NoNameserver,
    /// No nameserver answered in time.
    NameserverSilent,
    /// A nameserver answered that it cannot say (SERVFAIL, REFUSED), or nothing that could be read.
    NameserverFailed,
    /// The name does not exist (NXDOMAIN).
    NameNotFound,
    /// The name exists and has no address.
    NoAddress,
    /// Every address refused the connection.
    ConnectionRefused,
    /// No route, network down, or another error of the network.
    Unreachable,
    /// The probe's time was over before the step was.
    TimedOut,
    /// The certificate does not chain to one of the roots given.
    CertificateUntrusted,
    /// The certificate is trusted but does not name the host.
    CertificateNameDiffers,
    /// The certificate is past its end.
    CertificateExpired,
    /// The certificate is not valid yet: usually a clock is wrong.
    CertificateNotYetValid,
    /// Another fault in the TLS handshake.
    TlsFailed,
    /// The peer does not speak TLS on this port.
    NotTls,
    /// The connection broke, or what came back is not HTTP.
    HttpFailed,
    /// The answer is a redirect, which a probe never follows.
    Redirected,
    /// The status code is another than expected.
    StatusDiffers,
    /// The body is larger than a probe reads.
    BodyTooLarge,
    /// The body is another than expected.
    BodyDiffers,
    /// The discovery document is not JSON, or lacks a field.
    DocumentMalformed,
    /// The discovery document is another issuer's.
    IssuerDiffers,
    /// The key set could not be fetched or read, or has no key.
    KeysMissing,
}

/// What a peer's certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerCertificate {
    /// DNS names and addresses of the subject alternative name, in its order.
    pub names: Vec<String>,
    /// Distinguished name of the issuer, for people.
    pub issuer: String,
    /// The end of its validity in seconds since 1970-01-01 UTC.
    pub not_after_unix_seconds: i64,
}

/// The step at which a probe stopped, borrowed from its report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure<'a> {
    /// Which step.
    pub step: Step,
    /// For code that decides.
    pub class: FailureClass,
    /// For people.
    pub message: &'a str,
}

impl ProbeReport {
    /// The step that failed, if one did.
    pub fn failure(&self) -> Option<Failure<'_>> {
        self.steps.iter().find_map(|report| match &report.outcome {
            Outcome::Ok => None,
            Outcome::Failed { class, message } => Some(Failure {
                step: report.step,
                class: *class,
                message,
            }),
        })
    }
}

impl FailureClass {
    /// Whether waiting may help: the product, its name or its certificate may still be on the way.
    ///
    /// False means that what answers is wrong in a way that time does not heal.
    pub fn may_pass(self) -> bool {
        match self {
            Self::BadRequest
            | Self::Redirected
            | Self::BodyTooLarge
            | Self::IssuerDiffers
            | Self::CertificateExpired
            | Self::CertificateNotYetValid => false,
            Self::NoNameserver
            | Self::NameserverSilent
            | Self::NameserverFailed
            | Self::NameNotFound
            | Self::NoAddress
            | Self::ConnectionRefused
            | Self::Unreachable
            | Self::TimedOut
            | Self::CertificateUntrusted
            | Self::CertificateNameDiffers
            | Self::TlsFailed
            | Self::NotTls
            | Self::HttpFailed
            | Self::StatusDiffers
            | Self::BodyDiffers
            | Self::DocumentMalformed
            | Self::KeysMissing => true,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Request => "request",
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Http => "http",
            Self::Document => "document",
            Self::Jwks => "jwks",
        })
    }
}

impl fmt::Display for Failure<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.step, self.message)
    }
}
