//! What can be said about a report.

use std::path::PathBuf;

use clap::ValueEnum;

/// How a report is written, and what in it is a failure.
#[derive(Clone, Debug, clap::Args)]
pub struct ReportArgs {
    /// The form of the report
    #[arg(long, short, value_enum, default_value_t)]
    pub output: ReportFormat,
    /// From what on the command fails
    #[arg(long, value_enum, default_value_t)]
    pub fail_on: FailOn,
    /// Accept the findings that are listed in this file, and report only others
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// List what is found in this file, to be accepted from now on; nothing that is found fails the command then
    #[arg(long, value_name = "FILE", conflicts_with = "baseline")]
    pub write_baseline: Option<PathBuf>,
}

/// The form of a report of `check`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people
    #[default]
    Human,
    /// For programs: one JSON object
    Json,
    /// For code scanning: SARIF 2.1.0
    Sarif,
    /// For CI servers: JUnit's XML
    Junit,
    /// For GitHub Actions: annotations of the lines of a pull request
    Github,
}

/// From what on `check` fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Something is denied
    #[default]
    Deny,
    /// Something is denied or warned of
    Warn,
}
