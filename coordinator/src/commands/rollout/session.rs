//! What the commands of a rollout have in common.

use std::sync::Arc;

use omni_scale_proto::role::Role;

use super::journals::Journals;
use crate::agents::grpc::{Enroller, GrpcAgents};
use crate::arguments::AuthorityArguments;
use crate::commands::Context;
use crate::deployment::Deployment;
use crate::exit::Exit;
use crate::journal::JournalLock;
use crate::output::Stop;
use crate::pki::Credential;
use crate::plan::Step;

/// One operator, at work on one deployment.
pub(super) struct Session {
    pub(super) deployment: Deployment,
    pub(super) agents: Arc<GrpcAgents>,
    /// `operator@machine`.
    pub(super) by: String,
    pub(super) journals: Journals,
    credential: Credential,
}

impl Session {
    pub(super) fn open(context: &Context) -> anyhow::Result<Self> {
        let deployment = context.deployment()?;
        let credential = context.credential(deployment.id)?;
        let agents = context.agents_of(&deployment, &credential)?;
        let by = context.holder(&credential);
        let journals = Journals::open(context, deployment.id)?;
        Ok(Self {
            deployment,
            agents,
            by,
            journals,
            credential,
        })
    }

    pub(super) fn lock(&self, context: &Context) -> anyhow::Result<JournalLock> {
        self.journals.lock(context, &self.by)
    }

    /// Opens the authority when one of these steps gives a host its certificate: nobody shall be
    /// asked for a passphrase in the middle of a rollout.
    pub(super) fn open_authority<'a>(
        &self,
        context: &Context,
        arguments: &AuthorityArguments,
        steps: impl Iterator<Item = &'a Step>,
    ) -> anyhow::Result<()> {
        let hosts: Vec<String> = steps
            .filter_map(|step| step.action.certificate_for())
            .map(|host| format!("`{host}`"))
            .collect();
        if hosts.is_empty() {
            return Ok(());
        }
        let hosts = hosts.join(" and ");
        if self.credential.operator().role != Role::Admin {
            let stop = Stop::new(
                Exit::Usage,
                format!(
                    "nothing was done: {hosts} must be enrolled, and operator `{}` may not",
                    self.credential.operator().name
                ),
            );
            return Err(stop
                .hint("an operator with the role `admin` can apply it")
                .into());
        }
        let store = context.store(self.deployment.id, Some(arguments))?;
        let authority = context.authority(&store, arguments).map_err(|error| {
            error.context(format!("nothing was done: {hosts} must be enrolled"))
        })?;
        self.agents.enroll_with(Enroller {
            authority,
            deployment: self.deployment.id,
            clock: Arc::clone(&context.clock),
        });
        Ok(())
    }
}
