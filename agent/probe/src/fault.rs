//! Why a step failed, on its way into the report.

use std::{error::Error, time::Duration};

use crate::report::FailureClass;

/// A class for code and a sentence for people; becomes [`crate::Outcome::Failed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) class: FailureClass,
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
        }
    }
}

/// An error and what caused it, joined by colons; a cause that its effect already quotes is left out.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}

/// A duration for people: whole seconds when it is some, else milliseconds.
pub(crate) fn span(duration: Duration) -> String {
    // Bounds are cut from a running clock: 1999.9 ms was meant as 2 s.
    let milliseconds = (duration + Duration::from_micros(999)).as_millis();
    if milliseconds >= 1000 && milliseconds.is_multiple_of(1000) {
        format!("{} s", milliseconds / 1000)
    } else {
        format!("{milliseconds} ms")
    }
}
