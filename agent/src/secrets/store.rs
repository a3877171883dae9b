//! The store: names to values, in memory and on the disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use omni_scale_proto::id::SecretName;
use omni_scale_proto::v1::SecretUse;
use zeroize::Zeroizing;

use super::SecretValue;
use super::digest::DigestKey;
use super::error::{LARGEST, MOST, SecretError, check_size};
use super::mask::Mask;
use super::open_pgp::contains;
use super::record::{self, Header, SecretRecord};
use crate::clock;
use crate::files::{self, FileError};

/// How an armored private OpenPGP key begins.
const PRIVATE_KEY_ARMOR: &[u8] = b"-----BEGIN PGP PRIVATE KEY BLOCK-----";
/// The file with the key of the keyed digests. No secret can have this name.
const KEY_FILE: &str = ".digest-key";
/// The ending of the file of a value whose export is not confirmed yet. No secret's name has a dot.
const CANDIDATE: &str = ".candidate";

/// The secrets of this host.
pub struct Secrets {
    directory: PathBuf,
    key: DigestKey,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    current: BTreeMap<SecretName, (Header, SecretValue)>,
    candidates: BTreeMap<SecretName, (Header, SecretValue)>,
    mask: Mask,
}

impl Secrets {
    /// Reads the store, and makes it when it is not there. Blocks.
    pub fn open(directory: &Path) -> Result<Self, SecretError> {
        files::create_directory(directory, 0o700)?;
        let key = DigestKey::open(&directory.join(KEY_FILE))?;
        let mut held = Held::default();
        let entries = std::fs::read_dir(directory).map_err(FileError::new("list", directory))?;
        for entry in entries {
            let entry = entry.map_err(FileError::new("list", directory))?;
            let file_name = entry.file_name();
            let Some(file_name) = file_name.to_str().filter(|name| !name.starts_with('.')) else {
                continue;
            };
            let (name, candidate) = match file_name.strip_suffix(CANDIDATE) {
                Some(name) => (name, true),
                None => (file_name, false),
            };
            let path = entry.path();
            let name = name
                .parse()
                .map_err(|source| SecretError::damaged(&path, source))?;
            let limit = u64::try_from(LARGEST + 4096).unwrap_or(u64::MAX);
            let Some(contents) = files::read(&path, limit)?.map(Zeroizing::new) else {
                continue;
            };
            let decoded =
                record::decode(&contents).map_err(|source| SecretError::damaged(&path, source))?;
            let side = if candidate {
                &mut held.candidates
            } else {
                &mut held.current
            };
            side.insert(name, decoded);
        }
        let store = Self {
            directory: directory.to_owned(),
            key,
            held: Mutex::new(held),
        };
        store.held().learn();
        Ok(store)
    }

    /// The value. `None`: it was never set, or was for one use and is gone.
    pub fn get(&self, name: &SecretName) -> Option<SecretValue> {
        let held = self.held();
        let (header, value) = held.current.get(name)?;
        (!header.consumed).then(|| value.clone())
    }

    /// What may be told of one secret. `None`: it was never set.
    pub fn record(&self, name: &SecretName) -> Option<SecretRecord> {
        let held = self.held();
        held.current
            .get(name)
            .map(|(header, _)| tell(name, header, false))
    }

    /// The keyed digest of the value as it was set. `None`: it was never set.
    pub fn keyed_digest(&self, name: &SecretName) -> Option<String> {
        self.record(name).map(|record| record.keyed_digest)
    }

    /// The keyed digest that a value would have under this name.
    pub fn digest_of(&self, name: &SecretName, value: &SecretValue) -> String {
        self.key.digest(name, value)
    }

    /// What may be told of all secrets, candidates included, by name.
    pub fn list(&self) -> Vec<SecretRecord> {
        let held = self.held();
        let current = held
            .current
            .iter()
            .map(|(name, (header, _))| tell(name, header, false));
        let candidates = held
            .candidates
            .iter()
            .map(|(name, (header, _))| tell(name, header, true));
        let mut records: Vec<_> = current.chain(candidates).collect();
        records.sort_by(|one, other| one.name.cmp(&other.name));
        records
    }

    /// Sets a secret that is for nothing in particular, as [`Self::put_for`] does.
    pub fn put(&self, name: &SecretName, value: &SecretValue) -> Result<SecretRecord, SecretError> {
        self.put_for(name, value, SecretUse::Unspecified)
    }

    /// Sets a secret, and what it is for. The same again keeps its time. Blocks until it is on the
    /// disk.
    pub fn put_for(
        &self,
        name: &SecretName,
        value: &SecretValue,
        usage: SecretUse,
    ) -> Result<SecretRecord, SecretError> {
        check_size(name, value)?;
        let digest = self.key.digest(name, value);
        let mut held = self.held();
        if let Some((header, _)) = held.current.get(name)
            && header.keyed_digest == digest
            && header.usage == usage
            && !header.consumed
        {
            return Ok(tell(name, header, false));
        }
        held.check_room(name)?;
        self.keep_key(name, held.current.get(name))?;
        let header = Header::new(clock::now_milliseconds(), digest, usage);
        self.write(name.as_str(), &header, value.expose())?;
        let record = tell(name, &header, false);
        held.current.insert(name.clone(), (header, value.clone()));
        held.learn();
        Ok(record)
    }

    /// Removes the value of a one-time secret that has done its work; its record stays. Blocks.
    pub fn consume(&self, name: &SecretName) -> Result<(), SecretError> {
        let mut held = self.held();
        let Some((header, value)) = held.current.get_mut(name) else {
            return Ok(());
        };
        if header.consumed {
            return Ok(());
        }
        let consumed = Header {
            consumed: true,
            ..header.clone()
        };
        self.write(name.as_str(), &consumed, b"")?;
        *header = consumed;
        *value = SecretValue::new(Vec::new());
        Ok(())
    }

    /// Keeps a generated value beside the current one until its export is confirmed. Blocks.
    pub fn put_candidate(
        &self,
        name: &SecretName,
        value: &SecretValue,
    ) -> Result<SecretRecord, SecretError> {
        check_size(name, value)?;
        let digest = self.key.digest(name, value);
        let header = Header::new(clock::now_milliseconds(), digest, SecretUse::Unspecified);
        let mut held = self.held();
        held.check_room(name)?;
        self.write(&format!("{name}{CANDIDATE}"), &header, value.expose())?;
        let record = tell(name, &header, true);
        held.candidates
            .insert(name.clone(), (header, value.clone()));
        held.learn();
        Ok(record)
    }

    /// A generated value that waits for its confirmation: for its export, to the operator who had it made.
    pub fn candidate(&self, name: &SecretName) -> Option<(SecretRecord, SecretValue)> {
        let held = self.held();
        let (header, value) = held.candidates.get(name)?;
        Some((tell(name, header, true), value.clone()))
    }

    /// Makes the candidate with this digest the current value. Doing so twice is harmless. Blocks.
    pub fn confirm_candidate(
        &self,
        name: &SecretName,
        digest: &str,
    ) -> Result<SecretRecord, SecretError> {
        let mut held = self.held();
        let candidate = held.candidates.get(name).cloned();
        let Some((header, value)) = candidate.filter(|(header, _)| header.keyed_digest == digest)
        else {
            return match held.current.get(name) {
                Some((header, _)) if header.keyed_digest == digest => Ok(tell(name, header, false)),
                _ => Err(SecretError::NoCandidate {
                    name: name.clone(),
                    digest: digest.chars().take(64).collect(),
                }),
            };
        };
        self.keep_key(name, held.current.get(name))?;
        self.write(name.as_str(), &header, value.expose())?;
        files::remove(&self.path(&format!("{name}{CANDIDATE}")))?;
        let record = tell(name, &header, false);
        held.candidates.remove(name);
        held.current.insert(name.clone(), (header, value));
        Ok(record)
    }

    /// The text with every known secret value replaced by `[secret NAME]`.
    pub fn mask(&self, text: &str) -> String {
        self.held().mask.apply(text)
    }

    /// Leaves this value in texts from now on: it is stored here, and no secret. Only for what this
    /// host knows to be none, never for what a caller calls so.
    pub fn reveal(&self, value: &str) {
        self.held().mask.reveal(value);
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, file_name: &str) -> PathBuf {
        self.directory.join(file_name)
    }

    fn write(&self, file_name: &str, header: &Header, value: &[u8]) -> Result<(), FileError> {
        let contents = Zeroizing::new(record::encode(header, value));
        files::write_atomically(&self.path(file_name), &contents, 0o600)
    }

    /// A private OpenPGP key that is replaced stays on the host: what was encrypted with it is lost without it.
    fn keep_key(
        &self,
        name: &SecretName,
        replaced: Option<&(Header, SecretValue)>,
    ) -> Result<(), FileError> {
        let Some((header, value)) = replaced else {
            return Ok(());
        };
        // Readers of such a key pass over what stands before it.
        if !contains(value.expose(), PRIVATE_KEY_ARMOR) {
            return Ok(());
        }
        let kept = format!(".replaced-{name}-{}", &header.keyed_digest[..16]);
        tracing::warn!(secret = %name, file = kept, "kept the private key that is replaced");
        self.write(&kept, header, value.expose())
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Secrets").finish_non_exhaustive()
    }
}

impl Held {
    fn check_room(&self, name: &SecretName) -> Result<(), SecretError> {
        let known = self.current.contains_key(name) || self.candidates.contains_key(name);
        if known || self.current.len() + self.candidates.len() < MOST {
            return Ok(());
        }
        Err(SecretError::Full)
    }

    fn learn(&mut self) {
        let values = |side: &BTreeMap<SecretName, (Header, SecretValue)>| {
            side.iter()
                .map(|(name, (_, value))| (name.clone(), value.clone()))
                .collect()
        };
        self.mask.learn(&values(&self.current));
        self.mask.learn(&values(&self.candidates));
    }
}

fn tell(name: &SecretName, header: &Header, candidate: bool) -> SecretRecord {
    SecretRecord {
        name: name.clone(),
        set_at_milliseconds: header.set_at_milliseconds,
        keyed_digest: header.keyed_digest.clone(),
        consumed: header.consumed,
        usage: header.usage,
        candidate,
    }
}

#[cfg(test)]
mod tests;
