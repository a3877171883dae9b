//! Every request and its answer as a line of JSON, for those who judge the traffic against the schema.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    sync::{Mutex, PoisonError},
};

use serde_json::{Map, Value, json};

use crate::{exchange::Answer, request::Request};

/// A file of lines `{method, path, params, status, body}`, the path as it was sent; `status` is 0 when no answer came.
/// Never holds the token.
#[derive(Debug)]
pub struct Record(Mutex<File>);

impl Record {
    /// Writes to the end of the file at `path`, so that several clients and runs can share it.
    pub fn append(path: &Path) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Self(Mutex::new(file)))
    }

    pub(crate) fn write(&self, draft: &Draft, answer: Option<&Answer>) {
        let body = answer.map(
            |answer| match serde_json::from_slice::<Value>(&answer.body) {
                Ok(json) => json,
                Err(_) => String::from_utf8_lossy(&answer.body).into(),
            },
        );
        let line = json!({
            "method": draft.method,
            "path": draft.path,
            "params": draft.parameters,
            "status": answer.map_or(0, |answer| answer.status),
            "body": body,
        });
        // One call of `write`, so that lines of several writers do not mix.
        let written = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write_all(format!("{line}\n").as_bytes());
        assert!(written.is_ok(), "the record cannot be written: {written:?}");
    }
}

/// What is recorded of a request before it is sent.
#[derive(Debug)]
pub(crate) struct Draft {
    method: &'static str,
    path: String,
    parameters: Map<String, Value>,
}

impl Draft {
    pub(crate) fn of(request: &Request) -> Self {
        let parameters = request
            .parameters
            .iter()
            .map(|(name, value)| (name.clone(), value.clone().into()));
        Self {
            method: request.call.method.as_str(),
            path: request.path.clone(),
            parameters: parameters.collect(),
        }
    }
}
