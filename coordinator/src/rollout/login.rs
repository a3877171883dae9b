//! The part of a login check that only this machine can do: going to the issuer as its user.

use omni_scale_proto::id::HostName;
use omni_scale_proto::v1::{self, CheckStatus, check::Kind};
use uuid::Uuid;

use super::event::chain;
use super::run::{Halt, Run};
use crate::agents::AgentError;
use crate::login::{LoginError, LoginRequest};
use crate::plan::GateCheck;

/// What a login check became.
pub(super) enum Prepared {
    /// The agent can be asked.
    Question(v1::Check),
    /// The answer is there already.
    Answer(v1::CheckReport),
}

impl Run<'_> {
    /// The question as the agent gets it. Any other check than that of a login is asked as it is.
    pub(super) async fn with_code(
        &self,
        host: &HostName,
        check: &GateCheck,
    ) -> Result<Result<Prepared, AgentError>, Halt> {
        let as_it_is = Ok(Ok(Prepared::Question(check.check.clone())));
        let Some(Kind::Login(login)) = &check.check.kind else {
            return as_it_is;
        };
        let Some(client) = &login.client else {
            return as_it_is;
        };
        let look = self.agents.observe_client(host, client);
        let observed = match self.unless_stopped(look).await? {
            Ok(observed) => observed,
            Err(error) => return Ok(Err(error)),
        };
        if observed.client_id.is_empty() {
            let hint = "`omni-scale apply` registers it".to_owned();
            let summary = "no client id is stored on the host".to_owned();
            return Ok(Ok(failed(check, summary, hint)));
        }
        let request = LoginRequest {
            issuer: client.issuer.clone(),
            client_id: observed.client_id,
            redirect_uri: client.redirect_uri.clone(),
            nonce: Uuid::new_v4().simple().to_string(),
            extra_roots_pem: client.extra_roots_pem.clone(),
        };
        let mut login = login.clone();
        login.nonce.clone_from(&request.nonce);
        match self.unless_stopped(self.issuers.code(&request)).await? {
            Ok(code) => login.code = code.0,
            Err(error @ LoginError::Client { .. }) => {
                let hint = "if the issuer has lost its state, `omni-scale apply` registers the \
                    client again; a client that was registered by hand has to have exactly this \
                    redirect address: "
                    .to_owned()
                    + &client.redirect_uri;
                return Ok(Ok(failed(check, chain(&error), hint)));
            }
            Err(error @ (LoginError::Unreachable { .. } | LoginError::Refused { .. })) => {
                login.code_failure = chain(&error);
            }
        }
        Ok(Ok(Prepared::Question(v1::Check {
            kind: Some(Kind::Login(login)),
            ..check.check.clone()
        })))
    }
}

fn failed(check: &GateCheck, summary: String, hint: String) -> Prepared {
    Prepared::Answer(v1::CheckReport {
        check_id: check.check.check_id.clone(),
        status: CheckStatus::Failed.into(),
        summary,
        hint,
        ..v1::CheckReport::default()
    })
}
