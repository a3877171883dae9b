//! `provider:` the Proxmox infrastructure provider of the built-in stack.

use super::model::{Provider, ProviderConfiguration, ProxmoxApi};
use super::values::HttpUrl;
use super::{NodeName, secret};
use crate::document::Fields;

/// The id that machine classes name when nobody chose another.
const DEFAULT_ID: &str = "proxmox";

/// Reads the mapping. `warnings` gets what is allowed and should be known.
pub(super) fn read(fields: Fields<'_>, warnings: &mut Vec<String>) -> Option<Provider> {
    let image = fields.required_parsed("image");
    let id: Option<NodeName> = match fields.optional("id") {
        Some(node) => fields.report().parsed(node),
        None => DEFAULT_ID.parse().ok(),
    };
    let key = secret::required(&fields, "key");
    let configuration = configuration(&fields, warnings);
    fields.finish();
    Some(Provider {
        image: image?,
        id: id?,
        key: key?,
        configuration: configuration?,
    })
}

fn configuration(fields: &Fields<'_>, warnings: &mut Vec<String>) -> Option<ProviderConfiguration> {
    let file = fields.entry("configuration");
    let proxmox = fields.entry("proxmox");
    match (proxmox, file) {
        (Some(_), None) => {
            let api = read_proxmox(fields.required_fields("proxmox")?)?;
            if api.insecure_skip_verify {
                warnings.push(
                    "provider.proxmox.insecure_skip_verify: whoever is between the provider and \
                     Proxmox VE can read its token"
                        .to_owned(),
                );
            }
            Some(ProviderConfiguration::Proxmox(api))
        }
        (None, Some(_)) => {
            secret::required(fields, "configuration").map(ProviderConfiguration::File)
        }
        (Some(_), Some(second)) => {
            fields.report().add(
                &second.location,
                "`provider` has one of `proxmox` and `configuration`, not both",
            );
            None
        }
        (None, None) => {
            fields.report().add_with_hint(
                fields.location(),
                "`provider.proxmox` is missing",
                "or name a secret that holds the provider's whole configuration file in \
                 `provider.configuration`",
            );
            None
        }
    }
}

fn read_proxmox(fields: Fields<'_>) -> Option<ProxmoxApi> {
    let url: Option<HttpUrl> = fields.required_parsed("url");
    if let (Some(url), Some(entry)) = (&url, fields.entry("url"))
        && !url.as_str().ends_with("/api2/json")
    {
        fields.report().add_with_hint(
            &entry.value.location,
            "the address of the Proxmox VE API ends in `/api2/json`",
            "for example `https://pve.lan:8006/api2/json`",
        );
    }
    let token_id = fields.required_text("token_id");
    if let (Some(token_id), Some(entry)) = (&token_id, fields.entry("token_id"))
        && !is_token_id(token_id)
    {
        fields
            .report()
            .add(&entry.value.location, "a token id is `USER@REALM!TOKEN`");
    }
    let token_secret = secret::required(&fields, "token_secret");
    let insecure_skip_verify = fields.boolean("insecure_skip_verify", false);
    fields.finish();
    Some(ProxmoxApi {
        url: url?,
        token_id: token_id?,
        token_secret: token_secret?,
        insecure_skip_verify: insecure_skip_verify?,
    })
}

/// `USER@REALM!TOKEN`.
pub(super) fn is_token_id(text: &str) -> bool {
    text.split_once('@')
        .and_then(|(user, rest)| Some((user, rest.split_once('!')?)))
        .is_some_and(|(user, (realm, token))| {
            [user, realm, token].iter().all(|part| {
                !part.is_empty()
                    && part
                        .chars()
                        .all(|c| c.is_ascii_graphic() && !matches!(c, '@' | '!'))
            })
        })
}
