//! The `pratique` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    webhook_server::run(std::env::args_os())
}
