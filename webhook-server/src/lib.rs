//! Who asks and who answers: the webhook and the command line, around the policies that decide.
//!
//! This is the only crate that opens a socket or a file. `args` is what can be asked; `config` which policies are
//! asked; `input` reads manifests; `check`, `cases`, `policies` and `demo` are one command each, with `report` for what
//! they print; `serve` and `tls` are the webhook, `client` its counterpart for `demo` and the tests.

pub mod args;
pub mod cases;
pub mod check;
pub mod client;
pub mod config;
pub mod demo;
pub mod input;
pub mod policies;
pub mod report;
pub mod serve;
pub mod tls;
