//! DNS messages (RFC 1035 §4): one question out, one answer in.
//!
//! Reading never panics and never loops: every read is checked, and a compression pointer must point before the place
//! it stands at. What an answer holds beside A, AAAA and CNAME is passed over.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::name::{Name, NameBuilder};

/// Bytes of a header.
const HEADER: usize = 12;
/// Class IN.
const INTERNET: u16 = 1;
const CNAME: u16 = 5;
/// Aliases that are followed before an answer counts as circular.
const MOST_ALIASES: usize = 16;

/// The kind of address that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// IPv4.
    A,
    /// IPv6.
    Aaaa,
}

impl Kind {
    fn code(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Aaaa => 28,
        }
    }
}

/// What a nameserver said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The name has these addresses; none means that it exists without one of this kind.
    Addresses(Vec<IpAddr>),
    /// NXDOMAIN.
    NoSuchName,
    /// The answer was cut and must be fetched over TCP.
    Cut,
    /// Another response code.
    Refused(u8),
}

/// Why bytes are not the answer to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MessageError {
    /// Another transaction's, or no answer at all: it is ignored, the right one may still come.
    #[error("it answers another question")]
    Foreign,
    /// It is ours and cannot be read.
    #[error("it cannot be read")]
    Malformed,
}

/// The bytes of a question with recursion desired.
pub(crate) fn question(id: u16, name: &Name, kind: Kind) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + name.wire().len() + 4);
    bytes.extend_from_slice(&id.to_be_bytes());
    bytes.extend_from_slice(&[0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0]);
    bytes.extend_from_slice(name.wire());
    bytes.extend_from_slice(&kind.code().to_be_bytes());
    bytes.extend_from_slice(&INTERNET.to_be_bytes());
    bytes
}

/// Reads the answer to the question that [`question`] made of the same three.
pub(crate) fn reply(bytes: &[u8], id: u16, name: &Name, kind: Kind) -> Result<Reply, MessageError> {
    let mut reader = Reader { bytes, at: 0 };
    let answered = reader.number().ok_or(MessageError::Foreign)?;
    let flags = reader.number().ok_or(MessageError::Foreign)?;
    let is_answer = flags & 0x8000 != 0 && flags & 0x7800 == 0;
    if answered != id || !is_answer {
        return Err(MessageError::Foreign);
    }
    let questions = reader.number().ok_or(MessageError::Malformed)?;
    let records = reader.number().ok_or(MessageError::Malformed)?;
    reader.skip(4).ok_or(MessageError::Malformed)?;
    let code = flags.to_be_bytes()[1] & 0x0f;
    // Some servers leave the question out of an error; with an answer it must be ours.
    match questions {
        0 if code != 0 => {}
        1 => {
            let asked = reader.name().ok_or(MessageError::Malformed)?;
            let asked_kind = reader.number().ok_or(MessageError::Malformed)?;
            let class = reader.number().ok_or(MessageError::Malformed)?;
            if !asked.is(name) || asked_kind != kind.code() || class != INTERNET {
                return Err(MessageError::Foreign);
            }
        }
        _ => return Err(MessageError::Malformed),
    }
    if flags & 0x0200 != 0 {
        return Ok(Reply::Cut);
    }
    match code {
        0 => addresses(&mut reader, records, name, kind).ok_or(MessageError::Malformed),
        3 => Ok(Reply::NoSuchName),
        other => Ok(Reply::Refused(other)),
    }
}

/// The addresses at the end of the chain of aliases that begins at `name`.
fn addresses(reader: &mut Reader<'_>, records: u16, name: &Name, kind: Kind) -> Option<Reply> {
    let mut aliases = Vec::new();
    let mut found = Vec::new();
    for _ in 0..records {
        let owner = reader.name()?;
        let record_kind = reader.number()?;
        let class = reader.number()?;
        reader.skip(4)?;
        let length = usize::from(reader.number()?);
        let end = reader
            .at
            .checked_add(length)
            .filter(|end| *end <= reader.bytes.len())?;
        if class == INTERNET && record_kind == CNAME {
            aliases.push((owner, reader.name()?));
        } else if class == INTERNET && record_kind == kind.code() {
            found.push((owner, address(reader.bytes.get(reader.at..end)?, kind)?));
        }
        reader.at = end;
    }
    let mut end = name;
    for _ in 0..MOST_ALIASES {
        match aliases.iter().find(|(owner, _)| owner.is(end)) {
            Some((_, target)) => end = target,
            None => break,
        }
    }
    Some(Reply::Addresses(
        found
            .iter()
            .filter(|(owner, _)| owner.is(end))
            .map(|(_, address)| *address)
            .collect(),
    ))
}

fn address(data: &[u8], kind: Kind) -> Option<IpAddr> {
    match kind {
        Kind::A => <[u8; 4]>::try_from(data)
            .ok()
            .map(|octets| Ipv4Addr::from(octets).into()),
        Kind::Aaaa => <[u8; 16]>::try_from(data)
            .ok()
            .map(|octets| Ipv6Addr::from(octets).into()),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn number(&mut self) -> Option<u16> {
        let end = self.at.checked_add(2)?;
        let number = u16::from_be_bytes(self.bytes.get(self.at..end)?.try_into().ok()?);
        self.at = end;
        Some(number)
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.at = self
            .at
            .checked_add(count)
            .filter(|end| *end <= self.bytes.len())?;
        Some(())
    }

    fn name(&mut self) -> Option<Name> {
        let mut builder = NameBuilder::default();
        let mut at = self.at;
        // Where the next pointer must point before: it strictly falls, so that a chain of pointers ends.
        let mut bound = self.at;
        let mut jumped = false;
        loop {
            let length = *self.bytes.get(at)?;
            match length & 0xc0 {
                0x00 if length == 0 => {
                    if !jumped {
                        self.at = at + 1;
                    }
                    return Some(builder.finish());
                }
                0x00 => {
                    let end = at + 1 + usize::from(length);
                    builder.push(self.bytes.get(at + 1..end)?).ok()?;
                    at = end;
                }
                0xc0 => {
                    let low = *self.bytes.get(at + 1)?;
                    if !jumped {
                        self.at = at + 2;
                        jumped = true;
                    }
                    at = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                    if at >= bound {
                        return None;
                    }
                    bound = at;
                }
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use omni_scale_noise::{Dice, damaged_bytes, hold_against};
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    /// An answer with records whose names are given in full or as a pointer to the question.
    fn answer(flags: u16, asked: &Name, kind: Kind, records: &[(&[u8], u16, &[u8])]) -> Vec<u8> {
        let mut bytes = question(7, asked, kind);
        bytes[2..4].copy_from_slice(&flags.to_be_bytes());
        bytes[6..8].copy_from_slice(&u16::try_from(records.len()).unwrap().to_be_bytes());
        for (owner, record_kind, data) in records {
            bytes.extend_from_slice(owner);
            bytes.extend_from_slice(&record_kind.to_be_bytes());
            bytes.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
            bytes.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(data);
        }
        bytes
    }

    const POINTER: &[u8] = &[0xc0, 12];

    #[test]
    fn an_address_behind_a_pointer_is_found() {
        let idp = name("idp.tail.test");
        let bytes = answer(0x8180, &idp, Kind::A, &[(POINTER, 1, &[100, 64, 0, 5])]);
        assert_eq!(
            reply(&bytes, 7, &idp, Kind::A),
            Ok(Reply::Addresses(vec!["100.64.0.5".parse().unwrap()]))
        );
    }

    #[test]
    fn a_chain_of_aliases_is_followed_and_other_owners_are_not() {
        let (idp, alias, other) = (
            name("idp.tail.test"),
            name("real.tail.test"),
            name("other.test"),
        );
        let six = Ipv6Addr::LOCALHOST.octets();
        let bytes = answer(
            0x8180,
            &idp,
            Kind::Aaaa,
            &[
                (other.wire(), 28, &[9; 16]),
                (alias.wire(), 28, &six),
                (POINTER, 5, alias.wire()),
                (alias.wire(), 16, b"\x03txt"),
            ],
        );
        assert_eq!(
            reply(&bytes, 7, &idp, Kind::Aaaa),
            Ok(Reply::Addresses(vec![Ipv6Addr::LOCALHOST.into()]))
        );
    }

    #[test]
    fn a_circle_of_aliases_has_no_address() {
        let idp = name("idp.test");
        let bytes = answer(0x8180, &idp, Kind::A, &[(POINTER, 5, idp.wire())]);
        assert_eq!(
            reply(&bytes, 7, &idp, Kind::A),
            Ok(Reply::Addresses(Vec::new()))
        );
    }

    #[test]
    fn codes_and_the_cut_bit_are_told_apart() {
        let idp = name("idp.test");
        for (flags, expected) in [
            (0x8183, Reply::NoSuchName),
            (0x8182, Reply::Refused(2)),
            (0x8185, Reply::Refused(5)),
            (0x8380, Reply::Cut),
        ] {
            assert_eq!(
                reply(&answer(flags, &idp, Kind::A, &[]), 7, &idp, Kind::A),
                Ok(expected)
            );
        }
    }

    #[test]
    fn another_transaction_or_another_question_is_ignored() {
        let idp = name("idp.test");
        let bytes = answer(0x8180, &idp, Kind::A, &[]);
        assert_eq!(reply(&bytes, 8, &idp, Kind::A), Err(MessageError::Foreign));
        assert_eq!(
            reply(&bytes, 7, &name("else.test"), Kind::A),
            Err(MessageError::Foreign)
        );
        assert_eq!(
            reply(&bytes, 7, &idp, Kind::Aaaa),
            Err(MessageError::Foreign)
        );
        assert_eq!(
            reply(&question(7, &idp, Kind::A), 7, &idp, Kind::A),
            Err(MessageError::Foreign)
        );
        assert_eq!(reply(&[], 7, &idp, Kind::A), Err(MessageError::Foreign));
    }

    #[test]
    fn a_pointer_to_itself_or_forward_is_malformed() {
        let idp = name("idp.test");
        let here = u8::try_from(question(7, &idp, Kind::A).len()).unwrap();
        for target in [here, here + 1, 255] {
            let bytes = answer(
                0x8180,
                &idp,
                Kind::A,
                &[(&[0xc0, target], 1, &[1, 2, 3, 4])],
            );
            assert_eq!(
                reply(&bytes, 7, &idp, Kind::A),
                Err(MessageError::Malformed)
            );
        }
    }

    #[test]
    fn noise_in_an_answer_breaks_nothing() {
        let (idp, alias) = (name("idp.tail.test"), name("real.tail.test"));
        let six = Ipv6Addr::LOCALHOST.octets();
        let long = [(POINTER, 1, &[100, 64, 0, 5][..]); 12];
        let samples = [
            answer(0x8180, &idp, Kind::A, &long),
            answer(
                0x8180,
                &idp,
                Kind::A,
                &[
                    (POINTER, 5, alias.wire()),
                    (alias.wire(), 1, &[1, 2, 3, 4]),
                    (&[0xc0, 31], 1, &[4, 3, 2, 1]),
                    (POINTER, 5, &[3, b'a', b'b', b'c', 0xc0, 16]),
                ],
            ),
            answer(
                0x8180,
                &idp,
                Kind::Aaaa,
                &[(POINTER, 28, &six), (POINTER, 16, b"\x03txt")],
            ),
            answer(0x8183, &idp, Kind::A, &[]),
        ];
        let make = |dice: &mut Dice| {
            let sample = &samples[dice.roll(samples.len())];
            let mut bytes = damaged_bytes(dice, sample);
            // Most of the damage shall be to an answer, not to whose it is.
            if bytes.len() > 12 && !dice.once_in(8) {
                bytes[..4].copy_from_slice(&[0, 7, 0x81, 0x80]);
            }
            bytes
        };
        hold_against("DNS answers", make, |bytes| {
            for kind in [Kind::A, Kind::Aaaa] {
                let _ = reply(bytes, 7, &idp, kind);
            }
        });
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = reply(&bytes, 7, &name("idp.test"), Kind::A);
        }

        #[test]
        fn a_damaged_answer_is_read_or_refused(
            cut in 0_usize..200, flip in 0_usize..200, bits in any::<u8>(),
        ) {
            let (idp, alias) = (name("idp.test"), name("real.tail.test"));
            let mut bytes = answer(0x8180, &idp, Kind::A, &[
                (POINTER, 5, alias.wire()), (alias.wire(), 1, &[1, 2, 3, 4]), (POINTER, 1, &[4, 3, 2, 1]),
            ]);
            let length = bytes.len();
            bytes[flip % length] ^= bits;
            bytes.truncate(length - cut % length);
            let _ = reply(&bytes, 7, &idp, Kind::A);
        }

        #[test]
        fn every_name_and_address_comes_back(
            text in "[a-z0-9_-]{1,20}(\\.[a-z0-9_-]{1,20}){0,8}", octets in prop::collection::vec(any::<[u8; 4]>(), 0..20),
        ) {
            let asked = name(&text);
            let records: Vec<(&[u8], u16, &[u8])> = octets.iter().map(|data| (POINTER, 1, data.as_slice())).collect();
            let expected = octets.iter().map(|data| IpAddr::from(*data)).collect();
            let bytes = answer(0x8180, &asked, Kind::A, &records);
            prop_assert_eq!(reply(&bytes, 7, &asked, Kind::A), Ok(Reply::Addresses(expected)));
            prop_assert_eq!(asked.to_string(), text);
        }
    }
}
