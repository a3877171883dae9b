//! References to secrets: `{ secret: NAME }`. A secret itself never stands in a deployment.

use omni_scale_proto::id::SecretName;

use crate::document::{Content, Fields, Node};

/// The secret of a key that must be there.
pub(super) fn required(fields: &Fields<'_>, key: &'static str) -> Option<SecretName> {
    let node = fields.required(key)?;
    reference(fields, key, node)
}

/// The secret of a key that may be absent.
pub(super) fn optional(fields: &Fields<'_>, key: &'static str) -> Option<SecretName> {
    let node = fields.optional(key)?;
    reference(fields, key, node)
}

fn reference(fields: &Fields<'_>, key: &'static str, node: &Node) -> Option<SecretName> {
    let path = fields.path_of(key);
    if !matches!(node.content, Content::Mapping(_)) {
        // What stands here may be the secret: it must not be repeated.
        fields.report().add_with_hint(
            &node.location,
            format!("`{path}` names a secret, and must not hold one"),
            "write `{ secret: NAME }`, and give the value to `omni-scale secret set HOST NAME`; \
             a secret that stood in a file should be replaced",
        );
        return None;
    }
    let inner = Fields::of(node, path, fields.report())?;
    let name = inner.required_parsed("secret");
    inner.finish();
    name
}
