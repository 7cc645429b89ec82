//! Reads from CloudWatch how many invalidation paths were sent this month. The function keeps no state
//! that outlasts its environment.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html>

use std::{
    num::NonZeroUsize,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    cloudfront::{Client, Error, Scope, monitoring},
    rpc::{Failure, Operation},
    time::{DAY, month_of},
};

/// The namespace of the function's metrics.
pub const NAMESPACE: &str = "CloudFrontInvalidator";

/// The metric that counts the paths that CloudFront bills. All functions of an account and region share
/// the one without dimensions.
pub const PATHS: &str = "Paths";

/// The time for which a reading is used, in milliseconds.
pub const INTERVAL: u64 = 5 * 60 * 1_000;

/// The time after a failed attempt before the next one, in milliseconds.
pub const RETRY: u64 = 60 * 1_000;

/// The time that a log line may take to appear in the metric, in milliseconds.
pub const LAG: u64 = 2 * 60 * 1_000;

/// Maximum time to wait for CloudWatch.
const LONGEST: Duration = Duration::from_secs(2);

/// Maximum number of attempts for a reading.
const ATTEMPTS: u32 = 2;

/// The wait before the second attempt.
const WAIT: Duration = Duration::from_millis(200);

/// Maximum number of pages of an answer. CloudWatch can put the hours of a month on one.
const MOST_PAGES: usize = 4;

/// The number of milliseconds of an hour. CloudWatch keeps sums of hours for 15 months.
const HOUR: u64 = 60 * 60 * 1_000;

/// Reads the figures of the month, and remembers them for a while.
#[derive(Debug)]
pub struct Meter {
    allowance: NonZeroUsize,
    state: Mutex<State>,
}

/// The last reading of a month, and the paths since then.
#[derive(Debug, Default)]
struct State {
    /// The beginning of the month, in milliseconds since 1970.
    begin: u64,
    /// The last reading: the number of paths, and its time.
    reading: Option<(usize, u64)>,
    /// The time of the last attempt, if it failed or has no answer yet.
    failed: Option<u64>,
    own: Own,
}

/// The figures of a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Month {
    /// The number of paths that may be sent in a month.
    pub allowance: usize,
    /// The number of paths that were sent this month, as far as known: those of the reading and `own`.
    pub sent: usize,
    /// The number of paths that this environment sent since the reading, or shortly before it. The
    /// reading may contain the latter already, so `sent` is rather too high than too low.
    pub own: usize,
    /// The origin of the figures.
    pub source: Source,
    /// The time since the month began, in milliseconds.
    pub elapsed: u64,
    /// The length of the month, in milliseconds.
    pub length: u64,
}

/// The origin of a month's figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A recent reading.
    Read,
    /// An older reading, since CloudWatch could not be asked again.
    Old,
    /// The assumption that the allowance is spent evenly, without a reading of this month.
    Guessed,
}

impl Meter {
    /// Creates a meter for so many paths a month.
    #[must_use]
    pub fn new(allowance: NonZeroUsize) -> Self {
        Self { allowance, state: Mutex::default() }
    }

    /// Returns the figures of the month at `now`, in milliseconds since 1970, and the reason why
    /// CloudWatch did not answer.
    ///
    /// Asks CloudWatch if the last reading is older than [`INTERVAL`] or of another month, but not within
    /// [`RETRY`] of an attempt that failed. Takes at most `time`, and at most two seconds. Never asks
    /// without a client.
    pub async fn month(&self, client: Option<&Client>, time: Duration, now: u64) -> (Month, Option<Error>) {
        let month = month_of(now);
        let mut error = None;
        if let Some(client) = client.filter(|_| !time.is_zero() && self.begin_attempt(&month, now)) {
            let until = Instant::now() + time.min(LONGEST);
            match read(client, month.start, now, until).await {
                Ok(sent) => self.lock(&month).read(sent, now),
                Err(failure) => error = Some(failure.of("GetMetricData")),
            }
        }
        (self.lock(&month).figures(self.allowance.get(), now), error)
    }

    /// Records that this environment sent so many paths at `now`, in milliseconds since 1970.
    pub fn sent(&self, paths: usize, now: u64) {
        self.lock(&month_of(now)).own.add(paths, now);
    }

    /// Returns whether it is time to ask CloudWatch. If so, the attempt counts as failed for now.
    fn begin_attempt(&self, month: &Range<u64>, now: u64) -> bool {
        let mut state = self.lock(month);
        let is_recent = |time: u64, interval| now.abs_diff(time) <= interval;
        let is_due = state.reading.is_none_or(|(_, at)| !is_recent(at, INTERVAL))
            && state.failed.is_none_or(|at| now.abs_diff(at) >= RETRY);
        if is_due {
            state.failed = Some(now);
        }
        is_due
    }

    /// Locks the state, and empties it if it is that of another month.
    fn lock(&self, month: &Range<u64>) -> MutexGuard<'_, State> {
        // No holder leaves the state half changed.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.begin != month.start {
            *state = State { begin: month.start, ..State::default() };
        }
        state
    }
}

impl State {
    /// Records a reading.
    fn read(&mut self, sent: usize, at: u64) {
        self.reading = Some((sent, at));
        self.failed = None;
        self.own.forget_before(at.saturating_sub(LAG));
    }

    fn figures(&self, allowance: usize, now: u64) -> Month {
        let month = Month::new(allowance, 0, now);
        let (read, source) = match self.reading {
            Some((sent, at)) if now.abs_diff(at) <= INTERVAL => (sent, Source::Read),
            Some((sent, _)) => (sent, Source::Old),
            None => (share(allowance, month.elapsed, month.length), Source::Guessed),
        };
        let own = self.own.sum();
        Month { sent: read.saturating_add(own), own, source, ..month }
    }
}

/// The length of a slot of [`Own`], in milliseconds.
const SLOT: u64 = 30 * 1_000;

/// The number of slots: those that [`LAG`] touches, and one more for the time that a reading takes.
const SLOTS: usize = 6;

/// The number of paths that this environment sent, by the time at which it sent them.
#[derive(Debug, Default)]
struct Own {
    /// The last slots, each with its number since 1970 and its paths.
    slots: [(u64, usize); SLOTS],
    /// The paths of all slots before.
    older: usize,
}

impl Own {
    fn add(&mut self, paths: usize, now: u64) {
        let number = now / SLOT;
        let (last, count) = &mut self.slots[(number % SLOTS as u64) as usize];
        if *last != number {
            self.older = self.older.saturating_add(*count);
            (*last, *count) = (number, 0);
        }
        *count = count.saturating_add(paths);
    }

    /// Forgets what was sent before the slot of `time`.
    fn forget_before(&mut self, time: u64) {
        self.older = 0;
        for (number, count) in &mut self.slots {
            if *number < time / SLOT {
                *count = 0;
            }
        }
    }

    fn sum(&self) -> usize {
        self.slots.iter().fold(self.older, |sum, (_, count)| sum.saturating_add(*count))
    }
}

impl Month {
    /// Creates the figures of the month at `now`, in milliseconds since 1970, in which so many paths were sent.
    #[must_use]
    pub fn new(allowance: usize, sent: usize, now: u64) -> Self {
        let month = month_of(now);
        let (elapsed, length) = (now - month.start, month.end - month.start);
        Self { allowance, sent, own: 0, source: Source::Read, elapsed, length }
    }

    /// Returns the number of paths at the end of the month if as many are sent a day as until now. Assumes that at
    /// least five days have passed, since a few deploys at the beginning of a month say little.
    #[must_use]
    pub fn forecast(&self) -> usize {
        share(self.sent, self.length, self.elapsed.max(5 * DAY)).max(self.sent)
    }

    /// Returns the number of days until the end of the month, with the rest of today as a part of one.
    #[must_use]
    pub fn days_left(&self) -> f64 {
        let left = Duration::from_millis(self.length.saturating_sub(self.elapsed));
        left.div_duration_f64(Duration::from_millis(DAY))
    }
}

/// Returns `whole * part / of`.
fn share(whole: usize, part: u64, of: u64) -> usize {
    let share = whole as u128 * u128::from(part) / u128::from(of.max(1));
    usize::try_from(share).unwrap_or(usize::MAX)
}

/// An answer of GetMetricData, which may be one page of several.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    metric_data_results: Vec<Series>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Series {
    #[serde(default)]
    values: Vec<f64>,
    #[serde(default)]
    status_code: String,
}

/// Reads how many paths were sent between two times in milliseconds since 1970.
async fn read(client: &Client, begin: u64, now: u64, until: Instant) -> Result<usize, Error> {
    let endpoint = monitoring(client.settings());
    let operation = Operation {
        service: "CloudWatch",
        target: "GraniteServiceVersion20100801.GetMetricData",
        scope: Scope { service: "monitoring", region: &client.settings().region },
        endpoint: &endpoint,
    };
    // CloudWatch answers faster if the times are those of full hours.
    let (begin, end) = (begin / 1_000, (now / HOUR + 1) * (HOUR / 1_000));
    let mut sum = 0.0;
    let mut next = String::new();
    let mut attempts = ATTEMPTS;
    for _ in 0..MOST_PAGES {
        let request = format!(
            r#"{{"StartTime":{begin},"EndTime":{end},"MetricDataQueries":[{{"Id":"paths","MetricStat":{{"Metric":{{"Namespace":"{NAMESPACE}","MetricName":"{PATHS}"}},"Period":3600,"Stat":"Sum"}}}}]{next}}}"#
        );
        let Answer { metric_data_results, next_token } =
            page(client, &operation, request, until, &mut attempts).await?;
        let next_token = next_token.filter(|token| !token.is_empty());
        for Series { values, status_code } in &metric_data_results {
            let is_partial = status_code == "PartialData" && next_token.is_some();
            if !matches!(&**status_code, "" | "Complete") && !is_partial {
                return Err(Error::other(client.presentable(format!(
                    "CloudWatch answered without all values: the status is {status_code:?}"
                ))));
            }
            sum += values.iter().sum::<f64>();
        }
        let Some(token) = next_token else {
            return Ok(whole(sum));
        };
        next = format!(r#","NextToken":{}"#, serde_json::to_string(&token).unwrap_or_default());
    }
    Err(Error::other(format!("CloudWatch's answer has more than {MOST_PAGES} pages")))
}

/// Reads a page. Asks again if CloudWatch is busy and `attempts` are left.
async fn page(
    client: &Client,
    operation: &Operation<'_>,
    request: String,
    until: Instant,
    attempts: &mut u32,
) -> Result<Answer, Error> {
    loop {
        let limit = until.saturating_duration_since(Instant::now());
        let answer = operation.call(client, request.clone(), limit).await;
        let Failure { error, is_transient } = match answer.and_then(|body| operation.parse(&body)) {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        *attempts -= 1;
        let has_time = until.saturating_duration_since(Instant::now()) > WAIT;
        if !is_transient || error.is_unreachable() || *attempts == 0 || !has_time {
            return Err(error);
        }
        tokio::time::sleep(WAIT).await;
    }
}

/// Returns the whole number that a sum of whole numbers is.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the nearest number of paths is right for a sum that is none"
)]
fn whole(sum: f64) -> usize {
    sum.round() as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the metric may lack is kept, and little of what it must have.
        #[test]
        fn paths_are_kept_for_as_long_as_the_metric_may_lack_them(
            steps in prop::collection::vec((0..3 * SLOT, 0..100_usize), 0..40),
            readings in prop::collection::vec(0..40_usize, 0..3),
        ) {
            let (mut own, mut now, mut all, mut cut) = (Own::default(), 1_795_000_000_000, Vec::new(), 0);
            for (index, (step, paths)) in steps.into_iter().enumerate() {
                now += step;
                own.add(paths, now);
                all.push((now, paths));
                if readings.contains(&index) {
                    own.forget_before(now - LAG);
                    cut = now - LAG;
                }
                let since = |begin| all.iter().filter(|(time, _)| *time >= begin).map(|(_, paths)| paths).sum();
                let (least, most): (usize, usize) = (since(cut), since(cut.saturating_sub(SLOT)));
                prop_assert!((least..=most).contains(&own.sum()), "{least} <= {} <= {most}", own.sum());
            }
        }
    }
}
