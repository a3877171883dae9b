//! What is rendered, whole, and that the contract accepts it.

use std::collections::BTreeMap;
use std::path::Path;

use omni_scale_proto::stack::CheckedStack;
use omni_scale_proto::unit::CheckedUnit;
use serde_json::Value;

use super::*;
use crate::deployment::read;
use crate::plan::{DesiredIdentity, Wave};

const FULL: &str = include_str!("../deployment/fixtures/full.yaml");
const ROOTS: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

fn deployment(text: &str) -> Deployment {
    let files = BTreeMap::from([("roots.pem", ROOTS)]);
    read(&files, Path::new("deployment.yaml"), text).unwrap_or_else(|error| panic!("{error}"))
}

fn rendered(text: &str) -> Desired {
    let files: BTreeMap<&str, &str> = BTreeMap::new();
    render(&files, &deployment(text)).unwrap_or_else(|error| panic!("{error}"))
}

/// A full deployment without what is optional.
fn small() -> String {
    let mut text = FULL.to_owned();
    for (from, to) in [
        (
            "  control_url: http://10.77.0.2:9911\n  extra_roots: [roots.pem]\n",
            "\n",
        ),
        (
            "    auth_key: { secret: omni-auth-key }\n    extra_args: [--advertise-tags=tag:omni]\n    environment: { TS_DEBUG_MTU: \"1280\" }\n",
            "",
        ),
        (
            "  allow_unverified_email: true\n  eula: { name: Ada Example, email: ada@example.net }\n  machine_api:\n    certificate: { secret: machine-api-certificate }\n    key: { secret: machine-api-key }\n",
            "",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    text.split("provider:\n").next().unwrap().to_owned()
}

/// Without what is empty, so that a person can read it.
fn pruned(value: Value) -> Value {
    let empty = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_u64() == Some(0),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) => false,
    };
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, value)| (key, pruned(value)))
            .filter(|(_, value)| !empty(value))
            .collect(),
        Value::Array(items) => items.into_iter().map(pruned).collect(),
        other => other,
    }
}

fn stack_value(desired: &Desired) -> Value {
    pruned(serde_json::to_value(&desired.stack.stack).unwrap())
}

/// A file of a service, secrets shown by name.
fn file_text(desired: &Desired, service: &str, path: &str) -> String {
    use omni_scale_proto::v1::segment::Part;
    let service = desired
        .stack
        .stack
        .services
        .iter()
        .find(|one| one.name == service)
        .unwrap();
    let file = service.files.iter().find(|file| file.path == path).unwrap();
    file.content
        .iter()
        .flat_map(|text| &text.segments)
        .map(|segment| match &segment.part {
            Some(Part::Literal(text)) => text.clone(),
            Some(Part::Secret(secret)) => {
                format!("<{} as {}>", secret.name, secret.encoding().as_str_name())
            }
            None => panic!("an empty segment"),
        })
        .collect()
}

#[test]
fn the_full_stack_is_as_written_down() {
    insta::assert_json_snapshot!(stack_value(&rendered(FULL)));
}

#[test]
fn the_small_stack_is_as_written_down() {
    insta::assert_json_snapshot!(stack_value(&rendered(&small())));
}

#[test]
fn configuration_of_omni_is_as_written_down() {
    insta::assert_snapshot!(file_text(
        &rendered(FULL),
        "omni",
        "/etc/omni-scale/omni.yaml"
    ));
}

#[test]
fn a_small_configuration_of_omni_is_as_written_down() {
    insta::assert_snapshot!(file_text(
        &rendered(&small()),
        "omni",
        "/etc/omni-scale/omni.yaml"
    ));
}

#[test]
fn what_the_sidecar_serves_is_json_for_the_names_of_the_tailnet() {
    let text = file_text(
        &rendered(FULL),
        "omni-tailscale",
        "/etc/omni-scale/serve/serve.json",
    );
    let serve: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        serve["Web"]["${TS_CERT_DOMAIN}:443"]["Handlers"]["/"]["Proxy"],
        "http://127.0.0.1:8080"
    );
    assert_eq!(
        serve["Web"]["${TS_CERT_DOMAIN}:8100"]["Handlers"]["/"]["Proxy"],
        "http://127.0.0.1:8095"
    );
    assert_eq!(serve["TCP"]["443"]["HTTPS"], true);
}

#[test]
fn the_configuration_is_yaml_whatever_people_are_called() {
    let text = FULL.replace("name: Ada Example", "name: 'Ada: \"#\" {x}'");
    let text = file_text(&rendered(&text), "omni", "/etc/omni-scale/omni.yaml")
        .replace("<omni-client-id as SECRET_ENCODING_JSON_STRING>", "\"i\"")
        .replace(
            "<omni-client-secret as SECRET_ENCODING_JSON_STRING>",
            "\"s\"",
        );
    let tree = crate::document::parse("omni.yaml", &text).unwrap();
    let name = tree
        .get("eulaAccept")
        .and_then(|eula| eula.get("name"))
        .unwrap();
    let crate::document::Content::Scalar(scalar) = &name.content else {
        panic!()
    };
    assert_eq!(scalar.text, "Ada: \"#\" {x}");
}

#[test]
fn the_contract_accepts_the_stack_once_images_are_pinned() {
    for text in [FULL, &small()] {
        let mut stack = rendered(text).stack.stack;
        for service in &mut stack.services {
            service.image = format!("{}@sha256:{}", service.image, "0".repeat(64));
        }
        let stack = CheckedStack::try_from(stack).unwrap();
        let order: Vec<&str> = stack
            .start_order()
            .iter()
            .map(|service| service.name.as_str())
            .collect();
        assert_eq!(order[..2], ["omni-tailscale", "omni"]);
    }
}

#[test]
fn the_contract_accepts_the_unit() {
    let DesiredIdentity::Tsidp {
        configuration,
        dns_name,
        ..
    } = rendered(FULL).identity
    else {
        panic!()
    };
    assert_eq!(dns_name, "idp.tail.test");
    assert_eq!(configuration.issuer, "https://idp.tail.test");
    assert_eq!(
        configuration.arguments,
        ["-hostname", "idp", "-port", "443", "-enable-sts"]
    );
    assert_eq!(
        configuration.environment["TS_CONTROL_URL"],
        "http://10.77.0.2:9911"
    );
    CheckedUnit::try_from(configuration).unwrap();
}

#[test]
fn each_secret_is_needed_from_its_wave_on() {
    let desired = rendered(FULL);
    let secrets: Vec<String> = desired
        .secrets
        .iter()
        .map(|secret| {
            let once = if secret.one_time { ", once" } else { "" };
            format!(
                "{:?}: {} on {} ({}{once})",
                secret.wave,
                secret.name,
                secret.host,
                secret.usage.as_str_name()
            )
        })
        .collect();
    insta::assert_snapshot!(secrets.join("\n"));
    assert!(desired.secrets.is_sorted_by_key(|secret| secret.wave));
}

#[test]
fn an_external_issuer_is_only_an_address() {
    let before = FULL.split("identity:").next().unwrap();
    let after = FULL.split("\nomni:").nth(1).unwrap();
    let text = format!(
        "{before}identity:\n  oidc:\n    issuer: https://login.example.com/realms/x\n\nomni:{after}"
    );
    let desired = rendered(&text);
    assert_eq!(
        desired.identity,
        DesiredIdentity::External {
            issuer: "https://login.example.com/realms/x".to_owned()
        }
    );
    assert!(
        desired
            .secrets
            .iter()
            .all(|secret| secret.wave != Wave::Identity)
    );
    let configuration = file_text(&desired, "omni", "/etc/omni-scale/omni.yaml");
    assert!(configuration.contains("providerURL: \"https://login.example.com/realms/x\"\n"));
}

#[test]
fn ipv6_addresses_of_the_lan_are_bracketed() {
    let desired = rendered(&FULL.replace("192.168.1.20", "2001:db8::7"));
    let configuration = file_text(&desired, "omni", "/etc/omni-scale/omni.yaml");
    assert!(
        configuration.contains("advertisedEndpoint: \"[2001:db8::7]:50180\"\n"),
        "{configuration}"
    );
    let ports = &desired.stack.stack.services[0].ports;
    assert!(ports.iter().all(|port| port.host_address == "2001:db8::7"));
}

#[test]
fn the_ejected_stack_is_as_written_down() {
    let ejected = eject(&deployment(FULL)).unwrap();
    insta::assert_snapshot!("ejected_compose", ejected.compose);
    insta::assert_snapshot!("ejected_variables", ejected.variables);
}

#[test]
fn the_ejected_stack_is_the_built_in_one() {
    for text in [FULL, &small()] {
        let deployment = deployment(text);
        let ejected = eject(&deployment).unwrap();
        let files = BTreeMap::from([
            ("/x/compose.yaml", ejected.compose.as_str()),
            ("/x/.env", ejected.variables.as_str()),
        ]);
        let source = crate::compose::Source {
            file: "/x/compose.yaml".into(),
            env_file: None,
            profiles: std::collections::BTreeSet::new(),
        };
        let read =
            crate::compose::resolve(&files, &source).unwrap_or_else(|error| panic!("{error}"));
        let mut built_in = rendered(text).stack.stack;
        built_in.services.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(read, built_in);
    }
}

#[test]
fn a_stack_of_ones_own_cannot_be_ejected() {
    let text = include_str!("../deployment/fixtures/compose.yaml");
    assert_eq!(eject(&deployment(text)), None);
}

#[test]
fn a_stack_of_ones_own_is_rendered_with_its_parts_and_secrets() {
    let text = include_str!("../deployment/fixtures/compose.yaml");
    let compose = "name: own\nservices:\n  tailscale: {image: t}\n  omni:\n    image: o\n    network_mode: service:tailscale\n    environment: {K: '{{ secret \"k\" }}'}\n  provider: {image: p, profiles: [provider], environment: {P: '{{ secret \"p\" }}'}}\n";
    let files = BTreeMap::from([("stack/compose.yaml", compose), ("stack/omni.env", "")]);
    let desired = render(&files, &deployment(text)).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(desired.stack.stack.services.len(), 3);
    assert_eq!(desired.stack.sidecar.as_str(), "tailscale");
    let secrets: Vec<(Wave, &str)> = desired
        .secrets
        .iter()
        .map(|secret| (secret.wave, secret.name.as_str()))
        .collect();
    assert_eq!(secrets, [(Wave::Omni, "k"), (Wave::Provider, "p")]);
    let other = text.replace("omni: omni\n", "omni: omnia\n");
    let message = render(&files, &deployment(&other)).unwrap_err().to_string();
    assert!(
        message.contains("no service is named `omnia`, as `omni.stack.omni` says"),
        "{message}"
    );
}

#[test]
fn a_secret_is_needed_in_the_wave_of_its_service() {
    let text = include_str!("../deployment/fixtures/compose.yaml");
    let service = |name: &str, more: &str| {
        format!(
            "  {name}:\n    image: i\n    environment: {{K: '{{{{ secret \"{name}\" }}}}'}}\n{more}"
        )
    };
    let compose = [
        "name: own\nservices:\n".to_owned(),
        service("tunnel", ""),
        service("tailscale", "    depends_on: [tunnel]\n"),
        service("database", ""),
        service(
            "omni",
            "    network_mode: service:tailscale\n    depends_on: [database]\n",
        ),
        service("provider", "    depends_on: [omni]\n"),
        service("watcher", "    depends_on: [provider]\n"),
        service("other", ""),
    ]
    .concat();
    let files = BTreeMap::from([
        ("stack/compose.yaml", compose.as_str()),
        ("stack/omni.env", ""),
    ]);
    let desired = render(&files, &deployment(text)).unwrap_or_else(|error| panic!("{error}"));
    let waves: BTreeMap<&str, Wave> = desired
        .secrets
        .iter()
        .map(|secret| (secret.name.as_str(), secret.wave))
        .collect();
    let expected = BTreeMap::from([
        ("tunnel", Wave::Sidecar),
        ("tailscale", Wave::Sidecar),
        ("database", Wave::Omni),
        ("omni", Wave::Omni),
        ("other", Wave::Omni),
        ("provider", Wave::Provider),
        ("watcher", Wave::Provider),
    ]);
    assert_eq!(waves, expected);
}

#[test]
fn an_omni_outside_of_its_sidecars_namespace_is_refused_where_it_stands() {
    let text = include_str!("../deployment/fixtures/compose.yaml");
    let message = |mode: &str| {
        let compose = format!(
            "name: own\nservices:\n  tailscale: {{image: t}}\n  omni:\n    image: o\n{mode}  provider: {{image: p, profiles: [provider]}}\n"
        );
        let files = BTreeMap::from([
            ("stack/compose.yaml", compose.as_str()),
            ("stack/omni.env", ""),
        ]);
        render(&files, &deployment(text)).map_err(|problems| problems.to_string())
    };
    assert!(message("    network_mode: service:tailscale\n").is_ok());
    for (mode, place) in [
        ("    network_mode: bridge\n", "stack/compose.yaml:6:19: "),
        ("    networks: [default]\n", "stack/compose.yaml:6:15: "),
        (
            "    network_mode: service:provider\n",
            "stack/compose.yaml:6:19: ",
        ),
        ("", "stack/compose.yaml:5:5: "),
    ] {
        let message = message(mode).unwrap_err();
        assert!(message.starts_with(place), "{message}");
        assert!(message.contains("the network namespace of its sidecar `tailscale`"));
        assert!(message.contains("hint: write `network_mode: service:tailscale`"));
    }
}
