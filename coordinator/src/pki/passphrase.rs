//! Passphrases: where they come from, and how they are kept out of sight.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// The longest passphrase that is read, in bytes.
const LENGTH_MAXIMUM: u64 = 4096;

/// A passphrase. Wiped from memory when dropped, never shown by `Debug`.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes a text. An empty one protects nothing and is refused.
    pub fn new(text: Zeroizing<String>) -> Result<Self, PassphraseError> {
        if text.is_empty() {
            return Err(PassphraseError::Empty);
        }
        Ok(Self(text))
    }

    /// The bytes, for the key derivation.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Passphrase(…)")
    }
}

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// Nothing was typed.
    #[error("the passphrase is empty")]
    Empty,
    /// The second one differs.
    #[error("the two passphrases differ")]
    Different,
    /// The file or descriptor gave nothing usable.
    #[error("could not read the passphrase from `{}`", path.display())]
    Read {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nobody can be asked.
    #[error("could not ask for the passphrase")]
    Ask {
        /// Why.
        source: io::Error,
    },
}

impl PassphraseError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Ask { .. } => Some(
                "without a terminal, give it with `--passphrase-file FILE` or `--passphrase-fd N`"
                    .to_owned(),
            ),
            Self::Empty => {
                Some("whoever has the key decides who commands the hosts: protect it".into())
            }
            Self::Different | Self::Read { .. } => None,
        }
    }
}

/// Asks a person for something that must not be seen.
pub trait AskSecret: Send + Sync {
    /// Shows `question` and reads one line without showing it.
    fn ask(&self, question: &str) -> io::Result<Zeroizing<String>>;
}

/// Asks on the controlling terminal, whatever stdin and stdout are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terminal;

impl AskSecret for Terminal {
    fn ask(&self, question: &str) -> io::Result<Zeroizing<String>> {
        rpassword::prompt_password(format!("{question}: ")).map(Zeroizing::new)
    }
}

/// Where a passphrase is to come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PassphraseSource {
    /// A person types it.
    Person,
    /// The first line of a file.
    File(PathBuf),
}

impl PassphraseSource {
    /// The first line of what an open file descriptor gives.
    pub fn descriptor(number: u32) -> Self {
        Self::File(PathBuf::from(format!("/dev/fd/{number}")))
    }

    /// Reads the passphrase of something that exists.
    pub fn read(&self, of: &str, person: &dyn AskSecret) -> Result<Passphrase, PassphraseError> {
        match self {
            Self::Person => ask(person, &format!("Passphrase of {of}")),
            Self::File(path) => first_line(path),
        }
    }

    /// Reads a new passphrase; a person types it twice.
    pub fn choose(&self, of: &str, person: &dyn AskSecret) -> Result<Passphrase, PassphraseError> {
        match self {
            Self::Person => {
                let first = ask(person, &format!("New passphrase of {of}"))?;
                let second = ask(person, "Once more")?;
                if first.as_bytes() == second.as_bytes() {
                    Ok(first)
                } else {
                    Err(PassphraseError::Different)
                }
            }
            Self::File(path) => first_line(path),
        }
    }
}

fn ask(person: &dyn AskSecret, question: &str) -> Result<Passphrase, PassphraseError> {
    let typed = person
        .ask(question)
        .map_err(|source| PassphraseError::Ask { source })?;
    Passphrase::new(typed)
}

fn first_line(path: &Path) -> Result<Passphrase, PassphraseError> {
    let failed = |source| PassphraseError::Read {
        path: path.to_owned(),
        source,
    };
    let mut text = Zeroizing::new(String::with_capacity(256));
    File::open(path)
        .and_then(|file| file.take(LENGTH_MAXIMUM).read_to_string(&mut text))
        .map_err(failed)?;
    let line = text.lines().next().unwrap_or_default();
    Passphrase::new(Zeroizing::new(line.to_owned()))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A person who answers what was scripted, in order.
    pub(crate) struct Scripted(Mutex<Vec<&'static str>>);

    impl Scripted {
        pub(crate) fn new(answers: &[&'static str]) -> Self {
            Self(Mutex::new(answers.iter().rev().copied().collect()))
        }
    }

    impl AskSecret for Scripted {
        fn ask(&self, _question: &str) -> io::Result<Zeroizing<String>> {
            let answer = self.0.lock().unwrap().pop();
            answer
                .map(|text| Zeroizing::new(text.to_owned()))
                .ok_or_else(|| io::Error::other("no terminal"))
        }
    }

    fn file(content: &str) -> (tempfile::TempDir, PassphraseSource) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("passphrase");
        crate::files::write(
            &path,
            content.as_bytes(),
            crate::files::Access::Private,
            crate::files::Existing::Keep,
        )
        .unwrap();
        (home, PassphraseSource::File(path))
    }

    #[test]
    fn a_new_one_is_typed_twice() {
        let chosen = PassphraseSource::Person.choose("x", &Scripted::new(&["a", "a"]));
        assert_eq!(chosen.unwrap().as_bytes(), b"a");
        let chosen = PassphraseSource::Person.choose("x", &Scripted::new(&["a", "b"]));
        assert!(matches!(chosen, Err(PassphraseError::Different)));
    }

    #[test]
    fn an_empty_one_is_refused_wherever_it_comes_from() {
        let typed = PassphraseSource::Person.read("x", &Scripted::new(&[""]));
        assert!(matches!(typed, Err(PassphraseError::Empty)));
        let (_home, source) = file("\nsecond line\n");
        assert!(matches!(
            source.read("x", &Scripted::new(&[])),
            Err(PassphraseError::Empty)
        ));
    }

    #[test]
    fn a_file_gives_its_first_line() {
        let (_home, source) = file("correct horse\r\nbattery\n");
        let read = source.read("x", &Scripted::new(&[])).unwrap();
        assert_eq!(read.as_bytes(), b"correct horse");
        assert_eq!(format!("{read:?}"), "Passphrase(…)");
    }

    #[test]
    fn without_a_terminal_the_hint_names_the_options() {
        let refused = PassphraseSource::Person
            .read("x", &Scripted::new(&[]))
            .unwrap_err();
        assert!(refused.hint().unwrap().contains("--passphrase-fd"));
    }
}
