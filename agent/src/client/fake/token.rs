//! The ID token of a login, as a tsidp makes it. Its signature is none.

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value, json};

use super::user::User;

/// Claims that no grant may set (`openIDSupportedClaims`).
const PROTECTED: [&str; 5] = ["sub", "aud", "iss", "email", "preferred_username"];

/// Whom the token is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bearer<'a> {
    pub(super) user: &'a User,
    /// The id of the client that asks.
    pub(super) client: &'a str,
    /// Of the client's request.
    pub(super) nonce: &'a str,
}

pub(super) fn id_token(issuer: &str, older: bool, bearer: Bearer<'_>) -> Result<String, String> {
    let user = bearer.user;
    let without_address = user.login.ends_with("@github") || user.login.ends_with("@passkey");
    let host = issuer.strip_prefix("https://").unwrap_or(issuer);
    let host = host.split(':').next().unwrap_or_default();
    let email = if without_address && !older {
        format!("{}.{host}", user.login)
    } else {
        user.login.clone()
    };
    let claims = json!({
        "iss": issuer,
        "sub": "userid:7",
        "aud": [bearer.client],
        "nonce": bearer.nonce,
        "email": email,
        "nid": 7,
        "node": "desk.tail.test.",
    });
    let mut claims = claims.as_object().cloned().unwrap_or_default();
    add(&mut claims, &user.extra_claims, older)?;
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let header = part(&json!({"alg": "RS256", "typ": "JWT"}));
    Ok(format!("{header}.{}.c2ln", part(&claims.into())))
}

fn add(
    claims: &mut Map<String, Value>,
    extra: &Map<String, Value>,
    older: bool,
) -> Result<(), String> {
    for (name, value) in extra {
        if PROTECTED.contains(&name.as_str()) {
            return Err(if older {
                format!("extra claim \"{name}\" overwriting existing claim")
            } else {
                "failed to merge extra claims".to_owned()
            });
        }
        // The older one knows no booleans: `Unsupported claim type`.
        if !(older && value.is_boolean()) {
            claims.insert(name.clone(), value.clone());
        }
    }
    Ok(())
}
