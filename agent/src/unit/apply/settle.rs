//! After the product has answered: what is remembered, and what is not needed any more.

use std::sync::Arc;

use omni_scale_proto::unit::CheckedUnit;
use omni_scale_proto::v1::FailureClass;

use super::prepare::disk;
use crate::clock;
use crate::operation::Failure;
use crate::unit::record::KnownNode;
use crate::unit::tsidp::TsidpUnit;

impl TsidpUnit {
    /// The order matters: once the node is known to have logged in, its key may go. Its file goes
    /// last: while it lies there, the next apply knows that the key is still to be used up.
    pub(super) async fn settle(
        self: &Arc<Self>,
        unit: &CheckedUnit,
    ) -> Result<Vec<String>, Failure> {
        let unit = unit.clone();
        self.blocking(move |this| this.settle_on_disk(&unit)).await
    }

    fn settle_on_disk(&self, unit: &CheckedUnit) -> Result<Vec<String>, Failure> {
        let before = self.records.get();
        let first_login = before.node.is_none();
        let key_was_laid = self.files.has_auth_key();
        self.records
            .update(|record| {
                record.applied = Some(unit.as_wire().clone());
                // The run that has answered knows all files: the agent may have died after its
                // restart and before it could write that down.
                record.pending = None;
                record.node.get_or_insert_with(|| KnownNode {
                    since_milliseconds: clock::now_milliseconds(),
                });
            })
            .map_err(disk)?;
        // A key that was set for later, while the node is known, stays for later.
        if (first_login || key_was_laid)
            && let Some(name) = unit.auth_key()
        {
            self.secrets
                .consume(name)
                .map_err(|error| Failure::from_error(FailureClass::Permanent, &error))?;
        }
        self.files.remove_auth_key().map_err(disk)?;
        if before.applied.and_then(|applied| applied.artifact) == unit.as_wire().artifact {
            // A program that was uploaded for the next change stays.
            return Ok(Vec::new());
        }
        let mut keep = vec![unit.artifact()];
        keep.extend(before.previous_artifact.as_ref());
        // The unit does its work: what cannot be tidied up is no failure of it.
        let tidied = self.programs.prune(&keep);
        let warnings = tidied
            .err()
            .map(|error| format!("old programs were left: {}", crate::error::chain(&error)));
        Ok(warnings.into_iter().collect())
    }
}
