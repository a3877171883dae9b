//! What comes back: an answer with Proxmox VE's status, reason phrase and body, or a connection that just ends.

use serde_json::{Value, json};

use crate::refusal::Refusal;

/// How a request ends, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Milliseconds of virtual time until the client sees it.
    pub after: u64,
    /// What the client sees.
    pub reply: Reply,
}

/// What the client sees.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// An answer.
    Answer(Answer),
    /// The connection ends without one; whether there was an effect is for the client to find out.
    Cut,
}

/// An HTTP answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The status; 595 to 599 are those of pveproxy's own HTTP client.
    pub status: u16,
    /// The reason phrase: one line, and on old versions the only place of the message.
    pub reason: String,
    /// The body; absent for 401.
    pub body: Option<Value>,
}

impl Answer {
    /// Every status from 400 closes the connection (pve-http-server `AnyEvent.pm`:322).
    pub const fn closes(&self) -> bool {
        self.status >= 400
    }

    /// The `data` of the body, null without one.
    pub fn data(&self) -> &Value {
        self.body
            .as_ref()
            .map_or(&Value::Null, |body| &body["data"])
    }
}

/// What a handler gives back when it does not refuse.
#[derive(Clone, Debug, Default)]
pub(crate) struct Success {
    pub(crate) data: Value,
    pub(crate) total: Option<usize>,
    pub(crate) after: u64,
}

impl Success {
    pub(crate) fn new(data: impl Into<Value>) -> Self {
        Self {
            data: data.into(),
            total: None,
            after: 0,
        }
    }
}

pub(crate) type Handled = Result<Success, Refusal>;

/// The answer to a handled request. `reason_only` keeps the message out of the body, as before
/// libpve-http-server-perl 5.2.0.
pub(crate) fn render(handled: &Handled, reason_only: bool) -> Answer {
    let refusal = match handled {
        Ok(success) => {
            let mut body = json!({ "data": success.data });
            if let Some(total) = success.total {
                body["total"] = json!(total);
            }
            return Answer {
                status: 200,
                reason: "OK".to_owned(),
                body: Some(body),
            };
        }
        Err(refusal) => refusal,
    };
    let text = refusal.text();
    let reason: String = text.lines().next().unwrap_or_default().to_owned();
    let mut body = json!({ "data": null });
    if let Refusal::Parameters(errors) = refusal {
        body["errors"] = json!(errors);
    }
    if !reason_only {
        body["message"] = json!(format!("{text}\n"));
    }
    let body = match refusal {
        Refusal::Unauthorized(_) | Refusal::Raw { .. } => None,
        _ => Some(body),
    };
    Answer {
        status: refusal.status(),
        reason,
        body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// facts §1.2: the message is in the body only since libpve-http-server-perl 5.2.0.
    #[test]
    fn the_message_is_in_the_reason_and_only_on_new_versions_in_the_body() {
        let died = Err(Refusal::died("VM is locked (create)"));
        let new = render(&died, false);
        assert_eq!(
            (new.status, new.reason.as_str()),
            (500, "VM is locked (create)")
        );
        assert_eq!(
            new.body,
            Some(json!({"data": null, "message": "VM is locked (create)\n"}))
        );
        assert_eq!(render(&died, true).body, Some(json!({"data": null})));
    }

    /// facts §1.2: 401 has an empty body and its reason says why.
    #[test]
    fn a_401_has_no_body() {
        let answer = render(&Err(Refusal::Unauthorized("No ticket".to_owned())), false);
        assert_eq!(
            (answer.status, answer.reason.as_str(), answer.body.is_none()),
            (401, "No ticket", true)
        );
        assert!(answer.closes());
    }

    #[test]
    fn a_400_names_each_parameter() {
        let answer = render(
            &Err(Refusal::parameter("vmid", "VM 100 already exists")),
            true,
        );
        assert_eq!(
            answer.body,
            Some(json!({"data": null, "errors": {"vmid": "VM 100 already exists"}}))
        );
        assert_eq!(answer.reason, "Parameter verification failed.");
    }
}
