//! `configs`: files that are put into the container.

use omni_scale_proto::v1::{File, SecretEncoding};

use super::super::entries::{boolean, integer};
use super::super::resources::Resources;
use super::super::{ONE_TIME, placeholder};
use crate::document::{Content, Fields, Node, Scalar, ScalarKind};

/// What Docker Compose gives a config that names no mode.
const DEFAULT_MODE: u32 = 0o444;

pub(super) fn read(resources: &Resources, fields: &Fields<'_>) -> Option<Vec<File>> {
    let Some(node) = fields.optional("configs") else {
        return Some(Vec::new());
    };
    let items = fields.report().items(node)?;
    let files: Option<Vec<File>> = items
        .iter()
        .map(|item| read_one(resources, fields, item))
        .collect();
    let mut files = files?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Some(files)
}

fn read_one(resources: &Resources, fields: &Fields<'_>, node: &Node) -> Option<File> {
    let report = fields.report();
    let mut file = File {
        mode: DEFAULT_MODE,
        ..File::default()
    };
    let source = if matches!(node.content, Content::Mapping(_)) {
        let fields = Fields::of(node, fields.path_of("configs"), report)?;
        let source = fields.required_text("source");
        file.path = fields.optional_text("target").unwrap_or_default();
        if let Some(node) = fields.optional("mode") {
            file.mode = mode(node, &fields)?;
        }
        file.user_id = integer(&fields, "uid");
        file.group_id = integer(&fields, "gid");
        file.one_time = boolean(&fields, ONE_TIME).unwrap_or(false);
        fields.finish_but_extensions();
        source?
    } else {
        report.text(node)?.to_owned()
    };
    if file.path.is_empty() {
        file.path = format!("/{source}");
    }
    let Ok(content) = resources.config(&source) else {
        report.add(&node.location, format!("no config is named `{source}`"));
        return None;
    };
    let usual = SecretEncoding::Raw;
    file.content = Some(placeholder::read(content?, usual, &node.location, report)?);
    Some(file)
}

/// Permission bits. YAML 1.1 reads `0440` as octal, YAML 1.2 `0o440`. A number without a zero before
/// it is a decimal one, and Docker Compose takes quoted digits for that too; nobody means either.
fn mode(node: &Node, fields: &Fields<'_>) -> Option<u32> {
    let digits = match &node.content {
        Content::Scalar(Scalar {
            text,
            kind: ScalarKind::Integer,
        }) => text.strip_prefix("0o").or_else(|| text.strip_prefix('0')),
        _ => None,
    };
    let mode = digits
        .and_then(|digits| u32::from_str_radix(digits, 8).ok())
        .filter(|mode| *mode <= 0o777);
    if mode.is_none() {
        fields.report().add_with_hint(
            &node.location,
            "a mode is an octal number, with a zero before it and without quotes",
            "for example `0440`",
        );
    }
    mode
}
