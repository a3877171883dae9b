//! `status`: what runs where, and how it is.
//!
//! [`view`] is what is known of each host, [`rows`] makes a table of it and is pure, [`watch`]
//! keeps the view up to date from the agents' streams.

pub(super) mod machines;
mod node;
mod row;
mod rows;
mod view;
mod watch;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::Context;
use super::context::desired;
use super::plan::warn_of_host;
use crate::arguments::StatusArguments;
use crate::exit::Exit;
use crate::output::{Activity, Cell, Table, age};
use row::Row;
use rows::rows;
use view::{HostView, Seen};

/// Runs it.
pub(super) async fn run(context: &Context, arguments: StatusArguments) -> anyhow::Result<Exit> {
    let deployment = context.deployment()?;
    let desired = desired(&deployment)?;
    let agents = context.agents(&deployment)?;
    let views = desired
        .hosts
        .keys()
        .map(|host| HostView::new(host, &desired));
    if arguments.watch {
        return watch::run(context, agents, views.collect()).await;
    }
    let activity = Activity::new(&context.output);
    activity.wait("status", "looking at the hosts");
    let views = join_all(views.map(|view| view.look(&agents))).await;
    drop(activity);
    for view in &views {
        if let Seen::Known(described) = &view.describe {
            warn_of_host(context, view.host.as_str(), described);
        }
    }
    print(context, &rows(&views))?;
    let reached = views.iter().all(|view| !view.is_lost());
    Ok(if reached {
        Exit::Done
    } else {
        Exit::Unreachable
    })
}

/// Prints the table, or its JSON form.
fn print(context: &Context, rows: &[Row]) -> anyhow::Result<()> {
    if context.output.is_json() {
        return Ok(context.output.json("status", &to_json(rows))?);
    }
    for line in lines(context, rows) {
        context.output.data(&line)?;
    }
    Ok(())
}

fn lines(context: &Context, rows: &[Row]) -> Vec<String> {
    let now = context.clock.now_milliseconds();
    let mut table = Table::new(&["host", "target", "state", "since", "detail"]);
    for row in rows {
        table.row([
            Cell::plain(row.host.as_str()),
            Cell::plain(row.target.as_str()),
            Cell::new(row.state.style(), row.word.as_str()),
            Cell::plain(age(row.since, now)),
            Cell::plain(row.detail.as_str()),
        ]);
    }
    table.lines(context.output.surface().color_output)
}

fn to_json(rows: &[Row]) -> Value {
    rows.iter()
        .map(|row| {
            json!({
                "host": row.host,
                "target": row.target,
                "state": row.state.word(),
                "word": row.word,
                "since_milliseconds": row.since,
                "detail": row.detail,
            })
        })
        .collect()
}
