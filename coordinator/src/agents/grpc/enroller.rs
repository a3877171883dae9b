//! Enrolling a host that a machine has just become: it knows a secret that its proxmox agent
//! made, and so nobody has to read a token out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use omni_scale_proto::enrollment::EnrollmentSecret;
use omni_scale_proto::id::{DeploymentId, HostName};
use omni_scale_proto::operation::Operation;
use omni_scale_proto::v1;
use time::OffsetDateTime;
use tokio::time::{Instant, sleep};

use super::{EnrollmentError, EnrollmentSession, GrpcAgents};
use crate::agents::{AgentError, Agents as _, ProgressSink};
use crate::pki::Authority;
use crate::rollout::{WallClock, chain};

/// How often a host that is booting is asked.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// What is left of an operation's time for its own work on the machine.
const RESERVE: Duration = Duration::from_secs(120);

/// Who may sign certificates for hosts, opened before anything is done.
#[derive(Debug)]
pub struct Enroller {
    /// The authority.
    pub authority: Authority,
    /// The deployment that hosts are enrolled in.
    pub deployment: DeploymentId,
    /// When certificates are made.
    pub clock: Arc<dyn WallClock>,
}

/// A host that a machine becomes.
pub(super) struct NewHost<'a> {
    /// Its name.
    pub(super) host: &'a HostName,
    /// What its agent must be set up for.
    pub(super) roles: &'a [String],
    /// Where the machine's secret is: the host of the proxmox agent.
    pub(super) made_by: &'a HostName,
    /// The machine.
    pub(super) machine: v1::MachineIdentity,
    /// The cluster that it is on.
    pub(super) hypervisor: &'a v1::Hypervisor,
}

impl GrpcAgents {
    /// Gives hosts that are made their certificates from now on.
    pub fn enroll_with(&self, enroller: Enroller) {
        // A second one would be the same authority.
        let _ = self.enroller.set(enroller);
    }

    /// Waits until the new host's agent serves, enrols it when it was not, and finishes its first
    /// boot.
    pub(super) async fn enroll_host(
        &self,
        new: &NewHost<'_>,
        operation: &Operation,
        progress: ProgressSink<'_>,
    ) -> Result<v1::Outcome, AgentError> {
        let time = Duration::from_secs(operation.deadline_seconds.into());
        let end = Instant::now() + time.saturating_sub(RESERVE);
        let mut told = String::new();
        let tell = |activity: String, told: &mut String| {
            if *told == activity {
                return;
            }
            progress(stage(new.host, &activity));
            *told = activity;
        };
        loop {
            let in_the_way = match self.describe(new.host).await {
                Ok(_) => break,
                Err(AgentError::NotEnrolled { .. }) => {
                    tell("enrolling its agent".to_owned(), &mut told);
                    match self.enroll(new).await {
                        // Its agent takes a moment to serve with the certificate.
                        Ok(()) => continue,
                        Err(error) => error.into_transient(new.host)?,
                    }
                }
                Err(error @ (AgentError::Unreachable { .. } | AgentError::Unavailable { .. })) => {
                    let name = self.dns_name(new.host);
                    tell(format!("waiting for its agent at {name}"), &mut told);
                    error
                }
                Err(error @ AgentError::Unknown { .. }) => error,
                Err(error) => return Err(error),
            };
            if Instant::now() + ASK_EVERY >= end {
                return Err(in_the_way);
            }
            sleep(ASK_EVERY).await;
        }
        tell(
            "removing what it was first booted with".to_owned(),
            &mut told,
        );
        self.finish_first_boot(
            new.made_by,
            operation,
            new.hypervisor,
            new.machine.clone(),
            progress,
        )
        .await
    }

    async fn enroll(&self, new: &NewHost<'_>) -> Result<(), Hindrance> {
        let Some(enroller) = self.enroller.get() else {
            return Err(Hindrance::Final(AgentError::Refused {
                host: new.host.clone(),
                tried: "enrol".to_owned(),
                message: "it needs a certificate, and the authority's key was not opened"
                    .to_owned(),
                hint: "`omni-scale resume` on the machine that has the authority's key".to_owned(),
            }));
        };
        let secret = self
            .enrollment_secret(new.made_by, new.machine.clone())
            .await
            .map_err(Hindrance::of_agent)?;
        let secret: EnrollmentSecret = secret.parse().map_err(|error| {
            Hindrance::Final(AgentError::Faulty {
                host: new.made_by.clone(),
                tried: format!(
                    "learn the enrolment secret of machine `{}`",
                    new.machine.name
                ),
                message: format!("{error}"),
            })
        })?;
        let network = Arc::clone(&self.network);
        let name = self.dns_name(new.host);
        let refused = |error| Hindrance::of_enrollment(new, error);
        let session = EnrollmentSession::begin_with_secret(new.host, &name, &secret, network)
            .await
            .map_err(refused)?;
        if let Some(other_roles) = other_roles(new, &session.answer.roles) {
            return Err(other_roles);
        }
        let now = OffsetDateTime::UNIX_EPOCH
            + time::Duration::milliseconds(enroller.clock.now_milliseconds());
        let authority = &enroller.authority;
        let certificate = authority
            .issue_agent(new.host, &session.answer.signing_request, now)
            .map_err(|error| {
                Hindrance::Final(AgentError::Faulty {
                    host: new.host.clone(),
                    tried: "make its certificate".to_owned(),
                    message: chain(&error),
                })
            })?;
        session
            .finish(v1::EnrollCertificate {
                certificate_chain: vec![certificate.der().to_vec()],
                authority: authority.certificate().der().to_vec(),
                deployment_id: enroller.deployment.to_string(),
                host_name: new.host.to_string(),
            })
            .await
            .map_err(refused)?;
        Ok(())
    }

    fn dns_name(&self, host: &HostName) -> String {
        self.dns_names
            .get(host)
            .map_or_else(|| host.to_string(), Clone::clone)
    }
}

/// Why a host is not enrolled yet.
enum Hindrance {
    /// It may pass by itself: the machine is still at its first boot.
    Passing(AgentError),
    /// It does not pass.
    Final(AgentError),
}

impl Hindrance {
    fn of_agent(error: AgentError) -> Self {
        match error {
            AgentError::Unreachable { .. }
            | AgentError::Unavailable { .. }
            | AgentError::Unknown { .. } => Self::Passing(error),
            error => Self::Final(error),
        }
    }

    /// The error to try again after, or the one to end with. An enrolment that was cut short is
    /// none whose effect must be looked at on the machine: it is asked again who answers.
    fn into_transient(self, host: &HostName) -> Result<AgentError, AgentError> {
        match self {
            Self::Passing(AgentError::Unknown { source, .. }) => Ok(AgentError::Unavailable {
                host: host.clone(),
                tried: "enrol".to_owned(),
                message: format!("the enrolment was cut short: {source}"),
            }),
            Self::Passing(error) => Ok(error),
            Self::Final(error) => Err(error),
        }
    }

    fn of_enrollment(new: &NewHost<'_>, error: EnrollmentError) -> Self {
        match error {
            EnrollmentError::Agent(error) => Self::of_agent(error),
            // Its agent runs before it is told of the secret.
            EnrollmentError::TokenRefused { host, message } => {
                Self::Passing(AgentError::Unavailable {
                    host,
                    tried: "enrol".to_owned(),
                    message: format!("its agent does not take the secret: {message}"),
                })
            }
            EnrollmentError::Unproven { host } => Self::Final(AgentError::Refused {
                host,
                tried: "enrol".to_owned(),
                message: "who answers does not know the machine's secret".to_owned(),
                hint: "find out what answers in the machine's place on the tailnet".to_owned(),
            }),
            EnrollmentError::Tls(error) => Self::Final(AgentError::Faulty {
                host: new.host.clone(),
                tried: "enrol".to_owned(),
                message: chain(&error),
            }),
        }
    }
}

/// The agent must have been set up for exactly what the deployment wants of it.
fn other_roles(new: &NewHost<'_>, found: &[String]) -> Option<Hindrance> {
    let wanted: BTreeSet<&String> = new.roles.iter().collect();
    let found: BTreeSet<&String> = found.iter().collect();
    if wanted == found {
        return None;
    }
    let list = |roles: &BTreeSet<&String>| {
        let words: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
        match words.len() {
            0 => "nothing".to_owned(),
            _ => words.join(" and "),
        }
    };
    // Its agent runs before it is set up.
    Some(Hindrance::Passing(AgentError::Unavailable {
        host: new.host.clone(),
        tried: "enrol".to_owned(),
        message: format!(
            "its agent is set up for {}, and the deployment wants {}",
            list(&found),
            list(&wanted)
        ),
    }))
}

fn stage(host: &HostName, activity: &str) -> v1::Progress {
    let stage = v1::Stage {
        subject: format!("host {host}"),
        activity: activity.to_owned(),
    };
    v1::Progress {
        event: Some(v1::progress::Event::Stage(stage)),
    }
}
