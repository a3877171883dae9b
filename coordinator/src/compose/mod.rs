//! A Compose file of the user's → the typed stack of the contract.
//!
//! A declared subset of the Compose specification, read as Docker Compose reads it; whatever else
//! stands in a file is refused by name, line and column, because a key that is silently ignored is
//! a container that is not what its file says. `docs/deployment.md` lists the subset.
//!
//! What differs from Docker Compose, on purpose: a variable that is not set is an error; nothing
//! is taken from the environment of whoever runs the command; the project's name must be written
//! down; bind mounts name paths of the host, which are absolute; `{{ secret "NAME" }}` in a
//! variable or in the content of a config stands for a secret that the host holds.
//!
//! Pure: files are read through [`Files`](crate::deployment::Files).

pub mod dotenv;
mod entries;
pub mod interpolate;
mod placeholder;
pub mod quantity;
mod resources;
mod service;
mod substitute;
pub mod words;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use omni_scale_proto::id::StackName;
use omni_scale_proto::stack::CheckedStack;
use omni_scale_proto::v1;

use crate::deployment::Files;
use crate::document::{Fields, Location, Node, Problems, Report, parse};
use dotenv::Variables;
use resources::Resources;

/// Marks a config of a service as a key for one login: it is no part of what the container is, and
/// is left out once the host has it no more. Docker Compose ignores it, as all that begins so.
pub const ONE_TIME: &str = "x-one-time";

/// The name of the project, for the file's own use, as Docker Compose gives it.
const PROJECT_NAME: &str = "COMPOSE_PROJECT_NAME";

/// The profiles that are wanted when none are given, split by commas.
const PROFILES: &str = "COMPOSE_PROFILES";

/// What is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The Compose file.
    pub file: PathBuf,
    /// A file of variables, which must be there. Absent: `.env` beside the Compose file, if it is
    /// there.
    pub env_file: Option<PathBuf>,
    /// Profiles whose services are wanted. None: those that `COMPOSE_PROFILES` names in the file of
    /// variables.
    pub profiles: BTreeSet<String>,
}

/// What the readers of the parts share.
struct Context<'a> {
    report: &'a Report,
    files: &'a dyn Files,
    directory: &'a Path,
    variables: &'a Variables,
    profiles: &'a BTreeSet<String>,
}

/// A Compose file that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct ComposeFile {
    /// What it says. Images stay as they are written.
    pub stack: v1::Stack,
    tree: Node,
}

impl ComposeFile {
    /// Where the services stand.
    pub fn services(&self) -> &Location {
        let services = self.tree.get("services");
        services.map_or(&self.tree.location, |services| &services.location)
    }

    /// Where the first of `keys` that a service has stands; without any, the service itself.
    pub fn place(&self, service: &str, keys: &[&str]) -> &Location {
        let Some(service) = self.tree.get("services").and_then(|all| all.get(service)) else {
            return self.services();
        };
        let mut found = keys.iter().filter_map(|key| service.get(key));
        found
            .next()
            .map_or(&service.location, |node| &node.location)
    }
}

/// Reads the stack of a Compose file. Images stay as they are written.
pub fn resolve(files: &dyn Files, source: &Source) -> Result<v1::Stack, Problems> {
    read(files, source).map(|file| file.stack)
}

/// Reads a Compose file.
pub fn read(files: &dyn Files, source: &Source) -> Result<ComposeFile, Problems> {
    let name = source.file.display().to_string();
    let directory = source.file.parent().unwrap_or(Path::new(""));
    let text = files.read(&source.file).map_err(|error| {
        let report = Report::default();
        report.add(
            &Location::start_of(&name),
            format!("cannot read the file: {error}"),
        );
        report
            .conclude::<()>(None)
            .expect_err("a problem was just noted")
    })?;
    let tree = parse(&name, &text)?;
    let mut variables = read_variables(files, source, directory)?;
    let report = Report::default();
    let stack_name = stack_name(&tree, &variables, &report);
    if let Some(name) = &stack_name {
        variables.insert(PROJECT_NAME.to_owned(), name.to_string());
    }
    let tree = substitute::substitute(tree, &variables, &report);
    let profiles = profiles(source, &variables);
    let context = Context {
        report: &report,
        files,
        directory,
        variables: &variables,
        profiles: &profiles,
    };
    let stack = stack_name.and_then(|name| read_stack(&context, &tree, &name));
    let stack = report.conclude(stack)?;
    let stack = check(&tree, stack)?;
    Ok(ComposeFile { stack, tree })
}

/// The profiles that are wanted: those that are given, or else those that the variables name.
fn profiles(source: &Source, variables: &Variables) -> BTreeSet<String> {
    if !source.profiles.is_empty() {
        return source.profiles.clone();
    }
    let named = variables.get(PROFILES).into_iter();
    named
        .flat_map(|names| names.split(','))
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

fn read_variables(
    files: &dyn Files,
    source: &Source,
    directory: &Path,
) -> Result<Variables, Problems> {
    let path = source
        .env_file
        .clone()
        .unwrap_or_else(|| directory.join(".env"));
    let name = path.display().to_string();
    match files.read(&path) {
        Ok(text) => dotenv::parse(&name, &text, &|_| None),
        Err(error) if source.env_file.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            Ok(Variables::new())
        }
        Err(error) => {
            let report = Report::default();
            report.add(
                &Location::start_of(&name),
                format!("cannot read the file: {error}"),
            );
            report.conclude(None)
        }
    }
}

/// The project's name. Docker Compose would fall back on the name of the directory, which another
/// operator may have called something else.
fn stack_name(tree: &Node, variables: &Variables, report: &Report) -> Option<StackName> {
    let (location, text) = match (variables.get(PROJECT_NAME), tree.get("name")) {
        (Some(name), _) => (&tree.location, name.clone()),
        (None, Some(node)) => {
            let text = report.text(node)?;
            let value = substitute::text(text, variables, &node.location, report)?;
            (&node.location, value)
        }
        (None, None) => {
            report.add_with_hint(
                &tree.location,
                "the project has no name",
                "add `name:` at the top of the file; the name of a directory may differ from one \
                 operator to the next",
            );
            return None;
        }
    };
    match text.parse() {
        Ok(name) => Some(name),
        Err(error) => {
            report.add(location, error.to_string());
            None
        }
    }
}

fn read_stack(context: &Context<'_>, tree: &Node, name: &StackName) -> Option<v1::Stack> {
    let fields = Fields::of(tree, "", context.report)?;
    // Known and without effect: the name was read before, the version says nothing any more.
    let _ = (fields.optional("name"), fields.optional("version"));
    let resources = Resources::read(context, &fields, name);
    let services = fields
        .required("services")
        .and_then(|node| context.report.entries(node));
    fields.finish_but_extensions();
    let mut read = Vec::new();
    for entry in services? {
        read.extend(service::read(context, &resources, entry));
    }
    read.sort_by(|a, b| a.name.cmp(&b.name));
    Some(resources.into_stack(name, read))
}

/// Holds the stack against the contract's own rules, which know nothing of lines: each service is
/// looked up again.
fn check(tree: &Node, stack: v1::Stack) -> Result<v1::Stack, Problems> {
    let mut pinned = stack.clone();
    for service in &mut pinned.services {
        service.image = format!("{}@sha256:{}", service.name.to_lowercase(), "0".repeat(64));
    }
    match CheckedStack::try_from(pinned) {
        Ok(_) => Ok(stack),
        Err(error) => {
            // A name may begin with another's, and may have dots in it.
            let service = error.path.strip_prefix("services.").and_then(|rest| {
                let is_in = |name: &str| {
                    let rest = rest.strip_prefix(name);
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                };
                let named = stack.services.iter().filter(|one| is_in(&one.name));
                named.max_by_key(|one| one.name.len())
            });
            let location = service
                .and_then(|service| tree.get("services")?.get(&service.name))
                .map_or(&tree.location, |node| &node.location);
            let report = Report::default();
            report.add(location, error.to_string());
            report.conclude(None)
        }
    }
}
