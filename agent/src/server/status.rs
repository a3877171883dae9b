//! The only place where an error becomes a gRPC status.

use omni_scale_proto::lease;
use omni_scale_proto::v1::FailureClass;
use tonic::{Code, Status};

use crate::error::{Classified, Kind, chain};
use crate::operation::Failure;

/// The status for an error: its kind as a code, and the whole chain of causes as the message. That
/// the caller's lease is over stands in the details, where programs find it.
pub fn status(error: &dyn Classified) -> Status {
    let mut text = error.to_string();
    if let Some(source) = error.source() {
        text.push_str(": ");
        text.push_str(&chain(source));
    }
    let code = code(error.kind());
    match error.lease_lost() {
        Some(lost) => {
            let details = lease::to_details(code.into(), &text, &lost);
            Status::with_details(code, text, details.into())
        }
        None => Status::new(code, text),
    }
}

/// The status for work that failed outside of an operation, with its hint.
pub fn failure_status(failure: &Failure) -> Status {
    let code = match failure.class {
        FailureClass::Transient => Code::Unavailable,
        FailureClass::Refused => Code::PermissionDenied,
        FailureClass::Permanent => Code::FailedPrecondition,
        FailureClass::Bug | FailureClass::Unspecified => Code::Internal,
    };
    match &failure.hint {
        Some(hint) => Status::new(code, format!("{}\nhint: {hint}", failure.message)),
        None => Status::new(code, failure.message.clone()),
    }
}

const fn code(kind: Kind) -> Code {
    match kind {
        Kind::Invalid => Code::InvalidArgument,
        Kind::Forbidden => Code::PermissionDenied,
        Kind::Stale => Code::FailedPrecondition,
        Kind::NotFound => Code::NotFound,
        Kind::Busy => Code::Aborted,
        Kind::Exhausted => Code::ResourceExhausted,
        Kind::OutOfRange => Code::OutOfRange,
        Kind::Unavailable => Code::Unavailable,
        Kind::Unsupported => Code::Unimplemented,
        Kind::Damaged => Code::DataLoss,
        Kind::Fault => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open the ledger")]
    struct Example(#[source] std::io::Error);

    impl Classified for Example {
        fn kind(&self) -> Kind {
            Kind::Damaged
        }
    }

    #[test]
    fn a_status_tells_the_whole_chain() {
        let status = status(&Example(std::io::Error::other("checksum")));
        assert_eq!(
            (status.code(), status.message()),
            (Code::DataLoss, "cannot open the ledger: checksum")
        );
    }
}
