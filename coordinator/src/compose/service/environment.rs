//! `environment` and `env_file`.

use std::collections::BTreeMap;

use omni_scale_proto::v1::{EnvironmentVariable, SecretEncoding};

use super::super::entries::{boolean, key_values};
use super::super::{Context, dotenv, placeholder};
use crate::document::{Content, Fields, Location, Node};

/// The variables, by name. What `environment` says goes before what files say.
pub(super) fn read(context: &Context<'_>, fields: &Fields<'_>) -> Option<Vec<EnvironmentVariable>> {
    let from_files = from_files(context, fields);
    let own = key_values(fields, "environment");
    let start = fields.location();
    let mut variables: BTreeMap<String, (String, &Location)> = from_files?
        .into_iter()
        .map(|(name, value)| (name, (value, start)))
        .collect();
    for variable in own? {
        if variable.key.is_empty() {
            fields
                .report()
                .add(variable.location, "a variable has no name");
            continue;
        }
        let value = match variable.value {
            Some(value) => Some(value),
            // Only a name: its value is that of the project's variable.
            None => context.variables.get(&variable.key).cloned(),
        };
        match value {
            Some(value) => {
                variables.insert(variable.key, (value, variable.location));
            }
            None => fields.report().add(
                variable.location,
                format!("the variable `{}` is not set", variable.key),
            ),
        }
    }
    variables
        .into_iter()
        .map(|(name, (value, location))| {
            // A line break at the end of a value is a mistake nearly always.
            let encoding = SecretEncoding::Trimmed;
            let value = placeholder::read(&value, encoding, location, fields.report())?;
            Some(EnvironmentVariable {
                name,
                value: Some(value),
            })
        })
        .collect()
}

fn from_files(context: &Context<'_>, fields: &Fields<'_>) -> Option<dotenv::Variables> {
    let mut variables = dotenv::Variables::new();
    let Some(node) = fields.optional("env_file") else {
        return Some(variables);
    };
    let nodes = match &node.content {
        Content::Sequence(items) => items.as_slice(),
        Content::Scalar(_) | Content::Mapping(_) => std::slice::from_ref(node),
    };
    for node in nodes {
        let added = from_file(context, fields, node, &variables)?;
        variables.extend(added);
    }
    Some(variables)
}

fn from_file(
    context: &Context<'_>,
    fields: &Fields<'_>,
    node: &Node,
    earlier: &dotenv::Variables,
) -> Option<dotenv::Variables> {
    let report = context.report;
    let (file, required) = match &node.content {
        Content::Mapping(_) => {
            let fields = Fields::of(node, fields.path_of("env_file"), report)?;
            let path = fields.required_text("path");
            let required = boolean(&fields, "required");
            fields.finish_but_extensions();
            (path?, required.unwrap_or(true))
        }
        Content::Scalar(_) | Content::Sequence(_) => (report.text(node)?.to_owned(), true),
    };
    let path = context.directory.join(file);
    let name = path.display().to_string();
    // Earlier files go before the project's variables, and both before the file's own lines.
    let outer = |variable: &str| {
        let value = earlier
            .get(variable)
            .or_else(|| context.variables.get(variable));
        value.cloned()
    };
    match context.files.read(&path) {
        Ok(text) => match dotenv::parse(&name, &text, &outer) {
            Ok(variables) => Some(variables),
            Err(problems) => {
                report.extend(problems);
                None
            }
        },
        Err(error) if !required && error.kind() == std::io::ErrorKind::NotFound => {
            Some(dotenv::Variables::new())
        }
        Err(error) => {
            report.add(&node.location, format!("cannot read `{name}`: {error}"));
            None
        }
    }
}
