//! What a token may do.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use crate::tolerant::Loose;

/// Privileges by path. A privilege that is listed is held; its value says whether paths below inherit it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permissions(BTreeMap<String, BTreeMap<String, bool>>);

impl<'de> Deserialize<'de> for Permissions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let paths = Option::<BTreeMap<String, BTreeMap<String, serde_json::Value>>>::deserialize(
            deserializer,
        )?;
        let inherited = |privileges: BTreeMap<String, serde_json::Value>| {
            let privileges = privileges.into_iter();
            privileges
                .map(|(name, value)| (name, bool::loose(&value).unwrap_or(false)))
                .collect()
        };
        let paths = paths.unwrap_or_default().into_iter();
        Ok(Self(
            paths
                .map(|(path, privileges)| (path, inherited(privileges)))
                .collect(),
        ))
    }
}

impl Permissions {
    /// Whether `privilege` is held on `path`, by an entry for it or by inheritance from the nearest one above.
    pub fn holds(&self, path: &str, privilege: &str) -> bool {
        if let Some(privileges) = self.0.get(path) {
            return privileges.contains_key(privilege);
        }
        let mut rest = path;
        while let Some((above, _)) = rest.rsplit_once('/') {
            let key = if above.is_empty() { "/" } else { above };
            if let Some(privileges) = self.0.get(key) {
                return privileges.get(privilege).copied().unwrap_or(false);
            }
            rest = above;
        }
        false
    }

    /// The paths that have an entry.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether nothing at all is held: a token with privilege separation and no entry of its own.
    pub fn is_empty(&self) -> bool {
        self.0.values().all(BTreeMap::is_empty)
    }

    /// Adds what another answer says, for questions asked path by path.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn presence_is_possession_and_the_value_is_inheritance() {
        let permissions: Permissions = from_value(json!({
            "/": { "Sys.Audit": 0 },
            "/vms": { "VM.Allocate": 1, "VM.Audit": 0 },
            "/storage/local": { "Datastore.AllocateSpace": "1" },
        }))
        .unwrap();
        for (path, privilege, held) in [
            ("/", "Sys.Audit", true),
            ("/nodes/pve1", "Sys.Audit", false),
            ("/vms", "VM.Audit", true),
            ("/vms/105", "VM.Allocate", true),
            ("/vms/105", "VM.Audit", false),
            ("/storage/local", "Datastore.AllocateSpace", true),
            ("/storage/other", "Datastore.AllocateSpace", false),
            ("", "Sys.Audit", false),
        ] {
            assert_eq!(
                permissions.holds(path, privilege),
                held,
                "{path} {privilege}"
            );
        }
        assert!(!permissions.is_empty());
        assert!(from_value::<Permissions>(json!(null)).unwrap().is_empty());
    }
}
