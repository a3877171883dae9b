//! Where keys and certificates of a deployment lie on the operator's machine.
//!
//! | file | who has it |
//! | --- | --- |
//! | `authority.pem` | everybody |
//! | `authority.key` | who enrols; encrypted; may lie elsewhere (`--authority-key`) |
//! | `operator.pem`, `operator.key` | this operator |
//! | `operators.json`, `operators.lock` | who enrols: the register, and who changes it now |

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use omni_scale_proto::id::DeploymentId;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::credential::to_pem;
use super::{
    Authority, Bundle, Certificate, Credential, Passphrase, PkiError, Register, protected_key,
};
use crate::files::{self, Access, Existing};

/// The files of one deployment.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
    authority_key: PathBuf,
}

/// The right to change the register, until it is dropped or the process ends.
#[derive(Debug)]
pub struct RegisterLock {
    _file: File,
}

impl Store {
    /// The store in a directory, which need not exist yet. `authority_key` is where the
    /// authority's key lies when it is kept apart.
    pub fn new(directory: PathBuf, authority_key: Option<PathBuf>) -> Self {
        Self {
            authority_key: authority_key.unwrap_or_else(|| directory.join("authority.key")),
            directory,
        }
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where the authority's key lies.
    pub fn authority_key(&self) -> &Path {
        &self.authority_key
    }

    /// Makes the authority. The key is on disk before its certificate, so that a certificate
    /// without a key is never left behind.
    pub fn create_authority(
        &self,
        deployment: DeploymentId,
        passphrase: &Passphrase,
        now: OffsetDateTime,
    ) -> Result<Authority, PkiError> {
        let certificate = self.path("authority.pem");
        if certificate.exists() {
            return Err(PkiError::AuthorityExists {
                deployment,
                path: certificate,
            });
        }
        let authority = Authority::create(deployment, now)?;
        files::write(
            &self.authority_key,
            authority.protected_key(passphrase)?.as_bytes(),
            Access::Private,
            Existing::Keep,
        )?;
        files::write(
            &certificate,
            to_pem(authority.certificate().der()).as_bytes(),
            Access::Public,
            Existing::Keep,
        )?;
        Ok(authority)
    }

    /// Opens the authority. `passphrase` is asked only when its key needs one.
    pub fn open_authority<E: From<PkiError>>(
        &self,
        passphrase: impl FnOnce() -> Result<Passphrase, E>,
    ) -> Result<Authority, E> {
        let certificate = self.authority_certificate()?;
        let pem = self.text(
            &self.authority_key,
            "key of the authority",
            "enrolling, renewing and adding operators work where `omni-scale init` was run; \
             give the key with `--authority-key FILE` when it lies elsewhere",
        )?;
        let passphrase = if protected_key::is_protected(&pem) {
            Some(passphrase()?)
        } else {
            None
        };
        Ok(Authority::open(certificate, &pem, passphrase.as_ref())?)
    }

    /// The authority's certificate.
    pub fn authority_certificate(&self) -> Result<Certificate, PkiError> {
        self.certificate("authority.pem", "the authority's certificate")
    }

    /// This operator's credential.
    pub fn credential(&self) -> Result<Credential, PkiError> {
        let certificate = self.certificate("operator.pem", "the operator's certificate")?;
        let key = self.text(
            &self.path("operator.key"),
            "key of the operator",
            HOW_TO_JOIN,
        )?;
        Credential::new(certificate, &key, self.authority_certificate()?)
    }

    /// Makes a credential this operator's.
    pub fn keep_credential(&self, credential: &Credential) -> Result<(), PkiError> {
        self.keep_authority(credential.authority())?;
        // Key first: a certificate beside an older key would be noticed on the next command,
        // a key without its certificate is repaired by doing this again.
        files::write(
            &self.path("operator.key"),
            credential.key_pem().as_bytes(),
            Access::Private,
            Existing::Replace,
        )?;
        let pem = to_pem(credential.certificate().der());
        let path = self.path("operator.pem");
        Ok(files::write(
            &path,
            pem.as_bytes(),
            Access::Public,
            Existing::Replace,
        )?)
    }

    /// Takes what another operator handed over.
    pub fn import(&self, bundle: &Bundle) -> Result<(), PkiError> {
        self.keep_credential(&bundle.credential)
    }

    fn keep_authority(&self, authority: &Certificate) -> Result<(), PkiError> {
        let path = self.path("authority.pem");
        if files::read_if_there(&path)?.is_some() {
            if self.authority_certificate()? == *authority {
                return Ok(());
            }
            return Err(PkiError::Bundle {
                problem: format!("its authority is not the one in `{}`", path.display()),
            });
        }
        let pem = to_pem(authority.der());
        Ok(files::write(
            &path,
            pem.as_bytes(),
            Access::Public,
            Existing::Keep,
        )?)
    }

    /// Who was given a certificate. Empty where nobody enrols.
    pub fn register(&self) -> Result<Register, PkiError> {
        let path = self.path("operators.json");
        match files::read_if_there(&path)? {
            None => Ok(Register::default()),
            Some(json) => Register::from_json(&json).map_err(|source| PkiError::Malformed {
                what: "a register of operators",
                path,
                source,
            }),
        }
    }

    /// Waits for the right to change the register: it is read, changed and written as a whole.
    pub fn lock_register(&self) -> Result<RegisterLock, PkiError> {
        files::make_private_directory(&self.directory)?;
        let path = self.path("operators.lock");
        let locked = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .and_then(|file| {
                file.lock()?;
                Ok(file)
            });
        match locked {
            Ok(file) => Ok(RegisterLock { _file: file }),
            Err(source) => Err(files::FileError::Write { path, source }.into()),
        }
    }

    /// Writes the register, which was read under this lock.
    pub fn keep_register(&self, _: &RegisterLock, register: &Register) -> Result<(), PkiError> {
        let path = self.path("operators.json");
        Ok(files::write(
            &path,
            &register.to_json(),
            Access::Private,
            Existing::Replace,
        )?)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn certificate(&self, name: &str, what: &'static str) -> Result<Certificate, PkiError> {
        let path = self.path(name);
        let pem = self.text(&path, what, HOW_TO_JOIN)?;
        Certificate::from_pem(pem.as_bytes(), &format!("`{}`", path.display()))
    }

    #[expect(clippy::unused_self, reason = "reads as part of the store")]
    fn text(
        &self,
        path: &Path,
        what: &'static str,
        hint: &'static str,
    ) -> Result<Zeroizing<String>, PkiError> {
        let bytes = files::read_if_there(path)?.ok_or_else(|| PkiError::Missing {
            what,
            path: path.to_owned(),
            hint,
        })?;
        String::from_utf8(bytes)
            .map(Zeroizing::new)
            .map_err(|error| PkiError::Malformed {
                what,
                path: path.to_owned(),
                source: error.utf8_error().into(),
            })
    }
}

const HOW_TO_JOIN: &str = "ask who ran `omni-scale init` for a credential \
    (`omni-scale operator add NAME --role ROLE -o FILE`) and take it with \
    `omni-scale operator import FILE`";

#[cfg(test)]
mod tests {
    use super::super::authority::tests::{deployment, operator, passphrase};
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let home = tempfile::tempdir().unwrap();
        let store = Store::new(home.path().join("pki"), None);
        (home, store)
    }

    fn open(store: &Store) -> Result<Authority, PkiError> {
        store.open_authority(|| Ok(passphrase()))
    }

    #[test]
    fn what_was_made_is_opened_again() {
        let (_home, store) = store();
        let now = OffsetDateTime::now_utc();
        store
            .create_authority(deployment(), &passphrase(), now)
            .unwrap();
        let credential = open(&store)
            .unwrap()
            .issue_operator(&operator("admin"), now)
            .unwrap();
        store.keep_credential(&credential).unwrap();
        let read = store.credential().unwrap();
        assert_eq!(read.operator(), &operator("admin"));
        assert_eq!(read.key(), credential.key());
    }

    #[test]
    fn an_authority_is_never_made_twice() {
        let (_home, store) = store();
        let now = OffsetDateTime::now_utc();
        store
            .create_authority(deployment(), &passphrase(), now)
            .unwrap();
        let refused = store
            .create_authority(deployment(), &passphrase(), now)
            .unwrap_err();
        assert!(matches!(refused, PkiError::AuthorityExists { .. }));
    }

    #[test]
    fn the_key_may_lie_elsewhere() {
        let (home, _) = store();
        let apart = home.path().join("stick/authority.key");
        let store = Store::new(home.path().join("pki"), Some(apart.clone()));
        let now = OffsetDateTime::now_utc();
        store
            .create_authority(deployment(), &passphrase(), now)
            .unwrap();
        assert!(apart.exists() && open(&store).is_ok());
        let without = Store::new(home.path().join("pki"), None);
        let refused = open(&without).unwrap_err();
        assert!(
            refused.hint().unwrap().contains("--authority-key"),
            "{refused}"
        );
    }

    #[test]
    fn a_bundle_of_another_authority_is_refused() {
        let ((_one, first), (_two, second)) = (store(), store());
        let now = OffsetDateTime::now_utc();
        for store in [&first, &second] {
            store
                .create_authority(deployment(), &passphrase(), now)
                .unwrap();
        }
        let credential = open(&first)
            .unwrap()
            .issue_operator(&operator("viewer"), now)
            .unwrap();
        let bundle = Bundle {
            deployment: deployment(),
            credential,
        };
        assert!(matches!(
            second.import(&bundle),
            Err(PkiError::Bundle { .. })
        ));
        first.import(&bundle).unwrap();
    }

    #[test]
    fn who_changes_the_register_waits_for_who_does() {
        let (_home, store) = store();
        let now = OffsetDateTime::now_utc();
        let authority = Authority::create(deployment(), now).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let credential = authority.issue_operator(&operator("viewer"), now).unwrap();
                    let lock = store.lock_register().unwrap();
                    let mut register = store.register().unwrap();
                    register.note(credential.certificate(), now);
                    store.keep_register(&lock, &register).unwrap();
                });
            }
        });
        assert_eq!(store.register().unwrap().operators().len(), 8);
    }

    #[test]
    fn without_a_credential_the_hint_says_how_to_get_one() {
        let (_home, store) = store();
        let refused = store.credential().unwrap_err();
        assert!(
            refused.hint().unwrap().contains("operator import"),
            "{refused}"
        );
        assert_eq!(store.register().unwrap(), Register::default());
    }
}
