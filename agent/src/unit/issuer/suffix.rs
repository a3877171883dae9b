//! The names that the control server gives a node whose name is taken: `tsidp-1`, `tsidp-2` …

/// The suffixes that are looked for. A name that was lost more often is lost all the same.
const SUFFIXES: [u8; 2] = [1, 2];

/// The issuers that tsidp may answer as when another device holds its name.
pub fn suffixed(issuer: &str) -> Vec<String> {
    let Some((label, rest)) = issuer
        .strip_prefix("https://")
        .and_then(|host| host.split_once('.'))
    else {
        return Vec::new();
    };
    let names = SUFFIXES.map(|suffix| format!("https://{label}-{suffix}.{rest}"));
    names.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suffix_belongs_to_the_first_label() {
        assert_eq!(
            suffixed("https://tsidp.tail.test:8443"),
            [
                "https://tsidp-1.tail.test:8443",
                "https://tsidp-2.tail.test:8443"
            ]
        );
        assert!(suffixed("https://localhost").is_empty());
        assert!(suffixed("").is_empty());
    }
}
