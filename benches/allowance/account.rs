//! An account for the life of a site: what the function sends under a rule, and what CloudFront bills.

use std::{rc::Rc, time::Duration};

use cloudfront_invalidator::report::FREE_PATHS;

use crate::{
    content::{Changes, Content, Folded},
    ledger::{Allowance, Ledger},
    month::{DAY, Month},
    pollers::{ENVIRONMENTS, Gathered},
    rule::{Rule, State, real},
};

/// Changes that wait for the end of a pause.
struct Waiting {
    since: u64,
    due: u64,
    changes: Changes,
}

/// An environment of the function.
#[derive(Default)]
struct Environment {
    /// The time of the last invalidation.
    last: Option<u64>,
    waiting: Option<Waiting>,
}

/// The invalidations of a deploy.
#[derive(Default)]
pub(crate) struct Purged {
    pub(crate) wildcards: Vec<Rc<[String]>>,
    pub(crate) is_folded: bool,
}

/// The bill of all months.
#[derive(Default)]
pub(crate) struct Bill {
    pub(crate) months: usize,
    /// The number of paths beyond the free ones.
    pub(crate) billed: usize,
    /// The number of paths beyond the allowance.
    pub(crate) beyond: usize,
    /// The same, in the worst month.
    pub(crate) most_beyond: usize,
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
    /// The day, and the number of paths that were sent on it.
    day: (u64, usize),
    ledger: Ledger,
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
            day: (0, 0),
            ledger: Ledger::default(),
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
            let waiting =
                (0..ENVIRONMENTS).filter(|environment| due(environment).is_some_and(|due| due <= now));
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
        self.day.1 += folded.paths;
        self.ledger.send(environment, now, folded.paths);
        self.environments[environment].last = Some(now);
    }

    /// Returns what an environment knows of the allowance.
    fn state(&mut self, environment: usize, now: u64) -> State {
        if !self.month.contains(now) {
            self.end_month();
            self.month = Month::of(now);
        }
        if self.day.0 != now / DAY {
            self.day = (now / DAY, 0);
        }
        let Month { begin: since, .. } = self.month;
        let allowance = Allowance { paths: self.allowance, since, days: self.month.days_left(now) };
        State {
            standing: self.ledger.standing(environment, now, allowance),
            today: self.day.1,
            daily: real(self.allowance) / self.month.days(),
        }
    }

    fn end_month(&mut self) {
        let total = std::mem::take(&mut self.ledger.total);
        if total > 0 {
            let beyond = total.saturating_sub(self.allowance);
            self.bill.months += 1;
            self.bill.billed += total.saturating_sub(FREE_PATHS);
            self.bill.beyond += beyond;
            self.bill.most_beyond = self.bill.most_beyond.max(beyond);
        }
    }

    /// Ends the last month and returns the bill.
    pub(crate) fn bill(mut self) -> Bill {
        self.end_month();
        self.bill
    }
}

impl Purged {
    fn add(&mut self, folded: &Folded) {
        self.is_folded |= !folded.is_exact;
        if !folded.wildcards.is_empty() {
            self.wildcards.push(Rc::clone(&folded.wildcards));
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
