//! Times of S3's events.

use std::time::SystemTime;

/// Parses a time as AWS's events write it, such as `2026-11-22T14:00:01.037Z` (RFC 3339 in UTC).
/// Returns milliseconds since 1970, or `None` for anything else: only a metric depends on it.
pub(super) fn milliseconds(time: &str) -> Option<u64> {
    let time = humantime::parse_rfc3339(time).ok()?;
    let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    u64::try_from(since_1970.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::milliseconds;

    #[test]
    fn times() {
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
}
