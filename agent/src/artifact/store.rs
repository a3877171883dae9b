//! The versions on the disk: `<root>/<sum>/tsidp`, and `<root>/current` that points to one.
//!
//! Blocking: async callers use `spawn_blocking`.

use std::collections::HashMap;
use std::fs::{self, File, Metadata, Permissions};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use omni_scale_proto::id::Sha256;
use sha2::Digest as _;

use super::error::ArtifactError;
use super::program::{self, PROGRAM};
use crate::files::{self, FileError};

/// Points to the version that runs.
const CURRENT: &str = "current";
/// Where artifacts are until their sum is known to be right. No sum begins with a dot.
const INCOMING: &str = ".incoming";
/// The sum of the program itself, beside it: an archive's sum does not tell whether the program in
/// it is still whole.
const PROGRAM_SUM: &str = "program.sha256";
/// Directories and programs: another user runs them.
const EVERYBODY: u32 = 0o755;

/// The programs of one unit. Cheap to clone; all clones are the same.
#[derive(Debug, Clone)]
pub struct ArtifactStore {
    root: PathBuf,
    sums: Arc<Mutex<HashMap<PathBuf, (Fingerprint, Sha256)>>>,
}

/// What changes when a file's contents do. Avoids reading tens of megabytes at each observation.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fingerprint([i64; 5], u64);

impl Fingerprint {
    fn of(metadata: &Metadata) -> Self {
        let times = [
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.ctime(),
            metadata.ctime_nsec(),
            i64::try_from(metadata.ino()).unwrap_or_default(),
        ];
        Self(times, metadata.len())
    }
}

impl ArtifactStore {
    /// The store in this directory, which is made when it is first written to.
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            sums: Arc::default(),
        }
    }

    /// Whether the version is there, whole and executable for everybody.
    pub fn holds(&self, sum: &Sha256) -> Result<bool, ArtifactError> {
        let directory = self.root.join(sum.as_str());
        let program = directory.join(PROGRAM);
        let Ok(metadata) = fs::symlink_metadata(&program) else {
            return Ok(false);
        };
        let reachable = fs::metadata(&directory).is_ok_and(|metadata| is_for_everybody(&metadata));
        if !metadata.is_file() || !reachable || !is_for_everybody(&metadata) {
            return Ok(false);
        }
        let recorded = files::read(&directory.join(PROGRAM_SUM), 64)?.unwrap_or_default();
        let found = self.program_sum(&program, &metadata)?;
        Ok(found.as_str().as_bytes() == recorded)
    }

    /// Puts the program of an artifact, whose sum was found to be right, in its place.
    pub(super) fn install(&self, artifact: &Path, sum: &Sha256) -> Result<(), ArtifactError> {
        let prepared = self.incoming()?.join(format!("{sum}.prepared"));
        remove_directory(&prepared)?;
        files::create_directory(&prepared, EVERYBODY)?;
        let program = prepared.join(PROGRAM);
        program::unpack(artifact, &program)?;
        fs::set_permissions(&program, Permissions::from_mode(EVERYBODY))
            .map_err(FileError::new("make executable", &program))?;
        let (program_sum, _) = sum_of(&program)?;
        let beside = prepared.join(PROGRAM_SUM);
        files::write_atomically(&beside, program_sum.as_str().as_bytes(), 0o644)?;
        let place = self.root.join(sum.as_str());
        if place.exists() {
            // It is damaged, or nobody would install it. A program that runs keeps its file.
            let damaged = self.incoming()?.join(format!("{sum}.damaged"));
            remove_directory(&damaged)?;
            fs::rename(&place, &damaged).map_err(FileError::new("move away", &place))?;
            remove_directory(&damaged)?;
        }
        fs::rename(&prepared, &place).map_err(FileError::new("put in place", &place))?;
        files::sync_directory(&self.root)?;
        files::remove(artifact)?;
        Ok(())
    }

    /// The version that `current` points to. `None`: there is none, or it is none of ours.
    pub fn current(&self) -> Option<Sha256> {
        let target = fs::read_link(self.root.join(CURRENT)).ok()?;
        target.to_str()?.parse().ok()
    }

    /// Lets `current` point to a version that is there. Somebody who looks sees the old one or the
    /// new one.
    pub fn activate(&self, sum: &Sha256) -> Result<(), ArtifactError> {
        if !self.holds(sum)? {
            return Err(ArtifactError::Missing { sum: sum.clone() });
        }
        if self.current().as_ref() == Some(sum) {
            return Ok(());
        }
        let prepared = self.incoming()?.join(CURRENT);
        files::remove(&prepared)?;
        symlink(sum.as_str(), &prepared).map_err(FileError::new("link", &prepared))?;
        let current = self.root.join(CURRENT);
        fs::rename(&prepared, &current).map_err(FileError::new("replace", &current))?;
        files::sync_directory(&self.root)?;
        Ok(())
    }

    /// Removes the versions that are not to be kept. What `current` points to stays.
    pub fn prune(&self, keep: &[&Sha256]) -> Result<(), ArtifactError> {
        let current = self.current();
        let Ok(entries) = fs::read_dir(&self.root) else {
            return Ok(());
        };
        for entry in entries {
            let entry = entry.map_err(FileError::new("list", &self.root))?;
            let Some(sum) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            if !keep.contains(&&sum) && current.as_ref() != Some(&sum) {
                remove_directory(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Where an artifact is while it comes.
    pub(super) fn incoming(&self) -> Result<PathBuf, FileError> {
        if !self.root.is_dir() {
            files::create_directory(&self.root, EVERYBODY)?;
        }
        let incoming = self.root.join(INCOMING);
        files::create_directory(&incoming, 0o700)?;
        Ok(incoming)
    }

    fn program_sum(&self, program: &Path, metadata: &Metadata) -> Result<Sha256, FileError> {
        let now = Fingerprint::of(metadata);
        let known = self.sums().get(program).cloned();
        if let Some((_, sum)) = known.filter(|(then, _)| *then == now) {
            return Ok(sum);
        }
        let (sum, then) = sum_of(program)?;
        self.sums().insert(program.to_owned(), (then, sum.clone()));
        Ok(sum)
    }

    fn sums(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, (Fingerprint, Sha256)>> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_for_everybody(metadata: &Metadata) -> bool {
    metadata.permissions().mode() & EVERYBODY == EVERYBODY
}

fn sum_of(path: &Path) -> Result<(Sha256, Fingerprint), FileError> {
    let mut file = File::open(path).map_err(FileError::new("open", path))?;
    let metadata = file.metadata().map_err(FileError::new("look at", path))?;
    let mut hash = sha2::Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let read = file
            .read(&mut buffer)
            .map_err(FileError::new("read", path))?;
        if read == 0 {
            return Ok((finished(hash), Fingerprint::of(&metadata)));
        }
        hash.update(&buffer[..read]);
    }
}

/// The sum of all that the hash was given.
pub(super) fn finished(hash: sha2::Sha256) -> Sha256 {
    data_encoding::HEXLOWER
        .encode(&hash.finalize())
        .parse()
        .expect("32 bytes are 64 lower-case hex digits")
}

fn remove_directory(path: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(FileError::new("remove", path)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{archive, binary, put};
    use super::*;

    struct Rig {
        _directory: tempfile::TempDir,
        store: ArtifactStore,
    }

    impl Rig {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let store = ArtifactStore::new(directory.path().join("programs"));
            Self {
                _directory: directory,
                store,
            }
        }

        fn install(&self, artifact: &[u8]) -> Sha256 {
            put(&self.store, artifact).unwrap()
        }

        fn program(&self, sum: &Sha256) -> PathBuf {
            self.store.root.join(sum.as_str()).join(PROGRAM)
        }
    }

    #[test]
    fn a_version_is_for_everybody_to_run() {
        let rig = Rig::new();
        let sum = rig.install(&binary("one"));
        assert!(rig.store.holds(&sum).unwrap());
        for path in [
            &rig.store.root,
            &rig.store.root.join(sum.as_str()),
            &rig.program(&sum),
        ] {
            let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o755, "{}", path.display());
        }
        assert_eq!(rig.store.current(), None);
    }

    #[test]
    fn current_changes_from_one_version_to_another() {
        let rig = Rig::new();
        let one = rig.install(&binary("one"));
        let two = rig.install(&archive(&[("tsidp", &binary("two"))]));
        for sum in [&one, &two, &two, &one] {
            rig.store.activate(sum).unwrap();
            assert_eq!(rig.store.current().as_ref(), Some(sum));
        }
        let running = fs::read(rig.store.root.join(CURRENT).join(PROGRAM)).unwrap();
        assert_eq!(running, binary("one"));
        let missing = rig.store.activate(&Sha256::of(b"?")).unwrap_err();
        assert!(matches!(missing, ArtifactError::Missing { .. }));
    }

    #[test]
    fn a_damaged_version_is_not_there_until_it_is_installed_again() {
        let rig = Rig::new();
        let sum = rig.install(&binary("one"));
        assert!(rig.store.holds(&sum).unwrap());
        files::write_atomically(&rig.program(&sum), &binary("bad"), 0o755).unwrap();
        assert!(!rig.store.holds(&sum).unwrap());
        assert_eq!(rig.install(&binary("one")), sum);
        assert!(rig.store.holds(&sum).unwrap());
        fs::set_permissions(rig.program(&sum), Permissions::from_mode(0o700)).unwrap();
        assert!(!rig.store.holds(&sum).unwrap());
    }

    #[test]
    fn old_versions_go_and_what_runs_stays() {
        let rig = Rig::new();
        let sums = ["one", "two", "three", "four"].map(|body| rig.install(&binary(body)));
        rig.store.activate(&sums[3]).unwrap();
        rig.store.prune(&[&sums[2]]).unwrap();
        let held = sums.map(|sum| rig.store.holds(&sum).unwrap());
        assert_eq!(held, [false, false, true, true]);
    }
}
