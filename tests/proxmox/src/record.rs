//! What was asked and answered, for a judge who was not there.
//!
//! No header, no file's bytes and no password is in it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One request and its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    /// `GET`, `POST`…
    pub method: String,
    /// The path below `/api2/json`, still encoded.
    pub path: String,
    /// The parameters of query and body, as they came.
    pub params: BTreeMap<String, String>,
    /// The status; 0 if the connection was cut.
    pub status: u16,
    /// The body of the answer, null without one.
    pub body: Value,
    /// Whether a fault was in play: such an answer says nothing about the call.
    pub fault: bool,
}

/// Parameters whose values are not kept.
const SECRET: [&str; 2] = ["cipassword", "password"];

/// The parameters without their secrets.
pub(crate) fn redact(params: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    params
        .iter()
        .map(|(name, value)| {
            let value = if SECRET.contains(&name.as_str()) {
                "***"
            } else {
                value
            };
            (name.clone(), value.to_owned())
        })
        .collect()
}
