//! Texts with secrets in them, made whole on the host that holds the secrets.

use omni_scale_proto::id::SecretName;
use omni_scale_proto::v1::{self, SecretEncoding, segment::Part};
use zeroize::Zeroizing;

use crate::secrets::{SecretValue, Secrets};

/// A text that could not be made whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// There is no value: never set, or for one use and gone.
    #[error("secret `{secret}` is not set on this host")]
    Missing {
        /// The secret.
        secret: String,
    },
    /// Only a text can be written as a JSON string or stand in the environment.
    #[error("secret `{secret}` is not UTF-8 text")]
    NotText {
        /// The secret.
        secret: String,
    },
    /// The environment cannot hold it.
    #[error("the value holds a NUL byte")]
    Nul,
}

/// The text with the values of its secrets.
pub fn expand(text: &v1::Text, secrets: &Secrets) -> Result<SecretValue, TextError> {
    let mut whole = Vec::new();
    for segment in &text.segments {
        match &segment.part {
            None => {}
            Some(Part::Literal(literal)) => whole.extend_from_slice(literal.as_bytes()),
            Some(Part::Secret(reference)) => {
                let value = value(reference, secrets)?;
                whole.extend_from_slice(&encoded(reference, &value)?);
            }
        }
    }
    Ok(SecretValue::new(whole))
}

/// The text as the value of a variable: UTF-8 without NUL.
pub fn expand_variable(text: &v1::Text, secrets: &Secrets) -> Result<SecretValue, TextError> {
    let value = expand(text, secrets)?;
    if value.expose().contains(&0) {
        return Err(TextError::Nul);
    }
    if std::str::from_utf8(value.expose()).is_err() {
        let secret = references(text)
            .map(|reference| reference.name.clone())
            .collect::<Vec<_>>();
        return Err(TextError::NotText {
            secret: secret.join("`, `"),
        });
    }
    Ok(value)
}

/// The secrets that a text names.
pub fn references(text: &v1::Text) -> impl Iterator<Item = &v1::SecretReference> {
    text.segments
        .iter()
        .filter_map(|segment| match segment.part.as_ref()? {
            Part::Secret(reference) => Some(reference),
            Part::Literal(_) => None,
        })
}

fn value(reference: &v1::SecretReference, secrets: &Secrets) -> Result<SecretValue, TextError> {
    let name: Option<SecretName> = reference.name.parse().ok();
    name.and_then(|name| secrets.get(&name))
        .ok_or_else(|| TextError::Missing {
            secret: reference.name.clone(),
        })
}

fn encoded(
    reference: &v1::SecretReference,
    value: &SecretValue,
) -> Result<Zeroizing<Vec<u8>>, TextError> {
    let bytes = value.expose();
    match reference.encoding() {
        SecretEncoding::Raw | SecretEncoding::Unspecified => Ok(Zeroizing::new(bytes.to_vec())),
        SecretEncoding::Trimmed => Ok(Zeroizing::new(bytes.trim_ascii_end().to_vec())),
        SecretEncoding::JsonString => {
            let text = std::str::from_utf8(bytes).map_err(|_| TextError::NotText {
                secret: reference.name.clone(),
            })?;
            let quoted = serde_json::Value::from(text).to_string();
            Ok(Zeroizing::new(quoted.into_bytes()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> (tempfile::TempDir, Secrets) {
        let directory = tempfile::tempdir().unwrap();
        let secrets = Secrets::open(directory.path()).unwrap();
        let value = SecretValue::new(b"hunter\"2\n".to_vec());
        secrets.put(&"client".parse().unwrap(), &value).unwrap();
        let binary = SecretValue::new(vec![0xff, 0xfe]);
        secrets.put(&"binary".parse().unwrap(), &binary).unwrap();
        (directory, secrets)
    }

    fn text(name: &str, encoding: SecretEncoding) -> v1::Text {
        let parts = [
            Part::Literal("secret: ".to_owned()),
            Part::Secret(v1::SecretReference {
                name: name.to_owned(),
                encoding: encoding.into(),
            }),
        ];
        v1::Text {
            segments: parts.map(|part| v1::Segment { part: Some(part) }).to_vec(),
        }
    }

    #[test]
    fn each_encoding_writes_the_value_its_way() {
        let (_directory, secrets) = secrets();
        let whole = |encoding| expand(&text("client", encoding), &secrets).unwrap();
        assert_eq!(whole(SecretEncoding::Raw).expose(), b"secret: hunter\"2\n");
        assert_eq!(
            whole(SecretEncoding::Trimmed).expose(),
            b"secret: hunter\"2"
        );
        assert_eq!(
            whole(SecretEncoding::JsonString).expose(),
            br#"secret: "hunter\"2\n""#
        );
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let (_directory, secrets) = secrets();
        let missing = expand(&text("gone", SecretEncoding::Raw), &secrets).unwrap_err();
        assert_eq!(missing.to_string(), "secret `gone` is not set on this host");
        let binary = expand(&text("binary", SecretEncoding::JsonString), &secrets).unwrap_err();
        assert!(matches!(binary, TextError::NotText { .. }));
        let variable = expand_variable(&text("binary", SecretEncoding::Raw), &secrets).unwrap_err();
        assert_eq!(variable.to_string(), "secret `binary` is not UTF-8 text");
    }
}
