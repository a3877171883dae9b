//! Whether tsidp waits for somebody to log it in, by what it says. Pure.

/// What tsnet prints when it has no key, or none that helps (tsnet.go, `printAuthURLLoop`). The
/// address to log in at follows.
const MARKER: &str = "restart with TS_AUTHKEY set";

/// The line in which tsidp asks for a login, when it is the last that it said in this run.
pub(super) fn asks_for_login(lines: &[String]) -> Option<&str> {
    let last = lines.last()?;
    last.contains(MARKER).then_some(last.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_word_counts() {
        let ask = "To start this tsnet server, restart with TS_AUTHKEY set, or go to: https://login.example/a/1";
        let lines = |lines: &[&str]| lines.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(asks_for_login(&lines(&["Started.", ask])), Some(ask));
        assert_eq!(asks_for_login(&lines(&[ask, "tsidp server started"])), None);
        assert_eq!(asks_for_login(&[]), None);
    }
}
