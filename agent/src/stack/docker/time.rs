//! The Engine's timestamps: RFC 3339, always UTC, with up to nine digits of a second.

/// Milliseconds since the Unix epoch; 0 for Go's zero time (year 1) and for what is no timestamp.
pub(super) fn milliseconds(text: &str) -> i64 {
    parse(text).map_or(0, |milliseconds| milliseconds.max(0))
}

fn parse(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T')?;
    let mut date = date.splitn(3, '-').map(str::parse::<i64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let time = time.strip_suffix('Z')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut time = time.splitn(3, ':').map(str::parse::<i64>);
    let (hour, minute, second) = (time.next()?.ok()?, time.next()?.ok()?, time.next()?.ok()?);
    let in_range = (1..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    if !in_range {
        return None;
    }
    let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
    let fraction: i64 = digits.parse().ok()?;
    let seconds = days_since_epoch(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(seconds * 1_000 + fraction)
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar (Howard Hinnant, `days_from_civil`).
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use omni_scale_noise::{Dice, damaged_text, hold_against};

    use super::*;

    #[test]
    fn timestamps_are_read_to_the_millisecond() {
        assert_eq!(milliseconds("1970-01-01T00:00:00Z"), 0);
        assert_eq!(
            milliseconds("2026-11-23T15:38:11.123456789Z"),
            1_795_448_291_123
        );
        assert_eq!(milliseconds("2024-02-29T23:59:59.5Z"), 1_709_251_199_500);
    }

    #[test]
    fn never_is_zero() {
        for text in [
            "0001-01-01T00:00:00Z",
            "",
            "now",
            "2026-11-23",
            "2026-13-23T00:00:00Z",
        ] {
            assert_eq!(milliseconds(text), 0, "{text}");
        }
    }

    #[test]
    fn noise_in_a_timestamp_is_never() {
        let pieces = [
            "",
            "-",
            "+",
            ":",
            "T",
            "Z",
            ".",
            "0",
            "9",
            "99999999999999999999",
            "ü",
            " ",
        ];
        let make = |dice: &mut Dice| damaged_text(dice, "2026-11-23T15:38:11.123456789Z", &pieces);
        hold_against("timestamps of the Engine", make, |text| {
            // The year 9999 is the last.
            assert!(
                (0..253_402_300_861_000).contains(&milliseconds(text)),
                "{text}"
            );
        });
    }
}
