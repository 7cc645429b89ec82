//! The months of the calendar, in UTC.

/// The milliseconds of a day.
pub(crate) const DAY: u64 = 86_400_000;

/// A month, in milliseconds since 1970.
#[derive(Clone, Copy)]
pub(crate) struct Month {
    pub(crate) begin: u64,
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
    pub(crate) fn days(self) -> f64 {
        days(self.end - self.begin)
    }

    /// Returns the number of days that are left, the one of `time` included.
    pub(crate) fn days_left(self, time: u64) -> f64 {
        days(self.end - time)
    }
}

/// Returns the number of days that have begun in a time.
fn days(time: u64) -> f64 {
    f64::from(u32::try_from(time.div_ceil(DAY)).expect("at most 31"))
}
