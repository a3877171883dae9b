//! The probe as a program: one JSON request or a list in, one line of JSON out.
//!
//! `omni-scale-probe [FILE]` reads FILE, or standard input. Exit code 0: every expectation is met; 1: one is not;
//! 2: there was nothing to probe, and standard error says why.

use std::{
    fs::File,
    io::{self, Read, Write},
    process::ExitCode,
};

use anyhow::{Context, bail};
use omni_scale_probe::{LARGEST_INPUT, ProbeInput, probe_all};

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            // Nothing can be done when even that cannot be said.
            let _ = writeln!(io::stderr(), "omni-scale-probe: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> anyhow::Result<bool> {
    let input = ProbeInput::parse(&read()?)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot begin")?;
    let reports = runtime.block_on(probe_all(input.requests()));
    // The system's resolver may still be waiting for a nameserver on its own thread.
    runtime.shutdown_background();
    let met = reports.iter().all(|report| report.met);
    let line = match &input {
        ProbeInput::One(_) => serde_json::to_string(&reports[0]),
        ProbeInput::Several(_) => serde_json::to_string(&reports),
    };
    writeln!(io::stdout(), "{}", line.context("cannot write the report")?)
        .context("cannot write the report")?;
    Ok(met)
}

fn read() -> anyhow::Result<Vec<u8>> {
    let mut arguments = std::env::args_os().skip(1);
    let path = arguments.next();
    if arguments.next().is_some() {
        bail!("usage: omni-scale-probe [FILE]");
    }
    let mut bytes = Vec::new();
    match &path {
        Some(path) => File::open(path)
            .and_then(|file| file.take(LARGEST_INPUT + 1).read_to_end(&mut bytes))
            .with_context(|| format!("cannot read `{}`", path.display()))?,
        None => io::stdin()
            .take(LARGEST_INPUT + 1)
            .read_to_end(&mut bytes)
            .context("cannot read standard input")?,
    };
    if u64::try_from(bytes.len())? > LARGEST_INPUT {
        bail!("the input is larger than {LARGEST_INPUT} bytes");
    }
    Ok(bytes)
}
