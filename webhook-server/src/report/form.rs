//! The forms of a report. Each is written as objects are judged, in their order, so that what is in memory does not grow with what is
//! found.

use std::io::{self, Write};

use super::github::Github;
use super::human::Human;
use super::json::Json;
use super::junit::Junit;
use super::sarif::Sarif;
use super::{Judged, Totals};
use crate::args::ReportForm;

/// Where a report goes.
pub(super) type Out = Box<dyn Write + Send>;

/// One form of a report.
pub(super) trait Form: Send {
    /// What stands before the first object.
    fn begin(&mut self, out: &mut Out) -> io::Result<()>;

    /// An object, and what was found in it.
    fn object(&mut self, out: &mut Out, judged: &Judged) -> io::Result<()>;

    /// What stands after the last.
    fn end(&mut self, out: &mut Out, totals: &Totals) -> io::Result<()>;
}

/// The form that is asked for, and where it goes: colours only where people look.
pub(super) fn of(form: ReportForm) -> (Box<dyn Form>, Out) {
    let plain = || -> Out { Box::new(io::BufWriter::new(io::stdout())) };
    match form {
        ReportForm::Human => (Box::new(Human::default()), Box::new(io::BufWriter::new(anstream::stdout()))),
        ReportForm::Json => (Box::new(Json::default()), plain()),
        ReportForm::Sarif => (Box::new(Sarif::default()), plain()),
        ReportForm::Junit => (Box::new(Junit), plain()),
        ReportForm::Github => (Box::new(Github), plain()),
    }
}
