//! What time it is. Policies do not ask; certificates, exceptions and metrics do.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// In seconds since 1970.
pub fn now() -> i64 {
    Timestamp::now().as_second()
}

/// The day, in UTC.
pub(crate) fn today() -> Date {
    TimeZone::UTC.to_datetime(Timestamp::now()).date()
}
