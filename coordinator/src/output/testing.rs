//! Streams that tests can look into.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use super::{Output, Surface};
use crate::arguments::Form;

/// One stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stream(Arc<Mutex<Vec<u8>>>);

impl Stream {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Both streams of an output.
#[derive(Debug, Clone, Default)]
pub(crate) struct Captured {
    pub(crate) output: Stream,
    pub(crate) errors: Stream,
}

impl Captured {
    /// An output for people, without colours or moving lines.
    pub(crate) fn output(&self) -> Output {
        let surface = Surface {
            form: Form::Human,
            color_output: false,
            color_errors: false,
            live: false,
            verbosity: 0,
        };
        let (output, errors) = (self.output.clone(), self.errors.clone());
        Output::new(surface, Box::new(output), Box::new(errors))
    }

    pub(crate) fn data(&self) -> String {
        self.output.text()
    }

    pub(crate) fn errors(&self) -> String {
        self.errors.text()
    }
}
