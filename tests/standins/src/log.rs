//! Log lines in the form of zap's production logger, on standard error.

use std::io::{Write, stderr};

use serde_json::{Map, Value};

use crate::pace::unix_time;

/// Prints one line. A log that nobody takes is no reason to stop.
pub(crate) fn line(level: &str, message: &str, fields: &[(&str, Value)]) {
    let mut entry = Map::new();
    entry.insert("level".to_owned(), level.into());
    entry.insert("ts".to_owned(), unix_time().into());
    entry.insert("msg".to_owned(), message.into());
    entry.extend(
        fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone())),
    );
    let _ = writeln!(stderr(), "{}", Value::Object(entry));
}

pub(crate) fn info(message: &str, fields: &[(&str, Value)]) {
    line("info", message, fields);
}

pub(crate) fn warn(message: &str, fields: &[(&str, Value)]) {
    line("warn", message, fields);
}

pub(crate) fn error(message: &str, fields: &[(&str, Value)]) {
    line("error", message, fields);
}
