//! Replays every deploy of three real sites and measures the collateral of each way to fold it: the
//! number of objects that a plan purges although they did not change. `cargo bench --bench deploys`
//! prints the tables and draws the picture of docs/cover.md, and prints the table of docs/sync.md.
//!
//! `benches/deploys/data` holds the histories: the keys that each deploy put (`P`) and deleted
//! (`D`). They come from the public repositories of flink.apache.org, hexo.io and kafka.apache.org.
//! A deploy counts if it changes more keys than the budget has items, at most 10,000, and less than
//! nine tenths of the bucket.

#[path = "../picture/chart.rs"]
mod chart;
#[path = "../picture/svg.rs"]
mod svg;

mod history;
mod picture;
mod recorded;
mod reupload;
mod rules;

use cloudfront_invalidator::cover::Budget;
use history::{Deploy, deploys};
use recorded::SITES;
use rules::{PAGE, Rule, asking, real};

/// The budgets of the tables: the number of items, and of wildcards among them.
const BUDGETS: [(usize, usize); 4] = [(15, 10), (50, 15), (150, 5), (150, 15)];

/// The numbers of keys in an answer of S3: the real one, and fewer, as if the buckets were larger.
const PAGES: [usize; 4] = [PAGE, 100, 30, 10];

/// The file for the picture.
const PICTURE: &str = "docs/cover.svg";

/// The totals of a rule over all deploys that count.
#[derive(Clone, Default)]
struct Total {
    deploys: usize,
    items: usize,
    collateral: usize,
    /// The sum of the shares of the unchanged objects that were purged.
    share: f64,
    /// The collateral on each site.
    by_site: Vec<usize>,
}

impl Total {
    fn of(rule: Rule, sites: &[Vec<Deploy>], items: usize, wildcards: usize) -> Self {
        let mut total = Self::default();
        for site in sites {
            let before = total.collateral;
            for deploy in site.iter().filter(|deploy| deploy.counts(items)) {
                let sent = rule.apply(deploy, items, wildcards);
                let collateral = deploy.collateral(&sent);
                total.deploys += 1;
                total.items += sent.len();
                total.collateral += collateral;
                total.share += real(collateral) / real(deploy.unchanged().max(1));
            }
            total.by_site.push(total.collateral - before);
        }
        total
    }

    /// Returns the share of the unchanged objects that a deploy purges on average, in percent.
    fn percent(&self) -> f64 {
        100.0 * self.share / real(self.deploys)
    }

    /// Returns the row of the table, with the collateral as a multiple of the best possible one.
    fn row(&self, name: &str, best: &Self) -> String {
        let dollars = real(self.items) * 0.005;
        let share = self.percent();
        let ratio = real(self.collateral) / real(best.collateral);
        let sites: Vec<String> = self.by_site.iter().map(usize::to_string).collect();
        format!(
            "| {name} | {} | ${dollars:.2} | {} | {ratio:.2} | {share:.2} % | {} |",
            self.items,
            self.collateral,
            sites.join(" + ")
        )
    }
}

fn main() {
    let sites: Vec<Vec<Deploy>> = SITES.iter().map(|site| deploys(site)).collect();
    for (items, wildcards) in BUDGETS {
        let totals = Rule::ALL.map(|rule| Total::of(rule, &sites, items, wildcards));
        let best = &totals[totals.len() - 1];
        println!("\n{items} items of which {wildcards} may be wildcards, {} deploys:\n", best.deploys);
        println!(
            "| | items sent | billed | collateral | × the best | purged of what did not change | {} |",
            SITES.join(" + ")
        );
        println!("|---|---:|---:|---:|---:|---:|---|");
        for (rule, total) in Rule::ALL.iter().zip(&totals) {
            println!("{}", total.row(rule.name(), best));
        }
        println!();
        for page in PAGES {
            let (mut sum, mut most, mut collateral) = (0, 0, 0);
            for deploy in sites.iter().flatten().filter(|deploy| deploy.counts(items)) {
                let (sent, calls) = asking(deploy, Budget { items, wildcards }, page);
                (sum, most) = (sum + calls, most.max(calls));
                collateral += deploy.collateral(&sent);
            }
            let ratio = real(collateral) / real(best.collateral);
            println!("Asking for {page} keys a call: {sum} calls, at most {most}; {ratio:.2} × the best.");
        }
    }
    picture::draw(PICTURE, |rule, items, wildcards| Total::of(rule, &sites, items, wildcards));
    reupload::print();
}
