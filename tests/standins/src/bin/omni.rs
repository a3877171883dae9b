//! Stands in for Omni.

use std::process::ExitCode;

use omni_scale_standins::{environment::Environment, omni};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    match omni::run(&arguments, &Environment::of_process()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print_as_omni();
            ExitCode::FAILURE
        }
    }
}
