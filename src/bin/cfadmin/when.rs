//! Times on the command line.

use std::{str::FromStr, time::SystemTime};

use cloudfront_invalidator::since_1970;

/// A moment: a time, or a duration before the present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// A time in milliseconds since 1970.
    At(u64),
    /// A number of milliseconds ago.
    Ago(u64),
}

impl When {
    /// Returns the time in milliseconds since 1970. `now` is the present.
    pub(crate) const fn time(self, now: u64) -> u64 {
        match self {
            Self::At(time) => time,
            Self::Ago(duration) => now.saturating_sub(duration),
        }
    }
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(duration) = humantime::parse_duration(text) {
            return Ok(Self::Ago(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)));
        }
        let time = humantime::parse_rfc3339(text)
            .or_else(|_| humantime::parse_rfc3339(&format!("{text}T00:00:00Z")));
        let time = time.ok().and_then(since_1970);
        time.map(Self::At).ok_or_else(|| {
            "neither a time in UTC nor a duration; write it as 2026-11-25T09:30:00Z, 2026-11-25 or 10m"
                .to_owned()
        })
    }
}

/// Formats a time in milliseconds since 1970 as AWS does.
pub(crate) fn shown(time: u64) -> String {
    // No calendar goes further than this.
    let time = std::time::Duration::from_millis(time.min(253_402_300_799_000));
    humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_durations_are_read() {
        assert_eq!("10m".parse(), Ok(When::Ago(600_000)));
        assert_eq!("1h 30s".parse(), Ok(When::Ago(3_630_000)));
        assert_eq!("1970-01-02T00:00:00.5Z".parse(), Ok(When::At(86_400_500)));
        assert_eq!("1970-01-02".parse(), Ok(When::At(86_400_000)));
        for wrong in ["", "10", "yesterday", "1969-12-31", "2026-11-25T09:30:00+01:00", "-5m"] {
            assert!(wrong.parse::<When>().is_err(), "{wrong}");
        }
        assert_eq!(When::Ago(1_000).time(5_000), 4_000);
        assert_eq!(When::Ago(u64::MAX).time(5_000), 0);
        assert_eq!(shown(1_795_356_001_037), "2026-11-22T14:00:01Z");
    }
}
