//! A request as the server sees it, and its parameters as Proxmox VE takes them from it.
//!
//! Parameters come from the query string and, for POST and PUT only, from a form or a JSON object; the query wins
//! (pve-http-server `AnyEvent.pm` `extract_params`, :923). No routing, no checks of values.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::multipart::{self, Upload};
use crate::refusal::Refusal;

/// Longest body of a POST or PUT that is no upload, in bytes (pve-http-server `AnyEvent.pm`:54).
pub(crate) const LONGEST_BODY: usize = 512 * 1024;

/// The methods that Proxmox VE's API knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Read.
    Get,
    /// Create, or start a task.
    Post,
    /// Change.
    Put,
    /// Remove.
    Delete,
}

impl Method {
    /// The method of that name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "GET" => Self::Get,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            _ => return None,
        })
    }

    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// One request, below `/api2/json`.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// What is to be done.
    pub method: Method,
    /// The path below `/api2/json`, still percent-encoded, beginning with `/`.
    pub path: String,
    /// The query string without its `?`, still percent-encoded; empty without one.
    pub query: String,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The `Content-Type` header.
    pub content_type: Option<String>,
    /// The body, whole.
    pub body: Vec<u8>,
}

impl fmt::Debug for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Request")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Request {
    /// A request without credentials and body. `path` may carry a query after `?`.
    pub fn new(method: Method, path: &str) -> Self {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        Self {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            authorization: None,
            content_type: None,
            body: Vec::new(),
        }
    }

    /// With an API token, `USER@REALM!TOKENID=SECRET`.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.authorization = Some(format!("PVEAPIToken={token}"));
        self
    }

    /// With a form of these fields, encoded as a careful client does.
    #[must_use]
    pub fn form(mut self, fields: &[(&str, &str)]) -> Self {
        let pairs: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect();
        self.content_type = Some("application/x-www-form-urlencoded".to_owned());
        self.body = pairs.join("&").into_bytes();
        self
    }

    /// With a JSON body.
    #[must_use]
    pub fn json(mut self, body: &Value) -> Self {
        self.content_type = Some("application/json".to_owned());
        self.body = body.to_string().into_bytes();
        self
    }

    /// The segments of the path, decoded. `%2F` stays within its segment.
    pub fn segments(&self) -> Vec<String> {
        self.path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(|segment| decode(segment, false))
            .collect()
    }

    /// The parameters of query and body, and the file of an upload.
    pub(crate) fn parameters(
        &self,
        upload: bool,
    ) -> Result<(BTreeMap<String, String>, Option<Upload>), Refusal> {
        let mut parameters = BTreeMap::new();
        let mut file = None;
        if !self.body.is_empty() {
            if !matches!(self.method, Method::Post | Method::Put) {
                let text = format!("Unexpected content for method '{}'", self.method.name());
                return Err(Refusal::NotImplemented(text));
            }
            let content_type = self.content_type.as_deref().unwrap_or_default();
            let kind = content_type
                .split([';', ','])
                .next()
                .unwrap_or_default()
                .trim();
            if upload {
                let (fields, found) = multipart::parse(content_type, &self.body)?;
                parameters = fields;
                file = Some(found);
            } else if self.body.len() > LONGEST_BODY {
                return Err(Refusal::NotImplemented("for data too large".to_owned()));
            } else if kind == "application/json" {
                parameters = json_parameters(&self.body)?;
            } else if kind.is_empty() || kind == "application/x-www-form-urlencoded" {
                parameters = decode_form(&String::from_utf8_lossy(&self.body));
            } else {
                let reason = format!("upload 'Content-Type '{content_type}' not implemented");
                return Err(Refusal::Raw {
                    status: 506,
                    reason,
                });
            }
        } else if upload {
            return Err(Refusal::NotImplemented("upload failed".to_owned()));
        }
        parameters.extend(decode_form(&self.query));
        parameters.remove("_dc");
        Ok((parameters, file))
    }
}

/// `name=value` pairs between `&` **or `;`** (pve-http-server `AnyEvent.pm` `decode_urlencoded`, :890). A `=` within a
/// value that is not percent-encoded ends the value; a name given twice joins its values with NUL.
fn decode_form(text: &str) -> BTreeMap<String, String> {
    let mut fields: BTreeMap<String, String> = BTreeMap::new();
    for pair in text.split(['&', ';']).filter(|pair| !pair.is_empty()) {
        let mut parts = pair.split('=');
        let name = decode(parts.next().unwrap_or_default(), true);
        let Some(value) = parts.next() else { continue };
        let value = decode(value, true);
        fields
            .entry(name)
            .and_modify(|old| *old = format!("{old}\0{value}"))
            .or_insert(value);
    }
    fields
}

fn json_parameters(body: &[u8]) -> Result<BTreeMap<String, String>, Refusal> {
    let Ok(Value::Object(object)) = serde_json::from_slice(body) else {
        return Err(Refusal::NotImplemented("malformed JSON string".to_owned()));
    };
    let mut parameters = BTreeMap::new();
    for (name, value) in object {
        let text = match value {
            Value::Null => continue,
            Value::Bool(yes) => if yes { "1" } else { "0" }.to_owned(),
            Value::Number(number) => number.to_string(),
            Value::String(text) => text,
            Value::Array(_) => {
                return Err(Refusal::parameter(
                    &name,
                    "type check ('string') failed - got ARRAY",
                ));
            }
            Value::Object(_) => {
                return Err(Refusal::parameter(
                    &name,
                    "type check ('string') failed - got HASH",
                ));
            }
        };
        parameters.insert(name, text);
    }
    Ok(parameters)
}

/// Percent-encodes everything but the unreserved characters of RFC 3986.
pub fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Decodes percent-encoding, and `+` as a space where `plus` says so. What is no encoding stays as it is.
pub(crate) fn decode(text: &str, plus: bool) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digits = text
            .get(at + 1..at + 3)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (byte, digits) {
            (b'%', Some(value)) => {
                decoded.push(value);
                at += 3;
                continue;
            }
            (b'+', _) if plus => decoded.push(b' '),
            _ => decoded.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parameters(request: &Request) -> BTreeMap<String, String> {
        request.parameters(false).unwrap().0
    }

    /// pve-http-server `AnyEvent.pm` `decode_urlencoded` (:890): `;` separates as `&` does.
    #[test]
    fn a_semicolon_that_is_not_encoded_cuts_a_form() {
        let mut request = Request::new(Method::Post, "/x");
        request.body = b"tags=a;b&boot=order%3Dscsi0%3Bide2".to_vec();
        let parameters = parameters(&request);
        assert_eq!(parameters["tags"], "a");
        assert_eq!(parameters["boot"], "order=scsi0;ide2");
        assert!(
            !parameters.contains_key("b"),
            "a name without `=` is dropped"
        );
    }

    /// pve-http-server `AnyEvent.pm` :923: the query overrides the body.
    #[test]
    fn the_query_wins_over_the_body() {
        let request =
            Request::new(Method::Post, "/x?name=query").form(&[("name", "body"), ("cores", "2")]);
        let parameters = parameters(&request);
        assert_eq!(
            (parameters["name"].as_str(), parameters["cores"].as_str()),
            ("query", "2")
        );
    }

    #[test]
    fn a_json_body_is_taken_as_text() {
        let request =
            Request::new(Method::Put, "/x").json(&json!({"cores": 2, "onboot": true, "name": "a"}));
        let parameters = parameters(&request);
        assert_eq!(
            (parameters["cores"].as_str(), parameters["onboot"].as_str()),
            ("2", "1")
        );
    }

    /// pve-http-server `AnyEvent.pm` :1657.
    #[test]
    fn a_delete_with_a_body_is_not_implemented() {
        let request = Request::new(Method::Delete, "/x").form(&[("purge", "1")]);
        let refusal = request.parameters(false).unwrap_err();
        assert_eq!(refusal.status(), 501);
        assert_eq!(refusal.text(), "Unexpected content for method 'DELETE'");
    }

    /// pve-http-server `AnyEvent.pm` :1707.
    #[test]
    fn a_body_over_the_cap_is_refused() {
        let long = "x".repeat(LONGEST_BODY);
        let refusal = Request::new(Method::Post, "/x")
            .form(&[("a", &long)])
            .parameters(false)
            .unwrap_err();
        assert_eq!(
            (refusal.status(), refusal.text().as_str()),
            (501, "for data too large")
        );
    }

    #[test]
    fn the_token_is_not_shown() {
        let request = Request::new(Method::Get, "/x").token("a@pve!t=s3cret");
        assert!(!format!("{request:?}").contains("s3cret"));
    }
}
