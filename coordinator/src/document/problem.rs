//! What is wrong with a document, and where.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The file as the person named it.
    pub file: Arc<str>,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl Location {
    /// The beginning of a file.
    pub fn start_of(file: &str) -> Self {
        Self {
            file: file.into(),
            line: 1,
            column: 1,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub location: Location,
    /// What, as a lower-case fragment. Never a value that may be a secret.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.location, self.message)?;
        if let Some(hint) = &self.hint {
            write!(formatter, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a document, in the order of its lines. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// The problems.
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            problem.fmt(formatter)?;
        }
        Ok(())
    }
}

/// Collects problems while a document is read, so that reading can go on after one.
#[derive(Debug, Default)]
pub struct Report {
    problems: RefCell<Vec<Problem>>,
    known_keys: RefCell<std::collections::BTreeMap<String, Vec<&'static str>>>,
}

impl Report {
    /// Notes a problem.
    pub fn add(&self, location: &Location, message: impl Into<String>) {
        self.push(location, message.into(), None);
    }

    /// Notes a problem, and what to do about it.
    pub fn add_with_hint(
        &self,
        location: &Location,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.push(location, message.into(), Some(hint.into()));
    }

    /// Takes over what went wrong elsewhere.
    pub fn extend(&self, problems: Problems) {
        self.problems.borrow_mut().extend(problems.0);
    }

    fn push(&self, location: &Location, message: String, hint: Option<String>) {
        self.problems.borrow_mut().push(Problem {
            location: location.clone(),
            message,
            hint,
        });
    }

    /// Whether nothing was wrong so far.
    pub fn is_clean(&self) -> bool {
        self.problems.borrow().is_empty()
    }

    /// Remembers which keys the reader of one mapping knows: the JSON Schema is held against it.
    pub(super) fn note_keys(&self, path: &str, keys: &[&'static str]) {
        let mut known = self.known_keys.borrow_mut();
        let entry = known.entry(path.to_owned()).or_default();
        for key in keys {
            if !entry.contains(key) {
                entry.push(key);
            }
        }
    }

    /// For each mapping read (by its path, `omni.client`), the keys that its reader knows.
    pub fn known_keys(&self) -> std::collections::BTreeMap<String, Vec<&'static str>> {
        self.known_keys.borrow().clone()
    }

    /// The value, when it was read and nothing was wrong; all the problems otherwise.
    ///
    /// # Panics
    ///
    /// When reading gave no value and noted no problem, which is a fault of the reader.
    pub fn conclude<T>(self, value: Option<T>) -> Result<T, Problems> {
        let mut problems = self.problems.into_inner();
        match value {
            Some(value) if problems.is_empty() => Ok(value),
            _ => {
                assert!(
                    !problems.is_empty(),
                    "a reader that gives no value says why"
                );
                problems.sort_by(|a, b| a.location.cmp(&b.location));
                problems.dedup();
                Err(Problems(problems))
            }
        }
    }
}
