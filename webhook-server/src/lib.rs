//! Who asks and who answers: the webhook and the command line, around the policies that decide.
//!
//! This is the only crate that opens a socket or a file. `args` is what can be asked; `config` which policies are asked, where and
//! how firmly, `exceptions` what is excepted of what they deny, and `judge` asks them; `input` reads manifests, `files` says when
//! one has changed; `check`, `render`, `cases`, `policies`, `explain`, `explain_metric`, `demo` and `playground` are one command
//! each, with `report` for what they print; `manual` is made of the arguments; `connectivity` says who can talk to whom;
//! `place` says in which line of which file something stands; `cluster` knows what else exists; `webhook` answers reviews,
//! `metrics` counts them and `telemetry` logs and traces them, `serve` and `tls` put it on the network, `client` is its counterpart
//! for `demo` and the tests.

pub mod args;
pub mod cases;
pub mod check;
pub mod client;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod connectivity;
pub mod demo;
pub mod exceptions;
pub mod explain;
pub mod explain_metric;
pub mod files;
pub mod input;
pub mod judge;
pub mod manual;
pub mod metrics;
pub(crate) mod place;
pub mod playground;
pub mod policies;
pub mod render;
pub mod report;
pub mod serve;
pub mod telemetry;
pub mod tls;
pub mod webhook;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Args, Command};

/// The whole command: reads the arguments, runs what they ask for, and says how it went in the exit code.
///
/// Apart from `main`, so that tests can run it in a process of their own without building the binary again.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(error) => {
            // Nobody is left to tell if the terminal is gone.
            drop(error.print());
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let result = match args.command {
        Command::Check(args) => check::run(&args),
        Command::Render(args) => render::run(&args),
        Command::Connectivity(args) => connectivity::run(&args),
        Command::Test(args) => cases::run(&args),
        Command::Policies(args) => policies::run(&args),
        Command::Explain { what } => explain::run(&what),
        Command::ExplainMetric(args) => explain_metric::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Playground(args) => playground::run(&args),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { folder } => manual::pages(&folder),
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
    let error: Option<&std::io::Error> = error.downcast_ref();
    error.map(std::io::Error::kind) == Some(std::io::ErrorKind::BrokenPipe)
}
