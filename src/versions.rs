//! Decides which changes made no difference to viewers, from the versions that a bucket keeps.
//!
//! Upload tools often upload a whole site again although a few pages differ, and S3 reports every
//! object as changed. A bucket with versioning still holds the version below each new one, so S3
//! knows what really changed. The answer does not depend on what this function did before: not on
//! crashes, on the order of events, or on their number.
//!
//! [`ask()`] asks S3, and [`Skip`] decides. Whatever is in doubt is purged.

mod ask;
mod walk;

use std::fmt;

use serde::Serialize;

pub use self::ask::ask;
use crate::{
    bucket::Error,
    order,
    site::{Caching, Errors},
};

/// Maximum age of a change in milliseconds for which S3 is asked. The shortest lifecycle rule keeps a
/// replaced version for a day, so until then, a missing version below means that there was none.
///
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html>
const MOST_AGE: u64 = 12 * 60 * 60 * 1_000;

/// The changes to skip if the bucket shows that they made no difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skip {
    /// The time since when every upload is known to have been purged, in milliseconds since 1970. `None`
    /// to purge unchanged objects as well.
    pub unchanged_since: Option<u64>,
    /// Whether to skip new objects, of which caches can only hold an error for some seconds.
    pub new: bool,
}

/// The changes that are skipped in one distribution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rule {
    /// The time after which the version below must have been uploaded, in milliseconds since 1970. `None`
    /// if unchanged objects are not skipped.
    unchanged_after: Option<u64>,
    new: bool,
}

/// The difference between an uploaded version and the one below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Finding {
    /// The content or a header differs from the version below, or nothing is known.
    #[default]
    Different,
    /// The content and all headers are those of the version below, which was uploaded at this time in
    /// milliseconds since 1970.
    Same(u64),
    /// There is no version below.
    First,
}

/// The reason why a change of an object that is served needs no invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Needless {
    /// The object was uploaded again as it was.
    Unchanged,
    /// The object is new.
    New,
}

/// The differences that S3 knows of, for each change of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The findings by the index of the change. Empty if S3 was not asked.
    of_changes: Vec<Finding>,
    /// The times in [`Finding::Same`], sorted, without duplicates.
    times: Vec<u64>,
    /// The number of changes about which S3 was to be asked and did not answer.
    pub unjudged: usize,
    /// The first error.
    pub failure: Option<Error>,
    /// The number of lists that S3 was asked for.
    pub lists: usize,
    /// The number of HEAD requests, two for each object.
    pub heads: usize,
}

impl fmt::Display for Needless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unchanged => "uploaded again without a change",
            Self::New => "new, so that caches hold no earlier version",
        })
    }
}

impl Skip {
    /// Returns whether every change is purged, so that S3 need not be asked.
    #[must_use]
    pub const fn is_off(&self) -> bool {
        self.unchanged_since.is_none() && !self.new
    }

    /// Returns what to skip in a distribution that caches in this way. `None` for a distribution whose
    /// configuration is unknown.
    ///
    /// Nothing is skipped if a cached error could outlast the upload, and unchanged objects only if they
    /// were already there when the configuration changed last: caches may hold what an earlier
    /// configuration served. Of a new object, nothing tells whether its path was purged since such a
    /// change, so the given time has to be later.
    #[must_use]
    pub fn rule(&self, caching: Option<&Caching>) -> Rule {
        let Some(caching) = caching else {
            return Rule { unchanged_after: self.unchanged_since, new: false };
        };
        let unchanged_since = self.unchanged_since.filter(|_| caching.errors != Errors::Lasting);
        let both = unchanged_since.zip(caching.modified);
        let unchanged_after = both.map(|(since, modified)| since.max(modified.get()));
        let is_settled = self
            .unchanged_since
            .is_none_or(|since| caching.modified.is_some_and(|modified| modified.get() < since));
        Rule { unchanged_after, new: self.new && is_settled && caching.errors == Errors::Brief }
    }
}

impl Rule {
    /// Returns whether it skips nothing, whatever S3 says.
    const fn is_off(self) -> bool {
        self.unchanged_after.is_none() && !self.new
    }

    /// Returns the reason why a change needs no purge. `None` if it needs one.
    #[must_use]
    pub fn skips(self, finding: Finding) -> Option<Needless> {
        match finding {
            Finding::Same(uploaded) if self.unchanged_after.is_some_and(|after| uploaded > after) => {
                Some(Needless::Unchanged)
            }
            Finding::First if self.new => Some(Needless::New),
            Finding::Different | Finding::Same(_) | Finding::First => None,
        }
    }
}

impl Findings {
    /// Returns the findings if S3 was not asked.
    #[must_use]
    pub const fn nothing() -> Self {
        Self { of_changes: Vec::new(), times: Vec::new(), unjudged: 0, failure: None, lists: 0, heads: 0 }
    }

    /// Creates findings from the finding of each change, in the order of the batch.
    #[must_use]
    pub fn new(of_changes: Vec<Finding>) -> Self {
        let time = |finding: &Finding| match finding {
            Finding::Same(uploaded) => Some(*uploaded),
            Finding::Different | Finding::First => None,
        };
        let mut times: Vec<u64> = of_changes.iter().filter_map(time).collect();
        order::sort(&mut times, Ord::cmp);
        times.dedup();
        Self { of_changes, times, ..Self::default() }
    }

    /// Returns the finding of the change with this index.
    #[must_use]
    pub fn of(&self, change: usize) -> Finding {
        self.of_changes.get(change).copied().unwrap_or_default()
    }

    /// Returns a rule that skips the same of these changes. Rules that skip the same become equal, so
    /// that their distributions can be planned together.
    #[must_use]
    pub fn simplified(&self, rule: Rule) -> Rule {
        if self.of_changes.is_empty() {
            return Rule::default();
        }
        let newer = |after: u64| self.times.get(self.times.partition_point(|time| *time <= after));
        let unchanged_after = rule.unchanged_after.and_then(newer).map(|time| time - 1);
        Rule { unchanged_after, ..rule }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    const BRIEF: Caching = Caching { modified: NonZeroU64::new(200), errors: Errors::Brief };
    const SKIP: Skip = Skip { unchanged_since: Some(100), new: true };

    /// Returns which of these findings are skipped, as one letter each.
    fn skipped(skip: Skip, caching: Option<Caching>) -> String {
        let findings =
            [Finding::Different, Finding::First, Finding::Same(100), Finding::Same(150), Finding::Same(201)];
        let rule = skip.rule(caching.as_ref());
        let letter = |finding| match rule.skips(finding) {
            Some(Needless::Unchanged) => 'u',
            Some(Needless::New) => 'n',
            None => '-',
        };
        let all = Findings::new(findings.to_vec());
        let simplified = all.simplified(rule);
        assert!(findings.iter().all(|one| simplified.skips(*one) == rule.skips(*one)), "{simplified:?}");
        findings.into_iter().map(letter).collect()
    }

    #[test]
    fn the_configuration_of_the_distribution_decides_what_is_skipped() {
        assert_eq!(skipped(SKIP, Some(BRIEF)), "----u");
        assert_eq!(skipped(SKIP, Some(Caching { modified: NonZeroU64::new(100), ..BRIEF })), "---uu");
        assert_eq!(skipped(SKIP, Some(Caching { modified: NonZeroU64::new(99), ..BRIEF })), "-n-uu");
        assert_eq!(skipped(SKIP, Some(Caching { modified: None, ..BRIEF })), "-----");
        let short = Caching { modified: NonZeroU64::new(99), errors: Errors::Short };
        assert_eq!(skipped(SKIP, Some(short)), "---uu");
        assert_eq!(skipped(SKIP, Some(Caching { errors: Errors::Lasting, ..BRIEF })), "-----");
        assert_eq!(skipped(SKIP, None), "---uu");
        assert_eq!(skipped(Skip { new: false, ..SKIP }, Some(BRIEF)), "----u");
        assert_eq!(skipped(Skip { unchanged_since: None, ..SKIP }, Some(BRIEF)), "-n---");
        assert_eq!(skipped(Skip::default(), Some(BRIEF)), "-----");
    }

    #[test]
    fn rules_that_skip_the_same_become_equal() {
        let findings = Findings::new(vec![Finding::Same(1_000), Finding::Same(3_000)]);
        let rule =
            |unchanged_after| findings.simplified(Rule { unchanged_after: Some(unchanged_after), new: true });
        assert_eq!(rule(0), rule(999));
        assert_ne!(rule(999), rule(1_000));
        assert_eq!(rule(1_000), rule(2_999));
        assert_eq!(rule(3_000).skips(Finding::Same(3_000)), None);
        assert_eq!(
            Findings::default().simplified(Rule { unchanged_after: Some(1), new: true }),
            Rule::default()
        );
    }
}
