//! What each port answers: pure, from the request to the page.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{application::Application, providers::Verdict, settings::Authentication};

/// The size of the page that answers every unknown path.
const PAGE_BYTES: usize = 612;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) status: StatusCode,
    pub(super) content_type: Option<&'static str>,
    pub(super) location: Option<String>,
    pub(super) body: Vec<u8>,
}

/// Which port was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    Api,
    KubernetesProxy,
    MachineApi,
    Metrics,
    LocalResources,
}

impl Page {
    fn empty(status: StatusCode) -> Self {
        Self {
            status,
            content_type: None,
            location: None,
            body: Vec::new(),
        }
    }

    fn text(status: StatusCode, body: impl Into<Vec<u8>>) -> Self {
        Self {
            content_type: Some("text/plain; charset=utf-8"),
            body: body.into(),
            ..Self::empty(status)
        }
    }

    fn json(status: StatusCode, body: &Value) -> Self {
        Self {
            content_type: Some("application/json"),
            body: body.to_string().into_bytes(),
            ..Self::empty(status)
        }
    }
}

pub(super) fn answer(
    application: &Application,
    service: Service,
    method: &Method,
    path: &str,
    query: &str,
) -> Page {
    match service {
        Service::Api => api(application, method, path, query),
        Service::KubernetesProxy => Page::text(StatusCode::UNAUTHORIZED, "Unauthorized\n"),
        // Both speak gRPC only.
        Service::MachineApi | Service::LocalResources => Page::text(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "invalid gRPC request content-type \"\"\n",
        ),
        Service::Metrics if path == "/metrics" => Page::text(StatusCode::OK, application.metrics()),
        Service::Metrics => Page::text(StatusCode::NOT_FOUND, "404 page not found\n"),
    }
}

fn api(application: &Application, method: &Method, path: &str, query: &str) -> Page {
    let reads = *method == Method::GET || *method == Method::HEAD;
    match path {
        // Empty, which tells it from the page below.
        "/healthz" if reads => Page::empty(StatusCode::OK),
        "/healthz" => Page::empty(StatusCode::METHOD_NOT_ALLOWED),
        "/login" => login(application),
        "/oidc/.well-known/openid-configuration" => {
            Page::json(StatusCode::OK, &own_discovery(application))
        }
        "/stand-in/state" => Page::json(StatusCode::OK, &application.status()),
        "/stand-in/providers" => Page::json(StatusCode::OK, &application.providers().status()),
        _ => {
            if let Some(rest) = path.strip_prefix("/stand-in/providers/") {
                return provider(application, rest, query);
            }
            if path.starts_with("/api/") && *method == Method::POST {
                return call(application);
            }
            frontend()
        }
    }
}

/// Every unknown path: 200, and the placeholder of the frontend.
fn frontend() -> Page {
    let head = "<!DOCTYPE html>\n<html lang=\"en\">\n<head><title>Omni (stand-in)</title></head>\n<body>\n<!--";
    let tail = "-->\n</body>\n</html>\n";
    let filling = ".".repeat(PAGE_BYTES - head.len() - tail.len());
    Page {
        content_type: Some("text/html; charset=utf-8"),
        body: format!("{head}{filling}{tail}").into_bytes(),
        ..Page::empty(StatusCode::OK)
    }
}

fn login(application: &Application) -> Page {
    let Authentication::Oidc {
        issuer,
        client_id,
        scopes,
        ..
    } = &application.settings().authentication
    else {
        return frontend();
    };
    let scope = if scopes.is_empty() {
        "openid profile email".to_owned()
    } else {
        scopes.join(" ")
    };
    let redirect = format!("{}/oidc/consume", application.settings().api.advertised);
    // v1.10 makes people choose their account again.
    let prompt = if application.minor() >= 10 {
        "&prompt=login"
    } else {
        ""
    };
    let location = format!(
        "{issuer}/authorize?client_id={}&redirect_uri={}&response_type=code&scope={}&state=stand-in{prompt}",
        encoded(client_id),
        encoded(&redirect),
        encoded(&scope),
    );
    Page {
        location: Some(location),
        ..Page::empty(StatusCode::FOUND)
    }
}

fn own_discovery(application: &Application) -> Value {
    let issuer = format!("{}/oidc", application.settings().api.advertised);
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/oauth/token"),
        "jwks_uri": format!("{issuer}/keys"),
    })
}

/// Any call of the API: no signature is ever accepted here, but the licence is asked for first, as the real one does.
fn call(application: &Application) -> Page {
    if application.eula_accepted() {
        let body =
            json!({ "code": 16, "message": "the stand-in knows no signatures", "details": [] });
        return Page::json(StatusCode::UNAUTHORIZED, &body);
    }
    let url = format!("{}/eula", application.settings().api.advertised);
    let message = format!("EULA has not been accepted; please accept it at {url}");
    Page::json(
        StatusCode::BAD_REQUEST,
        &json!({ "code": 9, "message": message, "details": [] }),
    )
}

fn provider(application: &Application, rest: &str, query: &str) -> Page {
    let Some(id) = rest.strip_suffix("/heartbeat") else {
        return frontend();
    };
    let account = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("account="))
        .unwrap_or_default();
    match application
        .providers()
        .heartbeat(&decoded(id), &decoded(account))
    {
        Verdict::Registered => Page::text(StatusCode::OK, "registered\n"),
        Verdict::PermissionDenied => Page::text(StatusCode::FORBIDDEN, "PermissionDenied\n"),
        Verdict::OtherId(own) => Page::text(StatusCode::CONFLICT, own),
    }
}

/// Percent-encoding of everything that is not unreserved (RFC 3986 §2.3).
pub(crate) fn encoded(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            // Writing into a String does not fail.
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
        encoded
    })
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escape = after
            .get(..2)
            .filter(|_| first == b'%')
            .and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(byte) = escape.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_unknown_paths_has_612_bytes() {
        let page = frontend();
        assert_eq!((page.status, page.body.len()), (StatusCode::OK, 612));
    }

    #[test]
    fn encoding_comes_back() {
        for text in ["infra-provider:proxmox", "a b&c=d", "%zz", "é"] {
            assert_eq!(decoded(&encoded(text)), text);
        }
        assert_eq!(decoded("%zz%4"), "%zz%4");
    }
}
