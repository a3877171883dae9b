//! The only place where an error becomes a gRPC status.

use tonic::{Code, Status};

use crate::error::{Classified, Kind, chain};

/// The status for an error: its kind as a code, and the whole chain of causes as the message.
pub fn status(error: &dyn Classified) -> Status {
    let mut text = error.to_string();
    if let Some(source) = error.source() {
        text.push_str(": ");
        text.push_str(&chain(source));
    }
    Status::new(code(error.kind()), text)
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
