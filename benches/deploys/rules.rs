//! Compares ways to fold a deploy.

use std::{collections::BTreeSet, time::Duration};

use cloudfront_invalidator::{
    cover::{Budget, Cover, Effort, cover, cover_by},
    neighbors::{Neighbors, list},
    path::Item,
    plan::{Pace, Planner, Policy},
    site::{Forms, OriginPath, Site, Sites},
    versions::Skip,
    watch::Watch,
};
use futures_util::FutureExt;

use crate::history::{Deploy, Listing};

/// A way to fold a deploy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// `/*` alone, as simple tools send it.
    Everything,
    /// s3deploy's rule with its own limit of 8 items.
    S3deployAtEight,
    /// s3deploy's rule with as many items as the other rules have.
    S3deploy,
    /// The best cover of whole directories, if the content of the bucket is known.
    Directories,
    /// This project's cover.
    Cover,
    /// This project's cover with `INVALIDATOR_LIST_BUCKET`.
    Asking,
    /// The same search, if the content of the bucket is known: the best possible cover.
    Perfect,
}

impl Rule {
    pub(crate) const ALL: [Self; 7] = [
        Self::Everything,
        Self::S3deployAtEight,
        Self::S3deploy,
        Self::Directories,
        Self::Cover,
        Self::Asking,
        Self::Perfect,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Everything => "`/*`",
            Self::S3deployAtEight => "s3deploy's rule, at its 8",
            Self::S3deploy => "s3deploy's rule, at N",
            Self::Directories => "best directories, knowing the bucket",
            Self::Cover => "this cover",
            Self::Asking => "this cover, asking the bucket",
            Self::Perfect => "this cover, knowing the bucket",
        }
    }

    /// Returns the paths that the rule sends for a deploy.
    pub(crate) fn apply(self, deploy: &Deploy, items: usize, wildcards: usize) -> BTreeSet<String> {
        let changed = || deploy.changed.iter().cloned();
        let budget = Budget { items, wildcards };
        match self {
            Self::Everything => BTreeSet::from(["/*".to_owned()]),
            Self::S3deployAtEight => s3deploy(&deploy.changed, 8),
            Self::S3deploy => s3deploy(&deploy.changed, items),
            Self::Directories => {
                let cost = |stem: &str| real(deploy.unchanged_below(directory(stem)));
                let cover = cover_by(changed(), budget, Effort::default(), |candidate| cost(candidate.stem));
                let widened = cover.items.into_iter().map(|one| {
                    if one.folded { format!("{}*", directory(one.item.stem())) } else { one.item.to_string() }
                });
                widened.collect()
            }
            Self::Cover => sent(cover(changed(), budget)),
            Self::Asking => asking(deploy, budget, PAGE).0,
            Self::Perfect => {
                let cost = |stem: &str| real(deploy.unchanged_below(stem));
                sent(cover_by(changed(), budget, Effort::default(), |candidate| cost(candidate.stem)))
            }
        }
    }
}

/// Maximum number of keys in an answer of S3.
pub(crate) const PAGE: usize = 1_000;

/// Plans a deploy as the function does with `INVALIDATOR_LIST_BUCKET`, if an answer has at most `page`
/// keys. Returns the paths, and the
/// number of calls to list the bucket.
pub(crate) fn asking(deploy: &Deploy, budget: Budget, page: usize) -> (BTreeSet<String>, usize) {
    let policy =
        Policy { watch: Watch::default(), budget, manual: false, skip: Skip::default(), list_bucket: true };
    let sites = Sites { list: vec![site().into()], ..Sites::default() };
    let batch = deploy.batch();
    let planner = Planner::new(&batch, &policy, &sites);
    let mut known = Neighbors::default();
    let wanted = planner.wanted(&|| false);
    let listing = list(&mut known, wanted, |_| Listing { deploy, page }, Duration::from_mins(1));
    let listed = listing.now_or_never().expect("a source that answers at once");
    let mut planner = planner.knowing(known);
    let invalidation = planner.next(&|| Pace::Thorough).expect("an invalidation");
    (invalidation.paths().map(str::to_owned).collect(), listed.calls)
}

/// Returns the site of every deploy. It has one path for each key.
pub(crate) fn site() -> Site {
    let distribution = "E1EXAMPLE".parse().expect("an id");
    let forms = Forms {
        index_document: String::new(),
        bare_directories: false,
        clean_urls: false,
        query_strings: None,
    };
    Site::given(distribution, OriginPath::default(), forms)
}

fn sent(cover: Cover) -> BTreeSet<String> {
    cover.items.into_iter().map(|one| one.item.to_string()).collect()
}

/// Returns a stem up to its last slash. Paths that share the stem also share that directory. A fold
/// of all paths that share the directory is at least as good, so folding by this cost finds the
/// best directories.
fn directory(stem: &str) -> &str {
    &stem[..=stem.rfind('/').unwrap_or_default()]
}

/// Folds paths as the description of s3deploy says. For each depth from the deepest to 1, every
/// deeper path becomes its parent's parent with `/*`, until no more than `most` paths are left. If
/// there are still more, only `/*` remains.
fn s3deploy(changed: &[Item], most: usize) -> BTreeSet<String> {
    let depth = |path: &str| path.matches('/').count();
    let mut paths: BTreeSet<String> = changed.iter().map(ToString::to_string).collect();
    let deepest = paths.iter().map(|path| depth(path)).max().unwrap_or_default();
    for level in (1..=deepest).rev() {
        if paths.len() <= most {
            return paths;
        }
        let up = |path: String| if depth(&path) > level { grandparent(&path) } else { path };
        paths = paths.into_iter().map(up).collect();
    }
    if paths.len() <= most { paths } else { BTreeSet::from(["/*".to_owned()]) }
}

fn grandparent(path: &str) -> String {
    let above = |path: &str| path.rsplit_once('/').map(|(above, _)| above.to_owned()).unwrap_or_default();
    format!("{}/*", above(&above(path)))
}

#[expect(clippy::cast_precision_loss, reason = "a number of objects, far below 2^52")]
pub(crate) const fn real(count: usize) -> f64 {
    count as f64
}
