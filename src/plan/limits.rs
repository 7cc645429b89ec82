//! The budgets of the invalidations in a plan.

use super::{Group, Planner};
use crate::{cover::Budget, order, site::DistributionId};

impl Planner<'_> {
    /// Returns the number of distributions that need an invalidation. If it is late, counts others, too.
    #[must_use]
    pub fn distributions(&self, is_late: &dyn Fn() -> bool) -> usize {
        let needs_any = |group: &&Group<'_>| is_late() || self.demand.needs_any(group);
        let needing = self.demand.groups.iter().filter(needs_any);
        let mut ids: Vec<&DistributionId> = needing.flat_map(|group| &group.distributions).collect();
        order::sort(&mut ids, Ord::cmp);
        ids.dedup();
        ids.len()
    }

    /// Plans with this budget for changes from now on, as far as the policy allows. It does not limit what people
    /// request, nor narrowed messages that have their budget already.
    #[must_use]
    pub fn limited(self, budget: Budget) -> Self {
        Self { budget: Some(self.within_policy(budget)), ..self }
    }

    /// Returns a budget that is within that of the policy.
    fn within_policy(&self, Budget { items, wildcards }: Budget) -> Budget {
        let most = self.policy.budget;
        Budget { items: items.clamp(1, most.items), wildcards: wildcards.clamp(1, most.wildcards) }
    }

    /// Returns the budget of a group. `for_changes` is whether nobody requested any of it.
    pub(super) fn budget(&self, group: &Group<'_>, for_changes: bool) -> Budget {
        if group.is_crowd {
            return Budget { items: 1, wildcards: 1 };
        }
        if !for_changes {
            return self.policy.budget;
        }
        if let Some([items, wildcards]) = self.demand.narrowed_of(group).and_then(|narrowed| narrowed.budget)
        {
            return self.within_policy(Budget { items, wildcards });
        }
        self.budget.unwrap_or(self.policy.budget)
    }
}
