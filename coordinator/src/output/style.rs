//! Colours, by meaning.

use super::foreign::harmless;

/// What a piece of text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// As it is.
    Plain,
    /// Of more weight: titles.
    Strong,
    /// Of less weight: reasons, times.
    Faint,
    /// Well, or added.
    Good,
    /// To be looked at, or changed.
    Warning,
    /// Wrong, or dangerous.
    Bad,
}

impl Style {
    /// The text without control characters, coloured when `colors`.
    pub fn paint(self, text: &str, colors: bool) -> String {
        let text = harmless(text);
        match self.code() {
            Some(code) if colors && !text.is_empty() => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            _ => text,
        }
    }

    /// What painting puts around text.
    pub(super) fn sequences() -> impl Iterator<Item = String> {
        let all = [
            Self::Plain,
            Self::Strong,
            Self::Faint,
            Self::Good,
            Self::Warning,
            Self::Bad,
        ];
        let codes = all.into_iter().filter_map(Self::code).chain(["0"]);
        codes.map(|code| format!("\u{1b}[{code}m"))
    }

    const fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Strong => Some("1"),
            Self::Faint => Some("2"),
            Self::Good => Some("32"),
            Self::Warning => Some("33"),
            Self::Bad => Some("31"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_means_something_is_coloured_and_only_when_asked() {
        assert_eq!(Style::Good.paint("ok", true), "\u{1b}[32mok\u{1b}[0m");
        assert_eq!(Style::Good.paint("ok", false), "ok");
        assert_eq!(Style::Plain.paint("ok", true), "ok");
        assert_eq!(Style::Bad.paint("", true), "");
    }
}
