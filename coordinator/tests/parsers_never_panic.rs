//! Every parser of text that people write, given what nobody would write.
//!
//! A parser may refuse; it may not panic, loop or eat the stack. Inputs are random text, fragments
//! that mean something thrown together, and good documents with damage. How many, and where they
//! begin: see `omni_scale_noise`.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use omni_scale::compose::{Source, dotenv, interpolate, quantity, resolve, words};
use omni_scale::deployment::{self, Files};
use omni_scale::document;
use omni_scale::image::ImageReference;
use omni_scale::journal::{self, JournalFiles, RolloutId};
use omni_scale::pki::Bundle;
use omni_scale::plan::Plan;
use omni_scale::rollout::RolloutState;
use omni_scale_noise::{Dice, damaged_bytes, damaged_json, hold_against};
use omni_scale_proto::id::{DeploymentId, Sha256};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde_json::Value;

fn for_all(strategy: &impl Strategy<Value = String>, parser: impl Fn(&str)) {
    let config = Config {
        cases: omni_scale_noise::inputs(),
        rng_seed: RngSeed::Fixed(omni_scale_noise::seed()),
        failure_persistence: None,
        ..Config::default()
    };
    let result = TestRunner::new(config).run(strategy, |text| {
        parser(&text);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

/// Random characters, of all planes.
fn noise() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<char>(), 0..24)
        .prop_map(|characters| characters.into_iter().collect())
}

/// Fragments thrown together.
fn fragments(fragments: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(fragments), 0..16).prop_map(|parts| parts.concat())
}

/// A good document with a few lines and characters replaced, repeated or gone.
fn damaged(document: &'static str) -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(
        &[
            "",
            " ",
            "\n",
            "\t",
            ": ",
            "- ",
            "[",
            "]",
            "{",
            "}",
            "'",
            "\"",
            "&a ",
            "*a",
            "!!str ",
            "<<",
            "|",
            ">",
            "#",
            "$",
            "${",
            "}",
            "${X:-",
            "~",
            "0",
            "-1",
            "99999999999",
            "1.5",
            "true",
            "null",
            "ü",
            "\u{0}",
            "\u{feff}",
            "%",
            "@sha256:",
            "/",
            "..",
            ":",
            "---\n",
            "...\n",
            "{{ secret \"",
            "x-",
        ][..],
    );
    let change = (any::<prop::sample::Index>(), 0_usize..12, pieces);
    prop::collection::vec(change, 1..5).prop_map(|changes| {
        let mut text: Vec<char> = document.chars().collect();
        for (place, length, piece) in changes {
            let start = place.index(text.len() + 1);
            let end = (start + length).min(text.len());
            text.splice(start..end, piece.chars());
        }
        text.into_iter().collect()
    })
}

/// A directory in which every file holds the same.
struct Everywhere<'a>(&'a str);

impl Files for Everywhere<'_> {
    fn read(&self, _path: &Path) -> io::Result<String> {
        Ok(self.0.to_owned())
    }
}

/// A Compose file, and files of variables beside it.
struct Beside<'a>(&'a str);

impl Files for Beside<'_> {
    fn read(&self, path: &Path) -> io::Result<String> {
        let compose = path.ends_with("compose.yaml");
        Ok(if compose { self.0 } else { "A=1\nB='x'\n" }.to_owned())
    }
}

const YAML: &[&str] = &[
    "a",
    "b: ",
    "- ",
    "\n",
    "\n  ",
    "\n    ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "'",
    "\"",
    "&a ",
    "*a",
    "!!str ",
    "!x ",
    "<<: ",
    "|\n",
    ">-\n",
    "# c",
    "---\n",
    "...\n",
    "? ",
    ": ",
    "~",
    "1",
    "0x1",
    "\t",
    "ü",
    "%YAML 1.2\n",
    "\\",
    "\u{feff}",
];

const DEPLOYMENT: &str = include_str!("../src/deployment/fixtures/full.yaml");

const COMPOSE: &str = "name: t\nx-a: &a {TZ: \"${TZ:-UTC}\"}\nservices:\n  s:\n    image: r.lab:5000/i:v1\n    \
    command: run --x='a b' $A\n    environment: {<<: *a, K: '{{ secret \"k\" | json }}'}\n    env_file: e.env\n    \
    ports: [\"1.2.3.4:80:80/udp\", {target: 9}]\n    volumes: [\"data:/d:ro\", \"/s:/t\"]\n    \
    tmpfs: /r:size=1m\n    devices: [/dev/x]\n    healthcheck: {test: x, interval: 1m30s, retries: 3}\n    \
    depends_on: {o: {condition: service_healthy}}\n    configs: [{source: c, target: /c, mode: 0440}]\n    \
    networks: {default: {aliases: [x]}}\n  o: {image: i, network_mode: bridge, profiles: [p]}\n\
    volumes: {data: {external: true}}\nnetworks: {n: {internal: true}}\nconfigs: {c: {content: \"$$x ${A}\"}}\n";

#[test]
fn noise_as_yaml() {
    let text = prop_oneof![noise(), fragments(YAML), damaged(COMPOSE)];
    for_all(&text, |text| {
        if let Err(problems) = document::parse("f.yaml", text) {
            assert!(!problems.to_string().is_empty());
        }
    });
}

#[test]
fn noise_as_a_deployment() {
    let text = prop_oneof![3 => fragments(YAML), 1 => damaged(DEPLOYMENT)];
    for_all(&text, |text| {
        let roots = "-----BEGIN CERTIFICATE-----\n";
        if let Ok(deployment) =
            deployment::read(&Everywhere(roots), Path::new("deployment.yaml"), text)
        {
            // What was read can be rendered.
            omni_scale::render::render(&Everywhere(""), &deployment).unwrap();
        }
    });
}

#[test]
fn noise_as_a_compose_file() {
    let text = prop_oneof![2 => fragments(YAML), 1 => damaged(COMPOSE)];
    for_all(&text, |text| {
        let source = Source {
            file: "compose.yaml".into(),
            env_file: None,
            profiles: BTreeSet::from(["p".to_owned()]),
        };
        let _ = resolve(&Beside(text), &source);
    });
}

#[test]
fn noise_among_variables() {
    let fragments = fragments(&[
        "$", "{", "}", "${", "A", "B_1", ":-", "-", ":?", "?", ":+", "+", "$$", " ", "\n", "ü",
        "${A:-", "}}",
    ]);
    let deep = (1_usize..300).prop_map(|depth| "${A:-".repeat(depth) + &"}".repeat(depth));
    for_all(
        &prop_oneof![4 => noise(), 8 => fragments, 1 => deep],
        |text| {
            let _ = interpolate::interpolate(text, &|name| (name == "A").then(String::new));
        },
    );
}

#[test]
fn noise_as_a_file_of_variables() {
    let fragments = fragments(&[
        "A", "=", ": ", "'", "\"", "\\", "\n", "\r\n", " ", "#", " #", "export ", "$A", "${B:-x}",
        "\\0777", "\\n", "ü", "\u{a0}", "\u{feff}", "[", ".",
    ]);
    for_all(&prop_oneof![1 => noise(), 3 => fragments], |text| {
        let _ = dotenv::parse(".env", text, &|_| None);
    });
}

#[test]
fn noise_as_a_command() {
    let fragments = fragments(&[
        "a", " ", "'", "\"", "\\", "\n", ";", "$(", ")", "`", "ü", "--x=",
    ]);
    for_all(&prop_oneof![1 => noise(), 3 => fragments], |text| {
        let _ = words::split(text);
    });
}

#[test]
fn noise_as_an_image() {
    let fragments = fragments(&[
        "a",
        "A",
        "/",
        ":",
        "@",
        "sha256:",
        "0123456789abcdef",
        ".",
        "_",
        "__",
        "-",
        "[::1]",
        "5000",
        "localhost",
        "ü",
    ]);
    for_all(&prop_oneof![1 => noise(), 3 => fragments], |text| {
        if let Ok(reference) = text.parse::<ImageReference>() {
            assert_eq!(reference.to_string(), text);
        }
    });
}

#[test]
fn noise_as_durations_and_sizes() {
    let fragments = fragments(&[
        "1",
        "0",
        "99999999999999999999",
        ".",
        "h",
        "m",
        "s",
        "ms",
        "µs",
        "ns",
        "k",
        "GiB",
        "b",
        "-",
        "+",
    ]);
    for_all(&prop_oneof![1 => noise(), 3 => fragments], |text| {
        let _ = (quantity::milliseconds(text), quantity::bytes(text));
    });
}

#[test]
fn the_good_documents_are_good() {
    let roots = "-----BEGIN CERTIFICATE-----\n";
    deployment::read(&Everywhere(roots), Path::new("deployment.yaml"), DEPLOYMENT).unwrap();
    let source = Source {
        file: "compose.yaml".into(),
        env_file: None,
        profiles: BTreeSet::from(["p".to_owned()]),
    };
    // Its placeholder for a secret, and all else, can be read.
    resolve(&Beside(COMPOSE), &source).unwrap_or_else(|error| panic!("{error}"));
}

/// The journal of a whole rollout, in the first format: a header with its plan, and records.
const JOURNAL: &str = include_str!("../src/journal/fixtures/v1.jsonl");

fn deployment_id() -> DeploymentId {
    "7f2c6a54-9f0e-4c1e-8f61-0a2d9f1f8a11"
        .parse()
        .expect("a UUID")
}

fn rollout() -> RolloutId {
    "00000000-0000-0000-0000-000000000007"
        .parse()
        .expect("a UUID")
}

/// That journal's header and records, but for what is not about these waves and their hosts:
/// small, so that many can be tried.
fn journal_of(waves: &[&str]) -> (Value, Vec<Value>) {
    let mut lines = JOURNAL
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("lines are JSON"));
    let mut header = lines.next().expect("a header");
    let planned = header["plan"]["plan"]["waves"]
        .as_array_mut()
        .expect("a list");
    planned.retain(|wave| waves.iter().any(|name| wave["wave"] == *name));
    for wave in planned.iter_mut() {
        wave["gate"].as_array_mut().expect("a list").truncate(1);
    }
    let steps: Vec<Value> = planned
        .iter()
        .flat_map(|wave| wave["steps"].as_array().expect("a list"))
        .map(|step| step["id"].clone())
        .collect();
    let hosts: Vec<String> = planned
        .iter()
        .flat_map(|wave| wave["steps"].as_array().expect("a list"))
        .map(|step| step["host"].as_str().expect("a name").to_owned())
        .collect();
    for part in ["basis", "scope"] {
        let named = header["plan"]["plan"][part]["hosts"].as_object_mut();
        named.expect("a map").retain(|host, _| hosts.contains(host));
    }
    sign(&mut header["plan"]);
    let about = |record: &Value| {
        let event = &record["event"];
        let wave = event.get("wave");
        let step = event.get("step");
        wave.is_none_or(|wave| waves.iter().any(|name| wave == name))
            && step.is_none_or(|step| steps.contains(step))
    };
    (header, lines.filter(about).collect())
}

/// Gives a plan that was changed the digest that its changer would give it.
fn sign(file: &mut Value) {
    let sum = Sha256::of(&serde_json::to_vec(&file["plan"]).expect("it is JSON"));
    file["digest"] = sum.to_string().into();
}

#[test]
fn noise_in_a_plan() {
    let samples = ["identity", "sidecar"].map(|wave| journal_of(&[wave]).0["plan"].clone());
    let written = samples
        .each_ref()
        .map(|good| serde_json::to_vec(good).unwrap());
    for bytes in &written {
        assert!(Plan::from_json(bytes, deployment_id()).is_ok());
    }
    let make = |dice: &mut Dice| {
        // The second is four times as large.
        let sample = usize::from(dice.once_in(8));
        if dice.once_in(8) {
            return damaged_bytes(dice, &written[sample]);
        }
        let good = &samples[sample];
        let mut file = good.clone();
        file["plan"] = damaged_json(dice, &good["plan"]);
        sign(&mut file);
        serde_json::to_vec(&file).unwrap()
    };
    hold_against("plans", make, |bytes| {
        if let Ok(plan) = Plan::from_json(bytes, deployment_id()) {
            assert!(!plan.to_string().is_empty());
            let _ = (RolloutState::new(&plan), plan.hosts(), plan.is_noop());
        }
    });
}

#[test]
fn noise_in_a_journal() {
    let (header, mut records) = journal_of(&["identity"]);
    for (number, record) in (1_u64..).zip(&mut records) {
        record["seq"] = number.into();
    }
    let whole = text_of(&header, &records);
    let story = journal::read(&OneFile(whole.into_bytes()), deployment_id(), rollout());
    assert_eq!(story.unwrap().records.len(), records.len());
    let make = |dice: &mut Dice| {
        let mut records = records.clone();
        for _ in 0..=dice.roll(3) {
            let place = dice.roll(records.len());
            match dice.roll(5) {
                0 => drop(records.remove(place)),
                1 => records.insert(place, records[dice.roll(records.len())].clone()),
                2 => {
                    let other = dice.roll(records.len());
                    records.swap(place, other);
                }
                _ => records[place] = damaged_json(dice, &records[place]),
            }
            if records.is_empty() {
                break;
            }
        }
        // What was moved counts on, as its writer would have counted.
        let renumber = !dice.once_in(4);
        for (number, record) in (1_u64..).zip(&mut records) {
            if renumber && record.is_object() {
                record["seq"] = number.into();
            }
        }
        let text = text_of(&header, &records);
        if dice.once_in(4) {
            damaged_bytes(dice, text.as_bytes())
        } else {
            text.into_bytes()
        }
    };
    hold_against("journals", make, |text| {
        let file = OneFile(text.clone());
        if let Ok(story) = journal::read(&file, deployment_id(), rollout()) {
            assert!(story.records.len() <= records.len() + 8);
        }
    });
}

fn text_of(header: &Value, records: &[Value]) -> String {
    let lines = [header].into_iter().chain(records);
    let mut lines: Vec<String> = lines.map(ToString::to_string).collect();
    lines.push(String::new());
    lines.join("\n")
}

/// A directory of one journal, which is only read.
#[derive(Debug)]
struct OneFile(Vec<u8>);

impl JournalFiles for OneFile {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn read(&self, _name: &str) -> io::Result<Vec<u8>> {
        Ok(self.0.clone())
    }

    fn create(&self, _name: &str, _content: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn truncate(&self, _name: &str, _length: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn append(&self, _name: &str, _content: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn lock(&self, _holder: &[u8]) -> io::Result<Option<Box<dyn Send + Sync>>> {
        Ok(None)
    }

    fn lock_holder(&self) -> io::Result<Vec<u8>> {
        Ok(Vec::new())
    }
}

#[test]
fn noise_in_a_credential() {
    let good = serde_json::json!({
        "omni_scale_credential": 1, "deployment": deployment_id(),
        "authority": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        "certificate": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        "key": "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n",
    });
    let make = |dice: &mut Dice| {
        let bytes = serde_json::to_vec(&damaged_json(dice, &good)).unwrap();
        if dice.once_in(4) {
            damaged_bytes(dice, &bytes)
        } else {
            bytes
        }
    };
    hold_against("credentials", make, |bytes| {
        if let Err(error) = Bundle::from_json(bytes) {
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    });
}
