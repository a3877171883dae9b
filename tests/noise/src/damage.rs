//! What can happen to a good sample.

use serde_json::Value;

use super::Dice;

/// Bytes at which programs stumble.
const AWKWARD: [u8; 10] = [0, 1, 0x0a, 0x20, 0x22, 0x2f, 0x7f, 0x80, 0xc0, 0xff];

/// Random characters, of all planes.
pub fn noise(dice: &mut Dice) -> String {
    let length = dice.roll(24);
    let character = |dice: &mut Dice| {
        // Mostly what texts are made of; sometimes anything.
        let code = if dice.once_in(4) {
            dice.roll(0x11_0000)
        } else {
            dice.roll(0x80)
        };
        u32::try_from(code)
            .ok()
            .and_then(char::from_u32)
            .unwrap_or('\u{fffd}')
    };
    (0..length).map(|_| character(dice)).collect()
}

/// Fragments thrown together.
pub fn thrown(dice: &mut Dice, fragments: &[&str]) -> String {
    let length = dice.roll(16);
    (0..length).map(|_| dice.pick(fragments)).collect()
}

/// A text with a few places replaced, repeated or gone.
pub fn damaged_text(dice: &mut Dice, sample: &str, fragments: &[&str]) -> String {
    let mut text = sample.to_owned();
    for _ in 0..=dice.roll(4) {
        let start = boundary(&text, dice.roll(text.len() + 1));
        let end = boundary(&text, (start + dice.roll(12)).min(text.len())).max(start);
        match dice.roll(6) {
            0 => text.truncate(start),
            1 => {
                let piece = text[start..end].to_owned();
                text.insert_str(start, &piece);
            }
            2 => {
                let piece = noise(dice);
                text.insert_str(start, &piece);
            }
            _ => text.replace_range(start..end, dice.pick(fragments)),
        }
    }
    text
}

/// The last boundary of a character that is not after `place`.
fn boundary(text: &str, place: usize) -> usize {
    let boundaries = (0..=place).rev();
    boundaries
        .into_iter()
        .find(|place| text.is_char_boundary(*place))
        .unwrap_or(0)
}

/// Bytes with a few of them changed, repeated or gone.
pub fn damaged_bytes(dice: &mut Dice, sample: &[u8]) -> Vec<u8> {
    let mut bytes = sample.to_vec();
    for _ in 0..=dice.roll(5) {
        let start = dice.roll(bytes.len() + 1);
        let end = (start + dice.roll(16)).min(bytes.len());
        match dice.roll(7) {
            0 => bytes.truncate(start),
            1 => drop(bytes.drain(start..end)),
            2 => {
                let piece = bytes[start..end].to_vec();
                bytes.splice(start..start, piece);
            }
            3 => {
                let piece = dice.bits().to_le_bytes();
                let length = dice.roll(piece.len() + 1);
                bytes.splice(start..end, piece[..length].iter().copied());
            }
            4 => {
                if let Some(byte) = bytes.get_mut(start) {
                    *byte ^= 1 << dice.roll(8);
                }
            }
            _ => {
                if let Some(byte) = bytes.get_mut(start) {
                    *byte = AWKWARD[dice.roll(AWKWARD.len())];
                }
            }
        }
    }
    bytes
}

/// A document of JSON in which a few values are others, gone, or under other names.
pub fn damaged_json(dice: &mut Dice, sample: &Value) -> Value {
    let mut document = sample.clone();
    for _ in 0..=dice.roll(3) {
        let depth = 1 + dice.roll(12);
        damage(dice, &mut document, depth);
    }
    document
}

/// Goes down at most so far, and damages what is there.
fn damage(dice: &mut Dice, value: &mut Value, depth: usize) {
    if depth > 0 {
        match value {
            Value::Array(items) if !items.is_empty() => {
                let place = dice.roll(items.len());
                return match dice.roll(12) {
                    0 => drop(items.remove(place)),
                    1 => items.push(items[place].clone()),
                    _ => damage(dice, &mut items[place], depth - 1),
                };
            }
            Value::Object(entries) if !entries.is_empty() => {
                let place = dice.roll(entries.len());
                let Some(key) = entries.keys().nth(place).cloned() else {
                    return;
                };
                return match dice.roll(16) {
                    0 => drop(entries.remove(&key)),
                    1 => {
                        let moved = entries.remove(&key).unwrap_or_default();
                        entries.insert(noise(dice), moved);
                    }
                    _ => {
                        if let Some(inner) = entries.get_mut(&key) {
                            damage(dice, inner, depth - 1);
                        }
                    }
                };
            }
            _ => {}
        }
    }
    *value = other(dice, value);
}

/// A value in the place of another.
fn other(dice: &mut Dice, value: &Value) -> Value {
    match (dice.roll(10), value) {
        (0, _) => Value::Null,
        (1, _) => Value::Bool(dice.once_in(2)),
        (2, _) => {
            let extremes = [i64::MIN, -1, 0, 1, i64::from(u32::MAX), i64::MAX];
            extremes[dice.roll(extremes.len())].into()
        }
        (3, _) => u64::MAX.into(),
        (4, _) => Value::Array(Vec::new()),
        (5, _) => Value::Object(serde_json::Map::new()),
        (6, _) => noise(dice).into(),
        (_, Value::String(text)) => {
            let pieces = ["", " ", "\n", "/", "..", ":", "@", "-", "\u{0}", "ü", "x"];
            damaged_text(dice, text, &pieces).into()
        }
        (_, Value::Number(number)) => match number.as_i64() {
            Some(number) => number.wrapping_add(1).into(),
            None => 0.into(),
        },
        (_, other) => Value::Array(vec![other.clone()]),
    }
}
