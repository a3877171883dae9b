//! The issuer: tsidp's unit, or nothing but an address.

use omni_scale_proto::v1;

use super::issuer;
use crate::deployment::{Deployment, Identity};
use crate::plan::DesiredIdentity;

pub(super) fn render(deployment: &Deployment) -> DesiredIdentity {
    let issuer = issuer(deployment).to_string();
    let tsidp = match &deployment.identity {
        Identity::Oidc { .. } => return DesiredIdentity::External { issuer },
        Identity::Tsidp(tsidp) => tsidp,
    };
    // Flags and no environment where there is a choice: builds before v0.0.10 read flags only.
    let mut arguments: Vec<String> = ["-hostname", tsidp.name.as_str(), "-port", "443"]
        .map(str::to_owned)
        .into();
    arguments.extend(tsidp.extra_args.iter().cloned());
    let mut environment = tsidp.environment.clone();
    if let Some(control_url) = &deployment.tailnet.control_url {
        environment.insert("TS_CONTROL_URL".to_owned(), control_url.to_string());
    }
    DesiredIdentity::Tsidp {
        host: tsidp.host.clone(),
        configuration: v1::UnitConfiguration {
            artifact: Some(v1::Artifact {
                sha256: tsidp.artifact.sha256.to_string(),
                url: tsidp
                    .artifact
                    .url
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
            }),
            arguments,
            environment: environment.into_iter().collect(),
            auth_key_secret: tsidp
                .auth_key
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            issuer,
            extra_roots_pem: deployment.tailnet.extra_roots_pem.clone(),
        },
        dns_name: tsidp.name.within(&deployment.tailnet.domain).to_string(),
    }
}
