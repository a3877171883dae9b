//! The configuration once it is merged: defaults filled in, and everything refused that the real one refuses at once.

use std::net::{IpAddr, Ipv4Addr};

use super::{
    schema::{KEYS, Kind},
    store::Store,
};
use crate::failure::Failure;

/// When the real program was seen to give up on its configuration, and on its authentication, in milliseconds.
const SCHEMA_AT: u64 = 500;
const AUTHENTICATION_AT: u64 = 800;

/// The account that is used when none is named.
pub(super) const DEFAULT_ACCOUNT: &str = "edd2822a-7834-4fe0-8172-cc5581f13a8d";

/// What a run of the program needs to know.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) account_id: String,
    pub(super) api: Endpoint,
    pub(super) kubernetes_proxy: Endpoint,
    pub(super) machine_api: Endpoint,
    pub(super) metrics: String,
    /// The port on loopback; absent when the service is off.
    pub(super) local_resources: Option<u64>,
    pub(super) wireguard: String,
    pub(super) event_sink_port: u64,
    pub(super) sqlite_path: String,
    pub(super) etcd_path: String,
    pub(super) private_key_source: String,
    pub(super) authentication: Authentication,
    pub(super) initial_users: Vec<String>,
    pub(super) initial_service_account: Option<InitialServiceAccount>,
    /// Whether somebody accepts the licence by configuration.
    pub(super) accepts_eula: bool,
}

/// Where a service listens, what it calls itself, and its certificate.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    pub(super) address: String,
    pub(super) advertised: String,
    /// Certificate and key; with only one of them the service is plain.
    pub(super) files: Option<(String, String)>,
}

/// How users prove who they are.
#[derive(Debug, Clone)]
pub(super) enum Authentication {
    Oidc {
        issuer: String,
        client_id: String,
        client_secret: String,
        scopes: Vec<String>,
    },
    /// Auth0 or SAML: nothing is fetched at start.
    Other,
}

/// The service account that the first start makes.
#[derive(Debug, Clone)]
pub(super) struct InitialServiceAccount {
    pub(super) name: String,
    pub(super) key_path: String,
}

impl Settings {
    pub(super) fn check(store: &Store) -> Result<Self, Failure> {
        validate(store)?;
        let text = |path: &str, default: &str| store.text(path).unwrap_or(default).to_owned();
        let api = endpoint(
            store,
            "services.api",
            "0.0.0.0:8080",
            "http://localhost:8080",
        );
        let mut kubernetes_proxy = endpoint(
            store,
            "services.kubernetesProxy",
            "0.0.0.0:8095",
            "https://localhost:8095",
        );
        if kubernetes_proxy.files.is_none() {
            kubernetes_proxy.files.clone_from(&api.files);
        }
        let machine_default = format!("{}:8090", first_address());
        let initial_service_account = store
            .boolean("auth.initialServiceAccount.enabled")
            .unwrap_or(false)
            .then(|| InitialServiceAccount {
                name: text("auth.initialServiceAccount.name", "automation"),
                key_path: text(
                    "auth.initialServiceAccount.keyPath",
                    "_out/initial-service-account-key",
                ),
            });
        Ok(Self {
            account_id: text("account.id", DEFAULT_ACCOUNT),
            kubernetes_proxy,
            machine_api: endpoint(store, "services.machineAPI", &machine_default, ""),
            metrics: text("services.metrics.endpoint", "0.0.0.0:2122"),
            local_resources: store
                .boolean("services.localResourceService.enabled")
                .unwrap_or(true)
                .then(|| {
                    store
                        .integer("services.localResourceService.port")
                        .unwrap_or(8081)
                }),
            wireguard: text("services.siderolink.wireGuard.endpoint", "0.0.0.0:50180"),
            event_sink_port: store
                .integer("services.siderolink.eventSinkPort")
                .unwrap_or(8090),
            sqlite_path: text("storage.sqlite.path", ""),
            etcd_path: text("storage.default.etcd.embeddedDBPath", "_out/etcd/"),
            private_key_source: text("storage.default.etcd.privateKeySource", ""),
            authentication: authentication(store)?,
            initial_users: store.list("auth.initialUsers"),
            initial_service_account,
            accepts_eula: store.filled("eulaAccept.name").is_some(),
            api,
        })
    }
}

fn endpoint(store: &Store, path: &str, address: &str, advertised: &str) -> Endpoint {
    let text = |name: &str| store.filled(&format!("{path}.{name}")).map(str::to_owned);
    Endpoint {
        address: text("endpoint").unwrap_or_else(|| address.to_owned()),
        advertised: text("advertisedURL").unwrap_or_else(|| advertised.to_owned()),
        files: text("certFile").zip(text("keyFile")),
    }
}

/// What the schema asks of values beyond their types.
fn validate(store: &Store) -> Result<(), Failure> {
    let mut faults = Vec::new();
    for key in KEYS {
        let subject = match key.flag {
            "" => format!("config value \".{}\"", key.path),
            flag => format!("config value \".{}\" or flag \"--{flag}\"", key.path),
        };
        let required = matches!(
            key.path,
            "storage.sqlite.path" | "storage.default.etcd.privateKeySource"
        );
        match (key.kind, store.text(key.path)) {
            (_, None) if required && !store.contains(key.path) => {
                faults.push(format!("{subject}: is required but was not set"));
            }
            (Kind::Filled, Some("")) => faults.push(format!("{subject}: must not be empty")),
            (Kind::Https, Some(text)) if !text.starts_with("https://") => {
                faults.push(format!("{subject}: must start with 'https://'"));
            }
            (Kind::Choice(choices), Some(text)) if !choices.contains(&text) => {
                faults.push(format!(
                    "{subject}: value must be one of '{}'",
                    choices.join("', '")
                ));
            }
            _ => {}
        }
    }
    let enabled = |name: &str| {
        store
            .boolean(&format!("auth.{name}.enabled"))
            .unwrap_or(false)
    };
    let methods: Vec<_> = ["auth0", "webauthn", "saml", "oidc"]
        .into_iter()
        .filter(|name| enabled(name))
        .collect();
    if methods.len() > 1 {
        faults.push(format!(
            "config value \".auth.{}.enabled\": must not be true",
            methods[1]
        ));
    }
    for (one, other) in [("name", "email"), ("email", "name")] {
        if store.contains(&format!("eulaAccept.{one}"))
            && !store.contains(&format!("eulaAccept.{other}"))
        {
            faults.push(format!(
                "config value \".eulaAccept.{other}\" or flag \"--eula-accept-{other}\": is required but was not set"
            ));
        }
    }
    if store.boolean("etcdBackup.s3Enabled") == Some(true) && store.contains("etcdBackup.localPath")
    {
        faults.push("config value \".etcdBackup.localPath\": must not be set".to_owned());
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        SCHEMA_AT,
        format!(
            "failed to validate config against JSON schema: - {}",
            faults.join(" - ")
        ),
    ))
}

fn authentication(store: &Store) -> Result<Authentication, Failure> {
    let fail = |reason: &str| {
        Err(Failure::new(
            AUTHENTICATION_AT,
            format!("failed to write auth parameters to state: {reason}"),
        ))
    };
    let enabled = |name: &str| {
        store
            .boolean(&format!("auth.{name}.enabled"))
            .unwrap_or(false)
    };
    if !enabled("oidc") {
        return if enabled("auth0") || enabled("saml") {
            Ok(Authentication::Other)
        } else {
            fail("no authentication is enabled")
        };
    }
    // The real one's own spelling.
    let Some(issuer) = store.filled("auth.oidc.providerURL") else {
        return fail("OIDC is enabled by it's provider URL is not set");
    };
    let Some(client_id) = store.filled("auth.oidc.clientID") else {
        return fail("OIDC is enabled by it's client id is not set");
    };
    let Some(client_secret) = store.filled("auth.oidc.clientSecret") else {
        return fail("OIDC is enabled by it's client secret is not set");
    };
    Ok(Authentication::Oidc {
        issuer: issuer.to_owned(),
        client_id: client_id.to_owned(),
        client_secret: client_secret.to_owned(),
        scopes: store.list("auth.oidc.scopes"),
    })
}

/// The address a machine API binds to by default: the first that is not loopback. Found by routing, not by listing.
fn first_address() -> IpAddr {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    // Connecting a UDP socket sends nothing; it only asks the kernel which address it would use.
    let chosen = std::net::UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    chosen.map_or(loopback, |address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::omni::flags;

    fn check(arguments: &[&str]) -> Result<Settings, String> {
        let mut all = vec![
            "--sqlite-storage-path=/s",
            "--private-key-source=file:///k",
            "--auth-oidc-enabled",
            "--auth-oidc-provider-url=https://idp",
            "--auth-oidc-client-id=i",
            "--auth-oidc-client-secret=s",
        ];
        all.extend(arguments);
        let all: Vec<String> = all.into_iter().map(str::to_owned).collect();
        let store = flags::parse(&all, 10).unwrap().store;
        Settings::check(&store).map_err(|failure| failure.text)
    }

    #[test]
    fn the_least_configuration_has_the_real_defaults() {
        let settings = check(&[]).unwrap();
        assert_eq!(settings.account_id, DEFAULT_ACCOUNT);
        assert_eq!(settings.api.address, "0.0.0.0:8080");
        assert_eq!(settings.api.advertised, "http://localhost:8080");
        assert_eq!(
            (settings.event_sink_port, settings.local_resources),
            (8090, Some(8081))
        );
        assert!(settings.machine_api.address.ends_with(":8090"));
        assert!(!settings.accepts_eula);
    }

    #[test]
    fn the_proxy_falls_back_to_the_certificate_of_the_api() {
        let settings = check(&["--cert=/c", "--key=/k"]).unwrap();
        assert_eq!(
            settings.kubernetes_proxy.files,
            Some(("/c".to_owned(), "/k".to_owned()))
        );
        assert_eq!(settings.machine_api.files, None);
        assert_eq!(check(&["--cert=/c"]).unwrap().api.files, None);
    }

    #[test]
    fn what_is_required_is_named_with_its_flag() {
        let failure = Settings::check(&Store::default()).unwrap_err();
        assert!(failure.text.contains(
            "config value \".storage.sqlite.path\" or flag \"--sqlite-storage-path\": is required but was not set"
        ));
        assert!(
            failure
                .text
                .contains("\"--private-key-source\": is required but was not set")
        );
    }

    #[test]
    fn values_that_the_schema_refuses_are_refused() {
        for (argument, words) in [
            ("--account-id=", "\"--account-id\": must not be empty"),
            (
                "--advertised-kubernetes-proxy-url=http://x",
                "must start with 'https://'",
            ),
            (
                "--join-tokens-mode=loose",
                "must be one of 'strict', 'legacyAllowed', 'legacy'",
            ),
            ("--auth-saml-enabled", "must not be true"),
            (
                "--eula-accept-name=x",
                "\"--eula-accept-email\": is required but was not set",
            ),
        ] {
            let text = check(&[argument]).unwrap_err();
            assert!(text.contains(words), "{argument}: {text}");
        }
    }

    #[test]
    fn authentication_must_be_whole() {
        let text = check(&["--auth-oidc-client-secret="]).unwrap_err();
        assert!(
            text.ends_with("OIDC is enabled by it's client secret is not set"),
            "{text}"
        );
        let text = check(&["--auth-oidc-enabled=false"]).unwrap_err();
        assert!(text.ends_with("no authentication is enabled"), "{text}");
    }
}
