//! The measure of what a wildcard purges needlessly, if the content of the buckets is known, in whole
//! or in part.

use std::{collections::BTreeMap, ops::Range};

use crate::{
    cover::{Candidate, Measure, expected_collateral},
    neighbors::Neighbors,
    order,
    site::Serving,
};

/// The number of keys to map between two looks at the time.
const KEYS_BETWEEN_LOOKS: usize = 512;

/// Maximum number of known keys to map for all groups of a batch, so that planning does not run out of
/// time because of them.
const MOST_KEYS: usize = 250_000;

/// Maximum number of bytes of paths. If the known objects have more, nothing is known.
const MOST_BYTES: usize = 12 * 1024 * 1024;

/// The weight of [`OBJECTS`], as expected collateral.
const PRIOR: f64 = 0.01;

/// The number of unchanged objects for one unit of expected collateral while no wildcard is known. A
/// guess, which a few known wildcards outweigh.
const OBJECTS: f64 = 100.0;

/// The unchanged objects that a group serves, as far as they are known.
#[derive(Debug)]
pub(super) struct Collateral<'a> {
    serving: &'a Serving,
    neighbors: &'a Neighbors,
    /// The buckets, in lower case, with changes that the group serves.
    buckets: Vec<String>,
    /// The stems of the objects' paths, one after the other.
    text: String,
    /// The stems, sorted.
    stems: Vec<Range<u32>>,
    /// The common prefix of each two neighboring stems of one object: sorted. A wildcard that purges
    /// both still purges one object.
    shared: Vec<Range<u32>>,
    /// The number of objects for one unit of expected collateral.
    scale: f64,
}

impl<'a> Collateral<'a> {
    /// Maps the known objects beside the changed ones, whose keys are sorted, to their paths. Returns
    /// `None` if nothing is known about these buckets, if that is too much for one of `share` groups, or if
    /// it is late.
    pub(super) fn of(
        serving: &'a Serving,
        neighbors: &'a Neighbors,
        changed: BTreeMap<String, Vec<&[u8]>>,
        share: usize,
        is_late: &dyn Fn() -> bool,
    ) -> Option<Self> {
        let count: usize = changed.keys().map(|bucket| neighbors.count(bucket)).sum();
        if count == 0 || count > MOST_KEYS / share.max(1) {
            return None;
        }
        let mut all = Self {
            serving,
            neighbors,
            buckets: Vec::new(),
            text: String::new(),
            stems: Vec::new(),
            shared: Vec::new(),
            scale: OBJECTS,
        };
        for (bucket, changed) in changed {
            for (index, key) in neighbors.keys(&bucket).enumerate() {
                if all.text.len() > MOST_BYTES || (index % KEYS_BETWEEN_LOOKS == 0 && is_late()) {
                    return None;
                }
                if changed.binary_search(&key).is_err() {
                    all.add(&bucket, key);
                }
            }
            all.buckets.push(bucket);
        }
        let Self { text, stems, shared, .. } = &mut all;
        for sorted in [stems, shared] {
            order::sort(sorted, |a, b| slice(text, a).cmp(slice(text, b)));
        }
        Some(all)
    }

    fn add(&mut self, bucket: &str, key: &[u8]) {
        let Ok(mut paths) = self.serving.paths(bucket, key) else { return };
        order::sort(&mut paths, |(one, _), (other, _)| one.stem().cmp(other.stem()));
        for (index, (item, _)) in paths.iter().enumerate() {
            let start = number(self.text.len());
            self.text.push_str(item.stem());
            self.stems.push(start..number(self.text.len()));
            if index > 0 {
                self.shared.push(start..start + number(item.common_stem(&paths[index - 1].0)));
            }
        }
    }

    /// Returns the number of known objects that did not change and that a wildcard with this stem
    /// purges.
    fn count(&self, stem: &str) -> usize {
        self.below(&self.stems, stem) - self.below(&self.shared, stem)
    }

    fn below(&self, sorted: &[Range<u32>], stem: &str) -> usize {
        let stem = stem.as_bytes();
        let first = sorted.partition_point(|one| slice(&self.text, one) < stem);
        sorted[first..].partition_point(|one| slice(&self.text, one).starts_with(stem))
    }

    /// Returns whether all objects that a wildcard with this stem purges are known.
    fn is_listed(&self, stem: &str) -> bool {
        self.buckets.iter().all(|bucket| {
            let prefixes = self.serving.keys_below(bucket, stem);
            prefixes.iter().all(|prefix| self.neighbors.is_listed(bucket, prefix))
        })
    }
}

impl Measure for Collateral<'_> {
    /// Learns the scale from the candidates below which everything is known.
    fn prepare(&mut self, candidates: &mut dyn Iterator<Item = Candidate<'_>>) {
        let (mut objects, mut expected) = (OBJECTS * PRIOR, PRIOR);
        for candidate in candidates.filter(|candidate| self.is_listed(candidate.stem)) {
            objects += real(self.count(candidate.stem));
            expected += expected_collateral(&candidate);
        }
        self.scale = objects / expected;
    }

    fn cost(&self, candidate: &Candidate<'_>) -> f64 {
        let known = real(self.count(candidate.stem)).max(candidate.within);
        if self.is_listed(candidate.stem) {
            return known;
        }
        let alone = Candidate { within: 0.0, ..*candidate };
        known.max(self.scale * expected_collateral(&alone))
    }
}

fn slice<'t>(text: &'t str, range: &Range<u32>) -> &'t [u8] {
    &text.as_bytes()[range.start as usize..range.end as usize]
}

/// Converts a length to 32 bits. The paths of all known keys are far shorter.
fn number(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "a number of objects, far below 2^52")]
const fn real(count: usize) -> f64 {
    count as f64
}
