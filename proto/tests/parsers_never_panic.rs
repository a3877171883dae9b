//! The contract's own checks, given what nobody would send: `OMNI_SCALE_FUZZ_INPUTS` says how much.

use omni_scale_noise::{
    Dice, damaged_bytes, damaged_json, damaged_text, hold_against, noise, thrown,
};
use omni_scale_proto::difference::{replaced_volumes, stack_difference, unlike_networks};
use omni_scale_proto::enrollment::EnrollmentToken;
use omni_scale_proto::id::{
    DeploymentId, HostName, OperationId, OperatorName, SecretName, ServiceName, Sha256, StackName,
};
use omni_scale_proto::operation::{Operation, Target};
use omni_scale_proto::role::{HostRole, OperatorIdentity};
use omni_scale_proto::stack::{CheckedStack, image_digest, secrets_of, service_digest};
use omni_scale_proto::unit::{CheckedUnit, unit_difference, unit_digest};
use omni_scale_proto::v1;
use prost::Message as _;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A stack with something of everything.
fn stack() -> Value {
    serde_json::from_str(include_str!("samples/stack.json")).expect("it is JSON")
}

/// That stack, as an agent observes it.
fn observation() -> Value {
    serde_json::from_str(include_str!("samples/observation.json")).expect("it is JSON")
}

fn unit() -> Value {
    serde_json::json!({
        "artifact": {"sha256": "a".repeat(64), "url": "https://example.net/tsidp"},
        "arguments": ["-hostname", "tsidp", "-port=443"],
        "environment": {"TS_DEBUG": "1", "HTTPS_PROXY": "http://proxy:3128"},
        "auth_key_secret": "tsidp-auth-key",
        "issuer": "https://tsidp.tail.test",
        "extra_roots_pem": "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n",
    })
}

fn unit_observation() -> Value {
    serde_json::json!({
        "known": true, "load_state": "loaded", "active_state": "active", "sub_state": "running",
        "result": "success", "artifact_sha256": "a".repeat(64), "applied": unit(),
        "verification": {"status": 2, "summary": "answers"}, "node_known": true,
    })
}

/// A damaged message, when it still is one.
fn message<T: DeserializeOwned>(dice: &mut Dice, sample: &Value) -> Option<T> {
    serde_json::from_value(damaged_json(dice, sample)).ok()
}

/// What is done with a stack that was let in.
fn use_stack(stack: v1::Stack, observed: &v1::StackObservation) {
    let Ok(stack) = CheckedStack::try_from(stack) else {
        return;
    };
    for service in stack.start_order() {
        assert!(image_digest(&service.image).is_some());
        let _ = (service_digest(service), secrets_of(service));
        let _ = (
            stack.sharers_of(&service.name),
            replaced_volumes(&stack, service, observed),
        );
    }
    let _ = unlike_networks(&stack, observed);
    if let Ok(changes) = stack_difference(&stack, &[], observed) {
        assert_eq!(changes.len(), stack.as_wire().services.len());
    }
}

#[test]
fn noise_in_a_stack() {
    let (stack, observed) = (stack(), observation());
    let make = |dice: &mut Dice| {
        let observed = if dice.once_in(2) {
            message::<v1::StackObservation>(dice, &observed)
        } else {
            serde_json::from_value(observed.clone()).ok()
        };
        (
            message::<v1::Stack>(dice, &stack),
            observed.unwrap_or_default(),
        )
    };
    hold_against("stacks", make, |(stack, observed)| {
        if let Some(stack) = stack {
            use_stack(stack.clone(), observed);
        }
    });
}

#[test]
fn noise_in_the_bytes_of_a_stack() {
    let stack: v1::Stack = serde_json::from_value(stack()).unwrap();
    let observed: v1::StackObservation = serde_json::from_value(observation()).unwrap();
    let bytes = stack.encode_to_vec();
    hold_against(
        "stacks as bytes",
        |dice| damaged_bytes(dice, &bytes),
        |bytes| {
            if let Ok(stack) = v1::Stack::decode(bytes.as_slice()) {
                use_stack(stack, &observed);
            }
        },
    );
}

#[test]
fn noise_in_a_unit() {
    let (unit, observed) = (unit(), unit_observation());
    let make = |dice: &mut Dice| {
        (
            message::<v1::UnitConfiguration>(dice, &unit),
            message::<v1::UnitObservation>(dice, &observed).unwrap_or_default(),
        )
    };
    hold_against("units", make, |(unit, observed)| {
        if let Some(unit) = unit
            .clone()
            .and_then(|unit| CheckedUnit::try_from(unit).ok())
        {
            let _ = (unit_digest(&unit), unit_difference(&unit, observed));
        }
    });
}

#[test]
fn noise_in_an_operation() {
    let sample = serde_json::json!({
        "operation_id": "0123456789abcdef".repeat(4),
        "deployment_id": "7f2c6a54-9f0e-4c1e-8f61-0a2d9f1f8a11",
        "generation": 1, "lease_epoch": 1, "deadline_seconds": 30,
    });
    hold_against(
        "operations",
        |dice| message::<v1::Operation>(dice, &sample),
        |operation| {
            if let Ok(read) = Operation::try_from(operation.clone()) {
                assert_eq!(Some(v1::Operation::from(read)), *operation);
            }
        },
    );
}

#[test]
fn noise_in_an_enrolment_token() {
    const TOKEN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.\
                         abcdefghijklmnopqrstuvwxyz234567";
    let pieces = [
        "", " ", ".", "\n", "=", "0", "a", "A", "1", "8", "ü", "\u{0}",
    ];
    assert!(TOKEN.parse::<EnrollmentToken>().is_ok());
    hold_against(
        "enrolment tokens",
        |dice| {
            if dice.once_in(8) {
                noise(dice)
            } else {
                damaged_text(dice, TOKEN, &pieces)
            }
        },
        |text| match text.parse::<EnrollmentToken>() {
            Ok(token) => assert_eq!(token.reveal().as_str(), text.trim().to_lowercase()),
            // The text may be a secret that was typed wrongly.
            Err(error) => assert!(text.len() < 12 || !error.to_string().contains(text.as_str())),
        },
    );
}

#[test]
fn noise_as_names() {
    let fragments = [
        "a",
        "Z",
        "0",
        "-",
        "_",
        ".",
        "@",
        ":",
        "/",
        "unit/tsidp",
        "stack/",
        "secret/",
        "urn:omni-scale:operator:",
        "admin",
        "sha256",
        "0123456789abcdef",
        "ü",
        " ",
        "\n",
        "7f2c6a54-9f0e-4c1e-8f61-0a2d9f1f8a11",
    ];
    let make = |dice: &mut Dice| {
        if dice.once_in(4) {
            noise(dice)
        } else {
            thrown(dice, &fragments)
        }
    };
    hold_against("names", make, |text| {
        macro_rules! same_again {
            ($($kind:ty),*) => {$(
                if let Ok(read) = text.parse::<$kind>() {
                    assert_eq!(read.to_string(), *text, stringify!($kind));
                }
            )*};
        }
        same_again!(
            HostName,
            ServiceName,
            StackName,
            SecretName,
            OperatorName,
            OperationId,
            Sha256
        );
        same_again!(Target, HostRole);
        let _ = text.parse::<DeploymentId>();
        if let Ok(identity) = OperatorIdentity::from_uri(text) {
            assert_eq!(identity.to_uri(), *text);
        }
    });
}

#[test]
fn the_samples_are_good() {
    let stack: v1::Stack = serde_json::from_value(stack()).unwrap();
    let observed: v1::StackObservation = serde_json::from_value(observation()).unwrap();
    assert_eq!(observed.services.len(), 2);
    CheckedStack::try_from(stack).unwrap();
    let unit: v1::UnitConfiguration = serde_json::from_value(unit()).unwrap();
    CheckedUnit::try_from(unit).unwrap();
}
