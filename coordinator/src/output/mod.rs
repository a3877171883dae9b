//! What people and programs see. Everything that is printed goes through [`Output`].
//!
//! Standard output carries data: what was asked for, in a human or a JSON form. Standard error
//! carries everything else: progress, warnings, errors, questions. Whether there are colours and
//! moving lines is decided once, by [`Surface::decide`]; nothing else looks at terminals.
//!
//! JSON forms are objects with `version` (see [`JSON_VERSION`]) and one more key, on one line.
//! Fields may be added; none changes its meaning without a new version.

mod activity;
mod explanation;
mod foreign;
mod format;
mod logging;
mod rollout;
mod style;
mod table;

#[cfg(test)]
pub(crate) mod testing;

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::MultiProgress;
use serde_json::Value;

pub use activity::Activity;
pub use explanation::{Explanation, Stop};
pub use foreign::harmless;
pub use format::{age, date, span};
pub use logging::start_logging;
pub use rollout::{RolloutDisplay, explain, result_json};
pub use style::Style;
pub use table::{Cell, Table};

use foreign::{escaped_json, with_our_colors};

use crate::arguments::{ColorChoice, Form};
use crate::config::Environment;
use crate::exit::Exit;

/// The version of all JSON forms.
pub const JSON_VERSION: u32 = 1;

/// Which of the three streams are terminals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terminals {
    /// Standard input: a person can be asked.
    pub input: bool,
    /// Standard output.
    pub output: bool,
    /// Standard error.
    pub errors: bool,
}

/// How the two output streams are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Surface {
    /// Results for people, or for programs.
    pub form: Form,
    /// Colours on standard output.
    pub color_output: bool,
    /// Colours on standard error.
    pub color_errors: bool,
    /// Lines on standard error may be drawn again.
    pub live: bool,
    /// How often `-v` was given.
    pub verbosity: u8,
}

impl Surface {
    /// Decides from what was asked for and where the streams lead.
    pub fn decide(
        form: Form,
        color: ColorChoice,
        verbosity: u8,
        terminals: Terminals,
        environment: &Environment,
    ) -> Self {
        let color = |terminal: bool| match color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => terminal && !environment.no_color && !environment.dumb_terminal,
        };
        Self {
            form,
            color_output: form == Form::Human && color(terminals.output),
            color_errors: color(terminals.errors),
            live: form == Form::Human && terminals.errors && !environment.dumb_terminal,
            verbosity,
        }
    }
}

/// Whoever read standard output has closed it. Only this broken pipe is no failure: others are
/// connections that broke.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads standard output any more")]
pub(crate) struct ClosedOutput;

impl ClosedOutput {
    fn recognise(error: io::Error) -> io::Error {
        if error.kind() == io::ErrorKind::BrokenPipe {
            io::Error::new(error.kind(), Self)
        } else {
            error
        }
    }
}

/// For whoever has work to do beside what is printed: that nobody reads it does not end the work.
pub(crate) fn unless_unread<E: Into<anyhow::Error>>(printed: Result<(), E>) -> anyhow::Result<()> {
    match printed.map_err(Into::into) {
        Err(error) if Explanation::of(&error).silent => Ok(()),
        printed => printed,
    }
}

/// Both output streams of one run.
pub struct Output {
    surface: Surface,
    streams: Mutex<Streams>,
    /// Lines that are drawn again at the end of standard error. None: nothing moves.
    live: Option<MultiProgress>,
}

struct Streams {
    output: Box<dyn Write + Send>,
    errors: Box<dyn Write + Send>,
}

impl Output {
    /// Prints to these streams.
    pub fn new(
        surface: Surface,
        output: Box<dyn Write + Send>,
        errors: Box<dyn Write + Send>,
    ) -> Self {
        Self {
            live: surface.live.then(MultiProgress::new),
            surface,
            streams: Mutex::new(Streams { output, errors }),
        }
    }

    /// How the streams are used.
    pub const fn surface(&self) -> Surface {
        self.surface
    }

    /// Whether results are for programs.
    pub fn is_json(&self) -> bool {
        self.surface.form == Form::Json
    }

    /// A line, or several, of data for people, on standard output.
    pub fn data(&self, text: &str) -> io::Result<()> {
        let text = shown(text, self.surface.color_output);
        self.quietly(|streams| {
            writeln!(streams.output, "{text}")?;
            streams.output.flush()
        })
        .map_err(ClosedOutput::recognise)
    }

    /// Data as it is, on standard output.
    pub fn raw(&self, bytes: &[u8]) -> io::Result<()> {
        self.quietly(|streams| {
            streams.output.write_all(bytes)?;
            streams.output.flush()
        })
        .map_err(ClosedOutput::recognise)
    }

    /// Data for programs, on standard output: `{"version":1,"KEY":…}`.
    pub fn json(&self, key: &str, value: &Value) -> io::Result<()> {
        self.data(&versioned(key, value))
    }

    /// Something to know, on standard error.
    pub fn say(&self, text: &str) {
        let text = shown(text, self.surface.color_errors);
        // Nobody can be told that standard error is gone.
        let _ = self.quietly(|streams| {
            writeln!(streams.errors, "{text}")?;
            streams.errors.flush()
        });
    }

    /// Something to know for who asked for more with `-v`.
    pub fn detail(&self, text: &str) {
        if self.surface.verbosity > 0 {
            self.say(text);
        }
    }

    /// Something that should be looked at, on standard error.
    pub fn warn(&self, text: &str) {
        let word = self.paint_error(Style::Warning, "warning:");
        self.say(&format!("{word} {}", harmless(text)));
    }

    /// A question, on standard error, without a line break.
    pub fn ask(&self, question: &str) {
        let question = harmless(question);
        let _ = self.quietly(|streams| {
            write!(streams.errors, "{question} ")?;
            streams.errors.flush()
        });
    }

    /// An error with its whole chain of causes and what to do; returns how the program ends.
    pub fn fail(&self, error: &anyhow::Error) -> Exit {
        let explanation = Explanation::of(error);
        if explanation.silent {
            return explanation.exit;
        }
        self.explain(&explanation);
        explanation.exit
    }

    /// What an error means, on standard error.
    pub fn explain(&self, explanation: &Explanation) {
        if self.is_json() {
            self.say(&versioned("error", &explanation.to_json()));
        } else {
            for line in explanation.lines(self.surface.color_errors) {
                self.say(&line);
            }
        }
    }

    /// Text in a style, when standard output has colours.
    pub fn paint(&self, style: Style, text: &str) -> String {
        style.paint(text, self.surface.color_output)
    }

    /// Text in a style, when standard error has colours.
    pub fn paint_error(&self, style: Style, text: &str) -> String {
        style.paint(text, self.surface.color_errors)
    }

    /// The lines at the end of standard error that may be drawn again.
    pub(crate) const fn live(&self) -> Option<&MultiProgress> {
        self.live.as_ref()
    }

    /// Prints while nothing moves.
    fn quietly<T>(&self, print: impl FnOnce(&mut Streams) -> T) -> T {
        let mut streams = self.streams();
        match &self.live {
            Some(live) => live.suspend(|| print(&mut streams)),
            None => print(&mut streams),
        }
    }

    fn streams(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Output {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Output")
            .field("surface", &self.surface)
            .finish_non_exhaustive()
    }
}

/// What a terminal may get: words, and our own colours where there are any.
fn shown(text: &str, colors: bool) -> String {
    if colors {
        with_our_colors(text)
    } else {
        harmless(text)
    }
}

/// serde_json sorts keys; whoever reads this wants to see the version before the rest.
fn versioned(key: &str, value: &Value) -> String {
    escaped_json(&format!(r#"{{"version":{JSON_VERSION},"{key}":{value}}}"#))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn environment(no_color: bool) -> Environment {
        Environment {
            config_home: None,
            state_home: None,
            user: None,
            no_color,
            dumb_terminal: false,
            machine: "desk".to_owned(),
        }
    }

    fn surface(form: Form, color: ColorChoice, terminal: bool, no_color: bool) -> Surface {
        let terminals = Terminals {
            input: terminal,
            output: terminal,
            errors: terminal,
        };
        Surface::decide(form, color, 0, terminals, &environment(no_color))
    }

    #[test]
    fn colours_are_for_terminals_unless_asked_for() {
        let human = Form::Human;
        assert!(surface(human, ColorChoice::Auto, true, false).color_output);
        assert!(!surface(human, ColorChoice::Auto, false, false).color_output);
        assert!(!surface(human, ColorChoice::Auto, true, true).color_output);
        assert!(surface(human, ColorChoice::Always, false, true).color_output);
        assert!(!surface(human, ColorChoice::Never, true, false).color_errors);
    }

    #[test]
    fn json_has_neither_colours_nor_moving_lines() {
        let json = surface(Form::Json, ColorChoice::Always, true, false);
        assert!(!json.color_output && !json.live);
    }

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_who_is_gone_is_no_failure() {
        let surface = surface(Form::Human, ColorChoice::Never, false, true);
        let output = Output::new(surface, Box::new(Closed), Box::new(Closed));
        for printed in [output.data("1"), output.raw(b"1")] {
            let explanation = Explanation::of(&printed.unwrap_err().into());
            assert!(explanation.silent, "{explanation:?}");
        }
    }

    #[test]
    fn json_forms_carry_their_version_first() {
        assert_eq!(versioned("plan", &json!([])), r#"{"version":1,"plan":[]}"#);
    }
}
