//! What services share: volumes, networks and configs, by their keys at the top of the file.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use omni_scale_proto::id::StackName;
use omni_scale_proto::v1;

use super::Context;
use super::entries::{boolean, key_values};
use crate::document::{Entry, Fields, Location};

/// The network that services are on when they name none.
pub(super) const DEFAULT_NETWORK: &str = "default";

/// What is declared, and what of it is used.
pub(super) struct Resources {
    volumes: BTreeMap<String, v1::Volume>,
    networks: BTreeMap<String, v1::Network>,
    /// Contents by key; None when its problem is in the report.
    configs: BTreeMap<String, Option<String>>,
    used_volumes: RefCell<BTreeSet<String>>,
    used_networks: RefCell<BTreeSet<String>>,
    counting: Cell<bool>,
}

impl Resources {
    pub(super) fn read(context: &Context<'_>, fields: &Fields<'_>, name: &StackName) -> Self {
        let mut networks: BTreeMap<String, v1::Network> = each(fields, "networks", |entry| {
            read_network(context, name, entry)
        });
        networks
            .entry(DEFAULT_NETWORK.to_owned())
            .or_insert_with(|| v1::Network {
                name: DEFAULT_NETWORK.to_owned(),
                engine_name: format!("{name}_{DEFAULT_NETWORK}"),
                external: false,
                internal: false,
            });
        Self {
            volumes: each(fields, "volumes", |entry| read_volume(context, name, entry)),
            networks,
            configs: each(fields, "configs", |entry| read_config(context, entry)),
            used_volumes: RefCell::default(),
            used_networks: RefCell::default(),
            counting: Cell::new(true),
        }
    }

    /// Whether what is used from now on counts: a service that is not wanted is only checked.
    pub(super) fn count(&self, counting: bool) {
        self.counting.set(counting);
    }

    /// Notes that a volume is used. Whether it is declared.
    pub(super) fn use_volume(&self, key: &str) -> bool {
        if self.counting.get() {
            self.used_volumes.borrow_mut().insert(key.to_owned());
        }
        self.volumes.contains_key(key)
    }

    /// Notes that a network is used. Whether it is declared.
    pub(super) fn use_network(&self, key: &str) -> bool {
        if self.counting.get() {
            self.used_networks.borrow_mut().insert(key.to_owned());
        }
        self.networks.contains_key(key)
    }

    /// The content of a config: `Err` when it is not declared, None when it was not readable.
    pub(super) fn config(&self, key: &str) -> Result<Option<&str>, ()> {
        self.configs.get(key).map(Option::as_deref).ok_or(())
    }

    /// The stack of `services` and what they use.
    pub(super) fn into_stack(self, name: &StackName, services: Vec<v1::Service>) -> v1::Stack {
        let volumes = self.used_volumes.into_inner();
        let networks = self.used_networks.into_inner();
        v1::Stack {
            name: name.to_string(),
            services,
            volumes: self
                .volumes
                .into_values()
                .filter(|volume| volumes.contains(&volume.name))
                .collect(),
            networks: self
                .networks
                .into_values()
                .filter(|network| networks.contains(&network.name))
                .collect(),
        }
    }
}

/// Reads each entry of a mapping at the top of the file.
fn each<T>(
    fields: &Fields<'_>,
    key: &'static str,
    read: impl Fn(&Entry) -> T,
) -> BTreeMap<String, T> {
    let entries = fields
        .optional(key)
        .and_then(|node| fields.report().entries(node))
        .unwrap_or_default();
    entries
        .iter()
        .map(|entry| (entry.key.clone(), read(entry)))
        .collect()
}

/// What volumes and networks have in common: their name at the Engine, and whether it is theirs.
struct Named {
    engine_name: String,
    external: bool,
}

fn read_named(fields: Option<&Fields<'_>>, stack: &StackName, key: &str) -> Named {
    let (name, external) = match fields {
        None => (None, false),
        Some(fields) => (
            fields.optional_text("name"),
            boolean(fields, "external").unwrap_or(false),
        ),
    };
    let own = if external {
        key.to_owned()
    } else {
        format!("{stack}_{key}")
    };
    Named {
        engine_name: name.unwrap_or(own),
        external,
    }
}

/// The fields of an entry, which may be empty.
fn fields_of<'a>(context: &'a Context<'_>, section: &str, entry: &'a Entry) -> Option<Fields<'a>> {
    if entry.value.is_null() {
        return None;
    }
    let path = format!("{section}.{}", entry.key);
    Fields::of(&entry.value, path, context.report)
}

fn read_volume(context: &Context<'_>, stack: &StackName, entry: &Entry) -> v1::Volume {
    let fields = fields_of(context, "volumes", entry);
    let named = read_named(fields.as_ref(), stack, &entry.key);
    let labels = fields
        .as_ref()
        .and_then(|fields| key_values(fields, "labels"));
    if let Some(fields) = fields {
        if named.external && fields.entry("labels").is_some() {
            external_has_only_a_name(context, &entry.location, &entry.key);
        }
        fields.finish_but_extensions();
    }
    v1::Volume {
        name: entry.key.clone(),
        engine_name: named.engine_name,
        external: named.external,
        labels: labels
            .unwrap_or_default()
            .into_iter()
            .map(|label| (label.key, label.value.unwrap_or_default()))
            .collect(),
    }
}

fn read_network(context: &Context<'_>, stack: &StackName, entry: &Entry) -> v1::Network {
    let fields = fields_of(context, "networks", entry);
    let named = read_named(fields.as_ref(), stack, &entry.key);
    let internal = fields
        .as_ref()
        .and_then(|fields| boolean(fields, "internal"));
    if let Some(fields) = fields {
        if let Some(driver) = fields.entry("driver")
            && context
                .report
                .text(&driver.value)
                .is_some_and(|driver| driver != "bridge")
        {
            context.report.add(
                &driver.value.location,
                "only networks with the driver `bridge` are supported",
            );
        }
        if named.external && fields.entry("internal").is_some() {
            external_has_only_a_name(context, &entry.location, &entry.key);
        }
        fields.finish_but_extensions();
    }
    v1::Network {
        name: entry.key.clone(),
        engine_name: named.engine_name,
        external: named.external,
        internal: internal.unwrap_or(false),
    }
}

fn external_has_only_a_name(context: &Context<'_>, location: &Location, key: &str) {
    context.report.add(
        location,
        format!("`{key}` is external, so that only `name` can be said about it"),
    );
}

/// The content, from wherever the file says. None after a problem.
fn read_config(context: &Context<'_>, entry: &Entry) -> Option<String> {
    let report = context.report;
    let fields = Fields::of(&entry.value, format!("configs.{}", entry.key), report)?;
    // The key is what services name; a name at the Engine exists in Swarm only.
    let _ = fields.optional("name");
    let sources = [
        fields.entry("content"),
        fields.entry("file"),
        fields.entry("environment"),
    ];
    let text = match sources {
        [Some(inline), None, None] => report.text(&inline.value).map(str::to_owned),
        [None, Some(file), None] => read_file(context, &file.value),
        [None, None, Some(variable)] => report.text(&variable.value).and_then(|name| {
            let value = context.variables.get(name).cloned();
            if value.is_none() {
                let location = &variable.value.location;
                report.add(location, format!("the variable `{name}` is not set"));
            }
            value
        }),
        _ => {
            report.add(
                &entry.location,
                format!(
                    "config `{}` has exactly one of `content`, `file` and `environment`",
                    entry.key
                ),
            );
            None
        }
    };
    fields.finish_but_extensions();
    text
}

fn read_file(context: &Context<'_>, node: &crate::document::Node) -> Option<String> {
    let path = context.directory.join(context.report.text(node)?);
    match context.files.read(&path) {
        Ok(text) => Some(text),
        Err(error) => {
            let message = format!("cannot read `{}`: {error}", path.display());
            context.report.add(&node.location, message);
            None
        }
    }
}
