//! Every key of Omni's configuration, with its flag: facts about v1.9 and v1.10, see README.md for their source.

/// What a key's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// Text that may not be empty.
    Filled,
    /// One of these.
    Choice(&'static [&'static str]),
    /// Text that begins with `https://`.
    Https,
    Boolean,
    /// Zero or more.
    Integer,
    Number,
    Duration,
    List,
    Map,
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    /// In the file, with dots.
    pub(super) path: &'static str,
    /// Without dashes; empty when there is none.
    pub(super) flag: &'static str,
    pub(super) kind: Kind,
    /// First and last minor version of 1.x that knows it.
    since: u16,
    until: u16,
}

impl Key {
    pub(super) fn is_known_to(&self, minor: u16) -> bool {
        (self.since..=self.until).contains(&minor)
    }

    const fn since(mut self, minor: u16) -> Self {
        self.since = minor;
        self
    }

    const fn until(mut self, minor: u16) -> Self {
        self.until = minor;
        self
    }
}

const fn key(path: &'static str, flag: &'static str, kind: Kind) -> Key {
    Key {
        path,
        flag,
        kind,
        since: 0,
        until: u16::MAX,
    }
}

use Kind::{Boolean, Choice, Duration, Filled, Https, Integer, List, Map, Number, Text};

pub(super) const KEYS: &[Key] = &[
    key("account.id", "account-id", Filled),
    key("account.name", "name", Filled),
    key(
        "account.maxRegisteredMachines",
        "account-max-registered-machines",
        Integer,
    ),
    key("account.userPilot.appToken", "user-pilot-app-token", Text),
    key("services.api.endpoint", "bind-addr", Text),
    key("services.api.advertisedURL", "advertised-api-url", Text),
    key("services.api.certFile", "cert", Text),
    key("services.api.keyFile", "key", Text),
    key("services.devServerProxy.endpoint", "frontend-bind", Text).until(9),
    key("services.devServerProxy.advertisedURL", "", Text).until(9),
    key("services.devServerProxy.certFile", "", Text).until(9),
    key("services.devServerProxy.keyFile", "", Text).until(9),
    key("services.devServerProxy.proxyTo", "frontend-dst", Text),
    key("services.metrics.endpoint", "metrics-bind-addr", Text),
    key("services.metrics.advertisedURL", "", Text),
    key("services.metrics.certFile", "", Text),
    key("services.metrics.keyFile", "", Text),
    key(
        "services.kubernetesProxy.endpoint",
        "k8s-proxy-bind-addr",
        Text,
    ),
    key(
        "services.kubernetesProxy.advertisedURL",
        "advertised-kubernetes-proxy-url",
        Https,
    ),
    key("services.kubernetesProxy.certFile", "", Text),
    key("services.kubernetesProxy.keyFile", "", Text),
    key(
        "services.siderolink.wireGuard.endpoint",
        "siderolink-wireguard-bind-addr",
        Text,
    ),
    key(
        "services.siderolink.wireGuard.advertisedEndpoint",
        "siderolink-wireguard-advertised-addr",
        Text,
    ),
    key(
        "services.siderolink.joinTokensMode",
        "join-tokens-mode",
        Choice(&["strict", "legacyAllowed", "legacy"]),
    ),
    key(
        "services.siderolink.disableLastEndpoint",
        "siderolink-disable-last-endpoint",
        Boolean,
    ),
    key(
        "services.siderolink.useGRPCTunnel",
        "siderolink-use-grpc-tunnel",
        Boolean,
    ),
    key(
        "services.siderolink.eventSinkPort",
        "event-sink-port",
        Integer,
    ),
    key(
        "services.siderolink.logServerPort",
        "log-server-port",
        Integer,
    ),
    key(
        "services.machineAPI.endpoint",
        "machine-api-bind-addr",
        Text,
    ),
    key(
        "services.machineAPI.advertisedURL",
        "machine-api-advertised-url",
        Text,
    ),
    key("services.machineAPI.certFile", "machine-api-cert", Text),
    key("services.machineAPI.keyFile", "machine-api-key", Text),
    key(
        "services.localResourceService.enabled",
        "local-resource-server-enabled",
        Boolean,
    ),
    key(
        "services.localResourceService.port",
        "local-resource-server-port",
        Integer,
    ),
    key(
        "services.embeddedDiscoveryService.enabled",
        "embedded-discovery-service-enabled",
        Boolean,
    ),
    key(
        "services.embeddedDiscoveryService.port",
        "embedded-discovery-service-port",
        Integer,
    ),
    key(
        "services.embeddedDiscoveryService.snapshotsEnabled",
        "embedded-discovery-service-snapshots-enabled",
        Boolean,
    ),
    key(
        "services.embeddedDiscoveryService.snapshotsInterval",
        "embedded-discovery-service-snapshot-interval",
        Duration,
    ),
    key(
        "services.embeddedDiscoveryService.logLevel",
        "embedded-discovery-service-log-level",
        Text,
    ),
    key(
        "services.embeddedDiscoveryService.sqliteTimeout",
        "embedded-discovery-service-sqlite-timeout",
        Duration,
    ),
    key("services.loadBalancer.minPort", "lb-min-port", Integer),
    key("services.loadBalancer.maxPort", "lb-max-port", Integer),
    key("services.loadBalancer.dialTimeout", "", Duration),
    key("services.loadBalancer.keepAlivePeriod", "", Duration),
    key("services.loadBalancer.tcpUserTimeout", "", Duration),
    key("services.loadBalancer.healthCheckInterval", "", Duration),
    key("services.loadBalancer.healthCheckTimeout", "", Duration),
    key(
        "services.workloadProxy.subdomain",
        "workload-proxying-subdomain",
        Text,
    ),
    key(
        "services.workloadProxy.enabled",
        "workload-proxying-enabled",
        Boolean,
    ),
    key(
        "services.workloadProxy.stopLBsAfter",
        "workload-proxying-stop-lbs-after",
        Duration,
    ),
    key(
        "services.workloadProxy.useOmniSubdomain",
        "workload-proxying-use-omni-subdomain",
        Boolean,
    ),
    key("auth.auth0.enabled", "auth-auth0-enabled", Boolean),
    key("auth.auth0.domain", "auth-auth0-domain", Text),
    key("auth.auth0.clientID", "auth-auth0-client-id", Text),
    key(
        "auth.auth0.useFormData",
        "auth-auth0-use-form-data",
        Boolean,
    ),
    key("auth.auth0.initialUsers", "", List),
    key("auth.webauthn.enabled", "auth-webauthn-enabled", Boolean),
    key("auth.webauthn.required", "auth-webauthn-required", Boolean),
    key("auth.saml.enabled", "auth-saml-enabled", Boolean),
    key("auth.saml.url", "auth-saml-url", Text),
    key("auth.saml.metadata", "auth-saml-metadata", Text),
    key("auth.saml.nameIDFormat", "auth-saml-name-id-format", Text),
    key("auth.saml.labelRules", "auth-saml-label-rules", Map),
    key("auth.saml.attributeRules", "auth-saml-attribute-rules", Map),
    key("auth.oidc.enabled", "auth-oidc-enabled", Boolean),
    key("auth.oidc.providerURL", "auth-oidc-provider-url", Text),
    key("auth.oidc.clientID", "auth-oidc-client-id", Text),
    key("auth.oidc.clientSecret", "auth-oidc-client-secret", Text),
    key("auth.oidc.logoutURL", "auth-oidc-logout-url", Text),
    key("auth.oidc.scopes", "auth-oidc-scopes", List),
    key(
        "auth.oidc.allowUnverifiedEmail",
        "auth-oidc-allow-unverified-email",
        Boolean,
    ),
    key("auth.initialUsers", "initial-users", List),
    key(
        "auth.keyPruner.interval",
        "public-key-pruning-interval",
        Duration,
    ),
    key("auth.suspended", "suspended", Boolean),
    key(
        "auth.initialServiceAccount.enabled",
        "create-initial-service-account",
        Boolean,
    ),
    key(
        "auth.initialServiceAccount.role",
        "initial-service-account-role",
        Text,
    ),
    key(
        "auth.initialServiceAccount.keyPath",
        "initial-service-account-key-path",
        Text,
    ),
    key("auth.initialServiceAccount.name", "", Text),
    key(
        "auth.initialServiceAccount.lifetime",
        "initial-service-account-lifetime",
        Duration,
    ),
    key("auth.limits.maxUsers", "auth-max-users", Integer),
    key(
        "auth.limits.maxServiceAccounts",
        "auth-max-service-accounts",
        Integer,
    ),
    key(
        "logs.level",
        "log-level",
        Choice(&["debug", "info", "warn", "error"]),
    ),
    key("logs.format", "log-format", Choice(&["text", "json"])),
    key(
        "logs.machine.storage.sqliteTimeout",
        "machine-log-sqlite-timeout",
        Duration,
    ),
    key(
        "logs.machine.storage.cleanupInterval",
        "machine-log-cleanup-interval",
        Duration,
    ),
    key(
        "logs.machine.storage.cleanupOlderThan",
        "machine-log-cleanup-older-than",
        Duration,
    ),
    key(
        "logs.machine.storage.maxLinesPerMachine",
        "machine-log-max-lines-per-machine",
        Integer,
    ),
    key(
        "logs.machine.storage.maxSize",
        "machine-log-max-size",
        Integer,
    ),
    key(
        "logs.machine.storage.cleanupProbability",
        "machine-log-cleanup-probability",
        Number,
    ),
    key("logs.audit.enabled", "audit-log-enabled", Boolean),
    key(
        "logs.audit.sqliteTimeout",
        "audit-log-sqlite-timeout",
        Duration,
    ),
    key(
        "logs.audit.retentionPeriod",
        "audit-log-retention-period",
        Duration,
    ),
    key("logs.audit.maxSize", "audit-log-max-size", Integer),
    key(
        "logs.audit.cleanupProbability",
        "audit-log-cleanup-probability",
        Number,
    ),
    key(
        "logs.resourceLogger.logLevel",
        "log-resource-updates-log-level",
        Text,
    ),
    key(
        "logs.resourceLogger.types",
        "log-resource-updates-types",
        List,
    ),
    key("logs.stripe.enabled", "enable-stripe-reporting", Boolean),
    key("logs.stripe.minCommit", "stripe-minimum-commit", Integer),
    key(
        "storage.default.kind",
        "storage-kind",
        Choice(&["etcd", "boltdb"]),
    ),
    key("storage.default.boltdb.path", "", Text),
    key("storage.default.etcd.endpoints", "etcd-endpoints", List),
    key(
        "storage.default.etcd.dialKeepAliveTime",
        "etcd-dial-keepalive-time",
        Duration,
    ),
    key(
        "storage.default.etcd.dialKeepAliveTimeout",
        "etcd-dial-keepalive-timeout",
        Duration,
    ),
    key("storage.default.etcd.caFile", "etcd-ca-path", Text),
    key(
        "storage.default.etcd.certFile",
        "etcd-client-cert-path",
        Text,
    ),
    key("storage.default.etcd.keyFile", "etcd-client-key-path", Text),
    key("storage.default.etcd.embedded", "etcd-embedded", Boolean),
    key(
        "storage.default.etcd.embeddedDBPath",
        "etcd-embedded-db-path",
        Text,
    ),
    key(
        "storage.default.etcd.embeddedUnsafeFsync",
        "etcd-embedded-unsafe-fsync",
        Boolean,
    ),
    key("storage.default.etcd.runElections", "", Boolean),
    key(
        "storage.default.etcd.privateKeySource",
        "private-key-source",
        Filled,
    ),
    key(
        "storage.default.etcd.publicKeyFiles",
        "public-key-files",
        List,
    ),
    key("storage.vault.url", "", Text),
    key("storage.vault.token", "", Text),
    key(
        "storage.vault.k8sAuthMountPath",
        "vault-k8s-auth-mount-path",
        Text,
    ),
    key("storage.sqlite.path", "sqlite-storage-path", Filled),
    key(
        "storage.sqlite.experimentalBaseParams",
        "sqlite-storage-experimental-base-params",
        Text,
    ),
    key(
        "storage.sqlite.extraParams",
        "sqlite-storage-extra-params",
        Text,
    ),
    key("storage.sqlite.cachedPoolSize", "", Integer),
    key("storage.sqlite.poolSize", "", Integer),
    key(
        "storage.sqlite.metrics.refreshInterval",
        "sqlite-metrics-refresh-interval",
        Duration,
    ),
    key(
        "storage.sqlite.metrics.refreshTimeout",
        "sqlite-metrics-refresh-timeout",
        Duration,
    ),
    key("etcdBackup.localPath", "etcd-backup-local-path", Text),
    key("etcdBackup.s3Enabled", "etcd-backup-s3", Boolean),
    key(
        "etcdBackup.tickInterval",
        "etcd-backup-tick-interval",
        Duration,
    ),
    key(
        "etcdBackup.minInterval",
        "etcd-backup-min-interval",
        Duration,
    ),
    key(
        "etcdBackup.maxInterval",
        "etcd-backup-max-interval",
        Duration,
    ),
    key(
        "etcdBackup.uploadLimitMbps",
        "etcd-backup-upload-limit-mbps",
        Integer,
    ),
    key(
        "etcdBackup.downloadLimitMbps",
        "etcd-backup-download-limit-mbps",
        Integer,
    ),
    key("etcdBackup.jitter", "etcd-backup-jitter", Duration),
    key("registries.talos", "talos-installer-registry", Filled),
    key("registries.kubernetes", "kubernetes-registry", Filled),
    key(
        "registries.imageFactoryBaseURL",
        "image-factory-address",
        Filled,
    ),
    key(
        "registries.imageFactoryPXEBaseURL",
        "image-factory-pxe-address",
        Text,
    ),
    key(
        "registries.imageFactoryUsername",
        "image-factory-username",
        Text,
    ),
    key(
        "registries.imageFactoryPassword",
        "image-factory-password",
        Text,
    ),
    key(
        "registries.factories.primary.url",
        "primary-factory-url",
        Text,
    )
    .since(10),
    key(
        "registries.factories.primary.pxeURL",
        "primary-factory-pxe-url",
        Text,
    )
    .since(10),
    key(
        "registries.factories.primary.username",
        "primary-factory-username",
        Text,
    )
    .since(10),
    key(
        "registries.factories.primary.password",
        "primary-factory-password",
        Text,
    )
    .since(10),
    key(
        "registries.factories.secondary.url",
        "secondary-factory-url",
        Text,
    )
    .since(10),
    key(
        "registries.factories.secondary.pxeURL",
        "secondary-factory-pxe-url",
        Text,
    )
    .since(10),
    key(
        "registries.factories.secondary.username",
        "secondary-factory-username",
        Text,
    )
    .since(10),
    key(
        "registries.factories.secondary.password",
        "secondary-factory-password",
        Text,
    )
    .since(10),
    key("registries.mirrors", "registry-mirror", List),
    key("debug.server.endpoint", "debug-server-endpoint", Text),
    key("debug.pprof.endpoint", "pprof-bind-addr", Text),
    key(
        "features.enableTalosPreReleaseVersions",
        "enable-talos-pre-release-versions",
        Boolean,
    ),
    key(
        "features.enableBreakGlassConfigs",
        "enable-break-glass-configs",
        Boolean,
    ),
    key(
        "features.enableConfigDataCompression",
        "config-data-compression-enabled",
        Boolean,
    ),
    key(
        "features.enableClusterImport",
        "enable-cluster-import",
        Boolean,
    ),
    key(
        "features.disableControllerRuntimeCache",
        "disable-controller-runtime-cache",
        Boolean,
    ),
    key("eulaAccept.name", "eula-accept-name", Text),
    key("eulaAccept.email", "eula-accept-email", Text),
];

/// Old names of flags that still work.
pub(super) const FLAG_ALIASES: &[(&str, &str)] = &[
    ("siderolink-api-bind-addr", "machine-api-bind-addr"),
    ("siderolink-api-cert", "machine-api-cert"),
    ("siderolink-api-key", "machine-api-key"),
    (
        "siderolink-api-advertised-url",
        "machine-api-advertised-url",
    ),
];

/// The key of a path, if this version knows it.
pub(super) fn by_path(path: &str, minor: u16) -> Option<&'static Key> {
    KEYS.iter()
        .find(|key| key.path == path && key.is_known_to(minor))
}

/// Whether some key of this version lies below `path`.
pub(super) fn is_group(path: &str, minor: u16) -> bool {
    KEYS.iter().any(|key| {
        key.is_known_to(minor)
            && key
                .path
                .strip_prefix(path)
                .is_some_and(|rest| rest.starts_with('.'))
    })
}

/// The key that a flag sets, if this version knows it.
pub(super) fn by_flag(flag: &str, minor: u16) -> Option<&'static Key> {
    let flag = FLAG_ALIASES
        .iter()
        .find(|(old, _)| *old == flag)
        .map_or(flag, |(_, new)| *new);
    KEYS.iter()
        .find(|key| !key.flag.is_empty() && key.flag == flag && key.is_known_to(minor))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_path_and_no_flag_is_listed_twice() {
        let paths: BTreeSet<_> = KEYS.iter().map(|key| key.path).collect();
        assert_eq!(paths.len(), KEYS.len());
        let flags: Vec<_> = KEYS
            .iter()
            .map(|key| key.flag)
            .filter(|flag| !flag.is_empty())
            .collect();
        assert_eq!(flags.iter().collect::<BTreeSet<_>>().len(), flags.len());
        assert!(
            FLAG_ALIASES
                .iter()
                .all(|(old, new)| flags.contains(new) && !flags.contains(old))
        );
    }

    #[test]
    fn no_key_is_also_a_group() {
        assert!(KEYS.iter().all(|key| !is_group(key.path, 10)));
    }

    #[test]
    fn versions_know_their_own_keys() {
        assert!(by_flag("frontend-bind", 9).is_some() && by_flag("frontend-bind", 10).is_none());
        assert!(by_path("registries.factories.primary.url", 9).is_none());
        assert!(is_group("registries.factories", 10) && !is_group("registries.factories", 9));
    }
}
