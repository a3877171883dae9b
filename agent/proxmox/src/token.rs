//! The API token: who asks, and the secret that proves it.

use std::{fmt, str::FromStr};

use http::HeaderValue;
use thiserror::Error;
use zeroize::Zeroizing;

/// `USER@REALM!TOKENID` and its secret. `Debug` shows the name only; the secret is wiped when dropped.
#[derive(Clone)]
pub struct ApiToken {
    id: String,
    secret: Zeroizing<String>,
}

/// Why something is no token. Never quotes what might be the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TokenError {
    /// The name has another form.
    #[error("a token's name has the form `USER@REALM!TOKENID`")]
    Id,
    /// The secret is empty, or holds what no header may.
    #[error("a token's secret is the text that Proxmox showed once, a UUID")]
    Secret,
}

impl ApiToken {
    /// A token by its name and secret.
    pub fn new(id: &str, secret: Zeroizing<String>) -> Result<Self, TokenError> {
        let visible =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        let parts = id
            .split_once('!')
            .and_then(|(user, token)| Some((user.rsplit_once('@')?, token)));
        // Names are parts of UPIDs (no colon) and of paths (no slash): pve-access-control, `pve-userid`.
        let plain = |text: &str| visible(text) && !text.contains([':', '/', '!', '=']);
        match parts {
            Some(((user, realm), token)) if [user, realm, token].into_iter().all(plain) => {}
            _ => return Err(TokenError::Id),
        }
        if !visible(&secret) {
            return Err(TokenError::Secret);
        }
        Ok(Self {
            id: id.to_owned(),
            secret,
        })
    }

    /// `USER@REALM!TOKENID`, as it stands in UPIDs.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The `Authorization` header. Marked as sensitive, so that it is shown nowhere.
    pub(crate) fn header(&self) -> Result<HeaderValue, TokenError> {
        let text = Zeroizing::new(format!("PVEAPIToken={}={}", self.id, self.secret.as_str()));
        let mut value = HeaderValue::from_str(&text).map_err(|_| TokenError::Secret)?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// `text` without the secret, should a server or a proxy have repeated it.
    pub(crate) fn masked(&self, text: &str) -> String {
        text.replace(self.secret.as_str(), "***")
    }
}

/// `ID=SECRET`, one line as people keep it.
impl FromStr for ApiToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (id, secret) = text.split_once('=').ok_or(TokenError::Id)?;
        Self::new(id, Zeroizing::new(secret.to_owned()))
    }
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ApiToken")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "5f2c3a1e-0000-4000-8000-00000000beef";

    #[test]
    fn the_secret_is_shown_nowhere() {
        let token: ApiToken = format!("omni@pve!scale={SECRET}").parse().unwrap();
        assert_eq!(token.id(), "omni@pve!scale");
        assert!(!format!("{token:?}").contains(SECRET));
        let header = token.header().unwrap();
        assert!(!format!("{header:?}").contains(SECRET));
        assert_eq!(header, format!("PVEAPIToken=omni@pve!scale={SECRET}"));
        assert_eq!(
            token.masked(&format!("no such token '{SECRET}'")),
            "no such token '***'"
        );
    }

    #[test]
    fn names_and_secrets_of_another_form_are_refused() {
        for id in [
            "",
            "root",
            "root@pam",
            "root!x",
            "@pam!x",
            "root@!x",
            "root@pam!",
            "a:b@pam!x",
            "ro ot@pam!x",
        ] {
            let secret = Zeroizing::new(SECRET.to_owned());
            assert_eq!(
                ApiToken::new(id, secret).unwrap_err(),
                TokenError::Id,
                "{id}"
            );
        }
        for secret in ["", "a b", "a\nb", "ü"] {
            let secret = Zeroizing::new(secret.to_owned());
            assert_eq!(
                ApiToken::new("root@pam!x", secret).unwrap_err(),
                TokenError::Secret
            );
        }
    }
}
