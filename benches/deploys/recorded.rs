//! Reads the recorded changes of the sites, and counts what a plan purges without need.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
    rc::Rc,
};

use flate2::read::GzDecoder;
use percent_encoding::percent_decode_str;

/// The sites, by the names of their histories.
pub(crate) const SITES: [&str; 3] = ["flink", "hexo", "kafka"];

/// The keys that were in the bucket after a deploy and did not change: sorted.
pub(crate) struct Unchanged(pub(crate) Vec<Rc<[u8]>>);

impl Unchanged {
    /// Returns the number of objects whose path begins with `stem`.
    pub(crate) fn below(&self, stem: &str) -> usize {
        let key: Vec<u8> = percent_decode_str(&stem[1..]).collect();
        let first = self.0.partition_point(|other| **other < *key);
        self.0[first..].partition_point(|other| other.starts_with(&key))
    }

    /// Returns the number of objects that the paths in `sent` purge.
    pub(crate) fn collateral<'s>(&self, sent: impl Iterator<Item = &'s str>) -> usize {
        let mut wider: Option<&str> = None;
        let mut stems: Vec<&str> = sent.filter_map(|path| path.strip_suffix('*')).collect();
        stems.sort_unstable();
        stems.retain(|stem| {
            let within = wider.is_some_and(|wider| stem.starts_with(wider));
            wider = if within { wider } else { Some(stem) };
            !within
        });
        stems.into_iter().map(|stem| self.below(stem)).sum()
    }
}

/// Returns the lines of a file in `benches/deploys/data`.
pub(crate) fn lines(name: &str) -> impl Iterator<Item = String> + use<> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("benches/deploys/data/{name}.txt.gz"));
    let history = BufReader::new(GzDecoder::new(File::open(file).expect("the history opens")));
    history.lines().map(|line| line.expect("the history is readable"))
}

/// Reads the changes of a site: whether the key was put rather than deleted, and the key. `None` after
/// each deploy but the last.
pub(crate) fn changes(site: &str) -> impl Iterator<Item = Option<(bool, Rc<[u8]>)>> {
    let split = |line: String| line.split_once(' ').map(|(what, key)| (what == "P", key.as_bytes().into()));
    lines(site).map(split)
}
