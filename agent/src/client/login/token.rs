//! What stands in an ID token. Pure.
//!
//! The signature is not looked at: the token was handed over by the issuer itself, over TLS, in answer
//! to our own question (OpenID Connect Core, section 3.1.3.7, point 6). Omni, which gets its tokens in
//! the same way, checks it nonetheless; whether the issuer serves its keys is a check of its own.

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value};

/// What is of interest. Lenient: a claim of another kind than expected is as good as none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Claims {
    pub(super) issuer: Option<String>,
    pub(super) subject: Option<String>,
    pub(super) audience: Vec<String>,
    pub(super) nonce: Option<String>,
    pub(super) email: Option<String>,
    pub(super) email_verified: Verified,
}

/// What the token says of its e-mail address. Omni reads a boolean and nothing else
/// (internal/pkg/auth/oidc/token.go).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Verified {
    /// The boolean.
    True,
    /// The boolean.
    False,
    /// A text, which may well be `true`.
    Text(String),
    /// A number, a list, an object or null.
    Other,
    /// Nothing.
    #[default]
    Absent,
}

impl std::fmt::Display for Verified {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::True => formatter.write_str("true"),
            Self::False => formatter.write_str("false"),
            Self::Text(text) => write!(formatter, "the text \"{text}\" and no boolean"),
            Self::Other => formatter.write_str("no boolean"),
            Self::Absent => formatter.write_str("absent"),
        }
    }
}

/// Reads the claims of a token in its compact form, `HEADER.PAYLOAD.SIGNATURE` (RFC 7515). The
/// error never holds a part of it.
pub(super) fn claims(token: &str) -> Result<Claims, &'static str> {
    let mut parts = token.split('.');
    let (Some(_), Some(payload), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("it has not three parts");
    };
    let payload = BASE64URL_NOPAD
        .decode(payload.trim_end_matches('=').as_bytes())
        .map_err(|_| "its claims are no Base64")?;
    let claims: Map<String, Value> =
        serde_json::from_slice(&payload).map_err(|_| "its claims are no JSON object")?;
    let text = |name: &str| {
        claims
            .get(name)
            .and_then(Value::as_str)
            .map(ToOwned::to_owned)
    };
    Ok(Claims {
        issuer: text("iss"),
        subject: text("sub"),
        audience: match claims.get("aud") {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(several)) => {
                let texts = several.iter().filter_map(Value::as_str);
                texts.map(ToOwned::to_owned).collect()
            }
            _ => Vec::new(),
        },
        nonce: text("nonce"),
        email: text("email").filter(|email| !email.trim().is_empty()),
        email_verified: match claims.get("email_verified") {
            None => Verified::Absent,
            Some(Value::Bool(true)) => Verified::True,
            Some(Value::Bool(false)) => Verified::False,
            Some(Value::String(text)) => Verified::Text(text.clone()),
            Some(_) => Verified::Other,
        },
    })
}
