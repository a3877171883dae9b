//! How records lie in the file: one line each, with length, sequence number and sums.
//!
//! ```text
//! omni-scale ledger 1
//! LENGTH SEQUENCE SUM-OF-THESE {"payload":"as JSON"} SUM-OF-ALL
//! ```
//!
//! A write that a power cut interrupted leaves a *torn* tail: the line ends early, or in bytes that were never written
//! and read as zero. Anything else that does not fit is *damage*. Because the length has a sum of its own, a flipped
//! bit is never taken for a torn tail.

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

/// The first line. The number is the version of the format.
pub(super) const HEADER: &[u8] = b"omni-scale ledger 1\n";

/// Length, sequence, their sum, and a space after each.
const HEAD_LENGTH: usize = 8 + 1 + 16 + 1 + 8 + 1;
/// A space, the sum, and the line's end.
const TAIL_LENGTH: usize = 1 + 32 + 1;
/// No record is larger, in bytes.
const LARGEST_PAYLOAD: usize = 4 * 1024 * 1024;

/// What a file holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parsed<'a> {
    /// The payloads that are whole, in order.
    pub(super) payloads: Vec<&'a [u8]>,
    /// Where the last whole record ends, in bytes.
    pub(super) whole: usize,
    /// What comes after it.
    pub(super) rest: Rest,
}

/// What comes after the last whole record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing.
    Nothing,
    /// A record that was being written when the power went. It was never acknowledged.
    Torn,
    /// Something that no interrupted write leaves.
    Damage(&'static str),
}

/// The bytes of the line of a record with this payload.
pub(super) fn line_length(payload: &[u8]) -> usize {
    HEAD_LENGTH + payload.len() + TAIL_LENGTH
}

/// The line of one record. `sequence` begins at 1 in each file.
pub(super) fn encode(sequence: u64, payload: &[u8]) -> Vec<u8> {
    let mut line = head(payload.len(), sequence);
    line.extend_from_slice(payload);
    let sum = sum(&line);
    line.push(b' ');
    line.extend_from_slice(sum.as_bytes());
    line.push(b'\n');
    line
}

/// Reads a whole file.
pub(super) fn parse(file: &[u8]) -> Parsed<'_> {
    let mut parsed = Parsed {
        payloads: Vec::new(),
        whole: 0,
        rest: Rest::Nothing,
    };
    if !file.starts_with(HEADER) {
        parsed.rest = Rest::Damage("its first line is not that of a ledger of this version");
        return parsed;
    }
    parsed.whole = HEADER.len();
    let mut sequence = 1;
    loop {
        match next(&file[parsed.whole..], sequence) {
            Next::Record { payload, length } => {
                parsed.payloads.push(payload);
                parsed.whole += length;
                sequence += 1;
            }
            Next::Rest(rest) => {
                parsed.rest = rest;
                return parsed;
            }
        }
    }
}

enum Next<'a> {
    Record { payload: &'a [u8], length: usize },
    Rest(Rest),
}

fn next(rest: &[u8], sequence: u64) -> Next<'_> {
    if rest.is_empty() {
        return Next::Rest(Rest::Nothing);
    }
    if rest.len() < HEAD_LENGTH || rest.iter().all(|byte| *byte == 0) {
        return Next::Rest(Rest::Torn);
    }
    let length = std::str::from_utf8(&rest[..8])
        .ok()
        .and_then(|digits| usize::from_str_radix(digits, 16).ok());
    let Some(length) = length.filter(|length| *length <= LARGEST_PAYLOAD) else {
        return Next::Rest(Rest::Damage("a record's length is damaged"));
    };
    if rest[..HEAD_LENGTH] != head(length, sequence) {
        return Next::Rest(Rest::Damage(
            "a record's head is damaged, or a record is missing",
        ));
    }
    let end = HEAD_LENGTH + length;
    let Some(line) = rest.get(..end + TAIL_LENGTH) else {
        return Next::Rest(Rest::Torn);
    };
    let mut tail = vec![b' '];
    tail.extend_from_slice(sum(&line[..end]).as_bytes());
    tail.push(b'\n');
    if line[end..] != tail {
        let unwritten = line.len() == rest.len() && line.ends_with(&[0]);
        return Next::Rest(if unwritten {
            Rest::Torn
        } else {
            Rest::Damage("a record's sum does not fit")
        });
    }
    Next::Record {
        payload: &line[HEAD_LENGTH..end],
        length: line.len(),
    }
}

fn head(length: usize, sequence: u64) -> Vec<u8> {
    let numbers = format!("{length:08x} {sequence:016x} ");
    let sum = &sum(numbers.as_bytes())[..8];
    format!("{numbers}{sum} ").into_bytes()
}

/// 128 bits of SHA-256 as hex: this guards against accidents, not against somebody who can write the file.
fn sum(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes)[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    use omni_scale_noise::{Dice, damaged_bytes, hold_against};
    use proptest::prelude::*;

    fn file(payloads: &[Vec<u8>]) -> Vec<u8> {
        let mut file = HEADER.to_vec();
        for (sequence, payload) in (1..).zip(payloads) {
            file.extend(encode(sequence, payload));
        }
        file
    }

    fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(1_u8..=255, 0..60), 0..8)
    }

    #[test]
    fn noise_in_the_file_never_makes_a_record() {
        let records: Vec<Vec<u8>> = [
            r#"{"lease_granted":{"epoch":1,"holder":"ada@desk","rollout":"one"}}"#,
            r#"{"started":{"target":"stack/omni","generation":7}}"#,
            "{}",
            r#"{"finished":{"target":"stack/omni","summary":"recreated omni"}}"#,
        ]
        .map(|record| record.as_bytes().to_vec())
        .into();
        let good = file(&records);
        let make = |dice: &mut Dice| damaged_bytes(dice, &good);
        hold_against("ledgers", make, |bytes| {
            let parsed = parse(bytes);
            assert!(parsed.whole <= bytes.len());
            let read: Vec<Vec<u8>> = parsed.payloads.iter().map(|one| one.to_vec()).collect();
            assert!(records.starts_with(&read), "a record that nobody wrote");
        });
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(payloads in payloads()) {
            let file = file(&payloads);
            let parsed = parse(&file);
            prop_assert_eq!(parsed.payloads, payloads);
            prop_assert_eq!(parsed.rest, Rest::Nothing);
            prop_assert_eq!(parsed.whole, file.len());
        }

        #[test]
        fn a_cut_file_is_a_prefix_with_a_torn_tail(payloads in payloads(), cut in any::<prop::sample::Index>()) {
            let file = file(&payloads);
            let cut = HEADER.len() + cut.index(file.len() - HEADER.len() + 1);
            let parsed = parse(&file[..cut]);
            prop_assert!(payloads.starts_with(&parsed.payloads.iter().map(|payload| payload.to_vec()).collect::<Vec<_>>()));
            let expected = if parsed.whole == cut { Rest::Nothing } else { Rest::Torn };
            prop_assert_eq!(parsed.rest, expected);
        }

        #[test]
        fn unwritten_bytes_at_the_end_are_a_torn_tail(payloads in payloads(), last in 1_usize..200) {
            let mut file = file(&payloads);
            let whole = file.len();
            let sequence = u64::try_from(payloads.len()).unwrap() + 1;
            let mut record = encode(sequence, &[b'x'; 100]);
            let from = record.len().saturating_sub(last);
            record[from..].fill(0);
            file.extend(record);
            let parsed = parse(&file);
            prop_assert_eq!(parsed.whole, whole);
            // Zeros that reach into the head are not told from damage unless they are all there is.
            prop_assert!(parsed.rest == Rest::Torn || from < HEAD_LENGTH && from > 0);
        }

        #[test]
        fn a_flipped_bit_is_damage_and_never_a_torn_tail(
            payloads in payloads(), byte in any::<prop::sample::Index>(), bit in 0_u8..8
        ) {
            let mut file = file(&payloads);
            let index = byte.index(file.len());
            file[index] ^= 1 << bit;
            let parsed = parse(&file);
            prop_assert!(matches!(parsed.rest, Rest::Damage(_)), "{:?}", parsed.rest);
            prop_assert!(parsed.whole <= index);
        }

        #[test]
        fn a_missing_record_is_damage(payloads in payloads(), missing in any::<prop::sample::Index>()) {
            prop_assume!(payloads.len() > 1);
            let missing = missing.index(payloads.len() - 1);
            let mut file = HEADER.to_vec();
            for (index, payload) in payloads.iter().enumerate() {
                if index != missing {
                    file.extend(encode(index as u64 + 1, payload));
                }
            }
            prop_assert!(matches!(parse(&file).rest, Rest::Damage(_)));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
            let mut file = HEADER.to_vec();
            file.extend(bytes);
            let _ = parse(&file);
        }
    }
}
