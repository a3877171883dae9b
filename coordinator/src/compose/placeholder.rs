//! Secrets in a Compose file: `{{ secret "NAME" }}`.
//!
//! Docker Compose takes the text as it is, so that a file with placeholders stays a Compose file.
//! `{{ secret "NAME" | json }}` is the secret as a JSON string with its quotes, for YAML and JSON
//! files; `| trim` and `| raw` choose whether white space at its end stays.

use omni_scale_proto::id::SecretName;
use omni_scale_proto::v1::{SecretEncoding, SecretReference, Segment, Text, segment::Part};

use crate::document::{Location, Report};

const OPEN: &str = "{{";
const CLOSE: &str = "}}";

/// Whether `text` has a placeholder in it.
pub(super) fn is_in(text: &str) -> bool {
    text.match_indices(OPEN).any(|(start, _)| {
        text[start + OPEN.len()..]
            .trim_start()
            .starts_with("secret")
    })
}

/// `text` with its placeholders as references. `usual` is the encoding of those that name none.
pub(super) fn read(
    text: &str,
    usual: SecretEncoding,
    location: &Location,
    report: &Report,
) -> Option<Text> {
    let mut segments = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(open) = rest.find(OPEN) {
        let inside = &rest[open + OPEN.len()..];
        if !inside.trim_start().starts_with("secret") {
            literal.push_str(&rest[..open + OPEN.len()]);
            rest = inside;
            continue;
        }
        let Some(secret) = inside
            .find(CLOSE)
            .and_then(|close| reference(&inside[..close], usual))
        else {
            report.add_with_hint(
                location,
                "a placeholder for a secret is malformed",
                "write `{{ secret \"NAME\" }}`, or with `| json`, `| trim` or `| raw` before the \
                 closing braces",
            );
            return None;
        };
        literal.push_str(&rest[..open]);
        if !literal.is_empty() {
            segments.push(Segment {
                part: Some(Part::Literal(std::mem::take(&mut literal))),
            });
        }
        segments.push(Segment {
            part: Some(Part::Secret(secret)),
        });
        rest = inside.split_once(CLOSE).map_or("", |(_, after)| after);
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        segments.push(Segment {
            part: Some(Part::Literal(literal)),
        });
    }
    Some(Text { segments })
}

/// What stands between the braces.
fn reference(inside: &str, usual: SecretEncoding) -> Option<SecretReference> {
    let (name, filter) = match inside.split_once('|') {
        Some((name, filter)) => (name, Some(filter.trim())),
        None => (inside, None),
    };
    let quoted = name.trim().strip_prefix("secret")?.trim();
    let name = quoted.strip_prefix('"')?.strip_suffix('"')?;
    let name: SecretName = name.parse().ok()?;
    let encoding = match filter {
        None => usual,
        Some("json") => SecretEncoding::JsonString,
        Some("trim") => SecretEncoding::Trimmed,
        Some("raw") => SecretEncoding::Raw,
        Some(_) => return None,
    };
    Some(SecretReference {
        name: name.to_string(),
        encoding: encoding.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        let report = Report::default();
        let read = read(text, SecretEncoding::Raw, &Location::start_of("f"), &report)?;
        let parts = read.segments.iter().map(|segment| match &segment.part {
            Some(Part::Literal(text)) => text.clone(),
            Some(Part::Secret(secret)) => format!("<{}:{}>", secret.name, secret.encoding),
            None => panic!(),
        });
        Some(parts.collect::<Vec<_>>().join("|"))
    }

    #[test]
    fn placeholders_become_references() {
        assert_eq!(shown("plain {{ .Name }}").unwrap(), "plain {{ .Name }}");
        assert_eq!(shown("").unwrap(), "");
        assert_eq!(shown("{{ secret \"a-b\" }}").unwrap(), "<a-b:1>");
        assert_eq!(shown("x{{secret \"a\"|json}}y").unwrap(), "x|<a:2>|y");
        assert_eq!(
            shown("{{ secret \"a\" | trim }}{{ secret \"b\" }}").unwrap(),
            "<a:3>|<b:1>"
        );
        assert_eq!(shown("{{{{ secret \"a\" }}").unwrap(), "{{|<a:1>");
    }

    #[test]
    fn malformed_placeholders_are_refused() {
        for text in [
            "{{ secret }}",
            "{{ secret a }}",
            "{{ secret \"A B\" }}",
            "{{ secret \"a\" | base64 }}",
            "{{ secret \"a\"",
        ] {
            assert_eq!(shown(text), None, "{text}");
        }
    }
}
