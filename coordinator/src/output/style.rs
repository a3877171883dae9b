//! Colours, by meaning.

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
    /// The text, coloured when `colors`.
    pub fn paint(self, text: &str, colors: bool) -> String {
        match self.code() {
            Some(code) if colors && !text.is_empty() => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            _ => text.to_owned(),
        }
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
