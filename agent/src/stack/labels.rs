//! The labels and names of what belongs to a stack.
//!
//! The Compose labels make `docker compose -p NAME ps|logs|stop|start` work on our containers;
//! Compose recognises containers by nothing else. Our own say how a container was made.

use std::collections::BTreeMap;

use omni_scale_proto::v1;

/// Compose: the project.
pub const PROJECT: &str = "com.docker.compose.project";
/// Compose: the service.
pub const SERVICE: &str = "com.docker.compose.service";
/// Compose: not made by `docker compose run`.
pub const ONE_OFF: &str = "com.docker.compose.oneoff";
/// Compose: which of a service's containers. Always 1 here.
pub const CONTAINER_NUMBER: &str = "com.docker.compose.container-number";
/// Compose: how it was configured. Without it Compose does not see a container.
pub const CONFIG_HASH: &str = "com.docker.compose.config-hash";
/// Compose: `service:condition:restart`, with commas between.
pub const DEPENDS_ON: &str = "com.docker.compose.depends_on";
/// Compose: id of the image.
pub const IMAGE: &str = "com.docker.compose.image";
/// Compose: the files it comes from, for people (`docker compose ls`).
pub const CONFIG_FILES: &str = "com.docker.compose.project.config_files";
/// Compose: where they lie.
pub const WORKING_DIRECTORY: &str = "com.docker.compose.project.working_dir";
/// Compose: version of what made it.
pub const VERSION: &str = "com.docker.compose.version";
/// Compose: key of a network.
pub const NETWORK: &str = "com.docker.compose.network";
/// Compose: key of a volume.
pub const VOLUME: &str = "com.docker.compose.volume";

/// Ours: digest of the service as it was created.
pub const DIGEST: &str = "omni-scale.digest";
/// Ours: names and keyed digests of the secrets whose values it was created with.
pub const SECRETS: &str = "omni-scale.secrets";
/// Ours: a container or image for one probe.
pub const PROBE: &str = "omni-scale.probe";
/// Ours: when a probe is over at the latest, in milliseconds since the Unix epoch.
pub const PROBE_UNTIL: &str = "omni-scale.probe-until";

/// What a description may not set by itself.
pub const RESERVED_PREFIXES: [&str; 2] = ["com.docker.compose.", "omni-scale."];

/// The value of [`SECRETS`]: `name=digest`, with commas between.
pub fn write_secret_digests(digests: &BTreeMap<String, String>) -> String {
    let entries: Vec<String> = digests
        .iter()
        .map(|(name, digest)| format!("{name}={digest}"))
        .collect();
    entries.join(",")
}

/// Reads the value of [`SECRETS`]. What is no entry is passed over.
pub fn read_secret_digests(text: &str) -> BTreeMap<String, String> {
    text.split(',')
        .filter_map(|entry| entry.split_once('='))
        .map(|(name, digest)| (name.to_owned(), digest.to_owned()))
        .collect()
}

/// The name of a service's container.
pub fn container_name(stack: &str, service: &v1::Service) -> String {
    if service.container_name.is_empty() {
        format!("{stack}-{}-1", service.name)
    } else {
        service.container_name.clone()
    }
}

/// What a container is called while another takes its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standby {
    /// It is to take the place, and was never started.
    Next,
    /// It had the place, and is kept until the next one runs.
    Previous,
}

impl Standby {
    const fn infix(self) -> &'static str {
        match self {
            Self::Next => "-next-",
            Self::Previous => "-previous-",
        }
    }

    /// `NAME-next-SUFFIX` or `NAME-previous-SUFFIX`; the suffix is 12 hex digits.
    pub fn name(self, name: &str, suffix: &str) -> String {
        let suffix: String = suffix.chars().take(SUFFIX_LENGTH).collect();
        format!("{name}{}{suffix}", self.infix())
    }

    /// The place that a container of this name stands by for, if it does.
    pub fn of(name: &str) -> Option<(Self, &str)> {
        [Self::Next, Self::Previous]
            .into_iter()
            .find_map(|standby| {
                let (place, suffix) = name.rsplit_once(standby.infix())?;
                let hexadecimal = suffix
                    .chars()
                    .all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
                (suffix.len() == SUFFIX_LENGTH && hexadecimal && !place.is_empty())
                    .then_some((standby, place))
            })
    }
}

const SUFFIX_LENGTH: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standby_name_says_whose_place_it_is() {
        let name = Standby::Previous.name("omni-omni-1", &"0123456789abcdef".repeat(4));
        assert_eq!(name, "omni-omni-1-previous-0123456789ab");
        assert_eq!(Standby::of(&name), Some((Standby::Previous, "omni-omni-1")));
        let next = Standby::Next.name("x", "0123456789ab");
        assert_eq!(Standby::of(&next), Some((Standby::Next, "x")));
    }

    #[test]
    fn secret_digests_survive_their_label() {
        let digests = BTreeMap::from([
            ("client".to_owned(), "ab12".to_owned()),
            ("key".to_owned(), "cd34".to_owned()),
        ]);
        let text = write_secret_digests(&digests);
        assert_eq!(text, "client=ab12,key=cd34");
        assert_eq!(read_secret_digests(&text), digests);
        assert!(read_secret_digests("").is_empty());
    }

    #[test]
    fn ordinary_names_are_no_standbys() {
        for name in [
            "omni-omni-1",
            "a-next-1",
            "a-previous-0123456789xy",
            "-next-0123456789ab",
        ] {
            assert_eq!(Standby::of(name), None, "{name}");
        }
    }
}
