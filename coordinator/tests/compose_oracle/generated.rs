//! Generated files: many values in one file, because asking the oracle takes a third of a second.

use std::collections::BTreeMap;

use omni_scale::compose::{dotenv, interpolate, words};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::{Map, Value, json};

use crate::services::service;
use crate::{canonical, oracle};

/// Files per property.
const CASES: u32 = 8;
/// Values per file.
const VALUES: usize = 150;

const VARIABLES: &str = "A=1\nB='two words'\nEMPTY=\nTRICKY='${A}'\n";

fn value_of(name: &str) -> Option<String> {
    let variables = dotenv::parse(".env", VARIABLES, &|_| None).unwrap();
    variables.get(name).cloned()
}

/// Asks both for the file, with `others` beside it, and holds their readings against each other.
fn same(project: &Value, others: &BTreeMap<String, String>) -> Result<(), TestCaseError> {
    let directory = tempfile::tempdir().unwrap();
    oracle::write(directory.path(), "compose.yaml", &project.to_string());
    oracle::write(directory.path(), ".env", VARIABLES);
    for (name, text) in others {
        oracle::write(directory.path(), name, text);
    }
    let ours = canonical::ours(directory.path(), &[]);
    // Ports that were drawn twice: Docker Compose leaves it to the Engine to refuse them.
    if matches!(&ours, Err(words) if words.contains("of the host, which service")) {
        return Err(TestCaseError::reject("a port twice"));
    }
    let theirs = oracle::read(directory.path(), &[])
        .map(|project| canonical::theirs(&project, &|name| value_of(name).unwrap()));
    let differences = canonical::differences(&ours, &theirs);
    prop_assert!(
        differences.is_empty(),
        "{}",
        differences.join(
            "
"
        )
    );
    Ok(())
}

fn check<S: Strategy>(strategy: &S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = Config {
        cases: CASES,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..Config::default()
    };
    if let Err(error) = TestRunner::new(config).run(strategy, test) {
        panic!("{error}");
    }
}

/// A text that is interpolated: variables in all their forms, nested.
fn template() -> impl Strategy<Value = String> {
    let set = prop::sample::select(vec!["A", "B", "EMPTY", "TRICKY"]);
    let any = prop::sample::select(vec!["A", "B", "EMPTY", "TRICKY", "UNSET"]);
    let leaf = prop_oneof![
        "[a-zA-Z0-9 ./:=_-]{0,6}",
        Just("$$".to_owned()),
        Just("ü".to_owned()),
        Just("$ ".to_owned()),
        Just("$5".to_owned()),
        set.clone().prop_map(|name| format!("${name} ")),
        set.clone().prop_map(|name| format!("${{{name}}}")),
    ];
    leaf.prop_recursive(3, 12, 4, move |inner| {
        let operator = prop::sample::select(vec!["-", ":-", "+", ":+"]);
        let required = prop::sample::select(vec!["?", ":?"]);
        prop_oneof![
            (any.clone(), operator, inner.clone())
                .prop_map(|(name, operator, text)| format!("${{{name}{operator}{text}}}")),
            (
                prop::sample::select(vec!["A", "B"]),
                required,
                inner.clone()
            )
                .prop_map(|(name, operator, text)| format!("${{{name}{operator}{text}}}")),
            (inner.clone(), inner).prop_map(|(left, right)| format!("{left}{right}")),
        ]
    })
}

/// Characters that mean something, thrown together.
fn soup(characters: &str) -> impl Strategy<Value = String> {
    let characters: Vec<char> = characters.chars().collect();
    prop::collection::vec(prop::sample::select(characters), 0..14)
        .prop_map(|characters| characters.into_iter().collect())
}

#[test]
fn variables_are_put_in_as_docker_compose_does_it() {
    let readable = |text: &String| interpolate::interpolate(text, &value_of).is_ok();
    let text = prop_oneof![
        3 => template().prop_filter("a nested text may not be readable", readable),
        1 => soup("${}:-+?AB x").prop_filter("not readable", readable),
    ];
    check(&prop::collection::vec(text, VALUES), |texts| {
        let environment: Map<String, Value> = texts
            .into_iter()
            .enumerate()
            .map(|(index, text)| (format!("V{index}"), text.into()))
            .collect();
        let service = json!({ "image": "i", "environment": environment });
        same(
            &json!({ "name": "t", "services": { "a": service } }),
            &BTreeMap::new(),
        )
    });
}

#[test]
fn commands_are_split_as_docker_compose_does_it() {
    let text = soup("ab= \t'\"\\#*ü-/$").prop_filter("not readable", |text| {
        let interpolated = interpolate::interpolate(text, &value_of);
        interpolated.is_ok_and(|text| words::split(&text).is_ok())
    });
    check(&prop::collection::vec(text, VALUES), |texts| {
        let services: Map<String, Value> = texts
            .into_iter()
            .enumerate()
            .map(|(index, text)| {
                (
                    format!("s{index}"),
                    json!({ "image": "i", "command": text }),
                )
            })
            .collect();
        same(
            &json!({ "name": "t", "services": services }),
            &BTreeMap::new(),
        )
    });
}

#[test]
fn files_of_variables_are_read_as_docker_compose_does_it() {
    let name = prop::sample::select(vec!["A", "K", "L_1", "m.n", "export K", "export\tX"]);
    let value = prop_oneof![
        template(),
        template().prop_map(|text| format!("\"{text}\"")),
        "'[a-z $#\n\"]{0,8}'",
        "\"[a-z #\n']{0,8}\"",
        soup("ab\\\"'# n0127t").prop_map(|text| format!("\"{text}\"")),
        soup("ab\\\"'# n"),
    ];
    let statement = prop_oneof![
        8 => (name, prop::sample::select(vec!["=", " = ", ": "]), value)
            .prop_map(|(name, sign, value)| format!("{name}{sign}{value}")),
        1 => Just("# comment".to_owned()),
        1 => Just(String::new()),
        1 => Just("  A".to_owned()),
    ];
    let end = prop::sample::select(vec!["\n", "\r\n", "\n\n", " # c\n"]);
    let file = prop::collection::vec((statement, end), 0..6)
        .prop_map(|lines| {
            lines
                .into_iter()
                .map(|(line, end)| line + end)
                .collect::<String>()
        })
        .prop_filter("not readable", |text| {
            dotenv::parse("f", text, &value_of).is_ok()
        });
    check(&prop::collection::vec(file, VALUES / 3), |texts| {
        let files: BTreeMap<String, String> = texts
            .into_iter()
            .enumerate()
            .map(|(index, text)| (format!("{index}.env"), text))
            .collect();
        let services: Map<String, Value> = files
            .keys()
            .map(|file| {
                let service = json!({ "image": "i", "env_file": [file] });
                (format!("s{}", file.trim_end_matches(".env")), service)
            })
            .collect();
        same(&json!({ "name": "t", "services": services }), &files)
    });
}

#[test]
fn services_are_read_as_docker_compose_does_it() {
    check(&prop::collection::vec(service(), 12), |generated| {
        let mut services = Map::new();
        services.insert("first".to_owned(), json!({ "image": "i" }));
        for (index, service) in generated.into_iter().enumerate() {
            services.insert(format!("s{index}"), service);
        }
        let project = json!({
            "name": "t",
            "services": services,
            "volumes": { "data": {} },
            "configs": { "inline": { "content": "x $$ ${A}\n" }, "variable": { "environment": "B" } },
        });
        same(&project, &BTreeMap::new())
    });
}
