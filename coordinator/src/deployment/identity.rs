//! `identity:` who says who a user is.

use std::collections::BTreeMap;

use omni_scale_proto::role::HostRole;

use super::hosts::Hosts;
use super::model::{Artifact, Identity, Tsidp};
use super::secret;
use super::shared::environment;
use crate::document::Fields;

/// Flags of tsidp that a deployment must not give, and why.
const REFUSED_FLAGS: [(&str, &str); 7] = [
    ("funnel", "it would put the issuer on the public internet"),
    (
        "local-port",
        "it gives every local process the rights of an administrator",
    ),
    ("dir", "the unit decides where the state is"),
    ("debug-all-requests", "it writes secrets into the journal"),
    ("use-local-tailscaled", "it takes over the host's own node"),
    ("hostname", "`identity.tsidp.name` gives it"),
    ("port", "the issuer is on port 443"),
];

/// Variables that the unit gives, or that would hold a secret.
const REFUSED_VARIABLES: [(&str, &str); 10] = [
    ("TS_AUTHKEY", "name the key in `identity.tsidp.auth_key`"),
    ("TS_AUTH_KEY", "name the key in `identity.tsidp.auth_key`"),
    ("TS_CLIENT_SECRET", "a secret does not belong here"),
    (
        "TSNET_FORCE_LOGIN",
        "it logs in again at every start, until the key has expired",
    ),
    ("TS_CONTROL_URL", "`tailnet.control_url` gives it"),
    ("TS_STATE_DIR", "the unit decides where the state is"),
    ("TS_HOSTNAME", "`identity.tsidp.name` gives it"),
    ("TSIDP_PORT", "the issuer is on port 443"),
    (
        "TSIDP_LOCAL_PORT",
        "it gives every local process the rights of an administrator",
    ),
    (
        "TSIDP_USE_FUNNEL",
        "it would put the issuer on the public internet",
    ),
];

/// Reads the mapping.
pub(super) fn read(fields: Fields<'_>, hosts: &Hosts<'_>) -> Option<Identity> {
    let tsidp = fields.entry("tsidp");
    let oidc = fields.entry("oidc");
    let identity = match (tsidp, oidc) {
        (Some(_), None) => fields
            .required_fields("tsidp")
            .and_then(|fields| read_tsidp(fields, hosts))
            .map(Identity::Tsidp),
        (None, Some(_)) => fields.required_fields("oidc").and_then(|fields| {
            let issuer = fields.required_parsed("issuer");
            fields.finish();
            Some(Identity::Oidc { issuer: issuer? })
        }),
        (Some(_), Some(second)) => {
            fields.report().add(
                &second.location,
                "`identity` has one of `tsidp` and `oidc`, not both",
            );
            None
        }
        (None, None) => {
            fields.report().add_with_hint(
                fields.location(),
                "`identity` is empty",
                "it has `tsidp` (one of ours) or `oidc` (an issuer that exists)",
            );
            None
        }
    };
    fields.finish();
    identity
}

fn read_tsidp(fields: Fields<'_>, hosts: &Hosts<'_>) -> Option<Tsidp> {
    let host = hosts.reference(&fields, HostRole::Tsidp);
    let name = fields.required_parsed("name");
    let artifact = fields.required_fields("artifact").and_then(|fields| {
        let url = fields.optional_parsed("url");
        let sha256 = fields.required_parsed("sha256");
        fields.finish();
        Some(Artifact {
            url,
            sha256: sha256?,
        })
    });
    let extra_args = extra_args(&fields);
    let environment: Option<BTreeMap<_, _>> = environment(&fields, &REFUSED_VARIABLES);
    let auth_key = secret::optional(&fields, "auth_key");
    fields.finish();
    Some(Tsidp {
        host: host?,
        name: name?,
        artifact: artifact?,
        extra_args: extra_args?,
        environment: environment?,
        auth_key,
    })
}

fn extra_args(fields: &Fields<'_>) -> Option<Vec<String>> {
    let arguments = fields.texts("extra_args")?;
    for (location, argument) in &arguments {
        if let Some((flag, reason)) = refused_flag(argument) {
            fields.report().add(
                location,
                format!("`-{flag}` is not for `extra_args`: {reason}"),
            );
        }
        if argument.chars().any(char::is_control) {
            fields
                .report()
                .add(location, "an argument has no control characters");
        }
    }
    Some(arguments.into_iter().map(|(_, text)| text).collect())
}

/// Go's flag package takes `-flag`, `--flag` and both with `=value`.
fn refused_flag(argument: &str) -> Option<(&'static str, &'static str)> {
    let flag = argument
        .strip_prefix("--")
        .or_else(|| argument.strip_prefix('-'))?;
    let name = flag.split('=').next()?;
    REFUSED_FLAGS
        .iter()
        .find(|(refused, _)| *refused == name)
        .copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dangerous_flags_are_known_in_every_spelling() {
        for argument in [
            "-funnel",
            "--funnel",
            "-funnel=true",
            "--local-port=8080",
            "-local-port",
            "-dir=/x",
        ] {
            assert!(refused_flag(argument).is_some(), "{argument}");
        }
        for argument in [
            "-enable-sts",
            "-funnels",
            "funnel",
            "-log=debug",
            "-directory",
        ] {
            assert!(refused_flag(argument).is_none(), "{argument}");
        }
    }
}
