//! The current time, for certificates, exceptions and metrics. Policies do not depend on it.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// The current time, in seconds since 1970.
pub fn now() -> i64 {
    Timestamp::now().as_second()
}

/// The current date, in UTC.
pub(crate) fn today() -> Date {
    TimeZone::UTC.to_datetime(Timestamp::now()).date()
}
