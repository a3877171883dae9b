//! Certificates that are refused although our authority made them: operators who were revoked.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The most serial numbers in one list. Certificates live 90 days at most, so that lists stay short.
const MOST: usize = 4096;
/// X.509 serial numbers have at most 20 bytes (RFC 5280, 4.1.2.2).
const LONGEST: usize = 40;

/// Serial numbers of refused certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenyList {
    /// Rises with each change. 0: there never was a list.
    pub version: u64,
    /// Lower-case hex, without leading zeros.
    pub serials: BTreeSet<String>,
}

impl DenyList {
    /// Whether a certificate with this serial number is refused. Any spelling of the number will do.
    pub fn refuses(&self, serial: &str) -> bool {
        self.serials.contains(&normal(serial))
    }

    /// A list as it came over the contract. `Err` says what is wrong with it.
    pub fn checked(version: u64, serials: &[String]) -> Result<Self, &'static str> {
        if version == 0 {
            return Err("the version of a deny list begins at 1");
        }
        if serials.len() > MOST {
            return Err("a deny list holds at most 4096 serial numbers");
        }
        let hex = |serial: &String| {
            (1..=LONGEST).contains(&serial.len()) && serial.chars().all(|c| c.is_ascii_hexdigit())
        };
        if !serials.iter().all(hex) {
            return Err("a serial number is 1 to 40 hex digits");
        }
        let serials = serials.iter().map(|serial| normal(serial)).collect();
        Ok(Self { version, serials })
    }
}

fn normal(serial: &str) -> String {
    serial.trim_start_matches('0').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_is_found_in_any_spelling() {
        let list = DenyList::checked(1, &["00Ab".to_owned()]).unwrap();
        assert!(list.refuses("ab") && list.refuses("0AB"));
        assert!(!list.refuses("abc"));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        assert!(DenyList::checked(0, &[]).is_err());
        assert!(DenyList::checked(1, &["g".to_owned()]).is_err());
        assert!(DenyList::checked(1, &[String::new()]).is_err());
        assert!(DenyList::checked(1, &["a".repeat(41)]).is_err());
        assert!(DenyList::checked(1, &vec!["a".to_owned(); 4097]).is_err());
    }
}
