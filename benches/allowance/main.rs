//! Replays every deploy of three real sites, at the time of its commit, and measures what the function costs
//! with an allowance of paths for a month. `cargo bench --bench allowance` prints the tables of docs/cost.md
//! and draws its picture. `cargo bench --bench allowance -- rules` compares rules instead.
//!
//! The histories are those of `benches/deploys`. The objects of a deploy are uploaded in the order of their
//! keys, and five pollers gather the messages into batches for two environments. A deploy begins at its commit,
//! or when the last upload ends. An environment reads the month's total at most every five minutes, and the
//! total shows what was sent two minutes ago.

#[path = "../lambda/ledger.rs"]
mod ledger;

#[path = "../lambda/pollers.rs"]
mod pollers;

#[path = "../deploys/recorded.rs"]
mod recorded;

#[path = "../picture/chart.rs"]
mod chart;

#[path = "../picture/svg.rs"]
mod svg;

mod account;
mod content;
mod history;
mod month;
mod picture;
mod rule;
mod tables;

use account::{Account, Bill};
use content::{Content, Difference, Everything};
use history::{Deploy, replay};
use month::DAY;
use pollers::{Gathered, gather};
use recorded::SITES;
use rule::{Rule, real};

/// The numbers of objects that are uploaded in a second.
const RATES: [u64; 3] = [10, 100, 1_000];

/// The file for the picture.
const PICTURE: &str = "docs/allowance.svg";

/// A way to upload a site.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Only the objects that changed.
    Difference,
    /// Every object, at every deploy.
    Everything,
}

impl Way {
    const ALL: [Self; 2] = [Self::Difference, Self::Everything];
}

/// A rule with an allowance.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Plan {
    rule: Rule,
    allowance: usize,
}

/// The results of a plan on a site.
struct Outcome {
    site: &'static str,
    plan: Plan,
    way: Way,
    bill: Bill,
    deploys: usize,
    /// The number of deploys of which no path was folded.
    exact: usize,
    /// The sum of the shares of the unchanged objects that were purged.
    share: f64,
}

/// The uploads of a site in one way at one rate, under every plan.
struct Uploads {
    way: Way,
    rate: u64,
    /// The end of the last upload.
    end: u64,
    runs: Vec<(Account, Outcome)>,
}

impl Uploads {
    fn new(site: &'static str, way: Way, rate: u64, plans: &[Plan]) -> Self {
        let run = |plan: &Plan| {
            let account = Account::new(plan.rule, plan.allowance);
            let bill = Bill::default();
            (account, Outcome { site, plan: *plan, way, bill, deploys: 0, exact: 0, share: 0.0 })
        };
        Self { way, rate, end: 0, runs: plans.iter().map(run).collect() }
    }

    fn add(&mut self, deploy: &Deploy, seed: u64) {
        let mut difference;
        let (mut everything, batches): (_, Vec<Gathered>);
        let content: &mut dyn Content = match self.way {
            Way::Difference => {
                batches = gather(deploy.changed.len(), self.rate, seed);
                difference = Difference::new(deploy, &batches);
                &mut difference
            }
            Way::Everything => {
                batches = gather(deploy.changed.len() + deploy.unchanged.0.len(), self.rate, seed);
                everything = Everything;
                &mut everything
            }
        };
        let begin = deploy.time.max(self.end);
        self.end = begin + batches.last().map_or(0, |batch| batch.closed);
        let next = deploy.next.unwrap_or(self.end + DAY).max(self.end);
        for (account, outcome) in &mut self.runs {
            let purged = account.deploy((begin, next), &batches, content);
            let sent = purged.wildcards.iter().flat_map(|wildcards| wildcards.iter());
            let collateral = deploy.unchanged.collateral(sent.map(String::as_str));
            outcome.deploys += 1;
            outcome.exact += usize::from(!purged.is_folded);
            outcome.share += real(collateral) / real(deploy.unchanged.0.len().max(1));
        }
    }

    fn outcomes(self) -> impl Iterator<Item = Outcome> {
        self.runs.into_iter().map(|(account, outcome)| Outcome { bill: account.bill(), ..outcome })
    }
}

/// Replays every site in every way under every plan, as if each deploy had been so many days later.
fn measure(plans: &[Plan], days_later: u64) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for site in SITES {
        let all = Way::ALL.into_iter().flat_map(|way| RATES.map(|rate| (way, rate)));
        let mut uploads: Vec<_> = all.map(|(way, rate)| Uploads::new(site, way, rate, plans)).collect();
        let mut seed = 0;
        replay(site, days_later, |deploy| {
            seed += 1;
            for uploads in &mut uploads {
                uploads.add(deploy, seed);
            }
        });
        outcomes.extend(uploads.into_iter().flat_map(Uploads::outcomes));
    }
    outcomes
}

fn main() {
    if std::env::args().any(|argument| argument == "rules") {
        tables::print_rules();
    } else {
        let lines = tables::print();
        picture::draw(PICTURE, lines);
    }
}
