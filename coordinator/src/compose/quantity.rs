//! Durations and sizes as Compose writes them.

/// Milliseconds of a duration in Go's form (`1m30s`, `500ms`, `1.5h`). None when it is none, is
/// negative, is not a whole number of milliseconds, or is longer than 49 days.
pub fn milliseconds(text: &str) -> Option<u32> {
    if text == "0" {
        return Some(0);
    }
    let mut nanoseconds: u128 = 0;
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, after) = rest.split_at(number_end);
        let unit_end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        nanoseconds = nanoseconds.checked_add(scaled(number, nanoseconds_of(unit)?)?)?;
        rest = after;
    }
    if !nanoseconds.is_multiple_of(1_000_000) {
        return None;
    }
    u32::try_from(nanoseconds / 1_000_000).ok()
}

fn nanoseconds_of(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// `number` (digits, perhaps a point) times `unit`, without what is below one.
fn scaled(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || whole.len() > 18 || fraction.len() > 18 {
        return None;
    }
    let digits = |text: &str| -> Option<u128> {
        if text.is_empty() {
            Some(0)
        } else {
            text.parse().ok()
        }
    };
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let fraction = digits(fraction)?.checked_mul(unit)? / scale;
    digits(whole)?.checked_mul(unit)?.checked_add(fraction)
}

/// Bytes of a size (`64m`, `1.5g`, `4096`). Units are powers of 1024, as for memory.
pub fn bytes(text: &str) -> Option<u64> {
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim_start().to_ascii_lowercase();
    let power = match unit
        .strip_suffix("ib")
        .or(unit.strip_suffix('b'))
        .unwrap_or(&unit)
    {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    u64::try_from(scaled(number, 1024_u128.pow(power))?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        for (text, expected) in [
            ("0", Some(0)),
            ("10s", Some(10_000)),
            ("1m30s", Some(90_000)),
            ("1.5s", Some(1_500)),
            ("500ms", Some(500)),
            ("1h", Some(3_600_000)),
            (".5s", Some(500)),
            ("1000us", Some(1)),
            ("1us", None),
            ("10", None),
            ("", None),
            ("-1s", None),
            ("1d", None),
            ("s", None),
            ("1.2.3s", None),
            ("99999999999999999999h", None),
        ] {
            assert_eq!(milliseconds(text), expected, "{text}");
        }
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, expected) in [
            ("4096", Some(4096)),
            ("64m", Some(64 << 20)),
            ("64MB", Some(64 << 20)),
            ("64MiB", Some(64 << 20)),
            ("1.5g", Some(3 << 29)),
            ("1k", Some(1024)),
            ("10b", Some(10)),
            ("", None),
            ("m", None),
            ("1x", None),
            ("-1", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
