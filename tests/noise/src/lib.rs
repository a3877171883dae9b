//! What parsers are held against: good samples with damage, fragments that mean something thrown
//! together, and noise. A parser may refuse; it may not panic, loop or eat the stack.
//!
//! Two variables of the environment: `OMNI_SCALE_FUZZ_INPUTS` says how many inputs each parser
//! gets, by default few enough for a desk; `OMNI_SCALE_FUZZ_SEED` where to begin, by default always
//! at the same place. Input number N of a parser depends on the seed and on N alone, so that what
//! was found is found again.

mod damage;
mod dice;

use std::fmt;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

pub use damage::{damaged_bytes, damaged_json, damaged_text, noise, thrown};
pub use dice::Dice;

/// Inputs of each parser when nobody says how many.
const FEW: u32 = 2_000;
/// Where it begins when nobody says where.
const SEED: u64 = 1;
/// So much of an input that broke a parser is shown, in characters.
const SHOWN: usize = 4_000;

/// How many inputs each parser gets.
pub fn inputs() -> u32 {
    number("OMNI_SCALE_FUZZ_INPUTS").map_or(FEW, |wanted| u32::try_from(wanted).unwrap_or(u32::MAX))
}

/// Where the inputs begin.
pub fn seed() -> u64 {
    number("OMNI_SCALE_FUZZ_SEED").unwrap_or(SEED)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the harness says how long to try, and whoever looks for more where to begin"
)]
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is a number")),
    )
}

/// Gives a parser [`inputs`] inputs. A panic of it is the test's, with the input that made it.
pub fn hold_against<Input: fmt::Debug>(
    what: &str,
    make: impl Fn(&mut Dice) -> Input,
    parser: impl Fn(&Input),
) {
    let (inputs, seed) = (inputs(), seed());
    if number("OMNI_SCALE_FUZZ_INPUTS").is_some() {
        // Not by `print!`, which is kept back: whoever watches a long run sees where it is, also
        // when a parser eats the stack.
        let _ = writeln!(std::io::stderr(), "{what}: {inputs} inputs, seed {seed}");
    }
    for number in 0..inputs {
        let mut dice = Dice::new(seed, number);
        let input = make(&mut dice);
        let held = catch_unwind(AssertUnwindSafe(|| parser(&input)));
        if let Err(panic) = held {
            let shown: String = format!("{input:?}").chars().take(SHOWN).collect();
            let _ = writeln!(
                std::io::stderr(),
                "{what}: broken by input {number} of OMNI_SCALE_FUZZ_SEED={seed}: {shown}"
            );
            resume_unwind(panic);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_depends_on_seed_and_number_alone() {
        let text =
            |seed, number| damaged_text(&mut Dice::new(seed, number), "a: 1\nb: 2\n", &["{"]);
        assert_eq!(text(1, 7), text(1, 7));
        let several: std::collections::BTreeSet<String> = (0..50).map(|n| text(1, n)).collect();
        assert!(several.len() > 20, "{several:?}");
    }

    #[test]
    fn a_parser_that_panics_fails_its_test() {
        let broken = catch_unwind(|| {
            hold_against(
                "a test",
                |dice| dice.roll(100),
                |number| assert!(*number < 99),
            );
        });
        assert!(broken.is_err());
    }
}
