//! Puts the program and its configuration in place, so that the next start has them.
//!
//! The record says first that files are changing, and then, when all are changed, which run of the
//! unit was started before: after a crash in between it is known whether the running program has to
//! be restarted.

use std::sync::Arc;

use omni_scale_proto::id::SecretName;
use omni_scale_proto::unit::CheckedUnit;
use omni_scale_proto::v1::FailureClass;

use crate::files::FileError;
use crate::operation::{Failure, Reporter};
use crate::unit::configuration;
use crate::unit::record::Pending;
use crate::unit::state::UnitState;
use crate::unit::tsidp::TsidpUnit;
use crate::unit::units::TSIDP_UNIT;

/// Where packages put their units.
const PACKAGED: [&str; 2] = ["/usr/lib/systemd", "/lib/systemd"];

impl TsidpUnit {
    /// Changes what differs. True: the program that runs was started before a change.
    pub(super) async fn prepare(
        self: &Arc<Self>,
        unit: &CheckedUnit,
        rendered: String,
        reporter: &Reporter,
    ) -> Result<bool, Failure> {
        let unit = unit.clone();
        let reporter = reporter.clone();
        self.blocking(move |this| this.write_files(&unit, &rendered, &reporter))
            .await?;
        self.must_restart().await
    }

    /// Lays the one-time key ready for the next start. False: there is none, or it lies there
    /// already.
    pub(super) async fn lay_auth_key(
        self: &Arc<Self>,
        name: Option<&SecretName>,
    ) -> Result<bool, Failure> {
        let Some(name) = name.cloned() else {
            return Ok(false);
        };
        self.blocking(move |this| this.write_auth_key(&name)).await
    }

    /// Whether files were changed that the running program does not know.
    async fn must_restart(self: &Arc<Self>) -> Result<bool, Failure> {
        let Some(pending) = self.records.get().pending else {
            return Ok(false);
        };
        // Seen after the last file was changed: a run that began in between may know only some.
        let state = self.units.observe(TSIDP_UNIT).await?;
        let invocation = state.invocation.map(|id| id.to_string());
        match pending {
            Pending::Preparing => {
                self.blocking(move |this| {
                    let prepared = Pending::Prepared { invocation };
                    let mark = this
                        .records
                        .update(|record| record.pending = Some(prepared));
                    mark.map_err(disk)
                })
                .await?;
                Ok(true)
            }
            Pending::Prepared { invocation: before } => Ok(before == invocation),
        }
    }

    fn write_files(
        &self,
        unit: &CheckedUnit,
        rendered: &str,
        reporter: &Reporter,
    ) -> Result<(), Failure> {
        let record = self.records.get();
        let current = self.programs.current();
        let same_program = current.as_ref() == Some(unit.artifact());
        if !same_program || !self.files.environment_is(rendered).map_err(disk)? {
            reporter.stage(TSIDP_UNIT, "writing the configuration");
            self.begin_change()?;
            self.files.write_environment(rendered).map_err(disk)?;
        }
        if !same_program {
            let previous = current.or(record.previous_artifact);
            self.records
                .update(|record| record.previous_artifact = previous)
                .map_err(disk)?;
            self.programs.activate(unit.artifact())?;
        }
        if record.node.is_none()
            && let Some(name) = unit.auth_key()
        {
            self.write_auth_key(name)?;
        }
        Ok(())
    }

    fn write_auth_key(&self, name: &SecretName) -> Result<bool, Failure> {
        let Some(value) = self.secrets.get(name) else {
            return Ok(false);
        };
        let rendered = configuration::render_auth_key(&value).map_err(|error| {
            Failure::from_error(FailureClass::Permanent, &error)
                .with_hint(format!("set the secret `{name}` again"))
        })?;
        if self.files.auth_key_is(&rendered).map_err(disk)? {
            return Ok(false);
        }
        self.begin_change()?;
        self.files.write_auth_key(&rendered).map_err(disk)?;
        Ok(true)
    }

    fn begin_change(&self) -> Result<(), Failure> {
        self.records
            .update(|record| record.pending = Some(Pending::Preparing))
            .map_err(disk)
    }

    /// The program that runs was started after the last change.
    pub(super) async fn end_change(self: &Arc<Self>) -> Result<(), Failure> {
        self.blocking(|this| {
            let mark = this.records.update(|record| record.pending = None);
            mark.map_err(disk)
        })
        .await
    }

    /// A node that has logged in before must find its state: without it, it would come back under
    /// another name.
    pub(in crate::unit) fn guard_identity(
        &self,
        state: &UnitState,
        auth_key: Option<&SecretName>,
    ) -> Result<(), Failure> {
        let known = self.records.get().node.is_some();
        if !known || state.is_running() || self.state_directory.exists() {
            return Ok(());
        }
        if auth_key.is_some_and(|name| self.secrets.get(name).is_some()) {
            // A new key was set since: that is the operator's word for a new login.
            return Ok(());
        }
        let text = format!(
            "`{}` is gone, and with it the identity of a node that has logged in before",
            self.state_directory.display()
        );
        Err(Failure::new(FailureClass::Permanent, text).with_hint(
            "restore the directory from a backup; or remove the old device from the tailnet and set a new one-time key, then apply again",
        ))
    }
}

/// There must be a unit to work on: the agent does not make it.
pub(in crate::unit) fn check_installed(state: &UnitState) -> Result<(), Failure> {
    if state.load_state == "loaded" {
        return Ok(());
    }
    let text = format!(
        "systemd says of `{TSIDP_UNIT}` that it is {}",
        state.load_state
    );
    Err(Failure::new(FailureClass::Permanent, text).with_hint(
        "the package `omni-scale-agent` brings the unit: install it again, and undo what masks it",
    ))
}

/// The unit must be the package's: another one of this name reads none of the agent's files.
pub(super) fn check_file(state: &UnitState) -> Result<(), Failure> {
    let Some(file) = &state.fragment else {
        return Ok(());
    };
    if PACKAGED.iter().any(|directory| file.starts_with(directory)) {
        return Ok(());
    }
    let file = file.display();
    let text = format!(
        "systemd reads `{TSIDP_UNIT}` from `{file}`, which is not the unit of the package `omni-scale-agent`"
    );
    Err(Failure::new(FailureClass::Permanent, text).with_hint(format!(
        "move `{file}` away, then `systemctl daemon-reload`; settings of your own belong into a drop-in: `systemctl edit {TSIDP_UNIT}`"
    )))
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(in crate::unit) fn disk(error: FileError) -> Failure {
    Failure::from_error(FailureClass::Permanent, &error)
}
