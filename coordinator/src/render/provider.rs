//! `proxmox-provider`: makes machines for Omni, in the sidecar's namespace.

use omni_scale_proto::v1::{
    self, Arguments, Dependency, DependencyCondition, EnvironmentVariable, NetworkMode,
    SecretEncoding, network_mode::Mode,
};

use super::parts::{API_PORT, OMNI, PROVIDER, SIDECAR, base};
use super::text::{self, DIRECTORY, PRIVATE, TextBuilder, file, variable};
use crate::deployment::{Deployment, Provider, ProviderConfiguration};

pub(super) fn render(deployment: &Deployment, provider: &Provider) -> v1::Service {
    let configuration_file = format!("{DIRECTORY}/provider.yaml");
    let depends_on = |service: &str, condition: DependencyCondition| Dependency {
        service: service.to_owned(),
        condition: condition.into(),
    };
    let key = TextBuilder::default()
        .secret(&provider.key, SecretEncoding::Trimmed)
        .build();
    let mut service = v1::Service {
        command: Some(Arguments {
            values: [
                "--config-file",
                &configuration_file,
                "--id",
                provider.id.as_str(),
            ]
            .map(str::to_owned)
            .into(),
        }),
        environment: vec![
            // Omni is in the same namespace. Its client takes `http` for gRPC without TLS
            // (siderolabs/omni client/pkg/client/client.go), and needs no certificate to be there.
            variable("OMNI_ENDPOINT", &format!("http://127.0.0.1:{API_PORT}")),
            // The provider takes its key from a flag or a variable, and from no file.
            EnvironmentVariable {
                name: "OMNI_SERVICE_ACCOUNT_KEY".to_owned(),
                value: Some(key),
            },
        ],
        files: vec![file(
            &configuration_file,
            configuration(&provider.configuration),
            PRIVATE,
        )],
        network_mode: Some(NetworkMode {
            mode: Some(Mode::Service(SIDECAR.to_owned())),
        }),
        depends_on: vec![
            depends_on(OMNI, DependencyCondition::Started),
            depends_on(SIDECAR, DependencyCondition::Healthy),
        ],
        ..base(PROVIDER, &provider.image)
    };
    text::trust(&mut service, &deployment.tailnet.extra_roots_pem);
    text::sorted(service)
}

/// A token, never a password: tickets run out under a running provider.
fn configuration(configuration: &ProviderConfiguration) -> v1::Text {
    let builder = TextBuilder::default();
    match configuration {
        ProviderConfiguration::File(secret) => builder.secret(secret, SecretEncoding::Raw),
        ProviderConfiguration::Proxmox(api) => builder
            .literal("proxmox:\n")
            .yaml("  url", api.url.as_str())
            .yaml("  tokenID", &api.token_id)
            .yaml_secret("  tokenSecret", &api.token_secret)
            .literal(&format!(
                "  insecureSkipVerify: {}\n",
                api.insecure_skip_verify
            )),
    }
    .build()
}
