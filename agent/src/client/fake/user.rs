//! Who logs in.

use serde_json::{Map, Value};

/// Who stands behind a browser.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    /// `ada@example.net`, `ada@github` …
    pub login: String,
    /// The device has tags, and so no user.
    pub tagged: bool,
    /// What grants add to the token.
    pub extra_claims: Map<String, Value>,
}

impl User {
    /// One to whom nothing is granted.
    pub fn named(login: &str) -> Self {
        Self {
            login: login.to_owned(),
            tagged: false,
            extra_claims: Map::new(),
        }
    }

    /// One whose address is called verified by a grant.
    pub fn verified(login: &str) -> Self {
        let mut user = Self::named(login);
        user.extra_claims
            .insert("email_verified".to_owned(), true.into());
        user
    }
}
