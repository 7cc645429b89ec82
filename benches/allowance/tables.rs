//! Prints the tables.

use std::time::Duration;

use crate::{
    Outcome, Plan, Way, measure,
    picture::Points,
    recorded::SITES,
    rule::{Counted, MOST, Paused, Rule, real},
};

/// The allowances of the table.
const ALLOWANCES: [usize; 4] = [250, 500, 1_000, 2_000];

/// The allowances of the picture.
const PICTURED: [usize; 5] = [125, 250, 500, 1_000, 2_000];

/// The allowance with which rules are compared.
const COMPARED: usize = 1_000;

/// The numbers of days by which the deploys are shifted, to see how much depends on when a month begins.
const SHIFTS: [u64; 6] = [0, 5, 10, 15, 20, 25];

/// The price of a path in dollars.
const PRICE: f64 = 0.005;

/// The worst of several outcomes.
struct Worst {
    /// The dollars of a month, by difference and for full uploads.
    dollars: [f64; 2],
    /// The number of paths beyond the allowance, in all months and in the worst one.
    beyond: (usize, usize),
    /// The mean share of the unchanged objects that a deploy by difference purges.
    collateral: f64,
    /// The share of the deploys by difference of which no path was folded.
    exact: f64,
    /// The longest pause by difference, in milliseconds.
    delay: u64,
}

impl Worst {
    fn of<'o>(outcomes: impl Iterator<Item = &'o Outcome>) -> Self {
        let mut worst = Self { dollars: [0.0; 2], beyond: (0, 0), collateral: 0.0, exact: 1.0, delay: 0 };
        for Outcome { way, bill, deploys, exact, share, .. } in outcomes {
            let dollars = &mut worst.dollars[usize::from(*way == Way::Everything)];
            *dollars = dollars.max(PRICE * real(bill.billed) / real(bill.months));
            worst.beyond = (worst.beyond.0.max(bill.beyond), worst.beyond.1.max(bill.most_beyond));
            if *way == Way::Difference {
                worst.collateral = worst.collateral.max(share / real(*deploys));
                worst.exact = worst.exact.min(real(*exact) / real(*deploys));
                worst.delay = worst.delay.max(bill.delay);
            }
        }
        worst
    }
}

fn is_of(site: &str, plan: Plan) -> impl Fn(&&Outcome) -> bool {
    move |outcome| outcome.site == site && outcome.plan == plan
}

/// Prints the tables of the function's rule. Returns the lines of the picture.
pub(crate) fn print() -> [Points; SITES.len()] {
    let chosen = |allowance| Plan { rule: Rule::Chosen, allowance };
    let unlimited = Plan { rule: Rule::Fixed(MOST.items), allowance: usize::MAX };
    let mut plans = PICTURED.map(chosen).to_vec();
    plans.push(unlimited);
    let outcomes = measure(&plans, 0);
    println!(
        "| site | paths a month | $ a month, by difference | $ a month, full uploads | paths beyond, worst month \
         | collateral | deploys without folding | longest pause |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|");
    for site in SITES {
        for plan in ALLOWANCES.map(chosen).into_iter().chain([unlimited]) {
            let Worst { dollars: [difference, everything], beyond, collateral, exact, delay } =
                Worst::of(outcomes.iter().filter(is_of(site, plan)));
            let allowance =
                if plan == unlimited { "no limit".to_owned() } else { plan.allowance.to_string() };
            let (collateral, exact, delay) = (100.0 * collateral, 100.0 * exact, delay.div_ceil(1_000));
            println!(
                "| {site} | {allowance} | {difference:.2} | {everything:.2} | {} | {collateral:.1} % | {exact:.0} % \
                 | {delay} s |",
                beyond.1
            );
        }
    }
    println!("\n| deploys later by | paths beyond | in the worst month | collateral |");
    println!("|---:|---:|---:|---:|");
    for days in SHIFTS {
        let outcomes = measure(&[chosen(COMPARED)], days);
        let (total, most, collateral) = total(&outcomes, chosen(COMPARED));
        println!("| {days} days | {total} | {most} | {:.1} % |", 100.0 * collateral);
    }
    let point = |site, allowance| {
        let worst = Worst::of(outcomes.iter().filter(is_of(site, chosen(allowance))));
        (allowance, 100.0 * worst.collateral)
    };
    SITES.map(|site| PICTURED.map(|allowance| point(site, allowance)).to_vec())
}

/// Returns the number of paths beyond the allowance in all runs, that in the worst month, and the mean of the
/// sites' collateral.
fn total(outcomes: &[Outcome], plan: Plan) -> (usize, usize, f64) {
    let all = || outcomes.iter().filter(|outcome| outcome.plan == plan);
    let worst = SITES.map(|site| Worst::of(all().filter(is_of(site, plan))));
    (
        all().map(|outcome| outcome.bill.beyond).sum(),
        worst.iter().map(|worst| worst.beyond.1).max().unwrap_or_default(),
        worst.iter().map(|worst| worst.collateral).sum::<f64>() / real(SITES.len()),
    )
}

/// Returns the rules to compare, with their names.
fn rules() -> Vec<(String, Rule)> {
    let mut rules: Vec<(String, Rule)> =
        [MOST.items, 10, 1].map(|items| (format!("{items} for each batch"), Rule::Fixed(items))).to_vec();
    rules.push(("a fixed share for each day".to_owned(), Rule::Daily));
    for window in [true, false] {
        let counting = if window { "counting the last ten minutes" } else { "no pause" };
        for per_batch in [0.5, 1.0] {
            for per_day in [0.35, 0.5, 0.7, 1.0] {
                for spare in [3.0, 5.0, 8.0] {
                    rules.push((
                        format!("{per_batch} × left / ({per_day} × days + {spare}), {counting}"),
                        Rule::Counted(Counted { per_batch, per_day, spare, window }),
                    ));
                }
            }
        }
    }
    for per_day in [1.5, 2.0, 2.5] {
        for (spare, reserve) in [(5.0, 0), (5.0, 30), (5.0, 60), (5.0, 90), (10.0, 0), (10.0, 60)] {
            for minutes in [1, 2, 3] {
                rules.push((
                    format!("(left - {reserve}) / ({per_day} × days + {spare}), pause {minutes} min"),
                    Rule::Paused(Paused { per_day, spare, reserve, pause: Duration::from_mins(minutes) }),
                ));
            }
        }
    }
    rules
}

/// Prints the comparison of rules, the least collateral first.
pub(crate) fn print_rules() {
    let rules = rules();
    let plan = |rule| Plan { rule, allowance: COMPARED };
    let mut plans: Vec<_> = rules.iter().map(|(_, rule)| plan(*rule)).collect();
    plans.push(plan(Rule::Chosen));
    let outcomes = measure(&plans, 0);
    let same = total(&outcomes, plan(Rule::Paused(Paused::CHOSEN)));
    assert_eq!(
        same,
        total(&outcomes, plan(Rule::Chosen)),
        "the function's constants are among those compared"
    );

    println!("| rule | $ a month, by difference | $ a month, full uploads | collateral | longest pause |");
    println!("|---|---:|---:|---:|---:|");
    let mut rows: Vec<_> = rules
        .iter()
        .map(|(name, rule)| {
            let (.., collateral) = total(&outcomes, plan(*rule));
            let worst = Worst::of(outcomes.iter().filter(|outcome| outcome.plan == plan(*rule)));
            (name, collateral, worst)
        })
        .collect();
    rows.sort_by(|a, b| a.1.total_cmp(&b.1));
    for (name, collateral, Worst { dollars: [difference, everything], delay, .. }) in rows {
        let (collateral, delay) = (100.0 * collateral, delay.div_ceil(1_000));
        println!("| {name} | {difference:.3} | {everything:.3} | {collateral:.1} % | {delay} s |");
    }
}
