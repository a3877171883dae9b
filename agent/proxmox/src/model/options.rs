//! What the datacenter sets for all, as far as it touches VMIDs and tags.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::{PropertyString, tolerant::Loose};

/// The answer to `/cluster/options`. Needs `Sys.Audit` on `/`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct DatacenterOptions(BTreeMap<String, Value>);

impl DatacenterOptions {
    /// The range that Proxmox proposes VMIDs from, `lower` included and `upper` not; either may be unset.
    pub fn next_id(&self) -> (Option<u64>, Option<u64>) {
        let bound = |key| {
            self.part("next-id", key)
                .and_then(|bound| bound.parse().ok())
        };
        (bound("lower"), bound("upper"))
    }

    /// Who may invent tags: `free`, `existing`, `list` or `none`. Unset means `free`.
    pub fn user_tag_access(&self) -> Option<String> {
        self.part("user-tag-access", "user-allow")
    }

    /// Tags that only administrators may set.
    pub fn registered_tags(&self) -> Vec<String> {
        self.tags("registered-tags")
    }

    /// Tags that the caller may set, though it may not invent any: computed for it.
    pub fn allowed_tags(&self) -> Vec<String> {
        self.tags("allowed-tags")
    }

    fn tags(&self, key: &str) -> Vec<String> {
        match self.0.get(key) {
            Some(Value::Array(tags)) => tags.iter().filter_map(String::loose).collect(),
            Some(Value::String(tags)) => {
                let tags = tags.split([';', ',', ' ']).filter(|tag| !tag.is_empty());
                tags.map(str::to_owned).collect()
            }
            _ => Vec::new(),
        }
    }

    /// A part of a property, which newer versions send taken apart and older ones as it is written.
    fn part(&self, property: &str, key: &str) -> Option<String> {
        match self.0.get(property)? {
            Value::Object(parts) => parts.get(key).and_then(String::loose),
            Value::String(text) => {
                let parts: PropertyString = text.parse().ok()?;
                parts.get(key).map(str::to_owned)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn properties_come_taken_apart_or_as_text() {
        for value in [
            json!({ "next-id": { "lower": "200", "upper": 300 }, "registered-tags": ["a", "b"], "allowed-tags": ["c"], "user-tag-access": { "user-allow": "list" } }),
            json!({ "next-id": "lower=200,upper=300", "registered-tags": "a;b", "allowed-tags": "c", "user-tag-access": "user-allow=list" }),
        ] {
            let options: DatacenterOptions = from_value(value).unwrap();
            assert_eq!(options.next_id(), (Some(200), Some(300)));
            assert_eq!(options.registered_tags(), ["a", "b"]);
            assert_eq!(options.allowed_tags(), ["c"]);
            assert_eq!(options.user_tag_access().as_deref(), Some("list"));
        }
        let options: DatacenterOptions = from_value(json!({})).unwrap();
        assert_eq!(options.next_id(), (None, None));
    }
}
