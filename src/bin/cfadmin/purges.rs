//! The invalidations of distributions, each read once.

use std::collections::{BTreeMap, BTreeSet};

use cloudfront_invalidator::{
    cloudfront::{Client, Error, Invalidation, RecentPage, Summary},
    coverage::Purge,
    path::Item,
    since_1970,
    site::DistributionId,
};
use serde::Serialize;

/// The sender of an invalidation, as far as its caller reference shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Sender {
    /// The function.
    Function,
    /// This program.
    Cfadmin,
    /// Another program, or this one with `--caller-reference`.
    Other,
}

impl Sender {
    /// Guesses the sender from a caller reference: anyone may use any.
    pub(crate) fn of(caller_reference: &str) -> Self {
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if caller_reference.len() == 64 && caller_reference.bytes().all(is_hex) {
            return Self::Function;
        }
        // A request that was sent in parts has their numbers at the end.
        let numbers = caller_reference.strip_prefix("cfadmin-").unwrap_or_default().split('-');
        let are_numbers =
            numbers.clone().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
        if are_numbers && matches!(numbers.count(), 2 | 3) { Self::Cfadmin } else { Self::Other }
    }

    /// Returns the sender's name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Function => "function",
            Self::Cfadmin => "cfadmin",
            Self::Other => "other",
        }
    }
}

/// The id and the sender of an invalidation.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) id: String,
    pub(crate) sender: Sender,
}

/// The invalidations that were read so far.
#[derive(Debug, Default)]
pub(crate) struct Purges {
    /// The invalidations, in the order in which they were read.
    pub(crate) list: Vec<Purge>,
    /// Their ids and senders, in the same order.
    pub(crate) identities: Vec<Identity>,
    /// The indices in these lists.
    index: BTreeMap<(DistributionId, String), usize>,
    /// The distributions of which everything was read that was there at the last look.
    complete: BTreeSet<DistributionId>,
}

impl Purges {
    /// Reads the invalidations of a distribution that were created at `from` or later, in milliseconds since 1970.
    /// Reads only those that are new or were in progress at the last look, so `from` must not become earlier.
    ///
    /// # Errors
    ///
    /// Fails like [`Client::invalidation`]. The next look then reads what is missing.
    pub(crate) async fn look(
        &mut self,
        client: &Client,
        distribution: &DistributionId,
        from: u64,
    ) -> Result<(), Error> {
        let was_complete = self.complete.remove(distribution);
        let mut pending = BTreeSet::new();
        for (purge, identity) in self.list.iter().zip(&self.identities) {
            if purge.distribution == *distribution && !purge.is_completed {
                pending.insert(identity.id.clone());
            }
        }
        let mut marker = None;
        loop {
            let RecentPage { invalidations, next } =
                client.recent_invalidations(distribution, marker).await?;
            let (mut is_known, mut is_too_old) = (false, false);
            for summary in invalidations {
                let is_completed = summary.is_completed();
                let Summary { id, at, .. } = summary;
                is_too_old = at.and_then(since_1970).is_some_and(|created| created < from);
                let known = self.index.get(&(distribution.clone(), id.clone())).copied();
                is_known = known.is_some();
                if let Some(known) = known {
                    self.list[known].is_completed |= is_completed;
                    pending.remove(&id);
                } else if !is_too_old {
                    let read = client.invalidation(distribution, &id).await?;
                    self.add(distribution, read, false);
                }
            }
            // Everything before what is known was read at an earlier look.
            let is_done = is_too_old || (was_complete && is_known && pending.is_empty());
            marker = next.filter(|_| !is_done);
            if marker.is_none() {
                break;
            }
        }
        for id in pending {
            let is_completed = client.invalidation(distribution, &id).await?.is_completed();
            if let Some(known) = self.index.get(&(distribution.clone(), id)) {
                self.list[*known].is_completed |= is_completed;
            }
        }
        self.complete.insert(distribution.clone());
        Ok(())
    }

    /// Adds an invalidation. `is_own` is that of [`Purge`].
    pub(crate) fn add(&mut self, distribution: &DistributionId, read: Invalidation, is_own: bool) {
        let is_completed = read.is_completed();
        let Invalidation { id, paths, caller_reference, created, .. } = read;
        self.index.insert((distribution.clone(), id.clone()), self.list.len());
        self.list.push(Purge {
            distribution: distribution.clone(),
            created: created.and_then(since_1970),
            is_own,
            is_completed,
            items: paths.iter().map(|path| Item::listed(path)).collect(),
        });
        self.identities.push(Identity { id, sender: Sender::of(&caller_reference) });
    }
}

#[cfg(test)]
mod tests {
    use cloudfront_invalidator::request::unique;

    use super::*;

    #[test]
    fn the_caller_reference_tells_the_sender() {
        let hash = "0123456789abcdef".repeat(4);
        assert_eq!(Sender::of(&hash), Sender::Function);
        assert_eq!(Sender::of(&hash.to_uppercase()), Sender::Other);
        assert_eq!(Sender::of(&hash[1..]), Sender::Other);
        assert_eq!(Sender::of(&unique()), Sender::Cfadmin);
        assert_eq!(Sender::of(&format!("{}-2", unique())), Sender::Cfadmin);
        for other in [
            "",
            "cfadmin",
            "cfadmin-",
            "cfadmin-1",
            "cfadmin-1-",
            "cfadmin-deploy-7",
            "deploy",
            "cli-1795-12",
        ] {
            assert_eq!(Sender::of(other), Sender::Other, "{other}");
        }
    }
}
