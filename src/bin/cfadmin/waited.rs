//! Waits until the paths of an upload are purged.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    io::{self, IsTerminal, Write, stderr},
    time::{Duration, Instant},
};

use cloudfront_invalidator::{
    cloudfront::Error,
    cover::cover,
    coverage::{Need, Purge, State, judge},
    path::Item,
    request::InvalidationRequest,
    site::DistributionId,
    text::counted,
};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::{
    Exit, Stop,
    account::Session,
    out::Output,
    purges::{Identity, Purges, Sender},
    uploaded::Demand,
    when::shown,
};

/// The wait before the second look at the invalidations.
const FIRST_WAIT: Duration = Duration::from_secs(2);

/// Maximum wait between two looks.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Maximum number of looks in a row that fail after the time limit.
const MOST_FAILURES: usize = 30;

/// Maximum number of paths to show that no invalidation covers.
const MOST_SHOWN: usize = 20;

/// An upload to wait for.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    pub(crate) demand: Demand,
    pub(crate) bucket: &'a str,
    /// The time after which to stop, or to purge the rest.
    pub(crate) limit: Duration,
    pub(crate) or_invalidate: bool,
}

/// The progress, in numbers of objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Counts {
    objects: usize,
    purged: usize,
    pending: usize,
    uncovered: usize,
    /// The objects that need no purge.
    needless: usize,
}

/// The JSON document of an upload.
#[derive(Serialize)]
struct WaitJson<'a> {
    bucket: &'a str,
    done: bool,
    #[serde(flatten)]
    counts: Counts,
    invalidations: Vec<InvalidationJson<'a>>,
    missing: Vec<MissingJson<'a>>,
}

/// An invalidation that covers a path.
#[derive(Serialize)]
struct InvalidationJson<'a> {
    distribution: &'a DistributionId,
    id: &'a str,
    status: &'static str,
    created: Option<String>,
    sender: Sender,
}

/// A path that no invalidation covers.
#[derive(Serialize)]
struct MissingJson<'a> {
    distribution: &'a DistributionId,
    path: &'a str,
    /// The changed objects behind the path.
    objects: Vec<String>,
}

impl Waiting<'_> {
    /// Waits, and prints the result.
    pub(crate) async fn run(&self, account: &Session, output: &Output) -> Result<Exit, Stop> {
        let mut purges = Purges::default();
        let progress = Progress::new(output);
        let waited = tokio::select! {
            waited = self.wait(account, &mut purges, &progress) => Some(waited),
            _ = tokio::signal::ctrl_c() => None,
        };
        progress.bar.finish_and_clear();
        let exit = match waited.transpose()? {
            Some(true) => Exit::Done,
            Some(false) => Exit::TimedOut,
            None => Exit::Interrupted,
        };
        self.show(output, &purges, exit == Exit::Done)?;
        if exit == Exit::TimedOut && !output.quiet {
            let hint = if self.or_invalidate { "" } else { "; --or-invalidate purges what is not covered" };
            eprintln!("not done after {} s{hint}", self.limit.as_secs());
        }
        if exit == Exit::Interrupted {
            eprintln!("the invalidations continue; to wait on, run the same command again");
        }
        Ok(exit)
    }

    /// Looks at the invalidations until everything is purged. Returns whether it is.
    async fn wait(&self, account: &Session, purges: &mut Purges, progress: &Progress) -> Result<bool, Stop> {
        let deadline = Instant::now() + self.limit;
        let (mut wait, mut failures, mut is_sent) = (FIRST_WAIT, 0, false);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.look(account, purges).await {
                Ok(()) => failures = 0,
                Err(error) if error.is_busy() || error.is_unreachable() => {
                    failures += 1;
                    if failures == MOST_FAILURES || (left.is_zero() && !self.or_invalidate) {
                        return Err(error.into());
                    }
                    wait = LONGEST_WAIT;
                }
                Err(error) => return Err(error.into()),
            }
            let states = judge(&self.demand.needs, &purges.list);
            let counts = self.counts(&states);
            progress.show(counts, &states);
            if states.iter().all(|state| matches!(state, State::Purged(_))) {
                return Ok(true);
            }
            // What another one covers by now must not be purged again.
            if left.is_zero() && !is_sent && failures == 0 {
                if !self.or_invalidate {
                    return Ok(false);
                }
                self.invalidate(account, purges, &states).await?;
                (is_sent, wait) = (true, FIRST_WAIT);
            }
            tokio::time::sleep(if is_sent { wait } else { wait.min(left) }).await;
            wait = (wait * 3 / 2).min(LONGEST_WAIT);
        }
    }

    /// Reads the new invalidations of the distributions in which paths are not purged yet.
    async fn look(&self, account: &Session, purges: &mut Purges) -> Result<(), Error> {
        let states = judge(&self.demand.needs, &purges.list);
        let mut wanted: BTreeMap<&DistributionId, u64> = BTreeMap::new();
        for (need, state) in self.demand.needs.iter().zip(states) {
            if !matches!(state, State::Purged(_)) {
                let from = wanted.entry(&need.distribution).or_insert(need.from);
                *from = need.from.min(*from);
            }
        }
        for (distribution, from) in wanted {
            purges.look(&account.client, distribution, from).await?;
        }
        Ok(())
    }

    /// Purges the paths that no invalidation covers, folded as the function folds them.
    async fn invalidate(&self, account: &Session, purges: &mut Purges, states: &[State]) -> Result<(), Stop> {
        let mut missing: BTreeMap<&DistributionId, Vec<Item>> = BTreeMap::new();
        for (need, state) in self.demand.needs.iter().zip(states) {
            if *state == State::Missing {
                missing.entry(&need.distribution).or_default().push(need.item.clone());
            }
        }
        for (distribution, items) in missing {
            let items = cover(items, account.config.policy.budget).items.into_iter().map(|one| one.item);
            let created =
                InvalidationRequest::new(distribution.clone()).items(items).send(&account.client).await?;
            purges.add(distribution, created, true);
        }
        Ok(())
    }

    /// Counts the objects by the state of those of their paths that are furthest from being purged.
    fn counts(&self, states: &[State]) -> Counts {
        let mut worst = vec![0_usize; self.demand.objects.len()];
        for (state, behind) in states.iter().zip(&self.demand.behind) {
            let rank = match state {
                State::Purged(_) => 1,
                State::Pending(_) => 2,
                State::Missing => 3,
            };
            for object in behind {
                worst[*object] = rank.max(worst[*object]);
            }
        }
        let count = |rank| worst.iter().filter(|worst| **worst == rank).count();
        Counts {
            objects: worst.len(),
            needless: count(0),
            purged: count(1),
            pending: count(2),
            uncovered: count(3),
        }
    }

    fn show(&self, output: &Output, purges: &Purges, done: bool) -> Result<(), Stop> {
        let states = judge(&self.demand.needs, &purges.list);
        let mut used = BTreeSet::new();
        let mut missing = Vec::new();
        for ((need, state), behind) in self.demand.needs.iter().zip(&states).zip(&self.demand.behind) {
            let Need { distribution, item, .. } = need;
            match state {
                State::Purged(number) | State::Pending(number) => {
                    used.insert(*number);
                }
                State::Missing => {
                    let objects = behind.iter().map(|object| self.address(*object)).collect();
                    missing.push(MissingJson { distribution, path: item.as_str(), objects });
                }
            }
        }
        let invalidation = |number: usize| {
            let Purge { distribution, created, is_completed, .. } = &purges.list[number];
            let Identity { id, sender } = &purges.identities[number];
            InvalidationJson {
                distribution,
                id,
                status: if *is_completed { "Completed" } else { "InProgress" },
                created: created.map(shown),
                sender: *sender,
            }
        };
        let document = WaitJson {
            bucket: self.bucket,
            done,
            counts: self.counts(&states),
            invalidations: used.into_iter().map(invalidation).collect(),
            missing,
        };
        output.print(&document, |out| document.write(out))
    }

    /// Returns the address of the object with this index.
    pub(crate) fn address(&self, object: usize) -> String {
        format!("s3://{}/{}", self.bucket, self.demand.objects[object])
    }
}

impl WaitJson<'_> {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let Counts { objects, purged, pending, uncovered, needless } = self.counts;
        let mut parts = Vec::new();
        if purged > 0 {
            let completed = self.invalidations.iter().filter(|one| one.status == "Completed").count();
            parts.push(format!("{purged} purged by {}", counted(completed, "invalidation")));
        }
        let others = [
            (pending, "pending".to_owned()),
            (uncovered, "not covered".to_owned()),
            (needless, if needless == 1 { "needs none" } else { "need none" }.to_owned()),
        ];
        parts.extend(
            others.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")),
        );
        let parts = if parts.is_empty() { "nothing to purge".to_owned() } else { parts.join(", ") };
        writeln!(out, "{}: {parts}", counted(objects, "object"))?;
        let in_progress: Vec<_> = self.invalidations.iter().filter(|one| one.status != "Completed").collect();
        if !in_progress.is_empty() {
            writeln!(out, "in progress:")?;
        }
        for InvalidationJson { distribution, id, .. } in in_progress {
            writeln!(out, "  {distribution}  {id}")?;
        }
        if !self.missing.is_empty() {
            writeln!(out, "covered by no invalidation:")?;
        }
        let shown = &self.missing[..self.missing.len().min(MOST_SHOWN)];
        let longest = shown.iter().map(|one| one.path.len()).max().unwrap_or_default();
        for MissingJson { distribution, path, objects } in shown {
            let more =
                if objects.len() > 1 { format!(" and {} more", objects.len() - 1) } else { String::new() };
            let first = objects.first().map_or("", String::as_str);
            writeln!(out, "  {distribution}  {path:<longest$}  {first}{more}")?;
        }
        if self.missing.len() > MOST_SHOWN {
            writeln!(out, "  … and {}: see --json", counted(self.missing.len() - MOST_SHOWN, "more path"))?;
        }
        Ok(())
    }
}

/// The progress on standard error: a line that changes on a terminal, and elsewhere a line for each change.
struct Progress {
    bar: ProgressBar,
    is_silent: bool,
    begun: Instant,
    last: RefCell<String>,
}

impl Progress {
    fn new(output: &Output) -> Self {
        let is_silent = output.quiet || output.json;
        let bar = if is_silent { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
        let style = ProgressStyle::with_template("{spinner} {msg}  {elapsed}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, is_silent, begun: Instant::now(), last: RefCell::default() }
    }

    fn show(&self, counts: Counts, states: &[State]) {
        let Counts { objects, purged, uncovered, needless, .. } = counts;
        let pending: BTreeSet<usize> = states
            .iter()
            .filter_map(|state| match state {
                State::Pending(number) => Some(*number),
                State::Purged(_) | State::Missing => None,
            })
            .collect();
        let line = format!(
            "{purged} of {} purged, {} in progress, {uncovered} not covered",
            counted(objects - needless, "object"),
            counted(pending.len(), "invalidation")
        );
        self.bar.set_message(line.clone());
        let is_new = *self.last.borrow() != line;
        if is_new && !self.is_silent && !stderr().is_terminal() {
            eprintln!("{line}  {} s", self.begun.elapsed().as_secs());
        }
        *self.last.borrow_mut() = line;
    }
}
