//! The division of the month's allowance: examples, and properties of every standing.

use std::time::Duration;

use cloudfront_invalidator::{
    allowance::{Standing, WINDOW, budget, pause},
    cover::Budget,
};
use proptest::prelude::*;

const MOST: Budget = Budget { items: 150, wildcards: 15 };

fn items(left: usize, days: f64) -> usize {
    budget(Standing { left, days, recent: 0 }, 1, MOST).items
}

#[test]
fn each_batch_gets_a_share_of_what_is_left() {
    assert_eq!([items(1_000, 30.0), items(500, 30.0), items(250, 30.0), items(100, 30.0)], [12, 6, 2, 1]);
    assert_eq!([items(1_000, 10.0), items(1_000, 1.0), items(2_000, 1.0)], [32, 128, 150]);
}

#[test]
fn the_reserve_pays_for_single_paths() {
    let standing = |left| Standing { left, days: 10.0, recent: 0 };
    for left in [0, 1, 60, 70] {
        assert_eq!(budget(standing(left), 1, MOST), Budget { items: 1, wildcards: 1 });
        assert_eq!(pause(standing(left), 1), WINDOW);
    }
}

#[test]
fn an_environment_pauses_after_half_a_share() {
    // A share is eight paths.
    let after = |recent| pause(Standing { left: 260, days: 10.0, recent }, 1);
    assert_eq!([after(0), after(3), after(4)], [Duration::ZERO, Duration::ZERO, Duration::from_secs(30)]);
    assert_eq!([after(8), after(20)], [Duration::from_mins(1), Duration::from_secs(150)]);
    assert_eq!([after(80), after(81), after(usize::MAX)], [WINDOW; 3]);
}

#[test]
fn distributions_divide_a_share() {
    let standing = Standing { left: 260, days: 10.0, recent: 0 };
    let each = |distributions| budget(standing, distributions, MOST).items;
    assert_eq!([each(0), each(1), each(2), each(3), each(8), each(60)], [8, 8, 4, 2, 1, 1]);
    assert_eq!(
        [pause(standing, 7), pause(standing, 8), pause(standing, 60)],
        [Duration::ZERO, WINDOW, WINDOW]
    );
}

/// Returns standings, with more in the range that matters.
fn standings() -> impl Strategy<Value = Standing> {
    let left = prop_oneof![0..3_000_usize, any::<usize>()];
    let recent = prop_oneof![0..300_usize, any::<usize>()];
    (left, 1..=31_u8, recent).prop_map(|(left, days, recent)| Standing { left, days: days.into(), recent })
}

fn budgets() -> impl Strategy<Value = Budget> {
    (1..4_000_usize, 1..100_usize).prop_map(|(items, wildcards)| Budget { items, wildcards })
}

fn is_within(one: Budget, other: Budget) -> bool {
    one.items <= other.items && one.wildcards <= other.wildcards
}

proptest! {
    #[test]
    fn a_budget_is_at_least_one_and_within_the_most(
        standing in standings(), distributions in any::<usize>(), most in budgets(),
    ) {
        let budget = budget(standing, distributions, most);
        prop_assert!(is_within(Budget { items: 1, wildcards: 1 }, budget) && is_within(budget, most), "{budget:?}");
        prop_assert!(pause(standing, distributions) <= WINDOW);
    }

    #[test]
    fn with_less_left_the_limits_are_stricter(
        standing in standings(), less in any::<usize>(), distributions in 0..100_usize, most in budgets(),
    ) {
        let worse = Standing { left: standing.left.min(less), ..standing };
        prop_assert!(is_within(budget(worse, distributions, most), budget(standing, distributions, most)));
        prop_assert!(pause(worse, distributions) >= pause(standing, distributions));
    }

    #[test]
    fn after_more_paths_the_limits_are_stricter(
        standing in standings(), more in 0..1_000_usize, distributions in 0..100_usize, most in budgets(),
    ) {
        let worse = Standing { recent: standing.recent.saturating_add(more), ..standing };
        prop_assert!(is_within(budget(worse, distributions, most), budget(standing, distributions, most)));
        prop_assert!(pause(worse, distributions) >= pause(standing, distributions));
    }

    #[test]
    fn with_more_distributions_the_limits_are_stricter(
        standing in standings(), distributions in 0..100_usize, more in 0..100_usize, most in budgets(),
    ) {
        let worse = distributions + more;
        prop_assert!(is_within(budget(standing, worse, most), budget(standing, distributions, most)));
        prop_assert!(pause(standing, worse) >= pause(standing, distributions));
    }
}
