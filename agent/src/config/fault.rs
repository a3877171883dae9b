//! What is wrong with a value of agent.toml, and what may have been meant.

use std::ops::Range;

use toml::Spanned;

/// A value that is wrong, and where it stands.
pub(super) struct Fault {
    pub(super) span: Range<usize>,
    pub(super) message: String,
    /// What may have been meant.
    pub(super) hint: Option<String>,
}

impl Fault {
    pub(super) fn new(value: &Spanned<String>, message: impl Into<String>) -> Self {
        Self {
            span: value.span(),
            message: message.into(),
            hint: None,
        }
    }

    /// A word that is none of those that are known.
    pub(super) fn unknown(what: &str, value: &Spanned<String>, known: &[&str]) -> Self {
        let quoted: Vec<String> = known.iter().map(|word| format!("`{word}`")).collect();
        let word = value.get_ref();
        let message = format!(
            "unknown {what} `{word}`, expected one of {}",
            quoted.join(", ")
        );
        Self {
            hint: closest(word, known.iter().copied()).map(did_you_mean),
            ..Self::new(value, message)
        }
    }
}

/// Serde says ``unknown field `a`, expected one of `b`, `c` ``: the nearest of them is worth naming.
pub(super) fn suggestion(message: &str) -> Option<String> {
    let rest = message.strip_prefix("unknown field `")?;
    let (unknown, expected) = rest.split_once('`')?;
    let known = expected.split('`').skip(1).step_by(2);
    closest(unknown, known).map(did_you_mean)
}

fn did_you_mean(word: &str) -> String {
    format!("did you mean `{word}`?")
}

/// The known word that is at most a third of its letters away.
fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().div_ceil(3))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, from) in one.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, to) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}
