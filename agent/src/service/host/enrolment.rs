//! The streams by which this agent gets and changes its certificate, and the list of those it refuses.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use omni_scale_proto::v1;
use omni_scale_proto::v1::{
    enroll_request, enroll_response, renew_certificate_request, renew_certificate_response,
};
use rustls_pki_types::UnixTime;
use tonic::{Request, Status, Streaming};

use super::{Answers, Host};
use crate::enrollment::EnrollmentError;
use crate::error::Classified;
use crate::identity::{DenyList, IdentityError, Offer};
use crate::server::identity::Caller;
use crate::server::status::status;

/// How long the other side may take for its next message. Between the two messages of an enrolment a person types the
/// passphrase of the authority's key.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long a caller whom nobody knows yet may take for the first message.
const IMPATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn enroll(
    host: &Arc<Host>,
    request: Request<Streaming<v1::EnrollRequest>>,
) -> Result<Answers<v1::EnrollResponse>, Status> {
    let Some(Caller::Enrolling {
        shown_certificate, ..
    }) = request.extensions().get::<Caller>().cloned()
    else {
        return Err(Status::permission_denied(
            "enrolment is for callers without a certificate",
        ));
    };
    let mut requests = request.into_inner();
    let first = next(&mut requests, IMPATIENCE)
        .await?
        .and_then(|first| first.message);
    let Some(enroll_request::Message::Proof(proof)) = first else {
        return Err(status(&EnrollmentError::Order {
            expected: "the proof",
        }));
    };
    let enrollment = host.enrollment.clone();
    let (answer, session) = blocking(move || enrollment.begin(&proof, &shown_certificate)).await?;
    let done = async move {
        let second = next(&mut requests, PATIENCE)
            .await?
            .and_then(|second| second.message);
        let Some(enroll_request::Message::Certificate(certificate)) = second else {
            return Err(status(&EnrollmentError::Order {
                expected: "the certificate",
            }));
        };
        blocking(move || session.finish(certificate)).await?;
        Ok(enroll_response::Message::Done(v1::EnrollDone {}))
    };
    Ok(two(
        enroll_response::Message::Answer(answer),
        done,
        |message| v1::EnrollResponse {
            message: Some(message),
        },
    ))
}

pub(super) async fn renew(
    host: &Arc<Host>,
    mut requests: Streaming<v1::RenewCertificateRequest>,
) -> Result<Answers<v1::RenewCertificateResponse>, Status> {
    use renew_certificate_request::Message as Asked;
    use renew_certificate_response::Message as Answered;

    let first = next(&mut requests, IMPATIENCE)
        .await?
        .and_then(|first| first.message);
    let Some(Asked::Start(_)) = first else {
        return Err(status(&EnrollmentError::Order {
            expected: "the start",
        }));
    };
    let identities = host.identities.clone();
    let pending = blocking(move || identities.prepare()).await?;
    let answer = Answered::CertificateSigningRequest(pending.signing_request.clone());
    let identities = host.identities.clone();
    let done = async move {
        let second = next(&mut requests, PATIENCE)
            .await?
            .and_then(|second| second.message);
        let Some(Asked::Certificate(certificate)) = second else {
            return Err(status(&EnrollmentError::Order {
                expected: "the certificate",
            }));
        };
        blocking(move || -> Result<(), IdentityError> {
            let offer = Offer::try_from(certificate)?;
            identities.renew(&pending, &offer, UnixTime::now())
        })
        .await?;
        Ok(Answered::Done(v1::EnrollDone {}))
    };
    Ok(two(answer, done, |message| v1::RenewCertificateResponse {
        message: Some(message),
    }))
}

pub(super) async fn put_deny_list(
    host: &Arc<Host>,
    request: v1::PutDenyListRequest,
) -> Result<v1::PutDenyListResponse, Status> {
    let list = DenyList::checked(request.version, &request.serials)
        .map_err(|rule| status(&IdentityError::DenyList { rule }))?;
    let identities = host.identities.clone();
    blocking(move || identities.put_deny_list(&list)).await?;
    Ok(v1::PutDenyListResponse {})
}

/// An answer that is there, and one that is to come.
fn two<Part, Answer>(
    first: Part,
    second: impl Future<Output = Result<Part, Status>> + Send + 'static,
    answer: impl Fn(Part) -> Answer + Send + 'static,
) -> Answers<Answer>
where
    Part: Send + 'static,
    Answer: Send + 'static,
{
    use futures_util::StreamExt as _;

    let parts = stream::iter([Ok(first)]).chain(stream::once(second));
    Box::pin(parts.map(move |part| part.map(&answer)))
}

async fn next<Message>(
    requests: &mut Streaming<Message>,
    patience: Duration,
) -> Result<Option<Message>, Status> {
    match tokio::time::timeout(patience, requests.message()).await {
        Ok(message) => message,
        Err(_) => Err(Status::deadline_exceeded(format!(
            "no message came within {} s",
            patience.as_secs()
        ))),
    }
}

/// Runs what waits for the disk where it may.
async fn blocking<Answer, Error>(
    work: impl FnOnce() -> Result<Answer, Error> + Send + 'static,
) -> Result<Answer, Status>
where
    Answer: Send + 'static,
    Error: Classified + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(worked) => worked.map_err(|error| status(&error)),
        Err(error) => Err(Status::internal(error.to_string())),
    }
}
