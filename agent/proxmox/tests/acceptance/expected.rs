//! The transcripts that are expected, and where a double may differ.
//!
//! `expected.txt` holds the name of each scenario and, indented, its lines. `fakepve.allowed` holds blocks that begin
//! with the name of a scenario: `#` says why, `-` lines are expected and `+` lines come instead of them.

use std::{collections::BTreeMap, fmt::Write};

pub(crate) type Transcripts = BTreeMap<String, Vec<String>>;

pub(crate) fn expected() -> Transcripts {
    let mut transcripts = Transcripts::new();
    let mut scenario = String::new();
    for line in include_str!("expected.txt")
        .lines()
        .filter(|line| !line.is_empty())
    {
        match line.strip_prefix("    ") {
            Some(line) => transcripts
                .entry(scenario.clone())
                .or_default()
                .push(line.to_owned()),
            None => line.clone_into(&mut scenario),
        }
    }
    transcripts
}

/// Lines of a double that may differ.
pub(crate) struct Allowed(Vec<Block>);

#[derive(Default)]
struct Block {
    scenario: String,
    reasons: usize,
    expected: Vec<String>,
    instead: Vec<String>,
}

impl Allowed {
    pub(crate) fn read() -> Self {
        let mut blocks: Vec<Block> = Vec::new();
        for line in include_str!("fakepve.allowed")
            .lines()
            .filter(|line| !line.trim().is_empty())
        {
            let Some(line) = line.strip_prefix("    ") else {
                blocks.push(Block {
                    scenario: line.to_owned(),
                    ..Block::default()
                });
                continue;
            };
            let block = blocks.last_mut().expect("a block begins with its scenario");
            match line.split_at_checked(2) {
                Some(("# ", _)) => block.reasons += 1,
                Some(("- ", line)) => block.expected.push(line.to_owned()),
                Some(("+ ", line)) => block.instead.push(line.to_owned()),
                _ => panic!("`{line}` begins with none of `# `, `- `, `+ `"),
            }
        }
        Self(blocks)
    }

    /// Replaces in `transcripts` what is expected by what is allowed. An entry that fits nowhere, or gives no reason,
    /// fails: the list must not outlive its causes.
    pub(crate) fn apply(self, transcripts: &mut Transcripts) {
        for block in self.0 {
            let Block {
                scenario,
                reasons,
                expected,
                instead,
            } = block;
            assert!(reasons > 0, "{scenario}: {expected:?} gives no reason");
            let lines = transcripts
                .get_mut(&scenario)
                .unwrap_or_else(|| panic!("there is no scenario {scenario}"));
            let place = lines
                .windows(expected.len())
                .position(|window| window == expected);
            let place = place.unwrap_or_else(|| panic!("{scenario}: {expected:?} is not expected"));
            lines.splice(place..place + expected.len(), instead);
        }
    }
}

/// What is not as expected, with both sides; empty when all is.
pub(crate) fn differences(
    expected: &Transcripts,
    found: &BTreeMap<&'static str, Vec<String>>,
) -> String {
    let mut differences = String::new();
    let names: Vec<&str> = found.keys().copied().collect();
    for unknown in expected
        .keys()
        .filter(|name| !names.contains(&name.as_str()))
    {
        let _ = writeln!(differences, "{unknown}: there is no such scenario");
    }
    for (scenario, found) in found {
        let expected = expected.get(*scenario).map_or(&[][..], Vec::as_slice);
        if expected == found.as_slice() {
            continue;
        }
        let _ = writeln!(differences, "{scenario}");
        for line in found {
            let mark = if expected.contains(line) { ' ' } else { '+' };
            let _ = writeln!(differences, "  {mark} {line}");
        }
        for line in expected.iter().filter(|line| !found.contains(line)) {
            let _ = writeln!(differences, "  - {line}");
        }
    }
    differences
}
