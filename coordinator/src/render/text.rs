//! Text with secrets in it, and the small parts of a service.

use omni_scale_proto::id::SecretName;
use omni_scale_proto::v1::{
    self, EnvironmentVariable, File, SecretEncoding, SecretReference, Segment, Text, segment::Part,
};

/// Where files of ours lie in a container.
pub(super) const DIRECTORY: &str = "/etc/omni-scale";

/// The owner may read it, and nobody else.
pub(super) const PRIVATE: u32 = 0o400;
/// Everybody may read it.
pub(super) const PUBLIC: u32 = 0o444;

/// Collects literals and secrets.
#[derive(Debug, Default)]
pub(super) struct TextBuilder {
    segments: Vec<Segment>,
}

impl TextBuilder {
    /// Adds text as it is.
    pub(super) fn literal(mut self, text: &str) -> Self {
        if let Some(Segment {
            part: Some(Part::Literal(last)),
        }) = self.segments.last_mut()
        {
            last.push_str(text);
        } else if !text.is_empty() {
            self.segments.push(Segment {
                part: Some(Part::Literal(text.to_owned())),
            });
        }
        self
    }

    /// Adds the value of a secret.
    pub(super) fn secret(mut self, name: &SecretName, encoding: SecretEncoding) -> Self {
        self.segments.push(Segment {
            part: Some(Part::Secret(SecretReference {
                name: name.to_string(),
                encoding: encoding.into(),
            })),
        });
        self
    }

    /// Adds a line of YAML, `KEY: "VALUE"`.
    pub(super) fn yaml(self, key: &str, value: &str) -> Self {
        let quoted = serde_json::Value::from(value).to_string();
        self.literal(&format!("{key}: {quoted}\n"))
    }

    /// Adds a line of YAML whose value is a secret.
    pub(super) fn yaml_secret(self, key: &str, name: &SecretName) -> Self {
        self.literal(&format!("{key}: "))
            .secret(name, SecretEncoding::JsonString)
            .literal("\n")
    }

    /// The text.
    pub(super) fn build(self) -> Text {
        Text {
            segments: self.segments,
        }
    }
}

/// Text without secrets.
pub(super) fn plain(text: &str) -> Text {
    TextBuilder::default().literal(text).build()
}

/// A file of a container, owned by its user.
pub(super) fn file(path: &str, content: Text, mode: u32) -> File {
    File {
        path: path.to_owned(),
        content: Some(content),
        mode,
        user_id: None,
        group_id: None,
        one_time: false,
    }
}

/// A variable without secrets.
pub(super) fn variable(name: &str, value: &str) -> EnvironmentVariable {
    EnvironmentVariable {
        name: name.to_owned(),
        value: Some(plain(value)),
    }
}

/// A named volume, mounted for writing.
pub(super) fn volume(name: &str, target: &str) -> v1::Mount {
    v1::Mount {
        target: target.to_owned(),
        read_only: false,
        source: Some(v1::mount::Source::Volume(name.to_owned())),
    }
}

/// What makes Go programs trust private authorities beside the image's own: the variable names
/// one more file, and `/etc/ssl/certs` is read as before (crypto/x509, root_unix.go).
pub(super) fn trust(service: &mut v1::Service, extra_roots_pem: &str) {
    if extra_roots_pem.is_empty() {
        return;
    }
    let path = format!("{DIRECTORY}/extra-roots.pem");
    service.environment.push(variable("SSL_CERT_FILE", &path));
    service
        .files
        .push(file(&path, plain(extra_roots_pem), PUBLIC));
}

/// Puts what the contract wants sorted into its order.
pub(super) fn sorted(mut service: v1::Service) -> v1::Service {
    service.environment.sort_by(|a, b| a.name.cmp(&b.name));
    service.files.sort_by(|a, b| a.path.cmp(&b.path));
    service
}
