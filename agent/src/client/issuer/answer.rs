//! What a tsidp's answers mean. Pure, and lenient about everything that does not matter.
//!
//! Sources: tailscale/tsidp, server/clients.go and server/server.go (`writeHTTPError`); the older
//! one is tailscale/tailscale, cmd/tsidp/tsidp.go (`funnelClient`).

use serde::Deserialize;
use zeroize::Zeroizing;

use super::transport::Reply;
use super::{Attempt, IdToken, IssuerError, LONGEST_ID, ListedClient, Registered};
use crate::secrets::SecretValue;

/// The longest text of an issuer that is passed on, in characters.
const LONGEST_TEXT: usize = 200;

/// What was asked of whom, for errors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) issuer: &'a str,
    pub(super) attempt: Attempt,
    /// Parts of the question that must not come back in an error.
    pub(super) secret: &'a [&'a str],
}

impl Asked<'_> {
    pub(super) fn unknown(self, reason: impl Into<String>) -> IssuerError {
        IssuerError::Unknown {
            issuer: self.issuer.to_owned(),
            attempt: self.attempt,
            reason: reason.into(),
        }
    }

    /// The content of an answer that says yes; any other answer is an error.
    pub(super) fn content(self, reply: Reply) -> Result<Zeroizing<Vec<u8>>, IssuerError> {
        let status = reply.status;
        if (200..300).contains(&status) {
            let content = reply.content.map_err(|reason| self.unknown(reason))?;
            return Ok(content);
        }
        let words = reply.content.map(|content| self.words(&content));
        let text = match words {
            Ok(words) if !words.is_empty() => format!("{status}, {words}"),
            _ => format!("{status}"),
        };
        let (issuer, attempt) = (self.issuer.to_owned(), self.attempt);
        Err(match status {
            401 | 403 => IssuerError::Refused {
                issuer,
                attempt,
                text,
            },
            404 => IssuerError::NotThere {
                issuer,
                attempt,
                text,
            },
            // Too slow, too early, too often: said by what stands in front of it, and it may pass.
            408 | 425 | 429 => self.unknown(format!("it answered {text}")),
            400..500 => IssuerError::Rejected {
                issuer,
                attempt,
                text,
            },
            // The current tsidp answers 500 when it has made a client and could not write it down.
            _ => self.unknown(format!("it answered {text}")),
        })
    }

    /// The words of an error: those of the JSON form, or the first of the text.
    fn words(self, content: &[u8]) -> String {
        #[derive(Deserialize)]
        struct Form {
            error: String,
            #[serde(default)]
            error_description: Option<String>,
        }
        let text = match serde_json::from_slice::<Form>(content) {
            Ok(form) => match form.error_description {
                Some(description) => format!("{}: {description}", form.error),
                None => form.error,
            },
            // A document of another kind may hold anything, a secret too.
            Err(_) if matches!(content.trim_ascii_start().first(), Some(b'{' | b'[')) => {
                return String::new();
            }
            Err(_) => String::from_utf8_lossy(content).into_owned(),
        };
        let masked = self
            .secret
            .iter()
            .filter(|secret| !secret.is_empty())
            .fold(text, |text, secret| text.replace(secret, "[secret]"));
        one_line(&masked)
    }
}

/// One line of at most [`LONGEST_TEXT`] characters, without control characters.
pub(in crate::client) fn one_line(text: &str) -> String {
    let mut line = String::new();
    let mut length = 0;
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    for word in words.filter(|word| !word.is_empty()) {
        if length > 0 {
            line.push(' ');
            length += 1;
        }
        for character in word.chars() {
            if length >= LONGEST_TEXT {
                line.push('…');
                return line;
            }
            line.push(character);
            length += 1;
        }
    }
    line
}

/// Why a document is not the expected one. Says where, and never what stands there.
fn misplaced(error: &serde_json::Error) -> String {
    format!(
        "its answer is not the expected document (line {}, column {})",
        error.line(),
        error.column()
    )
}

/// Whether an id can be one, and can stand in a path.
pub(super) fn is_id(id: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    (1..=LONGEST_ID).contains(&id.len()) && id.chars().all(plain)
}

/// Reads the answer to a registration: that of `/register`, and that of `/clients/new`.
pub(super) fn registration(content: &[u8]) -> Result<Registered, String> {
    #[derive(Deserialize)]
    struct Document {
        client_id: String,
        client_secret: Zeroizing<String>,
    }
    let document: Document = serde_json::from_slice(content).map_err(|error| misplaced(&error))?;
    if !is_id(&document.client_id) {
        return Err("the id in its answer is none".to_owned());
    }
    let secret = document.client_secret.as_bytes();
    let usable = secret.iter().all(u8::is_ascii_graphic) && secret != document.client_id.as_bytes();
    if !usable || !(1..=LONGEST_ID).contains(&secret.len()) {
        return Err("the secret in its answer is none".to_owned());
    }
    Ok(Registered {
        id: document.client_id,
        secret: SecretValue::new(secret.to_vec()),
    })
}

/// Reads a list of clients. An entry without an id makes the whole list unreadable: a client that
/// is not seen must not be taken for one that is not there.
pub(super) fn listing(content: &[u8]) -> Result<Vec<ListedClient>, String> {
    #[derive(Deserialize)]
    struct Entry {
        client_id: String,
        /// The current one's.
        #[serde(default)]
        client_name: Option<String>,
        #[serde(default)]
        redirect_uris: Option<Vec<String>>,
        /// The older one's.
        #[serde(default)]
        name: Option<String>,
        #[serde(default)]
        redirect_uri: Option<String>,
    }
    // Go writes an empty list as `null` when it was never made.
    let entries: Option<Vec<Entry>> =
        serde_json::from_slice(content).map_err(|error| misplaced(&error))?;
    let entries = entries.unwrap_or_default();
    if entries.iter().any(|entry| entry.client_id.is_empty()) {
        return Err("a client in its list has no id".to_owned());
    }
    let client = |entry: Entry| {
        let uris = entry.redirect_uris.filter(|uris| !uris.is_empty());
        let lines = || entry.redirect_uri.unwrap_or_default();
        ListedClient {
            id: entry.client_id,
            name: entry.client_name.or(entry.name).unwrap_or_default(),
            redirect_uris: uris.unwrap_or_else(|| {
                let lines = lines();
                let lines = lines.lines().map(str::trim);
                lines
                    .filter(|line| !line.is_empty())
                    .map(ToOwned::to_owned)
                    .collect()
            }),
        }
    };
    Ok(entries.into_iter().map(client).collect())
}

/// Reads the answer of the token endpoint.
pub(super) fn token(content: &[u8]) -> Result<IdToken, String> {
    #[derive(Deserialize)]
    struct Document {
        id_token: Zeroizing<String>,
    }
    let mut document: Document =
        serde_json::from_slice(content).map_err(|error| misplaced(&error))?;
    if document.id_token.is_empty() {
        return Err("its answer holds no ID token".to_owned());
    }
    Ok(IdToken::new(std::mem::take(&mut *document.id_token)))
}
