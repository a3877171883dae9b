//! `multipart/form-data` as pve-http-server reads an upload (`AnyEvent.pm` `file_upload_multipart`, :1317).
//!
//! Strict where the real one has been seen to lose something: fields that come after the file are not taken.

use std::collections::BTreeMap;

use crate::refusal::Refusal;

/// The file of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Upload {
    pub(crate) bytes: Vec<u8>,
}

/// The fields before the part `filename`, with `filename` itself, and that part's bytes.
pub(crate) fn parse(
    content_type: &str,
    body: &[u8],
) -> Result<(BTreeMap<String, String>, Upload), Refusal> {
    let failed = || Refusal::NotImplemented("upload failed".to_owned());
    let mut pieces = content_type.split([';', ',']).map(str::trim);
    let boundary = match pieces.next() {
        Some("multipart/form-data") => pieces.find_map(|piece| piece.strip_prefix("boundary=")),
        _ => None,
    };
    let Some(boundary) = boundary else {
        let text = format!("upload 'Content-Type '{content_type}' not implemented");
        return Err(Refusal::NotImplemented(text));
    };
    let delimiter = format!("--{}", boundary.trim_matches('"')).into_bytes();
    let mut fields = BTreeMap::new();
    let mut rest = after(body, &delimiter).ok_or_else(failed)?;
    loop {
        rest = rest
            .strip_prefix(b"\r\n")
            .or_else(|| rest.strip_prefix(b"\n"))
            .ok_or_else(failed)?;
        let head_end = find(rest, b"\r\n\r\n").ok_or_else(failed)?;
        let (head, tail) = rest.split_at(head_end);
        let (name, file_name) = disposition(&String::from_utf8_lossy(head)).ok_or_else(failed)?;
        let content = tail.get(4..).ok_or_else(failed)?;
        let mut end = b"\r\n".to_vec();
        end.extend_from_slice(&delimiter);
        let length = find(content, &end).ok_or_else(failed)?;
        let (value, tail) = content.split_at(length);
        rest = tail.get(end.len()..).ok_or_else(failed)?;
        match file_name {
            Some(file_name) if name == "filename" => {
                // The real one's pattern wants a line end after the last boundary too.
                if !(rest.starts_with(b"\r\n")
                    || rest.starts_with(b"--\r\n")
                    || rest.starts_with(b"--\n"))
                {
                    return Err(failed());
                }
                fields.insert("filename".to_owned(), file_name);
                return Ok((
                    fields,
                    Upload {
                        bytes: value.to_vec(),
                    },
                ));
            }
            Some(_) => return Err(failed()),
            None => {
                fields.insert(name, String::from_utf8_lossy(value).into_owned());
            }
        }
    }
}

fn disposition(head: &str) -> Option<(String, Option<String>)> {
    let line = head
        .lines()
        .find(|line| line.to_ascii_lowercase().starts_with("content-disposition"))?;
    let (_, value) = line.split_once(':')?;
    let mut pieces = value.split([';', ',']).map(str::trim);
    if pieces.next() != Some("form-data") {
        return None;
    }
    let (mut name, mut file_name) = (None, None);
    for piece in pieces {
        if let Some(value) = piece.strip_prefix("name=") {
            name = Some(value.trim_matches('"').to_owned());
        } else if let Some(value) = piece.strip_prefix("filename=") {
            file_name = Some(value.trim_matches('"').to_owned());
        }
    }
    name.map(|name| (name, file_name))
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len())
        .position(|window| window == wanted)
}

fn after<'a>(text: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    text.get(find(text, wanted)? + wanted.len()..)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=XX";
    const FILE: &str = "--XX\r\nContent-Disposition: form-data; name=\"filename\"; filename=\"a.iso\"\r\n\
                        Content-Type: application/octet-stream\r\n\r\nbytes\r\n--XX";

    fn field(name: &str, value: &str) -> String {
        format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    }

    /// facts §1.5: `content` and `checksum` come before the part named `filename`.
    #[test]
    fn fields_before_the_file_are_taken_and_later_ones_are_not() {
        let body = format!(
            "{}{FILE}\r\n{}--XX--\r\n",
            field("content", "iso"),
            &field("checksum", "x")
        );
        let (fields, upload) = parse(TYPE, body.as_bytes()).unwrap();
        assert_eq!(fields.get("content").map(String::as_str), Some("iso"));
        assert_eq!(fields.get("filename").map(String::as_str), Some("a.iso"));
        assert_eq!(fields.get("checksum"), None);
        assert_eq!(upload.bytes, b"bytes");
    }

    #[test]
    fn a_body_without_its_end_fails() {
        assert_eq!(parse(TYPE, FILE.as_bytes()).unwrap_err().status(), 501);
        assert!(parse(TYPE, format!("{FILE}--\r\n").as_bytes()).is_ok());
    }

    #[test]
    fn a_file_in_another_field_fails() {
        let body = FILE.replace("name=\"filename\"", "name=\"file\"") + "--\r\n";
        assert_eq!(
            parse(TYPE, body.as_bytes()).unwrap_err().text(),
            "upload failed"
        );
    }
}
