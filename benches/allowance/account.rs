//! An account for the life of a site: what the function sends under a rule, and what CloudFront bills.

use std::{collections::VecDeque, rc::Rc, time::Duration};

use cloudfront_invalidator::{
    allowance::{Standing, WINDOW},
    report::FREE_PATHS,
};

use crate::{
    content::{Changes, Content},
    month::Month,
    pollers::{ENVIRONMENTS, Gathered},
    rule::{Rule, State},
};

/// The time between two readings of the month's total, in milliseconds.
const READING: u64 = 300_000;

/// The time until a reading shows what was sent.
const LAG: u64 = 120_000;

/// The milliseconds of a day.
const DAY: u64 = 86_400_000;

/// What was sent, by time.
#[derive(Clone, Default)]
struct Sent {
    list: VecDeque<(u64, usize)>,
    sum: usize,
}

impl Sent {
    fn add(&mut self, time: u64, paths: usize) {
        self.list.push_back((time, paths));
        self.sum += paths;
    }

    /// Returns the number of paths sent after a time, and forgets the rest.
    fn after(&mut self, time: u64) -> usize {
        while let Some((_, paths)) = self.list.pop_front_if(|(sent, _)| *sent <= time) {
            self.sum -= paths;
        }
        self.sum
    }
}

/// Changes that wait for the end of a pause.
#[derive(Clone)]
struct Waiting {
    since: u64,
    due: u64,
    changes: Changes,
}

/// An environment of the function.
#[derive(Clone, Default)]
struct Environment {
    /// The time of the last reading, and the total that it showed.
    reading: Option<(u64, usize)>,
    /// The number of paths that the environment sent since then.
    own: usize,
    recent: Sent,
    last: Option<u64>,
    waiting: Option<Waiting>,
}

/// What a deploy led to.
#[derive(Default)]
pub(crate) struct Purged {
    pub(crate) wildcards: Vec<Rc<[String]>>,
    pub(crate) is_folded: bool,
}

/// The bill of all months.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Bill {
    pub(crate) months: usize,
    pub(crate) paths: usize,
    /// The number of paths beyond the free ones.
    pub(crate) billed: usize,
    /// The largest number of paths beyond the allowance in a month.
    pub(crate) beyond: usize,
    /// The longest pause of a change, in milliseconds.
    pub(crate) delay: u64,
}

/// An account, and the function in it.
pub(crate) struct Account {
    rule: Rule,
    allowance: usize,
    environments: [Environment; ENVIRONMENTS],
    turn: usize,
    month: Month,
    total: usize,
    day: (u64, usize),
    /// What a reading does not show yet.
    unseen: Sent,
    bill: Bill,
}

impl Account {
    pub(crate) fn new(rule: Rule, allowance: usize) -> Self {
        Self {
            rule,
            allowance,
            environments: Default::default(),
            turn: 0,
            month: Month::of(0),
            total: 0,
            day: (0, 0),
            unseen: Sent::default(),
            bill: Bill::default(),
        }
    }

    /// Purges the batches of a deploy that begins at `begin`. The next one begins at `next`.
    pub(crate) fn deploy(
        &mut self,
        (begin, next): (u64, u64),
        batches: &[Gathered],
        content: &mut dyn Content,
    ) -> Purged {
        let mut purged = Purged::default();
        for (index, batch) in batches.iter().enumerate() {
            let now = begin + batch.closed;
            self.resume(now, content, &mut purged);
            let environment = self.turn;
            self.turn = (self.turn + 1) % ENVIRONMENTS;
            let changes = Changes { count: batch.messages.len(), batches: vec![index], ..Changes::default() };
            let (_, pause) = self.rule.limits(self.state(environment, now));
            let Environment { last, waiting, .. } = &mut self.environments[environment];
            let due = last.map_or(0, |last| last + millis(pause));
            if pause.is_zero() || due <= now {
                self.purge(environment, now, &changes, content, &mut purged);
            } else if let Some(waiting) = waiting {
                waiting.changes.count += changes.count;
                waiting.changes.batches.push(index);
            } else {
                *waiting = Some(Waiting { since: now, due, changes });
            }
        }
        self.resume(next, content, &mut purged);
        // Changes that still wait are purged with those of the next deploy.
        for environment in 0..ENVIRONMENTS {
            let state = self.state(environment, next);
            if let Some(waiting) = &mut self.environments[environment].waiting {
                let changes = &mut waiting.changes;
                purged.add(&content.fold(changes, self.rule.limits(state).0));
                let earlier = content.paths(changes);
                *changes = Changes { count: changes.count, earlier, ..Changes::default() };
            }
        }
        purged
    }

    /// Purges what is due.
    fn resume(&mut self, now: u64, content: &mut dyn Content, purged: &mut Purged) {
        loop {
            let due = |environment: &usize| {
                self.environments[*environment].waiting.as_ref().map(|waiting| waiting.due)
            };
            let waiting = (0..ENVIRONMENTS).filter(|environment| due(environment).is_some_and(|due| due <= now));
            let Some(environment) = waiting.min_by_key(due) else { return };
            let Some(Waiting { since, due, changes }) = self.environments[environment].waiting.take() else {
                return;
            };
            self.bill.delay = self.bill.delay.max(due - since);
            self.purge(environment, due, &changes, content, purged);
        }
    }

    fn purge(
        &mut self,
        environment: usize,
        now: u64,
        changes: &Changes,
        content: &mut dyn Content,
        purged: &mut Purged,
    ) {
        let (budget, _) = self.rule.limits(self.state(environment, now));
        let folded = content.fold(changes, budget);
        purged.add(&folded);
        self.total += folded.paths;
        self.day.1 += folded.paths;
        self.unseen.add(now, folded.paths);
        let environment = &mut self.environments[environment];
        environment.own += folded.paths;
        environment.recent.add(now, folded.paths);
        environment.last = Some(now);
    }

    /// Returns what an environment knows of the allowance.
    #[expect(clippy::cast_precision_loss, reason = "numbers of paths and days, far below 2^52")]
    fn state(&mut self, environment: usize, now: u64) -> State {
        if !self.month.contains(now) {
            self.end_month();
            self.month = Month::of(now);
        }
        if self.day.0 != now / DAY {
            self.day = (now / DAY, 0);
        }
        let unseen = self.unseen.after(now.saturating_sub(LAG));
        let environment = &mut self.environments[environment];
        if !environment.reading.is_some_and(|(at, _)| self.month.contains(at) && now < at + READING) {
            environment.reading = Some((now, self.total.saturating_sub(unseen)));
            environment.own = 0;
        }
        let read = environment.reading.map_or(0, |(_, total)| total);
        let left = self.allowance.saturating_sub(read + 2 * environment.own);
        let recent = environment.recent.after(now.saturating_sub(millis(WINDOW)));
        State {
            standing: Standing { left, days: self.month.days_left(now) as f64, recent },
            today: self.day.1,
            daily: self.allowance as f64 / self.month.days() as f64,
        }
    }

    fn end_month(&mut self) {
        if self.total > 0 {
            self.bill.months += 1;
            self.bill.paths += self.total;
            self.bill.billed += self.total.saturating_sub(FREE_PATHS);
            self.bill.beyond = self.bill.beyond.max(self.total.saturating_sub(self.allowance));
        }
        self.total = 0;
    }

    /// Ends the last month and returns the bill.
    pub(crate) fn bill(mut self) -> Bill {
        self.end_month();
        self.bill
    }
}

impl Purged {
    fn add(&mut self, folded: &crate::content::Folded) {
        self.is_folded |= !folded.is_exact;
        if !folded.wildcards.is_empty() {
            self.wildcards.push(Rc::clone(&folded.wildcards));
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
