//! `volumes` and `tmpfs`.

use omni_scale_proto::v1::{Mount, TemporaryFileSystem, mount::Source};

use super::super::entries::{boolean, text_or_list};
use super::super::quantity;
use super::super::resources::Resources;
use crate::document::{Content, Fields, Location, Node, Scalar};

pub(super) fn read(resources: &Resources, fields: &Fields<'_>) -> Option<Vec<Mount>> {
    let mut mounts = Vec::new();
    if let Some(node) = fields.optional("volumes") {
        for item in fields.report().items(node)? {
            let mount = if matches!(item.content, Content::Mapping(_)) {
                long(resources, fields, item)
            } else {
                short(resources, fields, item)
            };
            mounts.push(mount?);
        }
    }
    let location = fields
        .optional("tmpfs")
        .map_or(fields.location(), |node| &node.location);
    for text in text_or_list(fields, "tmpfs")? {
        mounts.push(temporary(fields, &text, location)?);
    }
    Some(mounts)
}

/// `SOURCE:TARGET[:OPTIONS]`.
fn short(resources: &Resources, fields: &Fields<'_>, node: &Node) -> Option<Mount> {
    let report = fields.report();
    let text = report.text(node)?;
    let parts: Vec<&str> = text.split(':').collect();
    if parts.iter().any(|part| part.is_empty()) {
        report.add(
            &node.location,
            format!("`{text}` has an empty part between its colons"),
        );
        return None;
    }
    let (source, target, options) = match parts.as_slice() {
        [_] => {
            report.add_with_hint(
                &node.location,
                "an anonymous volume would be lost with its container",
                "give it a name: `NAME:/path`, and `NAME` in `volumes` at the top",
            );
            return None;
        }
        [source, target] => (*source, *target, ""),
        [source, target, options] => (*source, *target, *options),
        _ => {
            report.add(&node.location, format!("`{text}` has too many colons"));
            return None;
        }
    };
    let mut read_only = false;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => read_only = true,
            "rw" => read_only = false,
            _ => report.add(
                &node.location,
                format!("the option `{option}` is not supported; `ro` and `rw` are"),
            ),
        }
    }
    if source.len() == 1 && source.starts_with(|c: char| c.is_ascii_alphabetic()) {
        report.add_with_hint(
            &node.location,
            format!("Docker Compose takes `{source}:` for a Windows drive"),
            "give the volume a name of two letters or more, or write its mount by keys",
        );
    }
    let source = if source.starts_with(['.', '/', '~']) {
        bind(fields, source, &node.location)?
    } else {
        volume(resources, fields, source, &node.location)?
    };
    Some(Mount {
        target: target_path(fields, target, &node.location)?,
        read_only,
        source: Some(source),
    })
}

fn long(resources: &Resources, outer: &Fields<'_>, node: &Node) -> Option<Mount> {
    let report = outer.report();
    let fields = Fields::of(node, outer.path_of("volumes"), report)?;
    let kind = fields.required_text("type");
    let source = fields.optional_text("source");
    let target = fields.required_text("target");
    let read_only = boolean(&fields, "read_only");
    let source = match (kind?.as_str(), source) {
        ("bind", Some(source)) => {
            create_host_path(&fields);
            bind(&fields, &source, &node.location)
        }
        ("volume", Some(source)) => volume(resources, &fields, &source, &node.location),
        ("tmpfs", None) => temporary_options(&fields).map(Source::Temporary),
        ("tmpfs", Some(_)) => {
            report.add(&node.location, "a `tmpfs` has no `source`");
            None
        }
        ("bind" | "volume", None) => {
            report.add(&node.location, "`source` is missing");
            None
        }
        (other, _) => {
            report.add(
                &node.location,
                format!("the type `{other}` is not supported; `volume`, `bind` and `tmpfs` are"),
            );
            None
        }
    };
    fields.finish_but_extensions();
    Some(Mount {
        target: target_path(outer, &target?, &node.location)?,
        read_only: read_only.unwrap_or(false),
        source: Some(source?),
    })
}

/// What Docker Compose writes for a short form, and all that is supported.
fn create_host_path(fields: &Fields<'_>) {
    if let Some(options) = fields.optional_fields("bind") {
        if boolean(&options, "create_host_path") == Some(false) {
            options.report().add(
                options.location(),
                "`create_host_path: false` is not supported",
            );
        }
        options.finish_but_extensions();
    }
}

fn temporary_options(fields: &Fields<'_>) -> Option<TemporaryFileSystem> {
    let mut system = TemporaryFileSystem::default();
    if fields.optional("tmpfs").is_none() {
        return Some(system);
    }
    let options = fields.optional_fields("tmpfs")?;
    if let Some(node) = options.optional("size") {
        let size = match &node.content {
            Content::Scalar(Scalar { text, .. }) => quantity::bytes(text),
            Content::Sequence(_) | Content::Mapping(_) => None,
        };
        match size {
            Some(size) => system.size = size,
            None => options
                .report()
                .add(&node.location, "expected a size, such as `64m`"),
        }
    }
    options.finish_but_extensions();
    Some(system)
}

/// `PATH[:size=64m,mode=1777]`.
fn temporary(fields: &Fields<'_>, text: &str, location: &Location) -> Option<Mount> {
    let (path, options) = text.split_once(':').unwrap_or((text, ""));
    let mut system = TemporaryFileSystem::default();
    let mut read_only = false;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let known = match option.split_once('=') {
            Some(("size", size)) => quantity::bytes(size).map(|size| system.size = size),
            Some(("mode", mode)) => u32::from_str_radix(mode, 8)
                .ok()
                .filter(|mode| *mode <= 0o7777)
                .map(|mode| system.mode = mode),
            None if option == "ro" => {
                read_only = true;
                Some(())
            }
            None if option == "rw" => Some(()),
            _ => None,
        };
        if known.is_none() {
            fields.report().add(
                location,
                format!("the option `{option}` of a tmpfs is not supported; `size=64m`, `mode=1777`, `ro` and `rw` are"),
            );
        }
    }
    Some(Mount {
        target: target_path(fields, path, location)?,
        read_only,
        source: Some(Source::Temporary(system)),
    })
}

fn bind(fields: &Fields<'_>, source: &str, location: &Location) -> Option<Source> {
    if source.starts_with('/') && source.split('/').all(|part| part != "..") {
        return Some(Source::Bind(source.to_owned()));
    }
    fields.report().add_with_hint(
        location,
        format!("`{source}` is a relative path, and the host that runs this has no directory for it"),
        "name an absolute path of the host; for a small file use `configs`, which are read here and put into the container",
    );
    None
}

fn volume(
    resources: &Resources,
    fields: &Fields<'_>,
    key: &str,
    location: &Location,
) -> Option<Source> {
    if resources.use_volume(key) {
        return Some(Source::Volume(key.to_owned()));
    }
    fields.report().add_with_hint(
        location,
        format!("no volume is named `{key}`"),
        format!("add `{key}:` to `volumes` at the top of the file"),
    );
    None
}

/// An absolute path without what says nothing: `//`, `/./`, and the slash at the end.
fn target_path(fields: &Fields<'_>, target: &str, location: &Location) -> Option<String> {
    if !target.starts_with('/') || target.split('/').any(|part| part == "..") {
        fields.report().add(
            location,
            format!("`{target}` is not an absolute path in the container"),
        );
        return None;
    }
    let parts: Vec<&str> = target
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    Some(format!("/{}", parts.join("/")))
}
