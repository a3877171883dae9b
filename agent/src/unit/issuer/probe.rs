//! The adapter of [`IssuerProbe`]: HTTPS from this host, as any of its programs would do it.

use std::time::Duration;

use async_trait::async_trait;
use omni_scale_probe::{FailureClass, ProbeReport, ProbeRequest};

use super::{Answer, IssuerProbe};
use crate::error::chain;
use crate::host_roots::HostRoots;

/// Asks over HTTPS.
#[derive(Debug, Clone)]
pub struct HttpsProbe {
    roots: HostRoots,
}

impl HttpsProbe {
    /// Trusts whom the host trusts.
    pub fn new(roots: HostRoots) -> Self {
        Self { roots }
    }
}

#[async_trait]
impl IssuerProbe for HttpsProbe {
    async fn ask(&self, issuer: &str, extra_roots_pem: &str, within: Duration) -> Answer {
        let roots = match self.roots.with(extra_roots_pem) {
            Ok(roots) => roots,
            Err(error) => {
                let reason = chain(&error);
                return Answer::Unknown { reason };
            }
        };
        let milliseconds = u32::try_from(within.as_millis()).unwrap_or(u32::MAX);
        let request =
            ProbeRequest::discovery(issuer, roots).with_timeout_milliseconds(milliseconds.max(1));
        answer(issuer, &omni_scale_probe::probe(&request).await)
    }
}

fn answer(issuer: &str, report: &ProbeReport) -> Answer {
    let Some(failure) = report.failure() else {
        return Answer::Passed {
            summary: format!("{issuer} answers with its discovery document and a signing key"),
        };
    };
    let reason = format!("{} ({issuer}): {}", failure.step, failure.message);
    match failure.class {
        // What this host lacks to ask at all.
        FailureClass::BadRequest
        | FailureClass::NoNameserver
        | FailureClass::NameserverSilent
        | FailureClass::NameserverFailed => Answer::Unknown { reason },
        class => Answer::Failed {
            reason,
            may_pass: class.may_pass(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use omni_scale_probe::{Outcome, Step, StepReport};

    fn report(class: FailureClass) -> ProbeReport {
        ProbeReport {
            url: "https://tsidp.tail.test/".to_owned(),
            met: false,
            steps: vec![StepReport {
                step: Step::Resolve,
                outcome: Outcome::Failed {
                    class,
                    message: "nobody knows".to_owned(),
                },
                elapsed_milliseconds: 1,
            }],
            nameservers: Vec::new(),
            addresses: Vec::new(),
            peer: None,
            certificate: None,
            http_status: None,
            issuer: None,
            elapsed_milliseconds: 1,
        }
    }

    #[test]
    fn a_question_that_could_not_be_asked_is_unknown_and_not_a_fault_of_the_product() {
        let issuer = "https://tsidp.tail.test";
        let silent = answer(issuer, &report(FailureClass::NameserverSilent));
        assert!(matches!(silent, Answer::Unknown { .. }));
        let refused = answer(issuer, &report(FailureClass::ConnectionRefused));
        assert!(matches!(refused, Answer::Failed { may_pass: true, .. }));
        let other = answer(issuer, &report(FailureClass::IssuerDiffers));
        assert!(matches!(
            other,
            Answer::Failed {
                may_pass: false,
                ..
            }
        ));
        assert!(other.text().contains("nobody knows"));
    }

    #[tokio::test]
    async fn an_issuer_that_nobody_serves_is_not_passed() {
        let roots = HostRoots::in_file("/nonexistent".into());
        let probe = HttpsProbe::new(roots);
        // A port of the loopback interface that was free a moment ago.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let issuer = format!("https://{}", listener.local_addr().unwrap());
        drop(listener);
        let answer = probe.ask(&issuer, "", Duration::from_secs(5)).await;
        assert!(!matches!(answer, Answer::Passed { .. }), "{answer:?}");
    }
}
