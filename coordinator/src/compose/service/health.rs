//! `healthcheck`.

use omni_scale_proto::v1::HealthCheck;

use super::super::entries::{boolean, duration, integer};
use crate::document::{Content, Fields, Node};

/// None: the image's own check, if it has one.
pub(super) fn read(fields: &Fields<'_>) -> Option<HealthCheck> {
    let fields = fields.optional_fields("healthcheck")?;
    let disabled = boolean(&fields, "disable");
    let test = fields.optional("test").map(|node| test(node, &fields));
    let times =
        ["interval", "timeout", "start_period", "start_interval"].map(|key| duration(&fields, key));
    let retries = integer(&fields, "retries");
    let location = fields.location();
    let report = fields.report();
    fields.finish_but_extensions();
    let test = match (disabled, test) {
        (Some(true), _) => vec!["NONE".to_owned()],
        (_, Some(test)) => test?,
        (_, None) => {
            report.add(location, "a health check needs a `test`");
            return None;
        }
    };
    if test == ["NONE"] {
        return Some(HealthCheck {
            test,
            ..HealthCheck::default()
        });
    }
    let [interval, timeout, start_period, start_interval] = times;
    Some(HealthCheck {
        test,
        interval_milliseconds: interval.unwrap_or(0),
        timeout_milliseconds: timeout.unwrap_or(0),
        start_period_milliseconds: start_period.unwrap_or(0),
        start_interval_milliseconds: start_interval.unwrap_or(0),
        retries: retries.unwrap_or(0),
    })
}

fn test(node: &Node, fields: &Fields<'_>) -> Option<Vec<String>> {
    let report = fields.report();
    let Content::Sequence(items) = &node.content else {
        return Some(vec!["CMD-SHELL".to_owned(), report.text(node)?.to_owned()]);
    };
    let words: Option<Vec<String>> = items
        .iter()
        .map(|item| report.text(item).map(str::to_owned))
        .collect();
    let words = words?;
    let kind = words.first().map(String::as_str);
    let complete = match kind {
        Some("NONE") => words.len() == 1,
        Some("CMD") => words.len() > 1,
        Some("CMD-SHELL") => words.len() == 2,
        _ => false,
    };
    if !complete {
        report.add(
            &node.location,
            "a test is `CMD` and words, `CMD-SHELL` and one text, or `NONE`",
        );
        return None;
    }
    Some(words)
}
