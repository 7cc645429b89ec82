//! The months of the calendar, in UTC.

/// The milliseconds of a day.
const DAY: u64 = 86_400_000;

/// A month, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Month {
    begin: u64,
    end: u64,
}

impl Month {
    /// Returns the month of a time.
    pub(crate) fn of(time: u64) -> Self {
        let (mut begin, mut year) = (0, 1970);
        loop {
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            for days in [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
                let end = begin + days * DAY;
                if time < end {
                    return Self { begin, end };
                }
                begin = end;
            }
            year += 1;
        }
    }

    /// Returns whether a time is in the month.
    pub(crate) const fn contains(self, time: u64) -> bool {
        self.begin <= time && time < self.end
    }

    /// Returns the number of its days.
    pub(crate) const fn days(self) -> u64 {
        (self.end - self.begin) / DAY
    }

    /// Returns the number of days that are left, the one of `time` included.
    pub(crate) const fn days_left(self, time: u64) -> u64 {
        (self.end - time).div_ceil(DAY)
    }
}
