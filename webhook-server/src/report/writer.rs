//! The interface of the report formats. Reports are written while objects are evaluated, so that memory usage does not grow
//! with the number of findings.

use std::io::{self, Write};

use super::{ObjectReport, Totals};

/// The output of a report.
pub(super) type Out = Box<dyn Write + Send>;

/// A report format.
pub(super) trait ReportWriter: Send {
    /// Writes the text before the first object.
    fn begin(&mut self, out: &mut Out) -> io::Result<()>;

    /// Writes an object and its findings.
    fn object(&mut self, out: &mut Out, object: &ObjectReport) -> io::Result<()>;

    /// Writes the text after the last object.
    fn end(&mut self, out: &mut Out, totals: &Totals) -> io::Result<()>;
}
