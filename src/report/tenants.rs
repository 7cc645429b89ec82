//! Limits how many tenants of a distribution a text shows: there may be 10,000.

use std::{collections::BTreeMap, fmt};

use crate::{
    plan::{Invalidation, MOST_PEERS},
    site::{DistributionId, Site, Sites},
    text::counted,
};

/// Maximum number of tenants of one distribution to show, unless the caller wants all of them.
const MOST_SHOWN: usize = 20;

/// The tenants among the invalidations of a report.
pub(super) struct Tenants<'a> {
    most: usize,
    sites: BTreeMap<&'a DistributionId, &'a Site>,
    /// The tenants so far, by their distribution. `None` for those that only requests name.
    seen: BTreeMap<Option<&'a DistributionId>, Seen>,
}

/// The tenants of a distribution.
#[derive(Default)]
struct Seen {
    count: usize,
    /// The number of tenants that are not shown and whose invalidations failed.
    hidden_failures: usize,
    /// The largest number of tenants that serve objects in the same way.
    peers: usize,
}

impl<'a> Tenants<'a> {
    pub(super) fn new(sites: &'a Sites, all: bool) -> Self {
        let mut by_id = BTreeMap::new();
        by_id.extend(sites.list.iter().map(|site| (&site.distribution, &**site)));
        Self { most: if all { usize::MAX } else { MOST_SHOWN }, sites: by_id, seen: BTreeMap::new() }
    }

    /// Returns whether to show an invalidation, and counts it if it is one of a tenant.
    pub(super) fn shows(&mut self, invalidation: &Invalidation, failed: bool) -> bool {
        if !invalidation.distribution.is_tenant() {
            return true;
        }
        let site = self.sites.get(&invalidation.distribution);
        let seen = self.seen.entry(site.and_then(|site| site.parent.as_deref())).or_default();
        seen.count += 1;
        seen.peers = seen.peers.max(site.map_or(1, |site| site.peers));
        let is_shown = seen.count <= self.most;
        seen.hidden_failures += usize::from(failed && !is_shown);
        is_shown
    }

    /// Writes the number of tenants that are not shown, and whether tenants get one path each.
    pub(super) fn write_rest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (parent, seen) in &self.seen {
            let of = parent.map_or(String::new(), |parent| format!(" of {parent}"));
            let more = seen.count.saturating_sub(self.most);
            if more > 0 {
                write!(f, "… and {more} more tenants{of}")?;
                if seen.hidden_failures > 0 {
                    write!(f, ", {} failed", seen.hidden_failures)?;
                }
                writeln!(f)?;
            }
            if seen.peers > MOST_PEERS {
                let tenants = counted(seen.peers, "tenant");
                writeln!(
                    f,
                    "{tenants}{of} serve the same objects: each gets one path, since they are more than {MOST_PEERS}"
                )?;
            }
        }
        Ok(())
    }
}
