//! Compose files as people write them.

use std::collections::BTreeMap;

use omni_scale_proto::v1;

use super::*;

fn resolve_with(text: &str, others: &[(&str, &str)]) -> Result<v1::Stack, Problems> {
    let mut files = BTreeMap::from([("/x/compose.yaml", text)]);
    files.extend(others.iter().copied());
    let source = Source {
        file: "/x/compose.yaml".into(),
        env_file: None,
        profiles: BTreeSet::new(),
    };
    resolve(&files, &source)
}

fn stack(text: &str) -> v1::Stack {
    resolve_with(text, &[]).unwrap_or_else(|error| panic!("{error}"))
}

fn problem(text: &str) -> String {
    resolve_with(text, &[]).unwrap_err().to_string()
}

/// A file with one service, which says `lines`.
fn service_with(lines: &str) -> String {
    let lines = lines.replace('\n', "\n    ");
    format!("name: t\nservices:\n  a:\n    image: i\n    {lines}\n")
}

fn service(lines: &str) -> v1::Service {
    stack(&service_with(lines)).services.remove(0)
}

fn variables(service: &v1::Service) -> Vec<String> {
    use omni_scale_proto::v1::segment::Part;
    service
        .environment
        .iter()
        .map(|variable| {
            let value: String = variable
                .value
                .iter()
                .flat_map(|text| &text.segments)
                .map(|segment| match &segment.part {
                    Some(Part::Literal(text)) => text.clone(),
                    Some(Part::Secret(secret)) => format!("<{}>", secret.name),
                    None => panic!(),
                })
                .collect();
            format!("{}={value}", variable.name)
        })
        .collect()
}

#[test]
fn every_unsupported_key_is_named_with_its_place() {
    let text = "name: t\nservices:\n  a:\n    image: i\n    build: .\n    comand: x\n    healthcheck:\n      test: [NONE]\n      retris: 3\nsecrets: {}\n";
    let message = problem(text);
    let lines: Vec<&str> = message
        .lines()
        .filter(|line| !line.contains("hint: known"))
        .collect();
    assert_eq!(
        lines,
        [
            "/x/compose.yaml:5:5: unknown key `build` in `services.a`",
            "/x/compose.yaml:6:5: unknown key `comand` in `services.a`",
            "  hint: did you mean `command`?",
            "/x/compose.yaml:9:7: unknown key `retris` in `services.a.healthcheck`",
            "  hint: did you mean `retries`?",
            "/x/compose.yaml:10:1: unknown key `secrets`",
        ]
    );
}

#[test]
fn extensions_are_ignored_where_they_may_stand() {
    stack("name: t\nx-common: {a: $UNSET}\nservices:\n  a:\n    image: i\n    x-y: 1\n");
}

#[test]
fn anchors_and_merges_are_resolved_before_variables() {
    let text = "name: t\nx-common: &common\n  environment: {A: \"${V:-1}\"}\n  restart: always\nservices:\n  a:\n    <<: *common\n    image: i\n    restart: unless-stopped\n";
    let service = stack(text).services.remove(0);
    assert_eq!(variables(&service), ["A=1"]);
    assert_eq!(service.restart(), v1::RestartPolicy::UnlessStopped);
}

#[test]
fn an_unset_variable_is_an_error_with_its_place() {
    let message = problem(&service_with("command: run $TS_HOST"));
    assert_eq!(
        message,
        "/x/compose.yaml:5:14: the variable `TS_HOST` is not set"
    );
}

#[test]
fn variables_come_from_the_file_beside() {
    let text = service_with("environment:\n  - A=${A}-${COMPOSE_PROJECT_NAME}\n  - B");
    let stack = resolve_with(&text, &[("/x/.env", "A=1\nB=\"2 ${A}\"\n")]).unwrap();
    assert_eq!(variables(&stack.services[0]), ["A=1-t", "B=2 1"]);
}

#[test]
fn files_of_variables_are_overridden_by_what_the_service_says() {
    let text = service_with(
        "env_file: [a.env, {path: b.env, required: false}, {path: c.env, required: false}]\nenvironment: {C: own}",
    );
    let files = [("/x/a.env", "A=1\nC=a"), ("/x/b.env", "B=${A}2")];
    let stack = resolve_with(&text, &files).unwrap();
    assert_eq!(variables(&stack.services[0]), ["A=1", "B=12", "C=own"]);
    let message = resolve_with(&text, &[]).unwrap_err().to_string();
    assert!(
        message.starts_with("/x/compose.yaml:5:16: cannot read `/x/a.env`"),
        "{message}"
    );
    let message = resolve_with(&text, &[("/x/a.env", "A='")])
        .unwrap_err()
        .to_string();
    assert_eq!(message, "/x/a.env:1:3: a quote is not closed");
}

#[test]
fn the_project_must_be_named() {
    assert!(problem("services: {a: {image: i}}").contains("the project has no name"));
    let named = resolve_with(
        "services: {a: {image: i}}",
        &[("/x/.env", "COMPOSE_PROJECT_NAME=p")],
    );
    assert_eq!(named.unwrap().name, "p");
    assert!(problem("name: Not This\nservices: {a: {image: i}}").contains("not a stack name"));
}

#[test]
fn profiles_choose_services_and_what_they_use() {
    let text = "name: t\nservices:\n  a: {image: i}\n  b: {image: i, profiles: [extra], volumes: ['vv:/v']}\nvolumes: {vv: }\n";
    let plain = stack(text);
    assert_eq!((plain.services.len(), plain.volumes.len()), (1, 0));
    let files = BTreeMap::from([("/x/compose.yaml", text)]);
    let source = Source {
        file: "/x/compose.yaml".into(),
        env_file: None,
        profiles: ["extra".to_owned()].into(),
    };
    let all = resolve(&files, &source).unwrap();
    assert_eq!((all.services.len(), all.volumes.len()), (2, 1));
}

#[test]
fn profiles_stand_in_the_file_of_variables_when_none_are_given() {
    let text = "name: t\nservices:\n  a: {image: i}\n  b: {image: i, profiles: [extra]}\n  c: {image: i, profiles: [debug]}\n  d: {image: i, profiles: [other]}\n";
    let names = |profiles: &[&str], variables: &str| {
        let files = BTreeMap::from([("/x/compose.yaml", text), ("/x/.env", variables)]);
        let source = Source {
            file: "/x/compose.yaml".into(),
            env_file: None,
            profiles: profiles.iter().map(|one| (*one).to_owned()).collect(),
        };
        let stack = resolve(&files, &source).unwrap();
        let names = stack.services.into_iter().map(|service| service.name);
        names.collect::<String>()
    };
    assert_eq!(names(&[], "COMPOSE_PROFILES=extra,debug"), "abc");
    assert_eq!(names(&[], "COMPOSE_PROFILES='extra, other'"), "abd");
    assert_eq!(names(&[], "COMPOSE_PROFILES="), "a");
    assert_eq!(names(&[], "COMPOSE_PROFILES=*"), "abcd");
    assert_eq!(names(&["other"], "COMPOSE_PROFILES=extra,debug"), "ad");
}

#[test]
fn a_service_that_is_not_there_cannot_be_depended_on() {
    let message = problem(&service_with("depends_on: [b]"));
    assert!(message.starts_with("/x/compose.yaml:4:5: "), "{message}");
    assert!(
        message.contains("`services.a.depends_on`: names a service that the stack does not have"),
        "{message}"
    );
}

#[test]
fn a_problem_stands_at_its_own_service_though_another_name_begins_it() {
    let text = "name: t\nservices:\n  a: {image: i}\n  a-b:\n    image: i\n    depends_on: [c]\n";
    let message = problem(text);
    assert!(message.contains("services.a-b."), "{message}");
    assert!(message.starts_with("/x/compose.yaml:5:5: "), "{message}");
}

#[test]
fn sharing_a_namespace_is_depending() {
    let text = "name: t\nservices:\n  a: {image: i, network_mode: 'service:b'}\n  b: {image: i}\n";
    let stack = stack(text);
    assert_eq!(stack.services[0].depends_on[0].service, "b");
    assert_eq!(stack.networks.len(), 1);
}

#[test]
fn relative_binds_are_refused_with_the_reason() {
    for source in ["./data", "../x", "~/x", "/a/../etc"] {
        let message = problem(&service_with(&format!("volumes: ['{source}:/x']")));
        assert!(message.contains("is a relative path"), "{message}");
    }
    let service = service("volumes: ['/srv/x:/y/:ro']");
    assert_eq!(service.mounts[0].target, "/y");
    assert!(service.mounts[0].read_only);
}

#[test]
fn secrets_stand_in_variables_and_configs_only() {
    let text = "name: t\nservices:\n  a:\n    image: i\n    environment: {K: '{{ secret \"key\" }}'}\n    configs: [{source: c, target: /etc/c.yaml, mode: 0400}]\nconfigs:\n  c:\n    content: |\n      secret: {{ secret \"client\" | json }}\n";
    let service = stack(text).services.remove(0);
    assert_eq!(variables(&service), ["K=<key>"]);
    let file = &service.files[0];
    assert_eq!((file.path.as_str(), file.mode), ("/etc/c.yaml", 0o400));
    assert_eq!(file.content.as_ref().unwrap().segments.len(), 3);
    let message = problem(&service_with("command: ['--key={{ secret \"key\" }}']"));
    assert!(
        message.contains("a secret cannot stand in `command`"),
        "{message}"
    );
}

#[test]
fn numbers_that_yaml_would_rewrite_are_refused() {
    for value in ["1.10", "0777", "1_000", "2026-01-31", "0x1f"] {
        let message = problem(&service_with(&format!("environment: {{A: {value}}}")));
        assert!(
            message.contains("hint: put it in quotes"),
            "{value}: {message}"
        );
    }
    assert_eq!(
        variables(&service("environment: {A: 8080, B: true, C: -1}")),
        ["A=8080", "B=true", "C=-1"]
    );
}

#[test]
fn variables_may_give_numbers_and_booleans() {
    let service = service(
        "init: ${I:-true}\nhealthcheck: {test: x, retries: \"${R:-3}\", interval: \"${T:-10}s\"}",
    );
    assert_eq!(service.init, Some(true));
    let check = service.health_check.unwrap();
    assert_eq!((check.retries, check.interval_milliseconds), (3, 10_000));
}

#[test]
fn a_command_that_needs_a_shell_is_refused() {
    let message = problem(&service_with("command: a && b"));
    assert!(
        message.contains("`&` means something to a shell only"),
        "{message}"
    );
}

#[test]
fn a_missing_file_is_named() {
    let files: BTreeMap<&str, &str> = BTreeMap::new();
    let source = Source {
        file: "gone.yaml".into(),
        env_file: None,
        profiles: BTreeSet::new(),
    };
    let message = resolve(&files, &source).unwrap_err().to_string();
    assert!(
        message.starts_with("gone.yaml:1:1: cannot read the file"),
        "{message}"
    );
}
