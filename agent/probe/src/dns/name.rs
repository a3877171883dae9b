//! A domain name in wire form (RFC 1035 §3.1): lower case, length-prefixed labels, ended by the root.

use std::fmt;

/// The longest name, in bytes of wire form (RFC 1035 §2.3.4).
const LONGEST_NAME: usize = 255;
/// The longest label, in bytes.
const LONGEST_LABEL: usize = 63;

/// A domain name.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Name {
    wire: Vec<u8>,
    /// Whether it was written with a dot at its end, which forbids search domains.
    rooted: bool,
}

/// Why a text is not a domain name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    #[error("it is empty")]
    Empty,
    #[error("a label is empty or longer than 63 bytes")]
    Label,
    #[error("it is longer than 255 bytes")]
    Long,
    #[error(
        "it has a byte that no host name has (a name in another script must be written in its `xn--` form)"
    )]
    Byte,
}

impl Name {
    pub(crate) fn parse(text: &str) -> Result<Self, NameError> {
        let (body, rooted) = text
            .strip_suffix('.')
            .map_or((text, false), |body| (body, true));
        if body.is_empty() {
            return Err(NameError::Empty);
        }
        let mut builder = NameBuilder::default();
        for label in body.split('.') {
            if !label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            {
                return Err(NameError::Byte);
            }
            builder.push(label.as_bytes())?;
        }
        let mut name = builder.finish();
        name.rooted = rooted;
        Ok(name)
    }

    /// The bytes that a message carries.
    pub(crate) fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// Whether search domains may be tried: one label, and no dot at its end.
    pub(crate) fn is_searched(&self) -> bool {
        !self.rooted && self.wire.get(usize::from(self.wire[0]) + 1) == Some(&0)
    }

    /// This name below `domain`, when that is not too long.
    pub(crate) fn below(&self, domain: &Self) -> Option<Self> {
        let mut wire = self.wire[..self.wire.len() - 1].to_vec();
        wire.extend_from_slice(&domain.wire);
        (wire.len() <= LONGEST_NAME).then_some(Self { wire, rooted: true })
    }

    /// Whether both are the same name, whatever the dot at the end.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.wire == other.wire
    }
}

/// Collects labels into a [`Name`]; keeps its limits.
#[derive(Default)]
pub(crate) struct NameBuilder {
    wire: Vec<u8>,
}

impl NameBuilder {
    pub(crate) fn push(&mut self, label: &[u8]) -> Result<(), NameError> {
        let length = u8::try_from(label.len()).map_err(|_| NameError::Label)?;
        if label.is_empty() || label.len() > LONGEST_LABEL {
            return Err(NameError::Label);
        }
        // One byte for this label's length and one for the root.
        if self.wire.len() + label.len() + 2 > LONGEST_NAME {
            return Err(NameError::Long);
        }
        self.wire.push(length);
        self.wire.extend(label.iter().map(u8::to_ascii_lowercase));
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Name {
        self.wire.push(0);
        Name {
            wire: self.wire,
            rooted: true,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.wire.as_slice();
        let mut first = true;
        while let Some((&length, after)) = rest.split_first() {
            if length == 0 {
                break;
            }
            let (label, after) = after.split_at(usize::from(length));
            if !first {
                formatter.write_str(".")?;
            }
            first = false;
            write!(formatter, "{}", label.escape_ascii())?;
            rest = after;
        }
        if first {
            formatter.write_str(".")
        } else {
            Ok(())
        }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{self}`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_does_not_matter() {
        assert_eq!(
            Name::parse("IDP.Tail.Test").unwrap(),
            Name::parse("idp.tail.test").unwrap()
        );
    }

    #[test]
    fn only_a_bare_label_is_searched() {
        assert!(Name::parse("idp").unwrap().is_searched());
        assert!(!Name::parse("idp.").unwrap().is_searched());
        assert!(!Name::parse("idp.tail.test").unwrap().is_searched());
    }

    #[test]
    fn limits_hold() {
        assert_eq!(Name::parse(""), Err(NameError::Empty));
        assert_eq!(Name::parse("."), Err(NameError::Empty));
        assert_eq!(Name::parse("a..b"), Err(NameError::Label));
        assert_eq!(Name::parse(&"a".repeat(64)), Err(NameError::Label));
        assert_eq!(Name::parse(&["a"; 128].join(".")), Err(NameError::Long));
        assert_eq!(Name::parse("sträße.test"), Err(NameError::Byte));
        let longest = Name::parse(&["a"; 127].join(".")).unwrap();
        assert_eq!(longest.wire().len(), 255);
        assert_eq!(longest.below(&longest), None);
    }

    #[test]
    fn a_search_domain_is_appended() {
        let name = Name::parse("idp")
            .unwrap()
            .below(&Name::parse("tail.test").unwrap())
            .unwrap();
        assert_eq!(name.to_string(), "idp.tail.test");
    }
}
