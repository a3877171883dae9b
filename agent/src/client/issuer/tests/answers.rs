//! The readers, without a network.

use omni_scale_noise::{Dice, damaged_bytes, damaged_json, hold_against, noise};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::client::issuer::answer::{Asked, listing, one_line, registration, token};
use crate::client::issuer::transport::Reply;
use crate::client::issuer::{Attempt, IssuerError, ListedClient};

const ID: &str = "0123456789abcdef0123456789abcdef";
const SECRET: &str = "5ec2e7000000000000000000000000000000000000000000000000005ec2e700";

fn asked<'a>(secret: &'a [&'a str]) -> Asked<'a> {
    Asked {
        issuer: "https://tsidp.tail.test",
        attempt: Attempt::Exchange,
        secret,
    }
}

fn answered(status: u16, content: &str) -> Result<Zeroizing<Vec<u8>>, IssuerError> {
    asked(&[SECRET]).content(Reply {
        status,
        content: Ok(Zeroizing::new(content.as_bytes().to_vec())),
    })
}

#[test]
fn each_status_is_a_yes_a_no_or_nothing_known() {
    let kind = |status| match answered(status, "words") {
        Ok(_) => "yes",
        Err(IssuerError::Refused { .. }) => "refused",
        Err(IssuerError::NotThere { .. }) => "not there",
        Err(IssuerError::Rejected { .. }) => "rejected",
        Err(IssuerError::Unreachable { .. }) => "unreachable",
        Err(IssuerError::Unknown { .. }) => "unknown",
    };
    let kinds: [(&str, &[u16]); 5] = [
        ("yes", &[200, 201, 204, 299]),
        ("refused", &[401, 403]),
        ("not there", &[404]),
        ("rejected", &[400, 405, 409, 422, 499]),
        (
            "unknown",
            &[
                0, 100, 199, 301, 302, 308, 408, 425, 429, 500, 502, 503, 599, 65535,
            ],
        ),
    ];
    for (expected, statuses) in kinds {
        for status in statuses {
            assert_eq!(kind(*status), expected, "{status}");
        }
    }
}

#[test]
fn a_no_is_one_even_when_its_words_do_not_come() {
    let cut = |status| {
        asked(&[]).content(Reply {
            status,
            content: Err("it was cut off".to_owned()),
        })
    };
    assert!(matches!(cut(403), Err(IssuerError::Refused { .. })));
    assert!(matches!(cut(404), Err(IssuerError::NotThere { .. })));
    assert!(matches!(cut(200), Err(IssuerError::Unknown { .. })));
}

#[test]
fn an_issuers_words_are_one_short_line_without_what_was_secret() {
    let json =
        json!({"error": "invalid_client", "error_description": "client\nauthentication failed"});
    let text = answered(401, &json.to_string()).unwrap_err().to_string();
    let expected = "401, invalid_client: client authentication failed";
    assert!(text.ends_with(expected), "{text}");
    let echo = format!(
        "tsidp: invalid client secret: [{ID}]\r\n [{SECRET}] {}",
        "x".repeat(5000)
    );
    let text = answered(400, &echo).unwrap_err().to_string();
    assert!(text.contains("[secret]") && text.contains('…'), "{text}");
    assert!(
        !text.contains(SECRET) && !text.contains(char::is_control),
        "{text}"
    );
    assert!(text.chars().count() < 350, "{text}");
}

#[test]
fn a_line_is_bounded_by_characters_and_not_by_bytes() {
    assert_eq!(one_line("  a\t\u{0}b\n\nc "), "a b c");
    assert_eq!(one_line(" \n "), "");
    assert_eq!(one_line(&"ü".repeat(200)), "ü".repeat(200));
    assert_eq!(one_line(&"ü".repeat(201)), format!("{}…", "ü".repeat(200)));
}

#[test]
fn both_kinds_of_registrations_are_read() {
    let current = json!({
        "client_id": ID, "client_secret": SECRET, "client_name": "n",
        "redirect_uris": ["https://o/"], "token_endpoint_auth_method": "client_secret_post",
        "created_at": "2026-02-20T10:00:00Z", "redirect_uri": "", "new": {"of": ["later"]},
    });
    let older = json!({
        "client_id": ID, "client_secret": SECRET, "name": "n", "redirect_uri": "https://o/",
    });
    for document in [current, older] {
        let registered = registration(document.to_string().as_bytes()).unwrap();
        assert_eq!(registered.id, ID);
        assert_eq!(registered.secret.expose(), SECRET.as_bytes());
        assert!(!format!("{registered:?}").contains(SECRET));
    }
}

#[test]
fn a_registration_that_cannot_be_used_is_none_and_its_secret_stays_hidden() {
    let refused = [
        json!({"client_id": ID}),
        json!({"client_id": "", "client_secret": SECRET}),
        json!({"client_id": "../register", "client_secret": SECRET}),
        json!({"client_id": "x".repeat(600), "client_secret": SECRET}),
        json!({"client_id": ID, "client_secret": ""}),
        json!({"client_id": SECRET, "client_secret": SECRET}),
        json!({"client_id": ID, "client_secret": format!("{SECRET}\n")}),
        json!({"client_id": ID, "client_secret": "x".repeat(600)}),
        json!({"client_id": ID, "client_secret": [SECRET]}),
        json!({"client_id": {"is": SECRET}, "client_secret": SECRET}),
        json!(SECRET),
        json!([SECRET]),
        json!(null),
    ];
    for document in refused {
        let reason = registration(document.to_string().as_bytes()).unwrap_err();
        assert!(!reason.contains(&SECRET[..8]), "{reason}");
    }
}

#[test]
fn both_kinds_of_lists_are_read() {
    let current = json!([
        {"client_id": "a", "client_name": "n", "redirect_uris": ["https://o/", "https://p/"],
         "created_at": "2026-02-20T10:00:00Z", "redirect_uri": ""},
        {"client_id": "b", "redirect_uris": null, "redirect_uri": ""},
    ]);
    let older = json!([
        {"client_id": "a", "name": "n", "redirect_uri": "https://o/\n https://p/ \n\n"},
        {"client_id": "b", "redirect_uri": ""},
    ]);
    let expected = [
        ListedClient {
            id: "a".to_owned(),
            name: "n".to_owned(),
            redirect_uris: vec!["https://o/".to_owned(), "https://p/".to_owned()],
        },
        ListedClient {
            id: "b".to_owned(),
            name: String::new(),
            redirect_uris: Vec::new(),
        },
    ];
    for document in [current, older] {
        assert_eq!(listing(document.to_string().as_bytes()).unwrap(), expected);
    }
    for empty in ["[]", "null\n"] {
        assert_eq!(listing(empty.as_bytes()).unwrap(), []);
    }
}

#[test]
fn a_list_that_is_not_understood_is_not_an_empty_one() {
    for document in [
        "",
        "{}",
        "[",
        "[{}]",
        r#"[{"client_id": ""}]"#,
        r#"[{"id": "a"}]"#,
        r#"{"clients": []}"#,
        "<html>",
    ] {
        assert!(listing(document.as_bytes()).is_err(), "{document}");
    }
}

#[test]
fn a_token_is_taken_out_of_its_answer() {
    let document = json!({"id_token": "h.p.s", "access_token": "a", "expires_in": 300});
    let token = super::super::answer::token(document.to_string().as_bytes()).unwrap();
    assert_eq!(token.expose(), "h.p.s");
    assert!(!format!("{token:?}").contains("h.p.s"));
    for document in [
        "",
        "{}",
        r#"{"id_token": ""}"#,
        r#"{"id_token": 7}"#,
        "null",
    ] {
        assert!(
            super::super::answer::token(document.as_bytes()).is_err(),
            "{document}"
        );
    }
}

fn damaged(dice: &mut Dice, good: &Value) -> Vec<u8> {
    if dice.once_in(8) {
        return noise(dice).into_bytes();
    }
    let document = serde_json::to_vec(&damaged_json(dice, good)).unwrap();
    if dice.once_in(4) {
        damaged_bytes(dice, &document)
    } else {
        document
    }
}

#[test]
fn noise_in_answers_breaks_nothing_and_shows_no_secret() {
    let good = json!({
        "client_id": ID, "client_secret": SECRET, "client_name": "n", "redirect_uris": ["https://o/"],
    });
    hold_against(
        "answers to registrations",
        |dice| damaged(dice, &good),
        |document| {
            let reason = registration(document).err().unwrap_or_default();
            assert!(!reason.contains(&SECRET[..8]), "{reason}");
        },
    );
    let good = json!([
        {"client_id": ID, "client_name": "n", "redirect_uris": ["https://o/"], "redirect_uri": ""},
        {"client_id": "b", "name": "n", "redirect_uri": "https://o/\nhttps://p/"},
    ]);
    hold_against(
        "lists of clients",
        |dice| damaged(dice, &good),
        |document| {
            let listed = listing(document).unwrap_or_default();
            assert!(listed.iter().all(|client| !client.id.is_empty()));
        },
    );
    let good = json!({"id_token": "h.p.s", "token_type": "Bearer", "expires_in": 300});
    hold_against(
        "answers of token endpoints",
        |dice| damaged(dice, &good),
        |document| {
            let _ = token(document);
        },
    );
    let good = json!({"error": "invalid_client", "error_description": format!("is {SECRET}")});
    hold_against(
        "errors of issuers",
        |dice| damaged(dice, &good),
        |document| {
            let reply = Reply {
                status: 400,
                content: Ok(Zeroizing::new(document.clone())),
            };
            let text = asked(&[SECRET]).content(reply).unwrap_err().to_string();
            assert!(!text.contains(SECRET) && !text.contains('\n'), "{text}");
        },
    );
}
