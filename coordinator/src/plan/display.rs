//! A plan as text: a readable diff with reasons. No colours; each line says what it is, so that
//! whoever prints it may colour it.

use std::fmt::{self, Write as _};

use omni_scale_proto::effect::Effect;

use super::desired::Wave;
use super::document::Plan;
use super::step::{Change, PlannedWave, Recovery, SecretState, Step};

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detail {
    /// What changes; gates of idle waves are only counted.
    #[default]
    Brief,
    /// Every question of every gate.
    Full,
}

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineKind {
    /// The title of a wave.
    Wave,
    /// A step.
    Step(Effect),
    /// A unit or service that a step changes.
    Change(Effect),
    /// Why.
    Reason,
    /// A secret that is used.
    Secret(SecretState),
    /// What is done when a step fails.
    Recovery,
    /// What a gate asks.
    Gate,
    /// What to know.
    Note,
    /// What to look at.
    Warning,
    /// How many steps there are, and how strong they are.
    Summary,
}

/// One line of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How deep it stands; two spaces each.
    pub depth: usize,
    /// What it is.
    pub kind: LineKind,
    /// The text, without line breaks.
    pub text: String,
}

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.kind {
            LineKind::Change(effect) | LineKind::Step(effect) => match effect {
                Effect::None => "= ",
                Effect::Start => "+ ",
                Effect::Restart | Effect::Recreate => "~ ",
                Effect::Identity => "! ",
            },
            LineKind::Reason => "- ",
            LineKind::Note => "note: ",
            LineKind::Warning => "warning: ",
            LineKind::Wave
            | LineKind::Secret(_)
            | LineKind::Recovery
            | LineKind::Gate
            | LineKind::Summary => "",
        };
        let indent = self.depth * 2;
        write!(formatter, "{:indent$}{mark}{}", "", self.text)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in lines(self, Detail::Brief) {
            writeln!(formatter, "{line}")?;
        }
        Ok(())
    }
}

/// The plan, line by line.
pub fn lines(plan: &Plan, detail: Detail) -> Vec<Line> {
    let mut lines = Vec::new();
    if !plan.is_noop() {
        for wave in plan.waves() {
            lines.extend(wave_lines(wave, detail));
        }
    }
    let told = |kind, texts: &[String]| -> Vec<Line> {
        texts
            .iter()
            .map(|text| line(0, kind, text.clone()))
            .collect()
    };
    lines.extend(told(LineKind::Warning, plan.warnings()));
    lines.extend(told(LineKind::Note, plan.notes()));
    lines.push(line(0, LineKind::Summary, summary(plan)));
    lines
}

fn line(depth: usize, kind: LineKind, text: impl Into<String>) -> Line {
    Line {
        depth,
        kind,
        text: text.into(),
    }
}

fn wave_lines(wave: &PlannedWave, detail: Detail) -> Vec<Line> {
    let first = wave.wave == Wave::Preflight;
    let idle = wave.steps.is_empty();
    let mut title = wave.wave.to_string();
    if idle && !first {
        title.push_str(": nothing to do");
    }
    if idle && detail == Detail::Brief {
        let number = wave.gate.len();
        let plural = if number == 1 { "" } else { "s" };
        let joint = if first { ":" } else { "," };
        let _ = write!(title, "{joint} {number} check{plural}");
        return vec![line(0, LineKind::Wave, title)];
    }
    let mut lines = vec![line(0, LineKind::Wave, title)];
    for step in &wave.steps {
        lines.extend(step_lines(step));
    }
    let joint = if first { "" } else { "then " };
    lines.extend(wave.gate.iter().map(|check| {
        let text = format!("{joint}on {}: {}", check.host, check.title);
        line(1, LineKind::Gate, text)
    }));
    lines
}

fn step_lines(step: &Step) -> Vec<Line> {
    let title = format!("step {} on {}: {}", step.id, step.host, step.target());
    let mut lines = vec![line(1, LineKind::Step(step.effect()), title)];
    for change in &step.changes {
        lines.extend(change_lines(change));
    }
    let recovery = match &step.recovery {
        Recovery::Hold { .. } => "if it fails: hold".to_owned(),
        Recovery::Undo { summary, .. } => format!("if it fails: undo, {summary}"),
    };
    lines.push(line(2, LineKind::Recovery, recovery));
    lines
}

fn change_lines(change: &Change) -> Vec<Line> {
    let text = format!("{} {} ({})", change.verb, change.subject, change.effect);
    let mut lines = vec![line(2, LineKind::Change(change.effect), text)];
    lines.extend(
        change
            .reasons
            .iter()
            .map(|reason| line(3, LineKind::Reason, reason)),
    );
    lines.extend(change.secrets.iter().map(|secret| {
        let state = match secret.state {
            SecretState::New => "new",
            SecretState::Changed => "changed",
            SecretState::Unchanged => "unchanged",
            SecretState::Once => "used once",
        };
        let text = format!("secret {}: {state}", secret.name);
        line(3, LineKind::Secret(secret.state), text)
    }));
    lines
}

fn summary(plan: &Plan) -> String {
    if plan.is_noop() {
        return match plan.ends_before() {
            None => "nothing to do".to_owned(),
            Some(wave) => format!("nothing to do before {wave}"),
        };
    }
    let count = |wanted: Effect| {
        plan.steps()
            .flat_map(|step| &step.changes)
            .filter(|change| change.effect == wanted)
            .count()
    };
    let steps = plan.steps().count();
    let mut parts = vec![format!("{steps} step{}", if steps == 1 { "" } else { "s" })];
    for effect in [
        Effect::Start,
        Effect::Restart,
        Effect::Recreate,
        Effect::Identity,
    ] {
        let number = count(effect);
        if number > 0 {
            parts.push(format!("{number} {effect}"));
        }
    }
    parts.join(", ")
}
