//! A rollout as it runs, and how it ended.

use std::collections::BTreeMap;

use omni_scale_proto::id::HostName;
use omni_scale_proto::operation::Target;
use omni_scale_proto::v1;
use serde_json::{Value, json};

use super::foreign::harmless;
use super::{Activity, Explanation, Output, Style};
use crate::agents::Holder;
use crate::exit::Exit;
use crate::plan::{Plan, Step, StepId};
use crate::rollout::{Event, FailedCheck, Happening, Refusal, RolloutEvents, RolloutResult};

/// Shows a rollout while it runs.
pub struct RolloutDisplay<'a> {
    output: &'a Output,
    activity: Activity<'a>,
    /// Where each step is, and what it changes.
    steps: BTreeMap<StepId, Place>,
}

struct Place {
    host: String,
    target: String,
    /// What it is told under while it runs: machines of one host are made side by side.
    line: String,
}

impl Place {
    fn of(step: &Step) -> Self {
        let host = step.host.to_string();
        let line = match step.target() {
            Target::Machine(name) => name.to_string(),
            Target::Unit | Target::Stack(_) | Target::Secret(_) | Target::Client => host.clone(),
        };
        Self {
            host,
            target: step.target().to_string(),
            line,
        }
    }
}

impl<'a> RolloutDisplay<'a> {
    /// Shows the rollout of a plan.
    pub fn new(output: &'a Output, plan: &Plan) -> Self {
        let steps = plan.steps().map(|step| (step.id, Place::of(step)));
        Self {
            output,
            activity: Activity::new(output),
            steps: steps.collect(),
        }
    }

    fn step(&self, step: StepId) -> String {
        match self.steps.get(&step) {
            Some(place) => format!("step {step} on {}: {}", place.host, place.target),
            None => format!("step {step}"),
        }
    }

    fn begin(&self, step: StepId, attempt: u32, what: &str) {
        let title = self.step(step);
        let again = if attempt > 1 {
            format!(", attempt {attempt}")
        } else {
            String::new()
        };
        if let Some(place) = self.steps.get(&step) {
            self.activity
                .wait(&place.line, &format!("{what} {}{again}", place.target));
        }
        self.output.detail(&format!("{title}: {what}{again}"));
    }

    fn end(&self, step: StepId, style: Style, word: &str, text: &str) {
        if let Some(place) = self.steps.get(&step) {
            self.activity.settle(&place.line);
        }
        let word = self.output.paint_error(style, word);
        let title = self.step(step);
        let joint = if text.is_empty() { "" } else { ": " };
        let text = harmless(text);
        self.output.say(&format!("{word} {title}{joint}{text}"));
    }

    fn warn_all(&self, warnings: &[String]) {
        for warning in warnings {
            self.output.warn(warning);
        }
    }

    fn record(&self, event: &Event) {
        match event {
            Event::LeasesTaken { epochs } => {
                let hosts: Vec<&str> = epochs.keys().map(HostName::as_str).collect();
                self.activity.settle("lease");
                self.output
                    .detail(&format!("holding the leases of {}", hosts.join(", ")));
            }
            Event::PreflightPassed { warnings } => {
                self.warn_all(warnings);
                self.settle_hosts();
                let word = self.output.paint_error(Style::Good, "passed");
                self.output.say(&format!("{word} preflight"));
            }
            Event::StepStarted { step, attempt, .. } => self.begin(*step, *attempt, "applying"),
            Event::ReplyLost { step, reason } => {
                let title = self.step(*step);
                self.output
                    .warn(&format!("{title}: the answer was lost, looking: {reason}"));
            }
            Event::AttemptFailed { step, failure, .. }
            | Event::UndoAttemptFailed { step, failure, .. } => {
                let title = self.step(*step);
                self.output
                    .warn(&format!("{title}: trying again: {}", failure.message));
            }
            Event::StepSucceeded {
                step,
                summary,
                warnings,
                ..
            } => {
                self.warn_all(warnings);
                self.end(*step, Style::Good, "done", summary);
            }
            Event::StepAdopted { step, .. } => {
                self.end(*step, Style::Good, "done", "it was so already");
            }
            Event::StepGone { step, failure } => {
                let title = self.step(*step);
                self.output
                    .warn(&format!("{title}: doing it again: {}", failure.message));
            }
            Event::StepFailed { step, failure } => {
                self.end(*step, Style::Bad, "failed", &failure.message);
                for line in &failure.evidence {
                    self.output.say(&format!("  {}", harmless(line)));
                }
            }
            Event::GateAttemptFailed { wave, reason, .. } => {
                self.output.warn(&format!("{wave}: asking again: {reason}"));
            }
            Event::GatePassed { wave, warnings } => {
                self.warn_all(warnings);
                self.settle_hosts();
                let word = self.output.paint_error(Style::Good, "verified");
                self.output.say(&format!("{word} {wave}"));
            }
            Event::UndoStarted { step, attempt, .. } => self.begin(*step, *attempt, "undoing"),
            Event::UndoFinished { step, .. } => {
                self.end(*step, Style::Warning, "undone", "it is as it was before");
            }
            Event::UndoFailed { step, failure } => {
                self.end(*step, Style::Bad, "stuck", &failure.message);
            }
            // How it began was said before, how it ends is said after.
            Event::Started { .. }
            | Event::Refused { .. }
            | Event::GateFailed { .. }
            | Event::Held { .. }
            | Event::Interrupted { .. }
            | Event::Undone
            | Event::Stuck
            | Event::Aborted { .. }
            | Event::Finished => self.settle_hosts(),
        }
    }

    fn settle_hosts(&self) {
        self.activity.settle_all();
    }

    fn checked(&self, host: &str, title: &str, report: &v1::CheckReport) {
        match report.status() {
            v1::CheckStatus::Waiting if self.output.surface().live => {
                self.activity
                    .wait(host, &format!("{title}: {}", report.summary));
            }
            // What is found while waiting changes often; a log needs it once.
            v1::CheckStatus::Waiting => self.activity.wait(host, &format!("waiting: {title}")),
            v1::CheckStatus::Passed => {
                self.output
                    .detail(&format!("{host}: {title}: {}", report.summary));
            }
            v1::CheckStatus::Warning
            | v1::CheckStatus::Failed
            | v1::CheckStatus::Unknown
            | v1::CheckStatus::Unspecified => {
                self.output
                    .detail(&format!("{host}: {title}: not passed: {}", report.summary));
            }
        }
    }
}

impl RolloutEvents for RolloutDisplay<'_> {
    fn tell(&self, happening: Happening) {
        match happening {
            Happening::Recorded(record) => self.record(&record.event),
            Happening::Waiting {
                what,
                at_most_seconds,
            } => {
                let text = format!("waiting for {what}, at most {at_most_seconds} s");
                self.activity.wait("lease", &text);
            }
            Happening::Progress {
                step,
                host,
                progress,
            } => {
                let place = self.steps.get(&step);
                let line = place.map_or(host.as_str(), |place| &place.line);
                self.activity.progress(line, &progress);
            }
            Happening::Checked {
                host,
                title,
                report,
                ..
            } => self.checked(host.as_str(), &title, &report),
            Happening::LeaseInDanger { host, reason } => {
                let text = format!("the lease of host `{host}` could not be kept yet: {reason}");
                self.output.warn(&text);
            }
        }
    }
}

/// How a rollout ended, as an error for people; `None`: it is done.
pub fn explain(result: &RolloutResult) -> Option<Explanation> {
    let mut explanation = Explanation {
        exit: result.exit(),
        message: String::new(),
        causes: Vec::new(),
        evidence: Vec::new(),
        hints: Vec::new(),
        silent: false,
    };
    let resume = "then `omni-scale resume` goes on; `omni-scale abort` gives it up".to_owned();
    match result {
        RolloutResult::Done { .. } => return None,
        RolloutResult::Refused(refusal) => {
            refused(&mut explanation, refusal, "nothing was changed");
        }
        RolloutResult::NotResumed(refusal) => {
            refused(&mut explanation, refusal, "nothing more was changed");
            explanation.hints.push(resume);
        }
        RolloutResult::Held {
            reason,
            advice,
            failed,
        } => {
            explanation.message = format!("the rollout is held: {reason}");
            explanation.evidence = failed.iter().flat_map(check_lines).collect();
            explanation.hints = vec![advice.clone(), resume];
        }
        RolloutResult::LeaseLost { host, holder } => {
            explanation.message = format!("the lease of host `{host}` was lost");
            explanation.evidence = holder.iter().map(holder_line).collect();
            explanation.hints = vec![
                "`omni-scale resume` goes on once the lease is free; or leave it to who holds it"
                    .to_owned(),
            ];
        }
        RolloutResult::Interrupted { reason } => {
            explanation.message = format!("the rollout was stopped: {reason}");
            explanation.hints = vec!["`omni-scale resume` goes on where it stopped".to_owned()];
        }
        RolloutResult::Undone { reason } => {
            explanation.message = format!("the rollout failed and was taken back: {reason}");
        }
        RolloutResult::Stuck { reason, advice } => {
            explanation.message = format!("the rollout is stuck: {reason}");
            explanation.hints = vec![advice.clone()];
        }
        RolloutResult::Aborted => "the rollout was given up".clone_into(&mut explanation.message),
    }
    explanation.hints.retain(|hint| !hint.is_empty());
    Some(explanation)
}

fn refused(explanation: &mut Explanation, refusal: &Refusal, changed: &str) {
    match refusal {
        Refusal::BasisChanged { deviations } => {
            explanation.message =
                format!("the hosts are not any more what the plan was made from; {changed}");
            explanation.evidence = deviations
                .iter()
                .map(|one| {
                    let (host, fact) = (&one.host, &one.fact);
                    format!(
                        "- host `{host}`: the {fact} is {} and was {}",
                        one.found, one.planned
                    )
                })
                .collect();
            explanation.hints = vec!["make a new plan".to_owned()];
        }
        Refusal::ChecksFailed { failed } => {
            let number = failed.len();
            let plural = if number == 1 { "" } else { "s" };
            explanation.message = format!("{number} check{plural} did not pass; {changed}");
            explanation.evidence = failed.iter().flat_map(check_lines).collect();
        }
        Refusal::Locked {
            host,
            holder,
            reason,
        } => {
            explanation.message = format!("host `{host}` is locked: {reason}");
            explanation.evidence = holder.iter().map(holder_line).collect();
        }
        Refusal::Unreachable { hosts } => {
            explanation.message = format!("hosts do not answer; {changed}");
            explanation.evidence = hosts
                .iter()
                .map(|(host, reason)| format!("- `{host}`: {reason}"))
                .collect();
        }
        Refusal::NotAllowed { failure } => {
            explanation.message.clone_from(&failure.message);
            explanation.evidence.clone_from(&failure.evidence);
            explanation.hints = vec![failure.hint.clone()];
        }
    }
}

fn check_lines(check: &FailedCheck) -> Vec<String> {
    let word = if check.unknown { "unknown" } else { "failed" };
    let mut lines = vec![format!(
        "- {word} on host `{}`: {}: {}",
        check.host, check.title, check.summary
    )];
    lines.extend(check.evidence.iter().map(|line| format!("    {line}")));
    if !check.hint.is_empty() {
        lines.push(format!("  hint: {}", check.hint));
    }
    lines
}

/// Who holds a lease, since when, and until when.
pub(super) fn holder_line(holder: &Holder) -> String {
    format!(
        "- {} holds it since {}, for rollout {}; it ends in {} s unless it is kept",
        holder.holder,
        super::date(holder.since_milliseconds),
        holder.rollout,
        holder.remaining_milliseconds.div_ceil(1000)
    )
}

/// How a rollout ended, for programs.
pub fn result_json(rollout: Option<&str>, result: &RolloutResult) -> Value {
    let word = match result {
        RolloutResult::Done { changed: true } => "done",
        RolloutResult::Done { changed: false } => "nothing-to-do",
        RolloutResult::Refused(_) | RolloutResult::NotResumed(_) => "refused",
        RolloutResult::Held { .. } => "held",
        RolloutResult::LeaseLost { .. } => "lease-lost",
        RolloutResult::Interrupted { .. } => "interrupted",
        RolloutResult::Undone { .. } => "undone",
        RolloutResult::Stuck { .. } => "stuck",
        RolloutResult::Aborted => "aborted",
    };
    let explanation = explain(result);
    json!({
        "id": rollout,
        "result": word,
        "exit_code": explanation.as_ref().map_or(Exit::Done, |one| one.exit).code(),
        "explanation": explanation.as_ref().map(Explanation::to_json),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_names_its_holder_and_its_end() {
        let refusal = Refusal::Locked {
            host: "idp".parse().unwrap(),
            holder: Some(Holder {
                holder: "grace@laptop".to_owned(),
                rollout: "7f2c6a54".to_owned(),
                epoch: 3,
                since_milliseconds: 1_700_000_000_000,
                remaining_milliseconds: 21_500,
            }),
            reason: "somebody else holds the lease".to_owned(),
        };
        let explanation = explain(&RolloutResult::Refused(refusal)).unwrap();
        assert_eq!(explanation.exit, Exit::Locked);
        insta::assert_snapshot!(explanation.lines(false).join("\n"), @r"
        error: host `idp` is locked: somebody else holds the lease
          - grace@laptop holds it since 2023-11-14T22:13:20Z, for rollout 7f2c6a54; it ends in 22 s unless it is kept
        ");
    }

    #[test]
    fn a_held_rollout_says_what_failed_and_how_to_go_on() {
        let held = RolloutResult::Held {
            reason: "the gate of wave 5 (omni) did not pass".to_owned(),
            advice: "look at its log with `omni-scale logs omni`".to_owned(),
            failed: vec![FailedCheck {
                host: "omni".parse().unwrap(),
                title: "Omni answers".to_owned(),
                summary: "status 502".to_owned(),
                hint: String::new(),
                evidence: vec!["dial tcp: refused".to_owned()],
                unknown: false,
            }],
        };
        let explanation = explain(&held).unwrap();
        insta::assert_snapshot!(explanation.lines(false).join("\n"), @r"
        error: the rollout is held: the gate of wave 5 (omni) did not pass
          - failed on host `omni`: Omni answers: status 502
              dial tcp: refused

        hint: look at its log with `omni-scale logs omni`
        hint: then `omni-scale resume` goes on; `omni-scale abort` gives it up
        ");
        assert_eq!(result_json(None, &held)["exit_code"], 4);
    }
}
