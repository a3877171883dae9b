//! What each claim means, and what is shown of it.

use data_encoding::BASE64URL_NOPAD;
use omni_scale_noise::{Dice, damaged_json, damaged_text, hold_against};
use omni_scale_proto::v1::CheckStatus::{self, Failed, Passed, Unknown};
use serde_json::{Value, json};

use crate::client::apply::tests::ISSUER;
use crate::client::login::judge::{Wanted, judge};
use crate::client::login::token::{Claims, Verified, claims};
use crate::service::checks::Finding;

fn token(claims: &Value) -> String {
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    format!("{}.{}.c2ln", part(&json!({"alg": "RS256"})), part(claims))
}

/// The claims of a login that is in order.
fn good() -> Value {
    json!({
        "iss": ISSUER, "sub": "userid:7", "aud": ["client"], "nonce": "n",
        "email": "ada@example.net", "email_verified": true, "exp": 1,
    })
}

/// The same with one of them changed. `None`: it is not there.
fn with(claim: &str, value: Option<Value>) -> Value {
    let mut document = good();
    let claims = document.as_object_mut().unwrap();
    match value {
        Some(value) => claims.insert(claim.to_owned(), value),
        None => claims.remove(claim),
    };
    document
}

const ADA: [&str; 2] = ["bob@example.net", "Ada@Example.net"];
const GITHUB: &str = "ada@github.tsidp.tail.test";

fn judge_claims(claims: &Claims, emails: &[&str], unverified_accepted: bool) -> Finding {
    let emails: Vec<String> = emails.iter().map(|&email| email.to_owned()).collect();
    let wanted = Wanted {
        issuer: ISSUER,
        client_id: "client",
        nonce: "n",
        emails: &emails,
        unverified_accepted,
    };
    judge(claims, wanted)
}

fn judged(document: &Value, emails: &[&str], unverified_accepted: bool) -> Finding {
    let claims = claims(&token(document)).unwrap();
    judge_claims(&claims, emails, unverified_accepted)
}

#[track_caller]
fn expect(finding: &Finding, status: CheckStatus, summary: &str, hint: &str) {
    assert_eq!(finding.status, status, "{finding:?}");
    assert!(finding.summary.contains(summary), "{finding:?}");
    assert!(finding.hint.contains(hint), "{finding:?}");
    assert_eq!(finding.evidence.len(), 4, "{finding:?}");
}

#[test]
fn a_login_that_is_in_order_passes() {
    for audience in [
        json!("client"),
        json!(["client"]),
        json!(["x", "client", 7]),
    ] {
        let finding = judged(&with("aud", Some(audience)), &ADA, false);
        expect(
            &finding,
            Passed,
            "the issuer calls the user ada@example.net, as Omni needs it",
            "",
        );
    }
    for emails in [&ADA[..], &[]] {
        let finding = judged(
            &with("email", Some("ADA@example.NET".into())),
            emails,
            false,
        );
        expect(&finding, Passed, "ADA@example.NET", "");
    }
}

#[test]
fn a_token_of_another_issuer_client_or_login_is_refused() {
    let slash = json!(format!("{ISSUER}/"));
    let suffixed = json!("https://tsidp-1.tail.test");
    for issuer in [Some(suffixed), Some(slash), Some(json!(7)), None] {
        let finding = judged(&with("iss", issuer), &ADA, true);
        expect(&finding, Failed, "another issuer", "identity");
    }
    for audience in [
        Some(json!(["x"])),
        Some(json!("x")),
        Some(json!([])),
        Some(json!(7)),
        None,
    ] {
        let finding = judged(&with("aud", audience), &ADA, true);
        expect(
            &finding,
            Failed,
            "not for Omni's client `client`",
            "another client",
        );
    }
    for nonce in [Some(json!("m")), Some(json!("")), Some(json!(["n"])), None] {
        let finding = judged(&with("nonce", nonce), &ADA, true);
        expect(&finding, Failed, "nonce", "again");
    }
}

#[test]
fn an_address_must_be_there_and_be_called_verified_by_a_boolean() {
    for email in [Some(json!("")), Some(json!(" ")), Some(json!({})), None] {
        let finding = judged(&with("email", email), &ADA, true);
        expect(&finding, Failed, "no e-mail address", "scope `email`");
    }
    let table = [
        (None, "absent"),
        (Some(json!(false)), "is false"),
        (Some(json!("true")), "the text \"true\""),
        (Some(json!(1)), "no boolean"),
        (Some(json!(null)), "no boolean"),
    ];
    for (verified, said) in table {
        let document = with("email_verified", verified);
        let finding = judged(&document, &ADA, false);
        for way_out in [
            "{\"extraClaims\": {\"email_verified\": true}, \"includeInUserInfo\": true}",
            "tailscale.com/cap/tsidp",
            "v0.0.4",
            "`omni.allow_unverified_email: true`",
            "1.4.0",
        ] {
            expect(&finding, Failed, said, way_out);
        }
        expect(
            &judged(&document, &ADA, true),
            Passed,
            "as Omni needs it",
            "",
        );
    }
}

#[test]
fn an_address_that_tsidp_makes_up_is_one_to_write_down() {
    for email in [GITHUB, "ada@passkey.TSIDP.tail.test", "ada@github"] {
        let finding = judged(&with("email", Some(email.into())), &ADA, false);
        let summary = format!("tsidp calls this user {email}, and `omni.initial_users` names bob@");
        expect(&finding, Failed, &summary, &format!("write `{email}`"));
    }
    let document = with("email", Some(GITHUB.into()));
    expect(&judged(&document, &[GITHUB], false), Passed, GITHUB, "");
    // Whoever wrote this knows the form: it is another user.
    let bob = "bob@github.tsidp.tail.test";
    expect(
        &judged(&document, &[bob], false),
        Unknown,
        "proves nothing",
        "unproven",
    );
}

#[test]
fn the_login_of_another_user_proves_nothing() {
    for email in [
        "eve@example.net",
        "eve@nottsidp.tail.test",
        "no address",
        "@",
    ] {
        let finding = judged(&with("email", Some(email.into())), &ADA, false);
        let summary = "proves nothing about bob@example.net, Ada@Example.net";
        expect(&finding, Unknown, summary, "`--accept-unproven-identity`");
    }
}

#[test]
fn what_is_shown_of_a_token_is_four_short_lines() {
    let mut document = good();
    document["email"] = format!("a\n{}", "x".repeat(5000)).into();
    document["email_verified"] = "t\nrue".into();
    let finding = judged(&document, &ADA, false);
    assert_eq!(finding.evidence[0], format!("issuer: {ISSUER}"));
    assert_eq!(finding.evidence[1], "subject: userid:7");
    let lines = [finding.evidence, vec![finding.summary, finding.hint]].concat();
    for line in lines {
        assert!(line.len() < 700 && !line.contains('\n'), "{line}");
    }
}

#[test]
fn a_token_that_is_none_says_what_is_wrong_and_not_what_it_is() {
    for (text, reason) in [
        ("", "three parts"),
        ("secret", "three parts"),
        ("a.secret", "three parts"),
        ("a.secret.c.d", "three parts"),
        ("a.se cret.c", "Base64"),
        ("a.W10.c", "JSON object"),
        ("a.e30xx.c", "Base64"),
    ] {
        let said = claims(text).unwrap_err();
        assert!(
            said.contains(reason) && !said.contains("secret"),
            "{text}: {said}"
        );
    }
    // Padding is not of this form, and does no harm.
    assert_eq!(claims("a.e30=.c").unwrap().email_verified, Verified::Absent);
}

#[test]
fn noise_in_tokens_breaks_nothing() {
    let make = |dice: &mut Dice| {
        let token = token(&damaged_json(dice, &good()));
        if dice.once_in(3) {
            damaged_text(dice, &token, &["", ".", "=", "-", "_", "e30", "ü"])
        } else {
            token
        }
    };
    hold_against("ID tokens", make, |text| {
        let Ok(claims) = claims(text) else {
            return;
        };
        let finding = judge_claims(&claims, &ADA, false);
        if finding.status == Passed {
            assert_eq!(claims.email_verified, Verified::True);
            assert_eq!(claims.issuer.as_deref(), Some(ISSUER));
        }
    });
}
