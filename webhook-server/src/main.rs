//! The `pratique` command: reads the arguments, runs what they ask for, and says how it went in the exit code.

use std::process::ExitCode;

use clap::Parser as _;
use webhook_server::args::{Args, Command};
use webhook_server::{cases, check, demo, policies, serve};

fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Check(args) => check::run(&args),
        Command::Test(args) => cases::run(&args),
        Command::Policies(args) => policies::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Demo(args) => demo::run(&args),
    };
    match result {
        Ok(end) => end.into(),
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("pratique: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whoever read the output has read enough (`pratique policies | head`).
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let kind = |error: &std::io::Error| error.kind();
    error.downcast_ref().map(kind) == Some(std::io::ErrorKind::BrokenPipe)
}
