//! Variables in a whole document.
//!
//! As in Docker Compose, values are interpolated and keys are not. Extensions (`x-…`) at the top
//! are left alone: what they hold is interpolated where an alias puts it.

use super::dotenv::Variables;
use super::interpolate::interpolate;
use crate::document::{Content, Location, Node, Report, ScalarKind};

/// The document with the values of variables in it. A scalar whose variable is missing stays as
/// it is, and its problem is in the report.
pub(super) fn substitute(mut tree: Node, variables: &Variables, report: &Report) -> Node {
    if let Content::Mapping(entries) = &mut tree.content {
        for entry in entries {
            // The name was read, and its problems told, before.
            if !entry.key.starts_with("x-") && entry.key != "name" {
                replace(&mut entry.value, variables, report);
            }
        }
    }
    tree
}

fn replace(node: &mut Node, variables: &Variables, report: &Report) {
    match &mut node.content {
        Content::Scalar(scalar) if scalar.kind == ScalarKind::Text => {
            if let Some(value) = text(&scalar.text, variables, &node.location, report) {
                scalar.text = value;
            }
        }
        Content::Scalar(_) => {}
        Content::Sequence(items) => {
            for item in items {
                replace(item, variables, report);
            }
        }
        Content::Mapping(entries) => {
            for entry in entries {
                replace(&mut entry.value, variables, report);
            }
        }
    }
}

/// `text` with the values of variables in it.
pub(super) fn text(
    text: &str,
    variables: &Variables,
    location: &Location,
    report: &Report,
) -> Option<String> {
    match interpolate(text, &|name| variables.get(name).cloned()) {
        Ok(value) => Some(value),
        Err(error) => {
            report.add(location, error.to_string());
            None
        }
    }
}
