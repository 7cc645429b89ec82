//! Finds the directories that the paths of a batch go through, and the paths that they are known to
//! lack.

use std::{
    collections::{HashMap, hash_map},
    ops::Range,
};

/// Maximum number of directories to distinguish, which take a few megabytes of memory. The largest
/// deploy of a real site so far has a thousand.
const MOST_DIRECTORIES: usize = 32_768;

/// The directories that the leaves' paths go through, in order.
///
/// If there are more than [`MOST_DIRECTORIES`], the deepest levels are left out: a path there
/// counts as a name in the directory above.
pub(super) struct Directories {
    /// The number of directories that the paths of all leaves before each one go through. The last
    /// entry is the total.
    before: Vec<usize>,
    /// The length of each directory's path, including the slash at its end.
    lengths: Vec<usize>,
    /// The sums over the directories before each one. The last entry is the sum over all.
    sums: Vec<Sum>,
}

/// The sums over some directories.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    /// The number of directories with a leaf directly in them.
    pub(super) holding: usize,
    /// The number of paths that they lack and that others with the same last two names have.
    pub(super) lacking: usize,
}

/// A name in a directory.
struct Entry {
    directory: usize,
    /// Index of what is known about this name in all directories with the same last two names.
    known: usize,
    /// The number of paths in the directory that begin with this name.
    paths: usize,
}

/// The facts about a name in all directories with the same last two names.
struct Known {
    /// Index of those two names.
    called: usize,
    /// The number of paths that begin with this name, in the directory that has the most of them.
    paths: usize,
}

impl Directories {
    /// Collects the directories of leaves with these paths, in sorted order.
    pub(super) fn of<'a>(paths: impl ExactSizeIterator<Item = &'a str> + Clone) -> Self {
        let mut walk = Walk { levels: levels(paths.clone()), ..Walk::default() };
        let mut before = Vec::with_capacity(paths.len() + 1);
        for path in paths {
            before.push(walk.lengths.len());
            walk.visit(path);
        }
        before.push(walk.lengths.len());
        Self { before, sums: walk.sums(), lengths: walk.lengths }
    }

    /// Returns the sums over the directories whose path begins with the first `shared` bytes of
    /// these leaves. No other leaf may begin with these bytes.
    pub(super) fn below(&self, leaves: &Range<usize>, shared: usize) -> Sum {
        let (first, end) = (self.before[leaves.start], self.before[leaves.end]);
        // The directories around those come first among the ones that the first leaf goes through.
        // Skip them.
        let own = &self.lengths[first..self.before[leaves.start + 1]];
        let (from, to) = (self.sums[first + own.partition_point(|len| *len < shared)], self.sums[end]);
        Sum { holding: to.holding - from.holding, lacking: to.lacking - from.lacking }
    }
}

/// Returns the number of levels, counted from the root, that have at most [`MOST_DIRECTORIES`]
/// directories together. At least 1, for the root.
fn levels<'a>(paths: impl Iterator<Item = &'a str>) -> usize {
    let mut at_level: Vec<usize> = Vec::new();
    let mut last = "";
    for path in paths {
        let shared = path.bytes().zip(last.bytes()).take_while(|(a, b)| a == b).count();
        let slashes = path.bytes().enumerate().filter(|(_, byte)| *byte == b'/');
        for (level, (slash, _)) in slashes.enumerate() {
            if level == at_level.len() {
                at_level.push(0);
            }
            at_level[level] += usize::from(slash >= shared);
        }
        last = path;
    }
    let mut directories = 0;
    let fits = |in_level: &&usize| {
        directories += **in_level;
        directories <= MOST_DIRECTORIES
    };
    at_level.iter().take_while(fits).count().max(1)
}

/// The state of a walk through the leaves.
#[derive(Default)]
struct Walk<'a> {
    /// The number of levels of directories to distinguish.
    levels: usize,
    last: &'a str,
    lengths: Vec<usize>,
    /// Whether each directory has a leaf directly in it.
    holding: Vec<bool>,
    /// Index of each directory's last two names.
    called: Vec<usize>,
    entries: Vec<Entry>,
    /// The directories that the last path went through, outermost first. Each comes with its index
    /// and that of its entry in the directory around it.
    through: Vec<(usize, Option<usize>)>,
    calls: HashMap<&'a str, usize>,
    names: HashMap<(usize, &'a str), usize>,
    known: Vec<Known>,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, path: &'a str) {
        let shared = path.bytes().zip(self.last.bytes()).take_while(|(a, b)| a == b).count();
        self.last = path;
        while self.through.pop_if(|(index, _)| self.lengths[*index] > shared).is_some() {}
        for entry in self.through.iter().filter_map(|(_, entry)| *entry) {
            self.entries[entry].paths += 1;
        }
        let mut start = self.through.last().map_or(0, |(index, _)| self.lengths[*index]);
        // The paths are sorted, so the name after the last shared directory is new in it.
        while start < path.len() || self.through.is_empty() {
            let slash = path[start..].find('/').filter(|_| self.through.len() < self.levels);
            let end = slash.map_or(path.len(), |slash| start + slash + 1);
            let entry = self.through.last().map(|&(directory, _)| directory);
            let entry = entry.map(|directory| self.enter(directory, &path[start..end]));
            if slash.is_none() {
                break;
            }
            self.through.push((self.lengths.len(), entry));
            let calls = self.calls.len();
            self.called.push(*self.calls.entry(last_two_names(&path[..end])).or_insert(calls));
            self.lengths.push(end);
            self.holding.push(false);
            start = end;
        }
        if let Some(&(directory, _)) = self.through.last() {
            self.holding[directory] = true;
        }
    }

    /// Adds an entry for a name in a directory, and returns its index.
    fn enter(&mut self, directory: usize, name: &'a str) -> usize {
        let called = self.called[directory];
        let known = match self.names.entry((called, name)) {
            hash_map::Entry::Occupied(known) => *known.get(),
            hash_map::Entry::Vacant(new) => {
                self.known.push(Known { called, paths: 0 });
                *new.insert(self.known.len() - 1)
            }
        };
        self.entries.push(Entry { directory, known, paths: 1 });
        self.entries.len() - 1
    }

    fn sums(&mut self) -> Vec<Sum> {
        for entry in &self.entries {
            let known = &mut self.known[entry.known];
            known.paths = known.paths.max(entry.paths);
        }
        let mut together = vec![0; self.calls.len()];
        for known in &self.known {
            together[known.called] += known.paths;
        }
        let mut lacking: Vec<usize> = self.called.iter().map(|called| together[*called]).collect();
        for entry in &self.entries {
            lacking[entry.directory] -= self.known[entry.known].paths;
        }
        let mut sum = Sum::default();
        let mut sums = vec![sum];
        for (holding, lacking) in self.holding.iter().zip(lacking) {
            sum.holding += usize::from(*holding);
            sum.lacking += lacking;
            sums.push(sum);
        }
        sums
    }
}

/// Returns the names of a directory and of the one around it.
fn last_two_names(directory: &str) -> &str {
    let path = directory.trim_end_matches('/');
    path.rmatch_indices('/').nth(1).map_or(path, |(slash, _)| &path[slash + 1..])
}
