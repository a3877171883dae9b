//! A credential on its way to another operator: one file, which is a secret.

use omni_scale_proto::id::DeploymentId;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::credential::to_pem;
use super::{Certificate, Credential, PkiError};

/// The format that this code writes. Another one is refused.
const FORMAT: u32 = 1;

/// A credential and the deployment it is for.
#[derive(Debug)]
pub struct Bundle {
    /// The deployment.
    pub deployment: DeploymentId,
    /// Key, certificate and authority.
    pub credential: Credential,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    omni_scale_credential: u32,
    deployment: DeploymentId,
    authority: String,
    certificate: String,
    key: Zeroizing<String>,
}

impl Bundle {
    /// The content of the file.
    pub fn to_json(&self) -> Result<Zeroizing<Vec<u8>>, PkiError> {
        let file = File {
            omni_scale_credential: FORMAT,
            deployment: self.deployment,
            authority: to_pem(self.credential.authority().der()),
            certificate: to_pem(self.credential.certificate().der()),
            key: self.credential.key_pem().clone(),
        };
        serde_json::to_vec_pretty(&file)
            .map(Zeroizing::new)
            .map_err(|error| PkiError::Bundle {
                problem: error.to_string(),
            })
    }

    /// Reads the content of the file.
    pub fn from_json(json: &[u8]) -> Result<Self, PkiError> {
        let refused = |problem: String| PkiError::Bundle { problem };
        // The error of the parser could quote the key.
        let file: File = serde_json::from_slice(json).map_err(|error| {
            refused(format!("line {}, column {}", error.line(), error.column()))
        })?;
        if file.omni_scale_credential != FORMAT {
            return Err(refused(format!(
                "its format {} is not {FORMAT}; use a newer omni-scale",
                file.omni_scale_credential
            )));
        }
        let read = |pem: &str, what| Certificate::from_pem(pem.as_bytes(), what);
        let credential = Credential::new(
            read(&file.certificate, "the certificate in the bundle")?,
            &file.key,
            read(&file.authority, "the authority in the bundle")?,
        )?;
        Ok(Self {
            deployment: file.deployment,
            credential,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::authority::tests::{authority, deployment, operator};
    use super::*;

    #[test]
    fn a_bundle_survives_its_file() {
        let now = time::OffsetDateTime::now_utc();
        let credential = authority()
            .issue_operator(&operator("operator"), now)
            .unwrap();
        let bundle = Bundle {
            deployment: deployment(),
            credential,
        };
        let read = Bundle::from_json(&bundle.to_json().unwrap()).unwrap();
        assert_eq!(read.deployment, deployment());
        assert_eq!(
            read.credential.certificate(),
            bundle.credential.certificate()
        );
        assert_eq!(read.credential.authority(), bundle.credential.authority());
        assert_eq!(read.credential.key(), bundle.credential.key());
    }

    #[test]
    fn another_file_is_refused_without_quoting_it() {
        let refused = Bundle::from_json(b"{\"key\": \"hidden\"")
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("line 1") && !refused.contains("hidden"),
            "{refused}"
        );
    }
}
