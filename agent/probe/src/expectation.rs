//! What the answer must say: a status and a body, or a whole OpenID Connect issuer.

use serde::Deserialize;
use tokio::time::Instant;

use crate::{
    exchange::{Answer, LARGEST_BODY},
    fault::Fault,
    fetch::{Route, fetch},
    report::{FailureClass, Outcome, Step},
    request::BodyExpectation,
    target::Target,
    trace::{Stopped, Trace},
};

/// What of a discovery document is looked at.
#[derive(Debug, Deserialize)]
pub(crate) struct Discovery {
    pub(crate) issuer: String,
    jwks_uri: String,
}

/// What of a key set is looked at: how many keys it has.
#[derive(Debug, Deserialize)]
struct Keys {
    keys: Vec<serde_json::Map<String, serde_json::Value>>,
}

/// The status code. A redirect is a fault of its own: the product is not where the URL says.
pub(crate) fn status(answer: &Answer, expected: u16) -> Result<(), Fault> {
    let found = answer.status.as_u16();
    if found == expected {
        return Ok(());
    }
    if answer.status.is_redirection() {
        let location = answer.location.as_deref().unwrap_or("nowhere");
        return Err(Fault::new(
            FailureClass::Redirected,
            format!("answered {found} to `{location}`; redirects are not followed"),
        ));
    }
    Err(Fault::new(
        FailureClass::StatusDiffers,
        format!("answered {found}, wanted {expected}"),
    ))
}

pub(crate) fn body(answer: &Answer, expected: &BodyExpectation) -> Result<(), Fault> {
    let met = match expected {
        BodyExpectation::Any => return Ok(()),
        BodyExpectation::Empty => answer.body.is_empty(),
        BodyExpectation::Contains { text } => {
            std::str::from_utf8(&answer.body).is_ok_and(|found| found.contains(text.as_str()))
        }
    };
    if met {
        return Ok(());
    }
    let wanted = match expected {
        BodyExpectation::Contains { text } => format!("text that contains `{text}`"),
        BodyExpectation::Any | BodyExpectation::Empty => "an empty body".to_owned(),
    };
    whole(answer)?;
    Err(Fault::new(
        FailureClass::BodyDiffers,
        format!("{} instead of {wanted}", describe(answer)),
    ))
}

/// The body as a discovery document, whoever's it is.
pub(crate) fn discovery(answer: &Answer) -> Result<Discovery, Fault> {
    whole(answer)?;
    serde_json::from_slice(&answer.body).map_err(|error| {
        Fault::new(
            FailureClass::DocumentMalformed,
            format!(
                "{} instead of a discovery document: {error}",
                describe(answer)
            ),
        )
    })
}

impl Discovery {
    /// Where the keys are, if the document is this issuer's own.
    pub(crate) fn keys_of(self, issuer: &str) -> Result<String, Fault> {
        if self.issuer == issuer {
            return Ok(self.jwks_uri);
        }
        Err(Fault::new(
            FailureClass::IssuerDiffers,
            format!("the issuer is `{}`, wanted `{issuer}`", self.issuer),
        ))
    }
}

/// Fetches the key set as one step: whatever goes wrong inside it is told in that step's words.
pub(crate) async fn keys(uri: &str, route: &Route<'_>, trace: &mut Trace) -> Result<(), Stopped> {
    let began = Instant::now();
    let mut inner = trace.inner(uri);
    let result = match Target::parse(uri) {
        Err(fault) => Err(fault),
        Ok(target) => match fetch(&target, route, &mut inner).await {
            Ok(answer) => status(&answer, 200).and_then(|()| key_count(&answer)),
            Err(Stopped) => Err(last_failure(&inner)),
        },
    };
    let result = result.map_err(|fault| {
        Fault::new(
            FailureClass::KeysMissing,
            format!("no signing keys at `{uri}`: {}", fault.message),
        )
    });
    trace.record(Step::Jwks, began, result)
}

fn key_count(answer: &Answer) -> Result<(), Fault> {
    whole(answer)?;
    let found: Keys = serde_json::from_slice(&answer.body).map_err(|error| {
        Fault::new(
            FailureClass::KeysMissing,
            format!("{} instead of a key set: {error}", describe(answer)),
        )
    })?;
    if found.keys.is_empty() {
        return Err(Fault::new(
            FailureClass::KeysMissing,
            "the key set is empty",
        ));
    }
    Ok(())
}

fn last_failure(trace: &Trace) -> Fault {
    match trace
        .report
        .steps
        .last()
        .map(|step| (step.step, &step.outcome))
    {
        Some((step, Outcome::Failed { class, message })) => {
            Fault::new(*class, format!("{step}: {message}"))
        }
        _ => Fault::new(FailureClass::KeysMissing, "it could not be fetched"),
    }
}

fn whole(answer: &Answer) -> Result<(), Fault> {
    if answer.cut {
        return Err(Fault::new(
            FailureClass::BodyTooLarge,
            format!("the body is larger than {} KiB", LARGEST_BODY / 1024),
        ));
    }
    Ok(())
}

/// What kind of body it is, for people: never its content, which may be anything.
fn describe(answer: &Answer) -> String {
    let size = answer.body.len();
    let begins_as_page = answer.body.trim_ascii_start().first() == Some(&b'<');
    if size == 0 {
        "an empty body".to_owned()
    } else if answer.says_html || begins_as_page {
        format!("an HTML page of {size} bytes")
    } else {
        format!("a body of {size} bytes")
    }
}
