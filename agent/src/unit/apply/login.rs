//! What tsidp says of its place on the tailnet: whether it waits for a login, was refused, or has
//! another name. Pure.

/// What tsnet prints when it has no key, or none that helps (tsnet.go, `printAuthURLLoop`). The
/// address to log in at follows.
const MARKER: &str = "restart with TS_AUTHKEY set";

/// The line in which tsidp asks for a login, when it is the last that it said in this run.
pub(super) fn asks_for_login(lines: &[String]) -> Option<&str> {
    let last = lines.last()?;
    last.contains(MARKER).then_some(last.as_str())
}

/// What tsidp says when the tailnet does not take it (tsnet.go, `Up`). The reason follows.
const REFUSED: &str = "tsnet.Up: backend:";

/// The line in which tsidp says that its login was refused, the last one if there are several.
pub(super) fn refused_login(lines: &[String]) -> Option<&str> {
    let mut refusals = lines.iter().rev().filter(|line| line.contains(REFUSED));
    refusals.next().map(String::as_str)
}

/// What tsidp says before the address that it serves on: the older one, and the current one.
const SERVES_AT: [&str; 2] = ["Running tsidp at ", "server_url="];

/// Whether tsidp says that it serves as `issuer`.
pub(super) fn serves_as(lines: &[String], issuer: &str) -> bool {
    let Some(wanted) = issuer.strip_prefix("https://") else {
        return false;
    };
    lines.iter().any(|line| served_host(line) == Some(wanted))
}

fn served_host(line: &str) -> Option<&str> {
    let mut markers = SERVES_AT.iter();
    let (_, rest) = markers.find_map(|marker| line.split_once(marker))?;
    let host = rest.trim_start_matches('"').strip_prefix("https://")?;
    host.split([' ', '"', '/']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_it_serves_as_is_the_whole_name() {
        let issuer = "https://tsidp-1.tail.test";
        let says = |line: &str| serves_as(&[line.to_owned()], issuer);
        assert!(says(
            "2026/11/23 Running tsidp at https://tsidp-1.tail.test ..."
        ));
        assert!(says(
            r#"INFO tsidp server started server_url="https://tsidp-1.tail.test""#
        ));
        assert!(says("msg=started server_url=https://tsidp-1.tail.test/"));
        assert!(!says("Running tsidp at https://tsidp-1.tail.test.evil ..."));
        assert!(!says("Running tsidp at https://tsidp.tail.test ..."));
        assert!(!says("Running tsidp at "));
        assert!(!says("GET /https://tsidp-1.tail.test"));
    }

    #[test]
    fn a_refusal_is_found_among_later_lines() {
        let refusal = "2026/11/23 17:53:34 tsnet.Up: backend: invalid authkey";
        let lines = ["Started.", refusal, "Scheduled restart job."].map(str::to_owned);
        assert_eq!(refused_login(&lines), Some(refusal));
        assert_eq!(refused_login(&lines[..1]), None);
    }

    #[test]
    fn only_the_last_word_counts() {
        let ask = "To start this tsnet server, restart with TS_AUTHKEY set, or go to: https://login.example/a/1";
        let lines = |lines: &[&str]| lines.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(asks_for_login(&lines(&["Started.", ask])), Some(ask));
        assert_eq!(asks_for_login(&lines(&[ask, "tsidp server started"])), None);
        assert_eq!(asks_for_login(&[]), None);
    }
}
