//! What happens while an operation runs: moving lines on a terminal, stable ones elsewhere.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use omni_scale_proto::v1::{self, progress::Event};

use super::foreign::harmless;
use super::{Output, Style};

/// How often a spinner turns.
const TURN: Duration = Duration::from_millis(120);

/// What is going on now. Whatever moves is gone when it is dropped.
pub struct Activity<'a> {
    output: &'a Output,
    shown: Mutex<Shown>,
}

#[derive(Default)]
struct Shown {
    /// By host: what is done there.
    waits: BTreeMap<String, ProgressBar>,
    /// By image and layer.
    layers: BTreeMap<(String, String), ProgressBar>,
    /// The last plain line by host, image or layer, so that none is said twice in a row.
    said: BTreeMap<String, String>,
}

impl<'a> Activity<'a> {
    /// Nothing goes on yet.
    pub fn new(output: &'a Output) -> Self {
        Self {
            output,
            shown: Mutex::new(Shown::default()),
        }
    }

    /// Something is waited for on a host, or elsewhere.
    pub fn wait(&self, place: &str, what: &str) {
        let mut shown = self.shown();
        let text = harmless(&format!("{place}: {what}"));
        match self.output.live() {
            Some(live) => {
                let spinner = shown
                    .waits
                    .entry(place.to_owned())
                    .or_insert_with(|| live.add(new_spinner()));
                spinner.set_message(text);
            }
            None => self.say_once(&mut shown, place, &text),
        }
    }

    /// Nothing is waited for there any more.
    pub fn settle(&self, place: &str) {
        let mut shown = self.shown();
        if let Some(line) = shown.waits.remove(place) {
            line.finish_and_clear();
        }
        shown.said.remove(place);
    }

    /// Nothing is waited for any more.
    pub fn settle_all(&self) {
        let mut shown = self.shown();
        for line in shown.waits.values().chain(shown.layers.values()) {
            line.finish_and_clear();
        }
        *shown = Shown::default();
    }

    /// An operation tells how far it is.
    pub fn progress(&self, place: &str, progress: &v1::Progress) {
        match &progress.event {
            Some(Event::Stage(stage)) => {
                self.wait(place, &format!("{}: {}", stage.subject, stage.activity));
            }
            Some(Event::Pull(pull)) => self.pull(place, pull),
            Some(Event::LogLine(line)) => {
                let text = format!("{place}: {} | {}", line.source, line.line);
                self.output
                    .detail(&self.output.paint_error(Style::Faint, &text));
            }
            Some(Event::HealthTransition(change)) => {
                let text = format!("{}: {} → {}", change.subject, change.from, change.to);
                self.wait(place, &text);
            }
            Some(Event::Warning(warning)) => {
                self.output.warn(&format!("{place}: {warning}"));
            }
            None => {}
        }
    }

    fn pull(&self, place: &str, pull: &v1::PullProgress) {
        let mut shown = self.shown();
        let Some(live) = self.output.live() else {
            let text = format!("{place}: pulling {}", pull.image);
            self.say_once(&mut shown, &pull.image, &text);
            return;
        };
        let key = (pull.image.clone(), pull.layer.clone());
        if is_over(&pull.status) {
            if let Some(bar) = shown.layers.remove(&key) {
                bar.finish_and_clear();
            }
            return;
        }
        let bar = shown.layers.entry(key).or_insert_with(|| live.add(layer()));
        bar.set_length(pull.total.max(pull.current));
        bar.set_position(pull.current);
        bar.set_message(harmless(&format!("{} {}", pull.layer, pull.status)));
    }

    fn say_once(&self, shown: &mut Shown, place: &str, text: &str) {
        if shown.said.get(place).is_none_or(|last| last != text) {
            self.output.say(text);
            shown.said.insert(place.to_owned(), text.to_owned());
        }
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Activity<'_> {
    fn drop(&mut self) {
        self.settle_all();
    }
}

/// The Engine's words for a layer that needs no more work.
fn is_over(status: &str) -> bool {
    matches!(
        status,
        "Pull complete" | "Already exists" | "Download complete" | ""
    ) || status.starts_with("Digest:")
        || status.starts_with("Status:")
}

fn new_spinner() -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_style(
        ProgressStyle::with_template("{spinner} {msg} ({elapsed})").expect("the template is right"),
    );
    bar.enable_steady_tick(TURN);
    bar
}

fn layer() -> ProgressBar {
    ProgressBar::new(0).with_style(
        ProgressStyle::with_template("  {bar:24} {binary_bytes:>11}/{binary_total_bytes:11} {msg}")
            .expect("the template is right"),
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::Captured;
    use super::*;

    fn pull(layer: &str, status: &str) -> v1::Progress {
        v1::Progress {
            event: Some(Event::Pull(v1::PullProgress {
                image: "omni@sha256:12".to_owned(),
                layer: layer.to_owned(),
                status: status.to_owned(),
                current: 1,
                total: 2,
            })),
        }
    }

    #[test]
    fn without_a_terminal_each_line_is_said_once() {
        let captured = Captured::default();
        let output = captured.output();
        let activity = Activity::new(&output);
        for _ in 0..3 {
            activity.wait("omni-host", "omni: waiting for healthy");
            activity.progress("omni-host", &pull("aa", "Downloading"));
            activity.progress("omni-host", &pull("bb", "Pull complete"));
        }
        activity.wait("omni-host", "omni: verifying");
        assert_eq!(
            captured.errors(),
            "omni-host: omni: waiting for healthy\n\
             omni-host: pulling omni@sha256:12\n\
             omni-host: omni: verifying\n"
        );
        assert_eq!(captured.data(), "");
    }

    #[test]
    fn both_templates_can_be_read() {
        new_spinner().finish_and_clear();
        layer().finish_and_clear();
    }
}
