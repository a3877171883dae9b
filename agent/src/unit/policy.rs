//! Whether `agent.toml` covers a configuration of the unit. Pure.

use omni_scale_proto::unit::CheckedUnit;
use omni_scale_proto::v1;

use crate::artifact::{ArtifactRefusal, check_download, check_upload};
use crate::config::Policy;
use crate::service::checks::Finding;

/// Whether this host lets the unit become so. `held`: the program is in the store already, so it
/// was allowed when it came.
pub fn check(policy: &Policy, unit: &CheckedUnit, held: bool) -> Result<(), ArtifactRefusal> {
    match unit.artifact_url() {
        "" if held => crate::artifact::check_sum(policy, unit.artifact()),
        "" => check_upload(policy, unit.artifact()),
        url => check_download(policy, unit.artifact(), url),
    }
}

/// The same as an answer to a check.
pub fn finding(
    policy: &Policy,
    check: &v1::UnitPolicyCheck,
    held: impl FnOnce(&CheckedUnit) -> bool,
) -> Finding {
    let unit = match CheckedUnit::try_from(check.configuration.clone().unwrap_or_default()) {
        Ok(unit) => unit,
        Err(error) => return Finding::failed(error.to_string()).finally(),
    };
    match self::check(policy, &unit, held(&unit)) {
        Ok(()) => Finding::passed("agent.toml allows the program of the unit"),
        Err(refusal) => Finding::failed(refusal.to_string())
            .with_hint(
                "root decides on the host, in `/etc/omni-scale/agent.toml`, what may run there",
            )
            .finally(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use omni_scale_proto::v1::CheckStatus;

    fn asked(url: &str, sources: &[&str], held: bool) -> CheckStatus {
        let policy = Policy {
            artifact_sources: sources.iter().map(ToString::to_string).collect(),
            ..Policy::default()
        };
        let configuration = v1::UnitConfiguration {
            artifact: Some(v1::Artifact {
                sha256: "a".repeat(64),
                url: url.to_owned(),
            }),
            issuer: "https://tsidp.tail.test".to_owned(),
            ..v1::UnitConfiguration::default()
        };
        let check = v1::UnitPolicyCheck {
            configuration: Some(configuration),
        };
        finding(&policy, &check, |_| held).status
    }

    #[test]
    fn a_program_comes_from_where_root_said() {
        let sources = ["https://a.example/"];
        assert_eq!(
            asked("https://a.example/x", &sources, false),
            CheckStatus::Passed
        );
        assert_eq!(
            asked("https://b.example/x", &sources, false),
            CheckStatus::Failed
        );
        assert_eq!(
            asked("https://b.example/x", &sources, true),
            CheckStatus::Failed
        );
    }

    #[test]
    fn a_program_without_a_source_must_be_there_already() {
        assert_eq!(asked("", &[], true), CheckStatus::Passed);
        assert_eq!(asked("", &[], false), CheckStatus::Failed);
    }

    #[test]
    fn what_is_no_configuration_is_not_allowed() {
        let check = v1::UnitPolicyCheck::default();
        let finding = finding(&Policy::default(), &check, |_| true);
        assert_eq!(finding.status, CheckStatus::Failed);
        assert!(!finding.may_change);
    }
}
