//! A probe from beginning to end, and several side by side.

use std::time::Duration;

use tokio::{task::JoinSet, time::Instant};

use crate::{
    expectation,
    fault::Fault,
    fetch::{Route, fetch},
    report::{FailureClass, ProbeReport, Step},
    request::{
        BodyExpectation, DISCOVERY_PATH, Expectation, LONGEST_TIMEOUT_MILLISECONDS, ProbeRequest,
        Resolver,
    },
    target::Target,
    trace::{Stopped, Trace},
    trust::Trust,
};

/// Takes every step of one probe and says what it found. Ends within the request's timeout.
///
/// A request that makes no sense is reported as a failure of [`Step::Request`].
pub async fn probe(request: &ProbeRequest) -> ProbeReport {
    let patience = request
        .timeout_milliseconds
        .clamp(1, LONGEST_TIMEOUT_MILLISECONDS);
    let mut trace = Trace::begin(&request.url, Duration::from_millis(patience.into()));
    let result = steps(request, &mut trace).await;
    trace.end(result)
}

/// Takes several probes side by side; the reports are in the order of the requests.
pub async fn probe_all(requests: &[ProbeRequest]) -> Vec<ProbeReport> {
    let mut running = JoinSet::new();
    for (index, request) in requests.iter().cloned().enumerate() {
        running.spawn(async move { (index, probe(&request).await) });
    }
    let mut reports = Vec::with_capacity(requests.len());
    while let Some(finished) = running.join_next().await {
        // A task is neither cancelled here, nor does a probe panic.
        reports.extend(finished);
    }
    reports.sort_by_key(|(index, _)| *index);
    reports.into_iter().map(|(_, report)| report).collect()
}

async fn steps(request: &ProbeRequest, trace: &mut Trace) -> Result<(), Stopped> {
    let (target, route) = match prepare(request) {
        Ok(prepared) => prepared,
        Err(fault) => return trace.record(Step::Request, Instant::now(), Err(fault)),
    };
    let answer = fetch(&target, &route, trace).await?;
    match &request.expect {
        Expectation::Status { code, body } => {
            trace.judge(expectation::status(&answer, *code))?;
            if *body == BodyExpectation::Any {
                return Ok(());
            }
            trace.record(
                Step::Document,
                Instant::now(),
                expectation::body(&answer, body),
            )
        }
        Expectation::Discovery { issuer } => {
            trace.judge(expectation::status(&answer, 200))?;
            let began = Instant::now();
            let document = expectation::discovery(&answer);
            trace.report.issuer = document.as_ref().ok().map(|found| found.issuer.clone());
            let keys_uri = document.and_then(|found| found.keys_of(issuer));
            let keys_uri = trace.record(Step::Document, began, keys_uri)?;
            expectation::keys(&keys_uri, &route, trace).await
        }
    }
}

/// Everything that can be wrong with a request, before anything is tried.
fn prepare(request: &ProbeRequest) -> Result<(Target, Route<'_>), Fault> {
    let bad = |message: String| Err(Fault::new(FailureClass::BadRequest, message));
    let target = Target::parse(&request.url)?;
    if !(1..=LONGEST_TIMEOUT_MILLISECONDS).contains(&request.timeout_milliseconds) {
        return bad(format!(
            "a timeout of {} ms is not between 1 and {LONGEST_TIMEOUT_MILLISECONDS} ms",
            request.timeout_milliseconds
        ));
    }
    match &request.expect {
        Expectation::Discovery { issuer } if request.url != format!("{issuer}{DISCOVERY_PATH}") => {
            return bad(format!(
                "the URL of issuer `{issuer}` must be the issuer and `{DISCOVERY_PATH}`"
            ));
        }
        Expectation::Status { code, .. } if !(100..=599).contains(code) => {
            return bad(format!("{code} is not an HTTP status code"));
        }
        Expectation::Status {
            body: BodyExpectation::Contains { text },
            ..
        } if text.is_empty() => return bad("the text to look for is empty".to_owned()),
        Expectation::Discovery { .. } | Expectation::Status { .. } => {}
    }
    match &request.resolver {
        Resolver::Fixed { addresses } if addresses.is_empty() => {
            return bad("no address is given".to_owned());
        }
        Resolver::Nameservers { addresses } if addresses.is_empty() => {
            return bad("no nameserver is given".to_owned());
        }
        _ => {}
    }
    // Roots that are given are always read, so that a mistake in them shows at once; a key set may be on `https`.
    let trust = if target.secure || !request.roots_pem.is_empty() {
        Some(Trust::new(&request.roots_pem)?)
    } else {
        None
    };
    let route = Route {
        resolver: &request.resolver,
        trust,
    };
    Ok((target, route))
}

/// Whether the request makes sense; the reason if not.
pub(crate) fn check(request: &ProbeRequest) -> Result<(), Fault> {
    prepare(request).map(|_| ())
}
