//! Logs of the program itself, on standard error, for who asks for them with `-v`.

use tracing_subscriber::filter::LevelFilter;

/// Begins to log: warnings, with `-v` what is done, with `-vv` everything.
pub fn start_logging(verbosity: u8) {
    let level = match verbosity {
        0 => LevelFilter::ERROR,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    // A second call in one process changes nothing.
    let _ = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(level)
        .with_target(verbosity > 1)
        .without_time()
        .try_init();
}
