//! Replays every deploy of three real sites, at the time of its commit, and measures what the function costs
//! with an allowance of paths for a month. `cargo bench --bench allowance` prints the tables of docs/cost.md
//! and draws its picture. With `-- rules` it prints the comparison of rules too.
//!
//! The histories are those of `benches/deploys`. The objects of a deploy are uploaded in the order of their
//! keys, and Lambda gathers the messages as [`pollers`] describes. A deploy begins at its commit, or once the
//! last one is done. An environment reads the month's total at most every five minutes, and the total shows
//! what was sent two minutes ago.

#[path = "../deploys/recorded.rs"]
mod recorded;

#[path = "../lambda/pollers.rs"]
mod pollers;

mod account;
mod content;
mod history;
mod month;
mod rule;

use std::time::Duration;

use account::{Account, Bill};
use content::{Content, Difference, Everything};
use history::replay;
use pollers::gather;
use recorded::SITES;
use rule::{Rule, Shares};

/// The objects that are uploaded in a second.
const RATES: [u64; 3] = [10, 100, 1_000];

/// A way to upload a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Only the objects that changed.
    Difference,
    /// Every object, at every deploy.
    Everything,
}

/// What is simulated, and the results.
struct Run {
    rule: Rule,
    allowance: usize,
    way: Way,
    rate: u64,
    account: Account,
    deploys: usize,
    exact: usize,
    /// The sum of the shares of the unchanged objects that were purged.
    share: f64,
}

/// The results of a run.
struct Outcome {
    site: &'static str,
    rule: Rule,
    allowance: usize,
    way: Way,
    rate: u64,
    bill: Bill,
    deploys: usize,
    exact: usize,
    share: f64,
}

fn variants() -> Vec<Rule> {
    let base = Shares { per_batch: 0.5, per_day: 0.7, spare: 5.0, weight: 1.0, fine: false, brief_at: 1.0, scarce: 8.0, brief: Duration::from_mins(1) };
    let mut rules = vec![Rule::Chosen, Rule::Unlimited, Rule::Daily];
    let get = |name: &str, default: &str| -> Vec<f64> { std::env::var(name).unwrap_or(default.to_owned()).split(',').map(|x| x.parse().unwrap()).collect() };
    for &per_batch in &get("PB", "0.5") { for &per_day in &get("PD", "0.7") { for &spare in &get("SP", "5") { for &weight in &get("W", "1") {
    for &fine in &get("FINE", "0") { for &brief_at in &get("BA", "1") { for &scarce in &get("K", "8") { for &brief in &get("B", "60") {
        rules.push(Rule::Shares(Shares { per_batch, per_day, spare, weight, fine: fine > 0.5, brief_at, scarce, brief: Duration::from_secs(brief as u64), ..base }));
    } } } } } } } }
    rules
}

fn main() {
    let mut all = Vec::new();
    for site in SITES {
        let begun = std::time::Instant::now();
        let mut runs = Vec::new();
        for way in [Way::Difference, Way::Everything] {
            for rate in RATES {
                let mut add = |rule, allowance| runs.push(Run { rule, allowance, way, rate, account: Account::new(rule, allowance), deploys: 0, exact: 0, share: 0.0 });
                for rule in variants() { add(rule, 1_000); }
                for allowance in [250, 500, 2_000] { add(Rule::Chosen, allowance); }
            }
        }
        let mut free = [[0_u64; 3]; 2];
        let mut seed: u64 = std::env::var("SEED").map_or(0, |s| s.parse().unwrap());
        replay(site, |deploy| {
            seed += 1;
            for way in [Way::Difference, Way::Everything] {
                for (r, rate) in RATES.into_iter().enumerate() {
                    let count = deploy.changed.len() + if way == Way::Everything { deploy.unchanged.0.len() } else { 0 };
                    let batches = gather(count, rate, seed);
                    let free = &mut free[way as usize][r];
                    let begin = deploy.time.max(*free);
                    *free = begin + batches.last().map_or(0, |b| b.closed);
                    let next = deploy.next.unwrap_or(*free + 86_400_000).max(*free);
                    let mut difference = Difference::new(deploy, &batches);
                    for run in runs.iter_mut().filter(|run| run.way == way && run.rate == rate) {
                        let content: &mut dyn Content = if way == Way::Difference { &mut difference } else { &mut Everything };
                        let purged = run.account.deploy((begin, next), &batches, content);
                        run.deploys += 1;
                        run.exact += usize::from(!purged.is_folded);
                        let stems = purged.wildcards.iter().flat_map(|w| w.iter()).map(String::as_str);
                        let c = deploy.unchanged.collateral(stems);
                        run.share += c as f64 / deploy.unchanged.0.len().max(1) as f64;
                    }
                }
            }
        });
        eprintln!("{site} {:?}", begun.elapsed());
        for run in runs {
            let Run { rule, allowance, way, rate, account, deploys, exact, share } = run;
            all.push(Outcome { site, rule, allowance, way, rate, bill: account.bill(), deploys, exact, share });
        }
    }
    for o in &all {
        let name = match o.rule { Rule::Shares(s) => format!("{} {} {} w{} f{} K{} b{}@{}", s.per_batch, s.per_day, s.spare, s.weight, u8::from(s.fine), s.scarce, s.brief.as_secs(), s.brief_at), other => format!("{other:?}") };
        println!("{}\t{name}\t{}\t{:?}\t{}\t{}\t{}\t{}\t{}\t{}\t{:.3}\t{:.3}\t{:.0}", o.site, o.allowance, o.way, o.rate, o.bill.months, o.bill.paths, o.bill.billed, o.bill.beyond, o.deploys, 100.0 * o.exact as f64 / o.deploys as f64, 100.0 * o.share / o.deploys as f64, o.bill.delay as f64 / 1000.0);
    }
}
