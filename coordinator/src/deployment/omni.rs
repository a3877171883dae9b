//! `omni:` Omni and the containers it needs.

use omni_scale_proto::id::SecretName;
use omni_scale_proto::role::HostRole;
use uuid::Uuid;

use super::hosts::Hosts;
use super::model::{
    BuiltInStack, Client, ComposeStack, Eula, MachineApiCertificate, Omni, OmniStack, Provider,
    Sidecar,
};
use super::secret;
use super::shared::{Context, environment};
use super::values::OmniVersion;
use crate::document::{Entry, Fields, Node};
use crate::image::ImageReference;

/// Omni's `/healthz` in the built-in stack, and in most others.
const DEFAULT_HEALTH_URL: &str = "http://127.0.0.1:8080/healthz";

/// The first version whose state is in SQLite, which the built-in stack gives it.
const OLDEST_VERSION: OmniVersion = OmniVersion::new(1, 4);
/// The first version that asks for its licence agreement.
const FIRST_WITH_EULA: OmniVersion = OmniVersion::new(1, 7);

/// Keys that only the built-in stack has.
const BUILT_IN_KEYS: [&str; 10] = [
    "lan_address",
    "account_id",
    "image",
    "sidecar",
    "initial_users",
    "encryption_key",
    "client",
    "allow_unverified_email",
    "eula",
    "machine_api",
];

/// Variables that the built-in sidecar gives, or that would hold a secret.
const SIDECAR_VARIABLES: [(&str, &str); 15] = [
    ("TS_AUTHKEY", "name the key in `omni.sidecar.auth_key`"),
    ("TS_AUTH_KEY", "name the key in `omni.sidecar.auth_key`"),
    ("TS_CLIENT_SECRET", "a secret does not belong here"),
    ("TS_HOSTNAME", "`omni.name` gives it"),
    ("TS_EXTRA_ARGS", "use `omni.sidecar.extra_args`"),
    ("TS_STATE_DIR", "the state is on a volume of the stack"),
    ("TS_SOCKET", "the health check expects the default"),
    ("TS_USERSPACE", "Omni needs a node in kernel mode"),
    ("TS_ACCEPT_DNS", "Omni needs the names of the tailnet"),
    (
        "TS_AUTH_ONCE",
        "a login at every start would fail once the key has expired",
    ),
    ("TS_SERVE_CONFIG", "the stack has its own"),
    ("TS_ENABLE_HEALTH_CHECK", "the stack has its own"),
    ("TS_LOCAL_ADDR_PORT", "the stack has its own"),
    ("TS_HEALTHCHECK_ADDR_PORT", "the stack has its own"),
    ("SSL_CERT_FILE", "use `tailnet.extra_roots`"),
];

/// Reads the mapping. `provider` is the deployment's, which the built-in stack takes up.
pub(super) fn read(
    fields: Fields<'_>,
    hosts: &Hosts<'_>,
    context: &mut Context<'_>,
    provider: Option<&Entry>,
) -> Option<Omni> {
    let host = hosts.reference(&fields, HostRole::Omni);
    let name = fields.required_parsed("name");
    let stack = if let Some(node) = fields.optional("stack") {
        refuse_built_in_keys(&fields, provider);
        read_compose(node, &fields, context).map(OmniStack::Compose)
    } else {
        let provider = provider.and_then(|entry| {
            let fields = Fields::of(&entry.value, "provider", fields.report())?;
            super::provider::read(fields, &mut context.warnings)
        });
        read_built_in(&fields, context, provider).map(|stack| OmniStack::BuiltIn(Box::new(stack)))
    };
    fields.finish();
    Some(Omni {
        host: host?,
        name: name?,
        stack: stack?,
    })
}

fn refuse_built_in_keys(fields: &Fields<'_>, provider: Option<&Entry>) {
    for key in BUILT_IN_KEYS {
        if let Some(entry) = fields.entry(key) {
            fields.report().add(
                &entry.location,
                format!("`omni.{key}` belongs to the built-in stack; with `omni.stack` the Compose file says it"),
            );
        }
    }
    if let Some(provider) = provider {
        fields.report().add(
            &provider.location,
            "`provider` belongs to the built-in stack; with `omni.stack` name its service in `omni.stack.provider`",
        );
    }
}

fn read_compose(node: &Node, fields: &Fields<'_>, context: &Context<'_>) -> Option<ComposeStack> {
    let fields = Fields::of(node, fields.path_of("stack"), fields.report())?;
    let file = fields.required_text("file");
    let env_file = fields.optional_text("env_file");
    let profiles = fields.texts("profiles");
    let sidecar = fields.required_parsed("sidecar");
    let omni = fields.required_parsed("omni");
    let provider = fields.optional_parsed("provider");
    let health_url = match fields.optional("health_url") {
        Some(node) => fields.report().parsed(node),
        None => DEFAULT_HEALTH_URL.parse().ok(),
    };
    fields.finish();
    Some(ComposeStack {
        file: context.directory.join(file?),
        env_file: env_file.map(|file| context.directory.join(file)),
        profiles: profiles?.into_iter().map(|(_, profile)| profile).collect(),
        sidecar: sidecar?,
        omni: omni?,
        provider,
        health_url: health_url?,
    })
}

fn read_built_in(
    fields: &Fields<'_>,
    context: &mut Context<'_>,
    provider: Option<Provider>,
) -> Option<BuiltInStack> {
    let lan_address = fields.required_parsed("lan_address");
    let account_id = account_id(fields);
    let image: Option<ImageReference> = fields.required_parsed("image");
    let version = image.as_ref().and_then(OmniVersion::of_image);
    refuse_old_version(fields, version);
    let sidecar = fields.required_fields("sidecar").and_then(read_sidecar);
    let initial_users = initial_users(fields);
    let encryption_key = secret::required(fields, "encryption_key");
    let client = pair(fields.required_fields("client"), "id", "secret")
        .map(|(id, secret)| Client { id, secret });
    let allow_unverified_email = fields.boolean("allow_unverified_email", false);
    let eula = eula(fields, version);
    let machine_api = pair(fields.optional_fields("machine_api"), "certificate", "key")
        .map(|(certificate, key)| MachineApiCertificate { certificate, key });
    if machine_api.is_none() {
        context.warnings.push(
            "omni.machine_api: without a certificate, machines join in the clear, and whoever is \
             on the LAN can read the join token"
                .to_owned(),
        );
    }
    if eula.is_none() && version.is_none_or(|version| version >= FIRST_WITH_EULA) {
        context.warnings.push(
            "omni.eula: until somebody accepts Omni's licence agreement (here, or in its web page), \
             Omni refuses nearly every call"
                .to_owned(),
        );
    }
    Some(BuiltInStack {
        lan_address: lan_address?,
        account_id: account_id?,
        image: image?,
        version,
        sidecar: sidecar?,
        initial_users: initial_users?,
        encryption_key: encryption_key?,
        client: client?,
        allow_unverified_email: allow_unverified_email?,
        eula,
        machine_api,
        provider,
    })
}

fn refuse_old_version(fields: &Fields<'_>, version: Option<OmniVersion>) {
    if let (Some(version), Some(entry)) = (version, fields.entry("image"))
        && version < OLDEST_VERSION
    {
        fields.report().add(
            &entry.value.location,
            format!("Omni {version} is older than {OLDEST_VERSION}, the first that the built-in stack can run"),
        );
    }
}

fn account_id(fields: &Fields<'_>) -> Option<Uuid> {
    let node = fields.required("account_id")?;
    let id = Uuid::parse_str(fields.report().text(node)?);
    if let Ok(id) = id
        && !id.is_nil()
    {
        return Some(id);
    }
    fields.report().add_with_hint(
        &node.location,
        "`omni.account_id` must be a UUID",
        "`omni-scale init` makes one; of an existing Omni it is the one it was started with",
    );
    None
}

fn initial_users(fields: &Fields<'_>) -> Option<Vec<super::EmailAddress>> {
    let node = fields.required("initial_users")?;
    let items = fields.report().items(node)?;
    if items.is_empty() {
        fields.report().add_with_hint(
            &node.location,
            "`omni.initial_users` is empty, so nobody could log in",
            "list the e-mail addresses of the first users, exactly as the issuer spells them",
        );
    }
    items
        .iter()
        .map(|item| fields.report().parsed(item))
        .collect()
}

fn read_sidecar(fields: Fields<'_>) -> Option<Sidecar> {
    let image = fields.required_parsed("image");
    let auth_key = secret::optional(&fields, "auth_key");
    let extra_args = sidecar_arguments(&fields);
    let environment = environment(&fields, &SIDECAR_VARIABLES);
    fields.finish();
    Some(Sidecar {
        image: image?,
        auth_key,
        extra_args: extra_args?,
        environment: environment?,
    })
}

/// `containerboot` splits TS_EXTRA_ARGS at white space, so that an argument can have none.
fn sidecar_arguments(fields: &Fields<'_>) -> Option<Vec<String>> {
    const GIVEN: [(&str, &str); 5] = [
        ("--login-server", "`tailnet.control_url` gives it"),
        ("--hostname", "`omni.name` gives it"),
        ("--accept-dns", "Omni needs the names of the tailnet"),
        ("--authkey", "name the key in `omni.sidecar.auth_key`"),
        ("--auth-key", "name the key in `omni.sidecar.auth_key`"),
    ];
    let arguments = fields.texts("extra_args")?;
    for (location, argument) in &arguments {
        if argument.is_empty() || argument.contains(char::is_whitespace) {
            fields.report().add(
                location,
                "an argument of the sidecar has no spaces, and is not empty",
            );
        }
        let name = argument.split('=').next().unwrap_or_default();
        let name = format!("--{}", name.trim_start_matches('-'));
        if let Some((flag, reason)) = GIVEN.iter().find(|(flag, _)| *flag == name) {
            fields.report().add(
                location,
                format!("`{flag}` is not for `extra_args`: {reason}"),
            );
        }
    }
    Some(arguments.into_iter().map(|(_, text)| text).collect())
}

fn eula(fields: &Fields<'_>, version: Option<OmniVersion>) -> Option<Eula> {
    let entry = fields.entry("eula")?;
    if let Some(version) = version
        && version < FIRST_WITH_EULA
    {
        fields.report().add(
            &entry.location,
            format!("Omni {version} knows no licence agreement; it came with {FIRST_WITH_EULA}"),
        );
    }
    let fields = Fields::of(&entry.value, fields.path_of("eula"), fields.report())?;
    let name = fields.required_text("name");
    let email = fields.required_parsed("email");
    fields.finish();
    Some(Eula {
        name: name?,
        email: email?,
    })
}

fn pair(
    fields: Option<Fields<'_>>,
    first: &'static str,
    second: &'static str,
) -> Option<(SecretName, SecretName)> {
    let fields = fields?;
    let pair = (
        secret::required(&fields, first),
        secret::required(&fields, second),
    );
    fields.finish();
    Some((pair.0?, pair.1?))
}
