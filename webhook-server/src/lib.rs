//! The `pratique` command: the webhook and the command line around the policies.
//!
//! This is the only crate that opens a socket or a file.
//!
//! | module | contents |
//! |---|---|
//! | [`args`] | the arguments of every command |
//! | [`commands`] | one file per command |
//! | [`sources`] | files, directories and kustomizations, read into documents with their origins |
//! | [`config`] | `policies.yaml`: policies, modes, exceptions, custom kinds |
//! | [`evaluator`] | applies a configuration to a request |
//! | [`report`] | the findings of `check`, in every output format |
//! | `server` | the webhook: HTTP, TLS, limits, cluster stores, metrics, telemetry (cargo feature `server`) |

/// Prints a line to standard error. If that cannot be written, the line is lost, but the command goes on to its exit code:
/// `eprintln!` would panic.
macro_rules! print_error {
    ($($arguments:tt)*) => {{
        use std::io::Write as _;
        drop(writeln!(anstream::stderr(), $($arguments)*));
    }};
}

pub mod args;
pub mod certificate;
pub mod clock;
pub mod commands;
pub mod config;
pub mod evaluator;
pub mod report;
#[cfg(feature = "server")]
pub mod server;
pub mod sources;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Args, Command};
use crate::commands::{check, connectivity, explain, explain_metric, man_pages, policies, render, test};
#[cfg(feature = "server")]
use crate::commands::{demo, playground};

/// Parses the arguments, runs the command and returns its exit code.
///
/// It is separate from `main` so that tests can run it in their own process without building the binary again.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(error) => {
            // If the terminal is gone, the error cannot be shown.
            drop(error.print());
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let result = match args.command {
        Command::Check(args) => check::run(&args),
        Command::Render(args) => render::run(&args),
        Command::Connectivity(args) => connectivity::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Policies(args) => policies::run(&args),
        Command::Explain { what } => explain::run(&what),
        Command::ExplainMetric(args) => explain_metric::run(&args),
        #[cfg(feature = "server")]
        Command::Serve(args) => server::run(&args),
        #[cfg(feature = "server")]
        Command::Demo(args) => demo::run(&args),
        #[cfg(feature = "server")]
        Command::Playground(args) => playground::run(&args),
        Command::Completions { shell } => man_pages::completions(shell),
        Command::Man { folder } => man_pages::pages(&folder),
    };
    match result {
        Ok(end) => end.into(),
        // As a program that SIGPIPE ends: the verdict is not known, so this must not be a success.
        Err(error) if is_closed_pipe(&error) => ExitCode::from(CLOSED_PIPE),
        Err(error) => {
            print_error!("pratique: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// 128 and the number of SIGPIPE.
const CLOSED_PIPE: u8 = 141;

/// Whether the reader of the output closed the pipe (`pratique policies | head`).
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let error: Option<&std::io::Error> = error.downcast_ref();
    error.map(std::io::Error::kind) == Some(std::io::ErrorKind::BrokenPipe)
}
