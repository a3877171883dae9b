//! `omni-scale`: see the library for what it does.

use std::process::ExitCode;

use omni_scale::surroundings::Surroundings;

fn main() -> ExitCode {
    let surroundings = Surroundings::of_this_process(omni_scale::output::start_logging);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => {
            let exit = runtime.block_on(omni_scale::run(std::env::args_os(), surroundings));
            // A question that nobody answers any more must not keep the program.
            runtime.shutdown_background();
            exit.into()
        }
        Err(_) => omni_scale::exit::Exit::Failed.into(),
    }
}
