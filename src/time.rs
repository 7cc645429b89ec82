//! Parses times as AWS writes them, and finds the month of a time.

use std::{ops::Range, time::SystemTime};

/// Parses a time as AWS's events and lists write it, such as `2026-11-22T14:00:01.037Z` (RFC 3339 in
/// UTC). Returns milliseconds since 1970, or `None` for anything else.
pub(crate) fn milliseconds(time: &str) -> Option<u64> {
    since_1970(humantime::parse_rfc3339(time).ok()?)
}

/// Returns the milliseconds since 1970 at a time. `None` if it is earlier.
#[must_use]
pub fn since_1970(time: SystemTime) -> Option<u64> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

/// The names of the months in HTTP's dates.
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Parses a time as HTTP's headers write it, such as `Sun, 22 Nov 2026 14:00:01 GMT`. Returns
/// milliseconds since 1970, or `None` for anything else.
///
/// <https://www.rfc-editor.org/rfc/rfc9110.html#name-date-time-formats>
pub(crate) fn http_milliseconds(time: &str) -> Option<u64> {
    let mut parts = time.split(' ');
    let [Some(_), Some(day), Some(month), Some(year), Some(time), Some("GMT"), None] =
        [(); 7].map(|()| parts.next())
    else {
        return None;
    };
    let month = 1 + MONTHS.iter().position(|name| *name == month)?;
    milliseconds(&format!("{year}-{month:02}-{day}T{time}Z"))
}

/// The number of milliseconds of a day.
pub(crate) const DAY: u64 = 24 * 60 * 60 * 1_000;

/// Returns the beginning and the end of the month of a time, in UTC. All are milliseconds since 1970.
///
/// The years of this computation begin in March, so that a leap day is the last of its year:
/// <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>
pub(crate) fn month_of(time: u64) -> Range<u64> {
    let days_since_1970 = time / DAY;
    // Since the first of March of the year 0. The calendar repeats after 400 years of 146,097 days.
    let day = (days_since_1970 + 719_468) % 146_097;
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let first_of = |month: u64| (153 * month + 2) / 5;
    let month = (5 * day_of_year + 2) / 153;
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        11 => 28 + u64::from(is_leap(year + 1)),
        _ => first_of(month + 1) - first_of(month),
    };
    let first = days_since_1970 - (day_of_year - first_of(month));
    first * DAY..(first + days).saturating_mul(DAY)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_month_is_that_of_another_calendar(time in 0..253_402_300_800_000_u64) {
            let date = humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + Duration::from_millis(time));
            let date = date.to_string();
            let (year, month) = (date[..4].parse::<u64>()?, date[5..7].parse::<u64>()?);
            let begin = |year, month| milliseconds(&format!("{year:04}-{month:02}-01T00:00:00Z"));
            let next = if month == 12 { begin(year + 1, 1) } else { begin(year, month + 1) };
            let found = month_of(time);
            prop_assert_eq!(Some(found.start), begin(year, month));
            // The other calendar ends with the year 9999.
            prop_assert_eq!(Some(found.end), next.or(Some(253_402_300_800_000)));
        }

        #[test]
        fn no_time_overflows(time: u64) {
            let month = month_of(time);
            prop_assert!(month.start <= time && time <= month.end);
        }
    }

    #[test]
    fn months_begin_with_their_first_millisecond() {
        for (time, begin, days) in [
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", 31),
            ("2000-02-29T23:59:59.999Z", "2000-02-01T00:00:00Z", 29),
            ("2000-03-01T00:00:00Z", "2000-03-01T00:00:00Z", 31),
            ("2026-02-28T23:59:59.999Z", "2026-02-01T00:00:00Z", 28),
            ("2026-11-30T23:59:59.999Z", "2026-11-01T00:00:00Z", 30),
            ("2026-12-01T00:00:00Z", "2026-12-01T00:00:00Z", 31),
            ("2028-02-10T12:00:00Z", "2028-02-01T00:00:00Z", 29),
            ("2100-02-10T12:00:00Z", "2100-02-01T00:00:00Z", 28),
        ] {
            let found = month_of(milliseconds(time).expect("a time"));
            assert_eq!(Some(found.start), milliseconds(begin), "{time}");
            assert_eq!(found.end - found.start, days * DAY, "{time}");
        }
    }

    #[test]
    fn times_in_events() {
        let cases = [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1970-01-01T00:00:00.001Z", Some(1)),
            ("2000-02-29T12:30:15.5Z", Some(951_827_415_500)),
            ("2000-03-01T00:00:00Z", Some(951_868_800_000)),
            ("2026-11-22T14:00:01.037Z", Some(1_795_356_001_037)),
            ("2026-11-22T14:00:01.037999Z", Some(1_795_356_001_037)),
            ("2100-12-31T23:59:59Z", Some(4_133_980_799_000)),
            ("1969-12-31T23:59:59Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-11-22T14:00:01", None),
            ("2026-11-22T14:00:01+01:00", None),
            ("2026-11-22 14:00:01Z", None),
            ("2026-11-22T14:00:01.Z", Some(1_795_356_001_000)),
            ("2026-11-22T14:00:01.aZ", None),
            ("+026-11-22T14:00:01Z", None),
            ("üüüüüüüüüüüüüüüü", None),
            ("", None),
        ];
        for (time, expected) in cases {
            assert_eq!(milliseconds(time), expected, "{time}");
        }
    }

    #[test]
    fn times_in_headers() {
        let cases = [
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Tue, 29 Feb 2000 12:30:15 GMT", Some(951_827_415_000)),
            ("Sun, 22 Nov 2026 14:00:01 GMT", Some(1_795_356_001_000)),
            ("Fri, 31 Dec 2100 23:59:59 GMT", Some(4_133_980_799_000)),
            ("Sun, 22 Nov 2026 14:00:01", None),
            ("Sun, 22 Nov 2026 14:00:01 +0000", None),
            ("Sunday, 22-Nov-26 14:00:01 GMT", None),
            ("Sun Nov 22 14:00:01 2026", None),
            ("Sun, 31 Feb 2026 14:00:01 GMT", None),
            ("Sun, 22 Foo 2026 14:00:01 GMT", None),
            ("Sun, 22 Nov 2026 14:00:01 GMT x", None),
            ("", None),
        ];
        for (time, expected) in cases {
            assert_eq!(http_milliseconds(time), expected, "{time}");
        }
    }
}
