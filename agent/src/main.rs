//! `omni-scale-agent`: parse, log, run, and say why not.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use omni_scale_agent::cli;
use omni_scale_agent::config::{Paths, log_directives};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    log_to_stderr();
    // Two threads: one may block on the disk while the other answers.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(8)
        .enable_all()
        .build();
    let result = runtime
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(cli::run(arguments, Paths::of_package())));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to tell that standard error is gone.
            let _ = writeln!(std::io::stderr(), "omni-scale-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Without times: the journal adds them.
fn log_to_stderr() {
    // Directives by target and level: patterns over fields would need a regular expression engine.
    let filter = log_directives()
        .and_then(|directives| directives.parse::<Targets>().ok())
        .unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .without_time()
        .with_ansi(false);
    tracing_subscriber::registry()
        .with(lines)
        .with(filter)
        .init();
}
