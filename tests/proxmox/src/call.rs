//! One call: who, and with what values.

use std::collections::BTreeMap;

use crate::access::Caller;
use crate::multipart::Upload;

/// A call whose parameters were checked.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) caller: Caller,
    pub(crate) values: BTreeMap<String, String>,
    pub(crate) upload: Option<Upload>,
}

impl Call {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.get(name) == Some("1")
    }

    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.get(name)?.parse().ok()
    }

    /// The node of the path.
    pub(crate) fn node(&self) -> &str {
        self.get("node").unwrap_or_default()
    }

    /// The VMID of path or body; the schema has checked that it is one.
    pub(crate) fn vmid(&self) -> u32 {
        self.get("vmid")
            .and_then(|vmid| vmid.parse().ok())
            .unwrap_or_default()
    }
}
