//! The store: names to values, in memory and on the disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use data_encoding::HEXLOWER;
use hmac::{Hmac, Mac as _};
use omni_scale_proto::id::SecretName;
use omni_scale_proto::v1;
use rand::RngCore as _;
use zeroize::Zeroizing;

use super::SecretValue;
use super::mask::Mask;
use super::record::{self, Header};
use crate::clock;
use crate::error::{Classified, Kind};
use crate::files::{self, FileError};

/// The largest value, in bytes.
const LARGEST: usize = 64 * 1024;
/// The most secrets on one host.
const MOST: usize = 256;
/// How an armored private OpenPGP key begins.
const PRIVATE_KEY_ARMOR: &[u8] = b"-----BEGIN PGP PRIVATE KEY BLOCK-----";
/// The file with the key of the keyed digests. No secret can have this name.
const KEY_FILE: &str = ".digest-key";
/// The ending of the file of a value whose export is not confirmed yet. No secret's name has a dot.
const CANDIDATE: &str = ".candidate";

/// What was wrong with a secret, or with the store.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The disk did not do what it should.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file in the store is none of ours.
    #[error("`{}` is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Empty, or larger than a secret may be.
    #[error("the value of secret `{name}` has {size} bytes; 1 to {LARGEST} are allowed")]
    Size {
        /// Whose value.
        name: SecretName,
        /// Its bytes.
        size: usize,
    },
    /// Too many names.
    #[error("this host keeps {MOST} secrets already")]
    Full,
    /// There is no candidate with this digest.
    #[error("secret `{name}` has no candidate with digest `{digest}`")]
    NoCandidate {
        /// Whose candidate.
        name: SecretName,
        /// The digest that was asked for.
        digest: String,
    },
}

impl Classified for SecretError {
    fn kind(&self) -> Kind {
        match self {
            Self::File(_) => Kind::Fault,
            Self::Damaged { .. } => Kind::Damaged,
            Self::Size { .. } => Kind::Invalid,
            Self::Full => Kind::Exhausted,
            Self::NoCandidate { .. } => Kind::Stale,
        }
    }
}

/// What may be told of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRecord {
    /// Its name.
    pub name: SecretName,
    /// Milliseconds since the Unix epoch.
    pub set_at_milliseconds: i64,
    /// HMAC-SHA-256 under a key of this host, lower-case hex. Differs between names.
    pub keyed_digest: String,
    /// The value was for one use, and is gone.
    pub consumed: bool,
    /// The value waits for the confirmation that its export is in safe keeping.
    pub candidate: bool,
}

impl From<SecretRecord> for v1::SecretStatus {
    fn from(record: SecretRecord) -> Self {
        Self {
            name: record.name.into(),
            set_at_milliseconds: record.set_at_milliseconds,
            keyed_digest: record.keyed_digest,
            consumed: record.consumed,
            candidate: record.candidate,
        }
    }
}

/// The secrets of this host.
pub struct Secrets {
    directory: PathBuf,
    key: Zeroizing<Vec<u8>>,
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
        let key = digest_key(&directory.join(KEY_FILE))?;
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
            let name = name.parse().map_err(|source| damaged(&path, source))?;
            let limit = u64::try_from(LARGEST + 4096).unwrap_or(u64::MAX);
            let Some(contents) = files::read(&path, limit)?.map(Zeroizing::new) else {
                continue;
            };
            let decoded = record::decode(&contents).map_err(|source| damaged(&path, source))?;
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

    /// Sets a secret. The same value again keeps its time. Blocks until it is on the disk.
    pub fn put(&self, name: &SecretName, value: &SecretValue) -> Result<SecretRecord, SecretError> {
        check_size(name, value)?;
        let digest = self.digest(name, value);
        let mut held = self.held();
        if let Some((header, _)) = held.current.get(name)
            && header.keyed_digest == digest
            && !header.consumed
        {
            return Ok(tell(name, header, false));
        }
        held.check_room(name)?;
        self.keep_key(name, held.current.get(name))?;
        let header = Header::new(clock::now_milliseconds(), digest);
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
        let header = Header::new(clock::now_milliseconds(), self.digest(name, value));
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
        if !value.expose().starts_with(PRIVATE_KEY_ARMOR) {
            return Ok(());
        }
        let kept = format!(".replaced-{name}-{}", &header.keyed_digest[..16]);
        tracing::warn!(secret = %name, file = kept, "kept the private key that is replaced");
        self.write(&kept, header, value.expose())
    }

    fn digest(&self, name: &SecretName, value: &SecretValue) -> String {
        let mut mac =
            Hmac::<sha2::Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(name.as_str().as_bytes());
        mac.update(b"\0");
        mac.update(value.expose());
        HEXLOWER.encode(&mac.finalize().into_bytes())
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

fn check_size(name: &SecretName, value: &SecretValue) -> Result<(), SecretError> {
    let size = value.expose().len();
    if (1..=LARGEST).contains(&size) {
        return Ok(());
    }
    let name = name.clone();
    Err(SecretError::Size { name, size })
}

fn tell(name: &SecretName, header: &Header, candidate: bool) -> SecretRecord {
    SecretRecord {
        name: name.clone(),
        set_at_milliseconds: header.set_at_milliseconds,
        keyed_digest: header.keyed_digest.clone(),
        consumed: header.consumed,
        candidate,
    }
}

fn damaged(path: &Path, source: impl std::error::Error + Send + Sync + 'static) -> SecretError {
    SecretError::Damaged {
        path: path.to_owned(),
        source: Box::new(source),
    }
}

fn digest_key(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    if let Some(key) = files::read(path, 32)?.filter(|key| key.len() == 32) {
        return Ok(Zeroizing::new(key));
    }
    let mut key = Zeroizing::new(vec![0; 32]);
    rand::rngs::OsRng.fill_bytes(&mut key);
    files::write_atomically(path, &key, 0o600)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::os::unix::fs::PermissionsExt as _;

    fn value(text: &str) -> SecretValue {
        SecretValue::new(text.as_bytes().to_vec())
    }

    fn name(text: &str) -> SecretName {
        text.parse().unwrap()
    }

    #[test]
    fn a_secret_survives_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let put = {
            let secrets = Secrets::open(directory.path()).unwrap();
            secrets.put(&name("client"), &value("hunter2\n")).unwrap()
        };
        let secrets = Secrets::open(directory.path()).unwrap();
        assert_eq!(secrets.get(&name("client")).unwrap().expose(), b"hunter2\n");
        assert_eq!(secrets.record(&name("client")), Some(put));
        let file = std::fs::metadata(directory.path().join("client")).unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn the_same_value_again_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let secrets = Secrets::open(directory.path()).unwrap();
        let first = secrets.put(&name("client"), &value("hunter2")).unwrap();
        assert_eq!(
            secrets.put(&name("client"), &value("hunter2")).unwrap(),
            first
        );
        let other = secrets.put(&name("client"), &value("hunter3")).unwrap();
        assert_ne!(other.keyed_digest, first.keyed_digest);
        let elsewhere = secrets.put(&name("other"), &value("hunter3")).unwrap();
        assert_ne!(elsewhere.keyed_digest, other.keyed_digest);
    }

    #[test]
    fn a_consumed_value_is_gone_and_its_record_stays() {
        let directory = tempfile::tempdir().unwrap();
        let secrets = Secrets::open(directory.path()).unwrap();
        let put = secrets
            .put(&name("auth-key"), &value("tskey-auth-1"))
            .unwrap();
        secrets.consume(&name("auth-key")).unwrap();
        secrets.consume(&name("never-set")).unwrap();
        assert!(secrets.get(&name("auth-key")).is_none());
        let on_disk = std::fs::read(directory.path().join("auth-key")).unwrap();
        assert!(!String::from_utf8_lossy(&on_disk).contains("tskey"));
        let secrets = Secrets::open(directory.path()).unwrap();
        let record = secrets.record(&name("auth-key")).unwrap();
        assert!(record.consumed);
        assert_eq!(record.keyed_digest, put.keyed_digest);
    }

    #[test]
    fn a_candidate_becomes_current_only_by_its_digest() {
        let directory = tempfile::tempdir().unwrap();
        let secrets = Secrets::open(directory.path()).unwrap();
        let candidate = secrets
            .put_candidate(&name("key"), &value("made here"))
            .unwrap();
        assert!(candidate.candidate);
        assert!(secrets.get(&name("key")).is_none());
        let wrong = secrets.confirm_candidate(&name("key"), "00").unwrap_err();
        assert!(matches!(wrong, SecretError::NoCandidate { .. }));
        let secrets = Secrets::open(directory.path()).unwrap();
        for _ in 0..2 {
            let digest = &candidate.keyed_digest;
            let confirmed = secrets.confirm_candidate(&name("key"), digest).unwrap();
            assert!(!confirmed.candidate);
        }
        assert_eq!(secrets.get(&name("key")).unwrap().expose(), b"made here");
        assert_eq!(secrets.list().len(), 1);
    }

    #[test]
    fn a_private_key_that_is_replaced_stays_on_the_host() {
        let directory = tempfile::tempdir().unwrap();
        let secrets = Secrets::open(directory.path()).unwrap();
        let key = |body: &str| value(&format!("-----BEGIN PGP PRIVATE KEY BLOCK-----\n{body}"));
        let first = secrets.put(&name("key"), &key("one")).unwrap();
        secrets.put(&name("key"), &key("two")).unwrap();
        let kept = format!(".replaced-key-{}", &first.keyed_digest[..16]);
        let contents = std::fs::read(directory.path().join(kept)).unwrap();
        assert!(contents.ends_with(b"one"));
        assert_eq!(Secrets::open(directory.path()).unwrap().list().len(), 1);
    }

    #[test]
    fn values_outside_the_bounds_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let secrets = Secrets::open(directory.path()).unwrap();
        for text in [String::new(), "x".repeat(LARGEST + 1)] {
            let refused = secrets.put(&name("big"), &value(&text)).unwrap_err();
            assert!(matches!(refused, SecretError::Size { .. }));
        }
    }

    #[test]
    fn a_damaged_file_is_named() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path()).unwrap();
        files::write_atomically(&directory.path().join("client"), b"hunter2", 0o600).unwrap();
        let error = Secrets::open(directory.path()).unwrap_err();
        assert!(error.to_string().contains("client` is damaged"), "{error}");
    }

    #[test]
    fn nothing_prints_a_value() {
        let directory = tempfile::tempdir().unwrap();
        let secrets = Secrets::open(directory.path()).unwrap();
        secrets.put(&name("client"), &value("hunter2")).unwrap();
        let printed = format!("{secrets:?} {:?}", secrets.get(&name("client")));
        assert!(!printed.contains("hunter2"));
        assert_eq!(secrets.mask("it is hunter2"), "it is [secret client]");
    }
}
