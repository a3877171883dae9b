//! What a stand-in keeps on its volumes: a record in the etcd directory, and the sqlite file.
//!
//! It is what tests look at to say that data was kept, lost, or another account's. Written whole and renamed, so that a
//! kill at any moment leaves the last state.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    master_key::{MasterKey, Secrecy},
    settings::{InitialServiceAccount, Settings},
};
use crate::{
    failure::{Failure, go_error},
    keys, log,
};

/// How every sqlite file begins.
const SQLITE_MAGIC: &[u8] = b"SQLite format 3\0";

/// The record in the etcd directory.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// The one slot that holds the master key: user id and fingerprint. Absent before the first start.
    slot: Option<String>,
    /// The first start was with a key that cannot be unlocked: no key opens this state any more.
    poisoned: bool,
    /// Starts that came as far as opening the state.
    attempts: u64,
    /// Starts that came as far as serving.
    pub(super) starts: u64,
    /// By account id: everything else is below it, so that another id sees an empty installation.
    accounts: BTreeMap<String, Account>,
}

/// What belongs to one account id.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Account {
    pub(super) users: Vec<String>,
    pub(super) service_accounts: Vec<String>,
    pub(super) eula_accepted: bool,
}

/// The opened state of one account.
#[derive(Debug)]
pub(super) struct State {
    path: PathBuf,
    record: Record,
    account_id: String,
    /// Starts that the sqlite file has seen, this one included.
    pub(super) sqlite_starts: u64,
}

impl State {
    /// Opens both volumes and unlocks the record with `key`.
    pub(super) fn open(settings: &Settings, key: &MasterKey, seed: u64) -> Result<Self, Failure> {
        let sqlite_starts = open_sqlite(Path::new(&settings.sqlite_path))?;
        let directory = Path::new(&settings.etcd_path).join("member");
        let etcd_failed = |error: &io::Error| {
            Failure::new(
                500,
                format!(
                    "failed to start embedded etcd: {}: {}",
                    directory.display(),
                    go_error(error)
                ),
            )
        };
        fs::create_dir_all(&directory).map_err(|error| etcd_failed(&error))?;
        let path = directory.join("stand-in.json");
        let record = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                Failure::new(
                    500,
                    format!("failed to start embedded etcd: {}: {error}", path.display()),
                )
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Record::default(),
            Err(error) => return Err(etcd_failed(&error)),
        };
        let mut state = Self {
            path,
            record,
            account_id: settings.account_id.clone(),
            sqlite_starts,
        };
        state.record.attempts += 1;
        let unlocked = state.unlock(key, seed);
        state.save()?;
        unlocked?;
        state.account();
        Ok(state)
    }

    fn unlock(&mut self, key: &MasterKey, seed: u64) -> Result<(), Failure> {
        let slot = key.slot(self.record.attempts, seed);
        let known = self.record.slot.clone();
        if known.is_none() && !key.encrypts {
            let id = key
                .fingerprint
                .get(key.fingerprint.len().saturating_sub(16)..)
                .unwrap_or_default();
            return Err(Failure::new(
                800,
                format!(
                    "failed to encrypt slot '{slot}': openpgp: invalid argument: cannot encrypt a message to key id \
                     {id} because it has no valid encryption keys"
                ),
            ));
        }
        let cannot_unlock = match key.secrecy {
            Secrecy::Plain => None,
            Secrecy::Protected => Some((
                800,
                "gopenpgp: error in unlocking key: openpgp: invalid data: private key checksum failure",
            )),
            Secrecy::Absent => Some((1_200, "gopenpgp: a public key cannot be locked")),
        };
        if let Some((after, reason)) = cannot_unlock {
            if known.is_none() {
                self.record.slot = Some(slot);
                self.record.poisoned = true;
            }
            return Err(Failure::new(
                after,
                format!(
                    "failed to marshal on create \"DBVersions.system.sidero.dev(system/version@undefined)\": {reason}"
                ),
            ));
        }
        match known {
            None => self.record.slot = Some(slot),
            Some(known) if known == slot && !self.record.poisoned => {}
            Some(_) => {
                let after = if key.user_ids.len() > 1 { 500 } else { 1_200 };
                return Err(Failure::new(after, format!("slot '{slot}' not found")));
            }
        }
        Ok(())
    }

    /// Makes the initial users, if there is no user at all.
    pub(super) fn ensure_users(&mut self, wanted: &[String]) -> Result<(), Failure> {
        let account = self.account();
        if !account.users.is_empty() || !account.service_accounts.is_empty() {
            log::info("some users already exist, skipping initial users", &[]);
            return Ok(());
        }
        account.users = wanted.to_vec();
        self.save()
    }

    /// Makes the initial service account once: the account first, then its key, as the real one does, so that a key
    /// that cannot be written is never written.
    pub(super) fn ensure_service_account(
        &mut self,
        wanted: &InitialServiceAccount,
    ) -> Result<(), Failure> {
        let account = self.account();
        if account.service_accounts.contains(&wanted.name) {
            return Ok(());
        }
        account.service_accounts.push(wanted.name.clone());
        self.save()?;
        let email = format!("{}@serviceaccount.omni.sidero.dev", wanted.name);
        let failed = |reason: String| {
            Failure::new(
                1_200,
                format!("failed to write initial service account key: {reason}"),
            )
        };
        let key = keys::service_account_key(&wanted.name, &email)
            .map_err(|error| failed(format!("{error:#}")))?;
        write_whole(Path::new(&wanted.key_path), key.as_bytes(), 0o640)
            .map_err(|error| failed(format!("open {}: {}", wanted.key_path, go_error(&error))))
    }

    /// Notes that the licence was accepted; for ever.
    pub(super) fn accept_eula(&mut self) -> Result<(), Failure> {
        self.account().eula_accepted = true;
        self.save()
    }

    /// Counts a start that serves.
    pub(super) fn count_start(&mut self) -> Result<(), Failure> {
        self.record.starts += 1;
        self.save()
    }

    pub(super) fn account(&mut self) -> &mut Account {
        self.record
            .accounts
            .entry(self.account_id.clone())
            .or_default()
    }

    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    fn save(&self) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(&self.record)
            .map_err(|error| Failure::new(500, format!("failed to write etcd state: {error}")))?;
        write_whole(&self.path, &text, 0o600).map_err(|error| {
            Failure::new(
                500,
                format!(
                    "failed to write etcd state: {}: {}",
                    self.path.display(),
                    go_error(&error)
                ),
            )
        })
    }
}

fn open_sqlite(path: &Path) -> Result<u64, Failure> {
    let fail = |reason: &str| {
        Failure::new(
            1_100,
            format!("failed to open secondary storage db: {reason}"),
        )
    };
    let unable = |_: io::Error| fail("unable to open database file");
    if path.is_dir() {
        return Err(fail("unable to open database file"));
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(unable)?;
    }
    let starts = match fs::read(path) {
        Ok(bytes) if bytes.is_empty() => 0,
        Ok(bytes) => {
            let count = bytes
                .strip_prefix(SQLITE_MAGIC)
                .ok_or_else(|| fail("file is not a database"))?;
            std::str::from_utf8(count)
                .ok()
                .and_then(|count| count.trim().parse().ok())
                .unwrap_or(0)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(unable(error)),
    } + 1;
    let mut bytes = SQLITE_MAGIC.to_vec();
    bytes.extend_from_slice(format!("{starts}\n").as_bytes());
    write_whole(path, &bytes, 0o644).map_err(unable)?;
    for suffix in ["-wal", "-shm"] {
        let mut beside = path.as_os_str().to_owned();
        beside.push(suffix);
        File::options()
            .create(true)
            .append(true)
            .open(beside)
            .map_err(unable)?;
    }
    Ok(starts)
}

/// Replaces a file at once: another file is written beside it, made durable, and renamed.
fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&beside)?;
    // Whatever the umask is: these modes were seen.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        keys::{Flaw, encryption_key},
        omni::{flags, settings::Settings},
    };

    struct World {
        directory: tempfile::TempDir,
    }

    impl World {
        fn new() -> Self {
            Self {
                directory: tempfile::tempdir().unwrap(),
            }
        }

        fn path(&self, name: &str) -> String {
            self.directory
                .path()
                .join(name)
                .to_str()
                .unwrap()
                .to_owned()
        }

        fn settings(&self, more: &[&str]) -> Settings {
            let mut arguments = vec![
                format!("--sqlite-storage-path={}", self.path("sqlite/omni.db")),
                format!("--etcd-embedded-db-path={}", self.path("etcd")),
                "--private-key-source=file:///k".to_owned(),
                "--auth-saml-enabled".to_owned(),
            ];
            arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
            Settings::check(&flags::parse(&arguments, 10).unwrap().store).unwrap()
        }

        fn start(&self, key: &MasterKey) -> Result<State, String> {
            self.start_with(key, &[])
        }

        fn start_with(&self, key: &MasterKey, more: &[&str]) -> Result<State, String> {
            State::open(&self.settings(more), key, 0).map_err(|failure| failure.text)
        }
    }

    fn key(flaw: Flaw) -> MasterKey {
        let file = tempfile::NamedTempFile::new().unwrap();
        io::Write::write_all(
            &mut file.as_file(),
            encryption_key("Omni <o@x>", flaw).unwrap().as_bytes(),
        )
        .unwrap();
        MasterKey::read(&format!("file://{}", file.path().display())).unwrap()
    }

    #[test]
    fn the_same_key_opens_the_state_again_and_another_does_not() {
        let (world, good) = (World::new(), key(Flaw::None));
        for start in 1..4 {
            let mut state = world.start(&good).unwrap();
            state.count_start().unwrap();
            assert_eq!((state.record().starts, state.sqlite_starts), (start, start));
        }
        let other = key(Flaw::None);
        let text = world.start(&other).unwrap_err();
        assert_eq!(
            text,
            format!("slot 'Omni <o@x> {}' not found", other.fingerprint)
        );
        assert_eq!(world.start(&good).unwrap().record().starts, 3);
    }

    #[test]
    fn a_protected_key_poisons_the_state_for_every_key() {
        let (world, protected, good) = (World::new(), key(Flaw::Passphrase), key(Flaw::None));
        let text = world.start(&protected).unwrap_err();
        assert!(
            text.starts_with("failed to marshal on create \"DBVersions"),
            "{text}"
        );
        assert!(text.ends_with("private key checksum failure"), "{text}");
        assert!(world.start(&good).unwrap_err().ends_with("not found"));
        fs::remove_dir_all(world.path("etcd")).unwrap();
        world.start(&good).unwrap();
    }

    #[test]
    fn a_key_that_cannot_encrypt_does_not_poison() {
        let world = World::new();
        for flaw in [Flaw::NoEncryption, Flaw::ExpiredEncryption] {
            let text = world.start(&key(flaw)).unwrap_err();
            assert!(
                text.starts_with("failed to encrypt slot 'Omni <o@x> "),
                "{text}"
            );
            assert!(text.ends_with("has no valid encryption keys"), "{text}");
        }
        world.start(&key(Flaw::None)).unwrap();
    }

    #[test]
    fn a_public_key_and_two_user_ids_fail_in_their_own_ways() {
        let world = World::new();
        assert!(
            world
                .start(&key(Flaw::PublicOnly))
                .unwrap_err()
                .ends_with("a public key cannot be locked")
        );
        let (world, two) = (World::new(), key(Flaw::TwoUserIds));
        world.start(&two).unwrap();
        assert!(world.start(&two).unwrap_err().ends_with("not found"));
    }

    #[test]
    fn another_account_id_is_empty_and_the_old_one_comes_back() {
        let (world, good) = (World::new(), key(Flaw::None));
        let users = ["a@x".to_owned()];
        world.start(&good).unwrap().ensure_users(&users).unwrap();
        let mut other = world.start_with(&good, &["--account-id=other"]).unwrap();
        assert!(other.account().users.is_empty());
        let mut again = world.start(&good).unwrap();
        again.ensure_users(&["b@x".to_owned()]).unwrap();
        assert_eq!(again.account().users, users, "the first one sticks");
    }

    #[test]
    fn the_sqlite_path_is_a_file() {
        let world = World::new();
        let good = key(Flaw::None);
        let text = world
            .start_with(
                &good,
                &[&format!("--sqlite-storage-path={}", world.path(""))],
            )
            .unwrap_err();
        assert!(text.ends_with("unable to open database file"), "{text}");
        let state = world.start(&good).unwrap();
        assert_eq!(state.sqlite_starts, 1);
        let mode = fs::metadata(world.path("sqlite/omni.db"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o644);
    }

    #[test]
    fn a_service_account_is_kept_even_when_its_key_cannot_be_written() {
        let (world, good) = (World::new(), key(Flaw::None));
        let mut wanted = InitialServiceAccount {
            name: "automation".to_owned(),
            key_path: world.path("nowhere/key"),
        };
        let mut state = world.start(&good).unwrap();
        assert!(
            state
                .ensure_service_account(&wanted)
                .unwrap_err()
                .text
                .ends_with("no such file or directory")
        );
        wanted.key_path = world.path("key");
        state.ensure_service_account(&wanted).unwrap();
        assert!(!Path::new(&wanted.key_path).exists(), "never written");
        wanted.name = "second".to_owned();
        state.ensure_service_account(&wanted).unwrap();
        assert_eq!(
            fs::metadata(&wanted.key_path).unwrap().permissions().mode() & 0o777,
            0o640
        );
    }
}
