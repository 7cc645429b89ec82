//! When S3 says that something happened.

/// Milliseconds since 1970 of a time as AWS's events write it, such as
/// `2026-11-22T14:00:01.037Z`: RFC 3339 in UTC. None for anything else, since nothing but a
/// metric hangs on it.
pub(super) fn milliseconds(time: &str) -> Option<u64> {
    let number = |range: std::ops::Range<usize>| {
        let digits = time.get(range).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
        digits.parse::<u64>().ok()
    };
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if separators.iter().any(|&(at, byte)| time.as_bytes().get(at) != Some(&byte)) {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let fraction = time.get(19..)?.strip_suffix('Z')?;
    let thousandths = match fraction.strip_prefix('.') {
        None if fraction.is_empty() => 0,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{digits:0<3}").get(..3)?.parse().ok()?
        }
        _ => return None,
    };
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years that begin in March, so that the leap day is a year's last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    let days = 365 * year + leap_days + (153 * month + 2) / 5 + day - 1;
    let days = days.checked_sub(DAYS_BEFORE_1970)?;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000 + thousandths)
}

/// From March of the year 0 to January 1970.
const DAYS_BEFORE_1970: u64 = 719_468;

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
