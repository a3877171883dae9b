//! Every parser of text that people write, given what nobody would write.
//!
//! A parser may refuse; it may not panic, loop or eat the stack. Inputs are random text, fragments
//! that mean something thrown together, and good documents with damage. How many: the variable
//! `OMNI_SCALE_FUZZ_INPUTS`, by default few enough for a desk.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use omni_scale::compose::{Source, dotenv, interpolate, quantity, resolve, words};
use omni_scale::deployment::{self, Files};
use omni_scale::document;
use omni_scale::image::ImageReference;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

#[expect(
    clippy::disallowed_methods,
    reason = "the harness says how long to try"
)]
fn inputs() -> u32 {
    let wanted = std::env::var("OMNI_SCALE_FUZZ_INPUTS").ok();
    wanted.map_or(2_000, |wanted| {
        wanted.parse().expect("OMNI_SCALE_FUZZ_INPUTS is a number")
    })
}

fn for_all(strategy: &impl Strategy<Value = String>, parser: impl Fn(&str)) {
    let config = Config {
        cases: inputs(),
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
fn documents_of_yaml() {
    let text = prop_oneof![noise(), fragments(YAML), damaged(COMPOSE)];
    for_all(&text, |text| {
        if let Err(problems) = document::parse("f.yaml", text) {
            assert!(!problems.to_string().is_empty());
        }
    });
}

#[test]
fn deployments() {
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
fn compose_files() {
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
fn texts_with_variables() {
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
fn files_of_variables() {
    let fragments = fragments(&[
        "A", "=", ": ", "'", "\"", "\\", "\n", "\r\n", " ", "#", " #", "export ", "$A", "${B:-x}",
        "\\0777", "\\n", "ü", "\u{a0}", "\u{feff}", "[", ".",
    ]);
    for_all(&prop_oneof![1 => noise(), 3 => fragments], |text| {
        let _ = dotenv::parse(".env", text, &|_| None);
    });
}

#[test]
fn commands() {
    let fragments = fragments(&[
        "a", " ", "'", "\"", "\\", "\n", ";", "$(", ")", "`", "ü", "--x=",
    ]);
    for_all(&prop_oneof![1 => noise(), 3 => fragments], |text| {
        let _ = words::split(text);
    });
}

#[test]
fn references_to_images() {
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
fn durations_and_sizes() {
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
