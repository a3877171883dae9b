//! Whether an operation may begin: a pure decision by the ledger's book.

use omni_scale_proto::operation::{Operation, Target};
use omni_scale_proto::v1;

use super::error::OperationError;
use crate::ledger::{Book, Conclusion};

/// What is done with somebody who asks for an operation on a target on which nothing runs.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Admission {
    /// The work begins.
    Begin,
    /// It was done before: this is how it ended.
    Answer(v1::Outcome),
}

/// Decides by what was written down. The lease was checked already, and nothing runs on the target.
///
/// - An id that has succeeded is answered from the book, however old it is.
/// - The newest id, when it failed or nobody saw its end, runs again: the work looks at what is there first, and what
///   made it fail may have been put right.
/// - Any other id needs a generation above the target's.
pub(super) fn admit(
    book: &Book,
    operation: &Operation,
    target: &Target,
) -> Result<Admission, OperationError> {
    if let Some(known) = book.operation(target, &operation.id)
        && let Some(conclusion @ Conclusion::Succeeded { .. }) = &known.conclusion
    {
        let outcome = conclusion.outcome(&operation.id, known.started.generation);
        return Ok(Admission::Answer(v1::Outcome {
            replayed: true,
            ..outcome
        }));
    }
    let Some(newest) = book.newest(target) else {
        return Ok(Admission::Begin);
    };
    let current = newest.started.generation;
    if newest.started.operation == operation.id && current == operation.generation
        || operation.generation > current
    {
        return Ok(Admission::Begin);
    }
    Err(OperationError::StaleGeneration {
        target: target.clone(),
        asked: operation.generation,
        current,
        operation: newest.started.operation.clone(),
        whose: newest.started.whose.clone(),
    })
}
