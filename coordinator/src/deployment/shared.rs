//! What the readers of the parts share.

use std::collections::BTreeMap;
use std::path::Path;

use super::Files;
use crate::document::Fields;

/// What is the same for all of them.
pub(super) struct Context<'a> {
    /// Of the deployment file.
    pub(super) directory: &'a Path,
    /// What is allowed, and should be known.
    pub(super) warnings: Vec<String>,
}

/// The certificates of all the files, one after the other.
pub(super) fn read_certificates(
    files: &dyn Files,
    context: &Context<'_>,
    fields: &Fields<'_>,
    key: &'static str,
) -> Option<String> {
    let mut roots = String::new();
    for (location, file) in fields.texts(key)? {
        let path = context.directory.join(&file);
        let report = fields.report();
        match files.read(&path) {
            Err(error) => {
                report.add(
                    location,
                    format!("cannot read `{}`: {error}", path.display()),
                );
            }
            // Whoever copied a key along must not see it handed to every host.
            Ok(pem) if pem.contains("PRIVATE KEY-----") => report.add(
                location,
                format!(
                    "`{}` holds a private key; roots are certificates only",
                    path.display()
                ),
            ),
            Ok(pem) if !pem.contains("-----BEGIN CERTIFICATE-----") => {
                report.add(
                    location,
                    format!("`{}` holds no PEM certificate", path.display()),
                );
            }
            Ok(pem) => {
                roots.push_str(pem.trim());
                roots.push('\n');
            }
        }
    }
    Some(roots)
}

/// Environment of a program, without the variables of `refused`, each with the reason why.
pub(super) fn environment(
    fields: &Fields<'_>,
    refused: &[(&str, &str)],
) -> Option<BTreeMap<String, String>> {
    let Some(node) = fields.optional("environment") else {
        return Some(BTreeMap::new());
    };
    let report = fields.report();
    let mut environment = BTreeMap::new();
    for entry in report.entries(node)? {
        if !is_variable(&entry.key) {
            report.add(
                &entry.location,
                "the name of a variable has letters, digits and `_`, no digit first",
            );
        } else if let Some((name, reason)) = refused.iter().find(|(name, _)| *name == entry.key) {
            report.add(
                &entry.location,
                format!("`{name}` is not for `environment`: {reason}"),
            );
        }
        if let Some(value) = report.text(&entry.value) {
            if value.chars().any(char::is_control) {
                report.add(
                    &entry.value.location,
                    "the value of a variable has no control characters",
                );
            }
            environment.insert(entry.key.clone(), value.to_owned());
        }
    }
    Some(environment)
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The mappings of a list; an absent key is an empty one.
pub(super) fn read_list<T>(
    fields: &Fields<'_>,
    key: &'static str,
    mut read: impl FnMut(Fields<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    let Some(node) = fields.optional(key) else {
        return Some(Vec::new());
    };
    let report = fields.report();
    let items = report.items(node)?;
    let mut all = Vec::new();
    for item in items {
        let fields = Fields::of(item, fields.path_of(key), report);
        all.push(fields.and_then(&mut read));
    }
    all.into_iter().collect()
}
