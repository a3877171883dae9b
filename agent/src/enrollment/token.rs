//! The open token on the disk: one small file that root's command writes and the agent uses up.

use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use omni_scale_proto::enrollment::{
    EnrollmentSecret, FIRST_BOOT_LIFETIME_SECONDS, SECRET_LENGTH, TOKEN_ATTEMPTS,
    TOKEN_LIFETIME_SECONDS,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::files::{self, FileError};

/// Why no token can be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The disk did not do what it should.
    #[error(transparent)]
    File(#[from] FileError),
    /// Root has made none, or it was used.
    #[error("no enrolment token is open on this host")]
    None,
    /// Its time is over.
    #[error("the enrolment token has expired")]
    Expired,
    /// It was tried too often.
    #[error("the enrolment token was tried {TOKEN_ATTEMPTS} times and is void")]
    Exhausted,
    /// It is another one than the one that was proven.
    #[error("another enrolment token was opened on this host meanwhile")]
    Replaced,
    /// The file is none of ours.
    #[error("the enrolment token in `{}` is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// What is in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenToken {
    secret: Zeroizing<String>,
    not_after_milliseconds: i64,
    attempts_left: u32,
}

impl OpenToken {
    fn parse(contents: &[u8]) -> Option<Self> {
        serde_json::from_slice(contents).ok()
    }

    fn secret(&self) -> Option<EnrollmentSecret> {
        let secret = HEXLOWER.decode(self.secret.as_bytes()).map(Zeroizing::new);
        let secret = <[u8; SECRET_LENGTH]>::try_from(secret.ok()?.as_slice()).ok()?;
        Some(EnrollmentSecret::new(secret))
    }
}

/// Who passes the secret on, and so how long a token is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenFor {
    /// Somebody who has just asked for it.
    Operator,
    /// Nobody: it came with a machine's first boot.
    FirstBoot,
}

impl TokenFor {
    fn lifetime_milliseconds(self) -> i64 {
        let seconds = match self {
            Self::Operator => TOKEN_LIFETIME_SECONDS,
            Self::FirstBoot => FIRST_BOOT_LIFETIME_SECONDS,
        };
        i64::try_from(seconds * 1000).unwrap_or(i64::MAX)
    }
}

/// Where the open token lies.
#[derive(Debug, Clone)]
pub struct TokenFile {
    path: PathBuf,
}

impl TokenFile {
    /// The file in the agent's identity directory.
    pub fn in_directory(identity: &Path) -> Self {
        Self {
            path: identity.join("token.json"),
        }
    }

    /// Opens a token, and voids the one before. `owner` is the agent's user when root runs this. Blocks.
    pub fn open(
        &self,
        secret: &EnrollmentSecret,
        whose: TokenFor,
        now_milliseconds: i64,
        owner: Option<(u32, u32)>,
    ) -> Result<(), TokenError> {
        let lifetime = whose.lifetime_milliseconds();
        self.write(&OpenToken {
            secret: Zeroizing::new(HEXLOWER.encode(secret.as_bytes())),
            not_after_milliseconds: now_milliseconds.saturating_add(lifetime),
            attempts_left: TOKEN_ATTEMPTS,
        })?;
        if let Some((user, group)) = owner {
            // The directory is the agent's: what it puts in the file's place must not become its own.
            lchown(&self.path, Some(user), Some(group))
                .map_err(FileError::new("change the owner of", &self.path))?;
        }
        Ok(())
    }

    /// Whether a token is open now. Blocks.
    pub fn is_open(&self, now_milliseconds: i64) -> bool {
        self.read(now_milliseconds).is_ok()
    }

    /// Counts an attempt on the disk, and only then gives the secret to compare with. Blocks.
    pub fn attempt(&self, now_milliseconds: i64) -> Result<EnrollmentSecret, TokenError> {
        let mut token = self.read(now_milliseconds)?;
        token.attempts_left -= 1;
        self.write(&token)?;
        token.secret().ok_or_else(|| self.damaged())
    }

    /// Voids the token that has this secret, and no other. Blocks.
    pub fn consume(&self, secret: &EnrollmentSecret) -> Result<(), TokenError> {
        // It may have expired since, or have no attempt left: this one was counted.
        let open = self.read_any()?.secret().ok_or_else(|| self.damaged())?;
        if open.as_bytes() != secret.as_bytes() {
            return Err(TokenError::Replaced);
        }
        files::remove(&self.path)?;
        Ok(())
    }

    fn read_any(&self) -> Result<OpenToken, TokenError> {
        let contents = files::read(&self.path, 4096)?.map(Zeroizing::new);
        let contents = contents.ok_or(TokenError::None)?;
        OpenToken::parse(&contents).ok_or_else(|| self.damaged())
    }

    fn read(&self, now_milliseconds: i64) -> Result<OpenToken, TokenError> {
        let token = self.read_any()?;
        if token.not_after_milliseconds <= now_milliseconds {
            return Err(TokenError::Expired);
        }
        if token.attempts_left == 0 {
            return Err(TokenError::Exhausted);
        }
        Ok(token)
    }

    fn write(&self, token: &OpenToken) -> Result<(), FileError> {
        let contents = serde_json::to_vec(token).map(Zeroizing::new);
        let contents = contents.expect("plain fields are JSON");
        files::write_atomically(&self.path, &contents, 0o600)
    }

    fn damaged(&self) -> TokenError {
        TokenError::Damaged {
            path: self.path.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use omni_scale_noise::{Dice, damaged_bytes, damaged_json, hold_against};

    use super::*;

    #[test]
    fn a_first_boot_has_a_day_and_an_operator_an_hour() {
        let directory = tempfile::tempdir().unwrap();
        let tokens = TokenFile::in_directory(directory.path());
        let secret = EnrollmentSecret::new([7; SECRET_LENGTH]);
        let hour = 3_600_000;
        for (whose, hours) in [(TokenFor::Operator, 1), (TokenFor::FirstBoot, 24)] {
            tokens.open(&secret, whose, 0, None).unwrap();
            assert!(tokens.is_open(hours * hour - 1), "{whose:?}");
            assert!(!tokens.is_open(hours * hour), "{whose:?}");
        }
    }

    #[test]
    fn noise_in_the_file_is_no_token() {
        let good = serde_json::json!({
            "secret": "0123456789".repeat(4), "not_after_milliseconds": 1, "attempts_left": 5,
        });
        let make = |dice: &mut Dice| {
            let file = serde_json::to_vec(&damaged_json(dice, &good)).unwrap();
            if dice.once_in(4) {
                damaged_bytes(dice, &file)
            } else {
                file
            }
        };
        hold_against("open tokens", make, |file| {
            if let Some(token) = OpenToken::parse(file) {
                let _ = token.secret();
            }
        });
    }
}
