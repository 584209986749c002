//! The forms of a report. Each is written as objects are judged, in their order, so that what is in memory does not grow with what is
//! found.

use std::io::{self, Write};

use super::{ObjectReport, Totals};

/// Where a report goes.
pub(super) type Out = Box<dyn Write + Send>;

/// One form of a report.
pub(super) trait ReportWriter: Send {
    /// What stands before the first object.
    fn begin(&mut self, out: &mut Out) -> io::Result<()>;

    /// An object, and what was found in it.
    fn object(&mut self, out: &mut Out, object: &ObjectReport) -> io::Result<()>;

    /// What stands after the last.
    fn end(&mut self, out: &mut Out, totals: &Totals) -> io::Result<()>;
}
