//! The directories that a batch goes through, and what they are known to lack.

use std::{
    collections::{HashMap, hash_map},
    ops::Range,
};

/// Maximum number of directories that are told apart: memory for some megabytes. The largest
/// deploy of a real site so far has a thousand.
const MOST_DIRECTORIES: usize = 32_768;

/// Every directory that some leaf's path goes through, in order.
///
/// Beyond [`MOST_DIRECTORIES`], the deepest levels are left out: a path there counts as a name in
/// the directory above.
pub(super) struct Directories {
    /// For each leaf, how many directories leaves before it go through; and for all.
    before: Vec<usize>,
    /// How long the path of each is, with its slash at the end.
    lengths: Vec<usize>,
    /// What those before each come to; and all.
    sums: Vec<Sum>,
}

/// What some directories come to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    /// How many of them have a leaf directly in them.
    pub(super) holding: usize,
    /// How many paths they lack that others with the same last two names have.
    pub(super) lacking: usize,
}

/// A name in a directory.
struct Entry {
    directory: usize,
    /// The index of what is known of this name in directories called so.
    known: usize,
    /// How many paths begin with it.
    paths: usize,
}

/// What is known of a name in all directories with the same last two names.
struct Known {
    /// The index of those two names.
    called: usize,
    /// How many paths begin with it where they are most.
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

    /// Those whose path begins with so many bytes that these leaves, and no others,
    /// have in common.
    pub(super) fn below(&self, leaves: &Range<usize>, shared: usize) -> Sum {
        let (first, end) = (self.before[leaves.start], self.before[leaves.end]);
        // Those around them are the first that the first leaf goes through.
        let own = &self.lengths[first..self.before[leaves.start + 1]];
        let (from, to) = (self.sums[first + own.partition_point(|len| *len < shared)], self.sums[end]);
        Sum { holding: to.holding - from.holding, lacking: to.lacking - from.lacking }
    }
}

/// Returns how many levels of directories have at most [`MOST_DIRECTORIES`] together, and at
/// least the root's.
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

/// On the way through the leaves.
#[derive(Default)]
struct Walk<'a> {
    /// How many levels of directories are told apart.
    levels: usize,
    last: &'a str,
    lengths: Vec<usize>,
    /// Whether each has a leaf directly in it.
    holding: Vec<bool>,
    /// The index of what each and the one around it are called.
    called: Vec<usize>,
    entries: Vec<Entry>,
    /// The directories that the last path went through, outermost first, each with its
    /// index and that of its entry in the one around it.
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
        // What comes right behind the last directory that is shared is a new name in it.
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

    /// Notes a name in a directory, and answers its index.
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

/// What a directory and the one around it are called.
fn last_two_names(directory: &str) -> &str {
    let path = directory.trim_end_matches('/');
    path.rmatch_indices('/').nth(1).map_or(path, |(slash, _)| &path[slash + 1..])
}
