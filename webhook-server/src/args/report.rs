//! The arguments for reports.

use std::path::PathBuf;

use clap::ValueEnum;

/// The format of the report, and when the command fails.
#[derive(Clone, Debug, clap::Args)]
pub struct ReportArgs {
    /// The output format
    #[arg(long, short, value_enum, default_value_t)]
    pub output: ReportFormat,
    /// The minimum severity that makes the command exit with 1
    #[arg(long, value_enum, default_value_t)]
    pub fail_on: FailOn,
    /// Accept the findings listed in this file, and report only new ones
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Write the current findings to this file, as a baseline; findings do not make the command fail
    #[arg(long, value_name = "FILE", conflicts_with = "baseline")]
    pub write_baseline: Option<PathBuf>,
}

/// The output format of `check`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// Text for people
    #[default]
    Human,
    /// One JSON object
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// JUnit XML, for CI servers
    Junit,
    /// GitHub Actions annotations on the lines of a pull request
    Github,
}

/// The minimum severity at which `check` fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Denials
    #[default]
    Deny,
    /// Denials and warnings
    Warn,
}
