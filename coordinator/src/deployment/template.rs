//! The deployment file that `init` writes: complete, commented, to be filled in.

use uuid::Uuid;

/// What `init` knows.
#[derive(Debug, Clone)]
pub struct TemplateValues<'a> {
    /// A new UUID, the deployment's for good.
    pub id: Uuid,
    /// Another, Omni's account for good.
    pub account_id: Uuid,
    /// The tailnet's MagicDNS suffix, when it is known.
    pub domain: Option<&'a str>,
}

const TEMPLATE: &str = include_str!("template.yaml");

/// The text of a new `deployment.yaml`.
pub fn template(values: &TemplateValues<'_>) -> String {
    TEMPLATE
        .replace("{id}", &values.id.to_string())
        .replace("{account_id}", &values.account_id.to_string())
        .replace("{domain}", values.domain.unwrap_or("example.ts.net"))
}
