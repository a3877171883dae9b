//! Percent-encoding, for paths, queries and forms.

/// Encodes every byte that is not unreserved (RFC 3986): letters, digits, `-`, `.`, `_`, `~`.
///
/// A space becomes `%20`, never `+`. `;` must not stay as it is: Proxmox splits forms on it as on `&`
/// (pve-http-server, AnyEvent.pm, `decode_urlencoded`), which would cut `boot=order=scsi0;ide2` in two.
pub(crate) fn percent(text: &str) -> String {
    use std::fmt::Write;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// The bytes of a percent-encoded text; what is not an escape stays. Invalid UTF-8 is replaced.
pub(crate) fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escape = (byte == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| data_encoding::HEXUPPER_PERMISSIVE.decode(digits).ok());
        if let Some(value) = escape {
            decoded.extend(value);
            at += 3;
        } else {
            decoded.push(byte);
            at += 1;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// `name=value&…`, for a query or a form.
pub(crate) fn form(pairs: &[(String, String)]) -> String {
    pairs
        .iter()
        .map(|(name, value)| format!("{}={}", percent(name), percent(value)))
        .collect::<Vec<_>>()
        .join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_splits_a_form_is_encoded() {
        let pairs = [
            ("tags".to_owned(), "a;b".to_owned()),
            ("boot".to_owned(), "order=scsi0;ide2".to_owned()),
            ("description".to_owned(), "1 + 1 & ü\n".to_owned()),
        ];
        assert_eq!(
            form(&pairs),
            "tags=a%3Bb&boot=order%3Dscsi0%3Bide2&description=1%20%2B%201%20%26%20%C3%BC%0A"
        );
    }

    #[test]
    fn decoding_undoes_encoding_and_leaves_the_rest() {
        for text in ["", "a;b", "100%", "%zz", "ü\u{1F600}", "%C3%BC"] {
            assert_eq!(decoded(&percent(text)), text);
        }
        assert_eq!(decoded("100%"), "100%");
        assert_eq!(decoded("%C3%BC%z1%"), "ü%z1%");
    }
}
