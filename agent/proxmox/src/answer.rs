//! What an answer says: data, or why not.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    ApiToken, Asked, Complaint, Error, LostReply, MissingPrivilege, UnreadableAnswer,
    exchange::Answer,
};

/// Messages are cut here: they end up in logs and streams.
const LONGEST_MESSAGE: usize = 2000;

/// The `data` of a successful answer.
pub(crate) fn data(asked: Box<Asked>, answer: &Answer, token: &ApiToken) -> Result<Value, Error> {
    let text = |text: &str| clean(&token.masked(text));
    match answer.status {
        200..=299 => {
            let unreadable = |source| Error::Unreadable { asked, source };
            if answer.cut {
                return Err(unreadable(UnreadableAnswer::TooLong(answer.body.len())));
            }
            match serde_json::from_slice::<Value>(&answer.body) {
                Ok(Value::Object(mut object)) => match object.remove("data") {
                    Some(data) => Ok(data),
                    None => Err(unreadable(UnreadableAnswer::NoData)),
                },
                Ok(_) => Err(unreadable(UnreadableAnswer::NoData)),
                Err(error) => Err(unreadable(UnreadableAnswer::NotJson(error))),
            }
        }
        // 595 to 599 are those of Proxmox's proxy between nodes (AnyEvent::HTTP).
        status @ (502..=504 | 595..=599) => Err(Error::Lost {
            asked,
            source: LostReply::Gateway {
                status,
                reason: text(&answer.reason),
            },
        }),
        401 => Err(Error::Unauthorized {
            asked,
            reason: text(&answer.reason),
        }),
        403 => {
            let message = text(&Words::of(answer).message);
            Err(Error::Forbidden {
                missing: MissingPrivilege::read(&message),
                asked,
                message,
            })
        }
        status @ 400..=599 => {
            let words = Words::of(answer);
            // "Parameter verification failed." says less than what is said of each parameter.
            let complaint = [&words.message]
                .into_iter()
                .chain(words.parameters.values())
                .map(|words| Complaint::read(words))
                .find(|complaint| *complaint != Complaint::Other)
                .unwrap_or(Complaint::Other);
            let parameters = words
                .parameters
                .iter()
                .map(|(name, message)| (text(name), text(message)));
            Err(Error::Answered {
                asked,
                status,
                message: text(&words.message),
                parameters: parameters.collect(),
                complaint,
            })
        }
        status => Err(Error::Unreadable {
            asked,
            source: UnreadableAnswer::Status(status),
        }),
    }
}

/// `data` as the type that the call returns.
pub(crate) fn typed<T: DeserializeOwned>(asked: Box<Asked>, data: Value) -> Result<T, Error> {
    serde_json::from_value(data).map_err(|error| Error::Unreadable {
        asked,
        source: UnreadableAnswer::Form(error),
    })
}

/// What a refusal says.
struct Words {
    message: String,
    parameters: BTreeMap<String, String>,
}

impl Words {
    /// The body's `message` came with libpve-http-server-perl 5.2 (January 2025); before, and for 401, the words
    /// are in the reason phrase alone.
    fn of(answer: &Answer) -> Self {
        let body = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
        let in_body = body.get("message").and_then(Value::as_str).map(str::trim);
        let message = in_body
            .filter(|message| !message.is_empty())
            .unwrap_or(answer.reason.trim());
        let parameters = body
            .get("errors")
            .and_then(Value::as_object)
            .into_iter()
            .flatten();
        Self {
            message: message.to_owned(),
            parameters: parameters
                .map(|(name, message)| match message {
                    Value::String(message) => (name.clone(), message.trim().to_owned()),
                    other => (name.clone(), other.to_string()),
                })
                .collect(),
        }
    }
}

/// One line without control characters, not too long.
pub(crate) fn clean(text: &str) -> String {
    let text = text.trim();
    let plain = |character: char| {
        if character.is_control() {
            ' '
        } else {
            character
        }
    };
    text.chars().map(plain).take(LONGEST_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Class, Method};

    const SECRET: &str = "5f2c3a1e-0000-4000-8000-00000000beef";

    fn asked(method: Method, path: &str) -> Asked {
        Asked {
            method,
            path: path.to_owned(),
            address: "https://pve.lan".parse().unwrap(),
        }
    }

    fn judged(method: Method, status: u16, reason: &str, body: &str) -> Result<Value, Error> {
        let token = format!("omni@pve!scale={SECRET}").parse().unwrap();
        let answer = Answer {
            status,
            reason: reason.to_owned(),
            body: body.as_bytes().to_vec(),
            cut: false,
        };
        data(Box::new(asked(method, "/nodes/pve1/qemu")), &answer, &token)
    }

    fn error(method: Method, status: u16, reason: &str, body: &str) -> Error {
        judged(method, status, reason, body).unwrap_err()
    }

    #[test]
    fn data_is_taken_out_of_its_envelope() {
        assert_eq!(
            judged(Method::Get, 200, "OK", r#"{"data":"100","total":3}"#).unwrap(),
            "100"
        );
        assert_eq!(
            judged(Method::Get, 200, "OK", r#"{"data":null}"#).unwrap(),
            Value::Null
        );
        for body in ["", "[]", "{}", "<html>"] {
            let error = error(Method::Get, 200, "OK", body);
            assert!(matches!(error, Error::Unreadable { .. }), "{body}");
            assert_eq!(error.class(), Class::Permanent);
        }
    }

    #[test]
    fn success_that_cannot_be_read_leaves_a_mutation_unknown() {
        assert_eq!(
            error(Method::Post, 200, "OK", "<html>").class(),
            Class::Unknown
        );
        assert_eq!(
            error(Method::Post, 302, "Found", "").class(),
            Class::Unknown
        );
    }

    #[test]
    fn the_words_are_in_the_body_or_in_the_reason() {
        let taken = "unable to create VM 105 - VM 105 already exists on node 'pve2'";
        for (reason, body) in [
            (taken, r#"{"data":null}"#.to_owned()),
            (taken, String::new()),
            (
                "Internal Server Error",
                format!(r#"{{"data":null,"message":"{taken}\n"}}"#),
            ),
        ] {
            let error = error(Method::Post, 500, reason, &body);
            assert_eq!(error.complaint(), Some(&Complaint::AlreadyExists));
            assert_eq!(
                error.to_string(),
                format!("`POST /nodes/pve1/qemu` of pve.lan:8006 failed with 500: {taken}")
            );
            assert_eq!(error.class(), Class::Permanent);
        }
    }

    #[test]
    fn each_wrong_parameter_is_named() {
        let body = r#"{"data":null,"errors":{"cores":"type check ('integer') failed - got 'x'","vmid":"VM 105 already exists\n"}}"#;
        let error = error(Method::Get, 400, "Parameter verification failed.", body);
        assert_eq!(error.complaint(), Some(&Complaint::AlreadyExists));
        assert!(error.to_string().ends_with(
            "400: Parameter verification failed. (`cores`: type check ('integer') failed - got 'x'; `vmid`: VM 105 already exists)"
        ));
    }

    #[test]
    fn refusals_say_what_is_missing() {
        let refused = error(
            Method::Post,
            403,
            "Permission check failed (/sdn/zones/localnetwork/vmbr0, SDN.Use)",
            r#"{"data":null}"#,
        );
        assert_eq!(refused.class(), Class::Refused);
        let Error::Forbidden {
            missing: Some(missing),
            ..
        } = refused
        else {
            panic!("{refused}");
        };
        assert_eq!(
            missing.to_string(),
            "/sdn/zones/localnetwork/vmbr0: SDN.Use"
        );
        let unauthorized = error(Method::Get, 401, "Authentication failed!", "");
        assert_eq!(unauthorized.class(), Class::Refused);
        assert!(unauthorized.to_string().contains("Authentication failed!"));
    }

    #[test]
    fn a_lost_mutation_is_unknown_and_a_lost_reading_is_not() {
        for status in [502, 503, 504, 595, 596, 597, 598, 599] {
            assert_eq!(
                error(Method::Post, status, "No route to host", "").class(),
                Class::Unknown
            );
            assert_eq!(
                error(Method::Delete, status, "Broken pipe", "").class(),
                Class::Unknown
            );
            assert_eq!(
                error(Method::Get, status, "No route to host", "").class(),
                Class::Transient
            );
        }
    }

    #[test]
    fn a_create_whose_worker_did_not_start_has_written_its_stub() {
        let words = "got no worker upid - start worker failed";
        assert_eq!(error(Method::Post, 500, words, "").class(), Class::Unknown);
        let token = format!("omni@pve!scale={SECRET}").parse().unwrap();
        let answer = Answer {
            status: 500,
            reason: words.to_owned(),
            body: Vec::new(),
            cut: false,
        };
        let start = data(
            Box::new(asked(Method::Post, "/nodes/pve1/qemu/105/status/start")),
            &answer,
            &token,
        );
        assert_eq!(start.unwrap_err().class(), Class::Transient);
    }

    #[test]
    fn messages_are_one_line_and_hold_no_secret() {
        let body = format!("{{\"message\":\"a\\nb\\u001b[31m {SECRET}\"}}");
        let error = error(Method::Get, 500, "x", &body);
        assert!(error.to_string().ends_with("a b [31m ***"), "{error}");
    }
}
