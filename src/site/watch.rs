//! What this deployment looks at, and why it passes over the rest.

use std::fmt;

use globset::{Candidate, GlobSet};
use serde::Serialize;

use crate::event::{Change, Effect};

/// Which changes are looked at: those of these buckets whose key fits.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// The buckets' names. Empty: any.
    pub buckets: Vec<String>,
    /// Globs of which a key must match one. None: every key is in.
    pub include: Option<GlobSet>,
    /// Globs of which a key may match none.
    pub exclude: GlobSet,
}

/// Why a change leads to no invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ignored {
    /// The event changes no content.
    Event,
    /// The event is unknown to this version.
    UnknownEvent,
    /// The bucket is not one of those configured.
    Bucket,
    /// The key is not among those included, or is excluded.
    Key,
    /// No distribution has the bucket as an origin.
    Unserved,
    /// The key lies outside the origin path of every distribution.
    OriginPath,
    /// Every path that it would have is served from somewhere else.
    Behavior,
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Event => "changes no content",
            Self::UnknownEvent => "unknown event",
            Self::Bucket => "bucket not in INVALIDATOR_BUCKETS",
            Self::Key => "left out by INVALIDATOR_INCLUDE or INVALIDATOR_EXCLUDE",
            Self::Unserved => "no distribution has this bucket as an origin",
            Self::OriginPath => "outside the origin path",
            Self::Behavior => "no behavior serves its path from this bucket",
        })
    }
}

impl Watch {
    /// Why this change is not looked at, if it is not.
    #[must_use]
    pub fn ignores(&self, change: &Change) -> Option<Ignored> {
        match change.effect {
            Effect::None => return Some(Ignored::Event),
            Effect::Unknown => return Some(Ignored::UnknownEvent),
            Effect::Content => {}
        }
        if !self.buckets.is_empty() && !self.buckets.iter().any(|bucket| **bucket == *change.bucket) {
            return Some(Ignored::Bucket);
        }
        if self.include.is_none() && self.exclude.is_empty() {
            return None;
        }
        let key = Candidate::from_bytes(change.key.as_bytes());
        let included = self.include.as_ref().is_none_or(|globs| globs.is_match_candidate(&key));
        (!included || self.exclude.is_match_candidate(&key)).then_some(Ignored::Key)
    }
}
