//! Tags of VMs.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Deserializer};

use super::ValueError;

/// Tags in order, each once, in lower case, as Proxmox keeps them by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TagList(BTreeSet<String>);

impl TagList {
    /// Checked tags (`pve-tag`: letters, digits, `_`, and after the first character `-`, `+`, `.`).
    pub fn new<'a>(tags: impl IntoIterator<Item = &'a str>) -> Result<Self, ValueError> {
        let check = |tag: &str| {
            let first = |character: char| character.is_ascii_alphanumeric() || character == '_';
            let inner = |character: char| first(character) || "-+.".contains(character);
            if tag.starts_with(first) && tag.chars().all(inner) {
                Ok(tag.to_ascii_lowercase())
            } else {
                Err(ValueError::new(tag, "a tag"))
            }
        };
        tags.into_iter()
            .map(check)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// What a configuration says, unchecked: people may have tags of other forms.
    pub(crate) fn read(text: &str) -> Self {
        let tags = text.split([';', ',', ' ']).filter(|tag| !tag.is_empty());
        Self(tags.map(str::to_ascii_lowercase).collect())
    }

    /// Whether a tag is among them.
    pub fn contains(&self, tag: &str) -> bool {
        self.0.contains(&tag.to_ascii_lowercase())
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for TagList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tags: Vec<&str> = self.iter().collect();
        formatter.write_str(&tags.join(";"))
    }
}

impl<'de> Deserialize<'de> for TagList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text: Option<String> = crate::tolerant::text(deserializer)?;
        Ok(Self::read(text.as_deref().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_checked_where_we_write_them() {
        let tags = TagList::new(["omni-scale", "Group_x", "omni-scale"]).unwrap();
        assert_eq!(tags.to_string(), "group_x;omni-scale");
        for tag in ["", "-a", "a b", "a;b", "ü"] {
            assert!(TagList::new([tag]).is_err(), "{tag}");
        }
    }

    #[test]
    fn any_separator_is_read() {
        let tags = TagList::read("b; a,C ,");
        assert_eq!(tags.iter().collect::<Vec<_>>(), ["a", "b", "c"]);
    }
}
