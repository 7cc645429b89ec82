//! Parses times as AWS writes them.

use std::time::SystemTime;

/// Parses a time as AWS's events and lists write it, such as `2026-11-22T14:00:01.037Z` (RFC 3339 in
/// UTC). Returns milliseconds since 1970, or `None` for anything else.
pub(crate) fn milliseconds(time: &str) -> Option<u64> {
    let time = humantime::parse_rfc3339(time).ok()?;
    let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    u64::try_from(since_1970.as_millis()).ok()
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

#[cfg(test)]
mod tests {
    use super::{http_milliseconds, milliseconds};

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
