//! Who was given an operator's certificate from this machine, and which are denied.
//!
//! It lies beside the authority's key: whoever issues also revokes. Agents hold a copy of the
//! denied serial numbers; its version rises with each change and they refuse an older one.

use omni_scale_proto::id::OperatorName;
use omni_scale_proto::role::Role;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::serde::rfc3339;

use super::{Certificate, PkiError};

/// The format that this code writes. A newer one is refused.
const FORMAT: u32 = 1;

/// All certificates of operators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// Format of the file.
    version: u32,
    /// Version of the deny list. 0: nobody was ever revoked.
    deny_list_version: u64,
    /// In the order they were issued.
    operators: Vec<Issued>,
}

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issued {
    /// Whose it is.
    pub name: OperatorName,
    /// What it allows.
    pub role: Role,
    /// Serial number, lower-case hex.
    pub serial: String,
    /// When it was made.
    #[serde(with = "rfc3339")]
    pub issued_at: OffsetDateTime,
    /// When it ends.
    #[serde(with = "rfc3339")]
    pub not_after: OffsetDateTime,
    /// When it was revoked. None: it was not.
    #[serde(with = "rfc3339::option")]
    pub revoked_at: Option<OffsetDateTime>,
}

impl Default for Register {
    fn default() -> Self {
        Self {
            version: FORMAT,
            deny_list_version: 0,
            operators: Vec::new(),
        }
    }
}

impl Register {
    /// Reads a file's content.
    pub(super) fn from_json(json: &[u8]) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let register: Self = serde_json::from_slice(json)?;
        if register.version == FORMAT {
            Ok(register)
        } else {
            Err(format!("its format {} is not {FORMAT}", register.version).into())
        }
    }

    /// The content of its file.
    pub(super) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("a register has no map with odd keys")
    }

    /// Every certificate, in the order they were issued.
    pub fn operators(&self) -> &[Issued] {
        &self.operators
    }

    /// Version of the deny list. 0: nobody was ever revoked.
    pub const fn deny_list_version(&self) -> u64 {
        self.deny_list_version
    }

    /// Serial numbers to refuse at `now`. Ended certificates are left out: they are refused
    /// without a list.
    pub fn denied(&self, now: OffsetDateTime) -> Vec<String> {
        self.operators
            .iter()
            .filter(|issued| issued.revoked_at.is_some() && issued.not_after > now)
            .map(|issued| issued.serial.clone())
            .collect()
    }

    /// Notes a new certificate. One that speaks for no operator is not noted.
    pub fn note(&mut self, certificate: &Certificate, now: OffsetDateTime) {
        let Some(operator) = &certificate.operator else {
            return;
        };
        self.operators.push(Issued {
            name: operator.name.clone(),
            role: operator.role,
            serial: certificate.serial.clone(),
            issued_at: now,
            not_after: certificate.not_after,
            revoked_at: None,
        });
    }

    /// Which certificates `who`, a name or a serial number, stands for: those that are neither
    /// ended nor revoked.
    pub fn matching(&self, who: &str, now: OffsetDateTime) -> Vec<&Issued> {
        self.operators
            .iter()
            .filter(|issued| issued.name.as_str() == who || issued.serial == who)
            .filter(|issued| issued.revoked_at.is_none() && issued.not_after > now)
            .collect()
    }

    /// Revokes what [`matching`](Self::matching) finds; returns it. The deny list's version
    /// rises to one above both its own and `seen`, the highest that agents have.
    pub fn revoke(
        &mut self,
        who: &str,
        seen: u64,
        now: OffsetDateTime,
    ) -> Result<Vec<Issued>, PkiError> {
        let serials: Vec<String> = self
            .matching(who, now)
            .into_iter()
            .map(|issued| issued.serial.clone())
            .collect();
        if serials.is_empty() {
            return Err(PkiError::UnknownOperator {
                who: who.to_owned(),
            });
        }
        let mut revoked = Vec::new();
        for issued in &mut self.operators {
            if serials.contains(&issued.serial) {
                issued.revoked_at = Some(now);
                revoked.push(issued.clone());
            }
        }
        self.deny_list_version = self.deny_list_version.max(seen) + 1;
        Ok(revoked)
    }
}

#[cfg(test)]
mod tests {
    use super::super::authority::tests::{authority, operator};
    use super::*;
    use time::Duration;

    fn register_of_two() -> Register {
        let (authority, now) = (authority(), OffsetDateTime::now_utc());
        let mut register = Register::default();
        for role in ["admin", "viewer"] {
            let issued = authority.issue_operator(&operator(role), now).unwrap();
            register.note(issued.certificate(), now);
        }
        register
    }

    #[test]
    fn a_name_revokes_all_its_certificates_and_a_serial_number_one() {
        let now = OffsetDateTime::now_utc();
        let mut register = register_of_two();
        let serial = register.operators()[1].serial.clone();
        assert_eq!(register.revoke(&serial, 0, now).unwrap().len(), 1);
        assert_eq!(register.denied(now), [serial]);
        assert_eq!(register.revoke("ada", 0, now).unwrap().len(), 1);
        assert_eq!(register.denied(now).len(), 2);
        assert_eq!(register.deny_list_version(), 2);
        assert!(matches!(
            register.revoke("ada", 0, now),
            Err(PkiError::UnknownOperator { .. })
        ));
    }

    #[test]
    fn the_version_rises_above_what_agents_have() {
        let mut register = register_of_two();
        register
            .revoke("ada", 7, OffsetDateTime::now_utc())
            .unwrap();
        assert_eq!(register.deny_list_version(), 8);
    }

    #[test]
    fn ended_certificates_leave_the_deny_list() {
        let now = OffsetDateTime::now_utc();
        let mut register = register_of_two();
        register.revoke("ada", 0, now).unwrap();
        assert!(register.denied(now + Duration::days(91)).is_empty());
    }

    #[test]
    fn a_register_survives_its_file_and_a_newer_one_is_refused() {
        let register = register_of_two();
        let json = register.to_json();
        assert_eq!(Register::from_json(&json).unwrap(), register);
        let newer = String::from_utf8(json)
            .unwrap()
            .replace("\"version\": 1", "\"version\": 2");
        let refused = Register::from_json(newer.as_bytes()).unwrap_err();
        assert!(refused.to_string().contains("format 2"), "{refused}");
    }
}
