//! Times for people.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A length of time in its two largest units: `3 d 4 h`, `12 min`, `45 s`.
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let two = |first: u64, one: &str, second: u64, other: &str| {
        if second == 0 {
            format!("{first} {one}")
        } else {
            format!("{first} {one} {second} {other}")
        }
    };
    if days > 0 {
        two(days, "d", hours, "h")
    } else if hours > 0 {
        two(hours, "h", minutes, "min")
    } else if minutes > 0 {
        format!("{minutes} min")
    } else {
        format!("{seconds} s")
    }
}

/// How long ago something was. Both in milliseconds since the Unix epoch; `since` 0: not known.
pub fn age(since: i64, now: i64) -> String {
    if since <= 0 {
        return "-".to_owned();
    }
    // A host's clock may be a little ahead of ours.
    let milliseconds = u64::try_from(now.saturating_sub(since)).unwrap_or(0);
    span(Duration::from_millis(milliseconds))
}

/// A time in milliseconds since the Unix epoch, in UTC. 0: not known.
pub fn date(milliseconds: i64) -> String {
    if milliseconds <= 0 {
        return "-".to_owned();
    }
    OffsetDateTime::from_unix_timestamp(milliseconds / 1000)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| "-".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_at_most_two_units() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (61, "1 min"),
            (3600, "1 h"),
            (3660, "1 h 1 min"),
            (90_000, "1 d 1 h"),
            (86_400 * 30, "30 d"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn what_is_not_known_is_a_dash() {
        assert_eq!(age(0, 1_700_000_000_000), "-");
        assert_eq!(age(2000, 1000), "0 s");
        assert_eq!(date(0), "-");
        assert_eq!(date(1_700_000_000_123), "2023-11-14T22:13:20Z");
    }
}
