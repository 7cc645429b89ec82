//! Determines what the changes and requests of a batch require of each distribution.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use thiserror::Error;

use crate::{
    event::{Batch, Change, Effect, Narrowed, NarrowedMessage, Request},
    order,
    path::{Item, ParseItemError},
    plan::{Ignored, Known, Policy},
    site::{Directory, DistributionId, Form, NoDistribution, Serving, Site, Sites, Unserved},
    text::joined,
    versions::{Findings, Needless, Rule},
};

/// Maximum number of tenants that serve a change and get its paths one by one. If there are more,
/// each gets a single path, since CloudFront accepts the calls slowly and bills each path.
pub const MOST_PEERS: usize = 100;

/// A reason for an invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause<'a> {
    /// A change of an object or of a whole bucket.
    Change(&'a Change),
    /// A manual request.
    Request(&'a Request),
}

impl Cause<'_> {
    /// Returns the index of the message that contained the cause.
    #[must_use]
    pub const fn message(&self) -> usize {
        match self {
            Self::Change(change) => change.message,
            Self::Request(request) => request.message,
        }
    }

    /// Returns the fields that distinguish the cause from every other, in a fixed order.
    pub(super) fn identity(&self) -> [&[u8]; 5] {
        match self {
            Self::Change(change) => [
                b"change",
                change.bucket.as_bytes(),
                change.key.as_bytes(),
                change.event.as_bytes(),
                change.identity.as_bytes(),
            ],
            Self::Request(request) => [b"request", b"", b"", b"", request.identity.as_bytes()],
        }
    }
}

/// Distributions that serve objects in the same way and that the same requests name, so that they
/// need the same purge.
#[derive(Debug)]
pub(super) struct Group<'a> {
    /// The part of the batch that the group is for.
    pub(super) part: usize,
    /// The distributions, in the order of their ids.
    pub(super) distributions: Vec<DistributionId>,
    /// The rules by which they serve objects. `None` for distributions that only requests name.
    pub(super) serving: Option<&'a Serving>,
    /// Whether they are among so many tenants that each gets one path.
    pub(super) is_crowd: bool,
    /// The changes that they need not know of.
    rule: Rule,
    /// Indices of the requests that name them, in order.
    requests: Vec<usize>,
}

/// The part of a distribution's configuration on which a plan depends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Served<'a> {
    serving: &'a Serving,
    is_crowd: bool,
    rule: Rule,
}

impl<'a> Served<'a> {
    fn of(site: &'a Site, policy: &Policy, findings: &Findings) -> Self {
        let rule = findings.simplified(policy.skip.rule(site.caching.as_ref()));
        Self { serving: site.serving(), is_crowd: site.peers > MOST_PEERS, rule }
    }
}

/// The sites of a batch by the ids that narrowed messages name.
struct ById<'a> {
    sites: BTreeMap<&'a DistributionId, &'a Site>,
    /// The tenants of each distribution that has some.
    tenants: BTreeMap<&'a DistributionId, Vec<&'a DistributionId>>,
}

impl<'a> ById<'a> {
    fn of(sites: &'a Sites) -> Self {
        let mut known = Self { sites: BTreeMap::new(), tenants: BTreeMap::new() };
        for site in &sites.list {
            known.sites.insert(&site.distribution, site);
            if let Some(parent) = &site.parent {
                known.tenants.entry(parent).or_default().push(&site.distribution);
            }
        }
        known
    }
}

/// A part of the batch that is planned for itself: the content of narrowed messages, or everything
/// else.
#[derive(Debug, Default)]
struct Part {
    /// Indices of the changes that count, in order.
    watched: Vec<usize>,
    /// The same changes by bucket, in lower case. Empty if every group serves any bucket.
    by_bucket: BTreeMap<String, InBucket>,
    /// Indices of the messages with this part, by the distributions that they name. Empty for the
    /// batch's own part, which concerns any distribution.
    messages: BTreeMap<DistributionId, Vec<usize>>,
    /// The number of groups.
    groups: usize,
}

/// The changes that count in one bucket.
#[derive(Debug, Default)]
struct InBucket {
    /// Indices of the changes of the whole bucket.
    whole: Vec<usize>,
    /// Indices of the changes of objects, in the order of their keys.
    objects: Vec<usize>,
    /// Whether a group serves the bucket.
    is_served: bool,
}

/// The changes and requests of a batch, by the distributions that they concern, and those that lead
/// to nothing.
#[derive(Debug)]
pub(super) struct Demand<'a> {
    pub(super) batch: &'a Batch,
    findings: &'a Findings,
    /// The groups of each part, those of narrowed messages first, since their changes are older.
    pub(super) groups: Vec<Group<'a>>,
    /// The parts: one for each of [`Batch::narrowed`], and then the batch's own.
    parts: Vec<Part>,
    /// The items of each request, in the order of the batch. Empty for a rejected request.
    requested: Vec<Vec<Item>>,
    /// The reason why each change leads to nothing, as far as it is known before planning.
    pub(super) ignored: Vec<Option<Ignored>>,
    /// Requests that cannot be carried out: the index of the message, and the reason.
    pub(super) rejected: Vec<(usize, Rejected)>,
    /// Indices of the messages that concern distributions that could not be determined.
    pub(super) waiting: Vec<usize>,
    /// The distributions that could not be read, with the messages that may concern them.
    pub(super) unread: BTreeMap<DistributionId, Vec<usize>>,
    /// The distributions that narrowed messages name and that need nothing any more, with these
    /// messages.
    pub(super) gone: Vec<(DistributionId, Vec<usize>)>,
}

impl<'a> Demand<'a> {
    pub(super) fn of(batch: &'a Batch, policy: &Policy, known: Known<'a>) -> Self {
        let Known { sites, findings } = known;
        let mut demand = Self {
            batch,
            findings,
            groups: Vec::new(),
            parts: Vec::with_capacity(batch.narrowed.len() + 1),
            requested: Vec::with_capacity(batch.requests.len()),
            ignored: vec![None; batch.changes.len()],
            rejected: Vec::new(),
            waiting: Vec::new(),
            unread: BTreeMap::new(),
            gone: Vec::new(),
        };
        let named = demand.resolve(policy, sites);
        let any_bucket = sites.list.iter().all(|site| site.serving().directories().is_none());
        if !batch.narrowed.is_empty() {
            let known = ById::of(sites);
            for part in &batch.narrowed {
                demand.narrowed(part, policy, sites, any_bucket, &known, &named);
            }
        }
        demand.own(policy, sites, any_bucket, &named);
        demand
    }

    /// Parses the requests, and returns the distributions of each.
    fn resolve(&mut self, policy: &Policy, sites: &Sites) -> Vec<Vec<DistributionId>> {
        let batch = self.batch;
        let mut named = Vec::with_capacity(batch.requests.len());
        for (index, request) in batch.requests.iter().enumerate() {
            let part = batch.narrowed.iter().find(|part| part.requests.contains(&index));
            let mut messages = vec![request.message];
            if let Some(part) = part {
                messages = part.messages.iter().map(|message| message.message).collect();
            }
            let (items, distributions) = match resolve(request, policy, sites) {
                Ok((items, Some(distributions))) => (items, distributions),
                Ok((items, None)) => {
                    self.waiting.extend(messages);
                    (items, Vec::new())
                }
                Err(why) => {
                    self.rejected.extend(messages.into_iter().map(|message| (message, why.clone())));
                    (Vec::new(), Vec::new())
                }
            };
            self.requested.push(items);
            named.push(distributions);
        }
        named
    }

    /// Adds a part for the distributions that its narrowed messages name.
    fn narrowed(
        &mut self,
        narrowed: &Narrowed,
        policy: &Policy,
        sites: &Sites,
        any_bucket: bool,
        known: &ById<'a>,
        named: &[Vec<DistributionId>],
    ) {
        let mut part = Part::default();
        let mut is_unknown = sites.unresolved || sites.is_old;
        for index in narrowed.changes.clone() {
            let change = &self.batch.changes[index];
            if let Some(why) = policy.watch.ignores(change) {
                self.ignored[index] = Some(Ignored::Unwatched(why));
                continue;
            }
            let bucket = part.watch(index, change, any_bucket);
            is_unknown |= sites.unknown.contains(&*bucket);
        }
        // A request needs nothing of the distribution's configuration.
        let is_unread = |id: &DistributionId| !part.watched.is_empty() && sites.is_unread(id);
        for NarrowedMessage { message, distributions, .. } in &narrowed.messages {
            for id in distributions.iter().filter_map(|id| id.parse::<DistributionId>().ok()) {
                let is_unread = is_unread(&id);
                match known.tenants.get(&id) {
                    Some(tenants) => {
                        for &tenant in tenants {
                            part.messages.entry(tenant.clone()).or_default().push(*message);
                        }
                    }
                    None if is_unread => {}
                    None => part.messages.entry(id.clone()).or_default().push(*message),
                }
                // Some of a distribution's tenants may have been read, and others not.
                if is_unread {
                    self.unread.entry(id).or_default().push(*message);
                }
            }
        }
        // The distribution of a tenant that is not known may be any of those that could not be read.
        let may_be_unread = |id: &DistributionId| id.is_tenant() && !sites.unread.is_empty();
        let mut by_distribution = BTreeMap::new();
        for (id, messages) in &part.messages {
            let serving = known.sites.get(id).map(|site| Served::of(site, policy, self.findings));
            let is_for_it = |index: &usize| named[*index].contains(id);
            let requests: Vec<usize> = narrowed.requests.clone().filter(is_for_it).collect();
            if serving.is_some() || !requests.is_empty() {
                by_distribution.insert(id.clone(), (serving, requests));
            } else if is_unknown || may_be_unread(id) {
                self.waiting.extend(messages);
            } else {
                self.gone.push((id.clone(), messages.clone()));
            }
        }
        self.add(part, by_distribution);
    }

    /// Adds the part that is not in narrowed messages.
    fn own(&mut self, policy: &Policy, sites: &'a Sites, any_bucket: bool, named: &[Vec<DistributionId>]) {
        let mut part = Part::default();
        for index in self.batch.own_changes() {
            let change = &self.batch.changes[index];
            if let Some(why) = policy.watch.ignores(change) {
                self.ignored[index] = Some(Ignored::Unwatched(why));
                continue;
            }
            if sites.unresolved {
                self.waiting.push(change.message);
                continue;
            }
            let bucket = part.watch(index, change, any_bucket);
            if sites.unknown.contains(&*bucket) {
                self.waiting.push(change.message);
            } else if let Some(unread) = sites.unread.get(&*bucket) {
                for id in unread {
                    self.unread.entry(id.clone()).or_default().push(change.message);
                }
            } else {
                self.ignored[index] = Some(Ignored::Unserved(Unserved::Bucket));
            }
        }
        let findings = self.findings;
        let served = |site: &'a Arc<Site>| {
            let served = Served::of(site, policy, findings);
            (site.distribution.clone(), (Some(served), Vec::new()))
        };
        let mut by_distribution: BTreeMap<DistributionId, (Option<Served<'_>>, Vec<usize>)> = BTreeMap::new();
        by_distribution.extend(sites.list.iter().map(served));
        for index in self.batch.own_requests() {
            for id in &named[index] {
                by_distribution.entry(id.clone()).or_default().1.push(index);
            }
        }
        self.add(part, by_distribution);
    }

    /// Adds a part with its groups.
    fn add(
        &mut self,
        mut part: Part,
        by_distribution: BTreeMap<DistributionId, (Option<Served<'a>>, Vec<usize>)>,
    ) {
        let first = self.groups.len();
        let mut known: HashMap<(Option<Served<'_>>, Vec<usize>), usize> = HashMap::new();
        for (distribution, (served, requests)) in by_distribution {
            let next = self.groups.len() - first;
            let index = *known.entry((served, requests.clone())).or_insert(next);
            if index == next {
                let (part, serving) = (self.parts.len(), served.map(|served| served.serving));
                let is_crowd = served.is_some_and(|served| served.is_crowd);
                let rule = served.map_or_else(Rule::default, |served| served.rule);
                let distributions = Vec::new();
                self.groups.push(Group { part, distributions, serving, is_crowd, rule, requests });
            }
            self.groups[first + index].distributions.push(distribution);
        }
        part.groups = self.groups.len() - first;
        self.sort(&mut part, first);
        self.parts.push(part);
    }

    /// Prepares the changes of a part for [`Demand::changes`]. The groups of the part begin at `first`.
    fn sort(&mut self, part: &mut Part, first: usize) {
        if part.by_bucket.is_empty() {
            return;
        }
        for serving in self.groups[first..].iter().filter_map(|group| group.serving) {
            for Directory { bucket, .. } in serving.directories().unwrap_or_default() {
                if let Some(changes) = part.by_bucket.get_mut(bucket) {
                    changes.is_served = true;
                }
            }
        }
        let changes = &self.batch.changes;
        for InBucket { objects, is_served, .. } in part.by_bucket.values_mut() {
            order::sort_indices(objects, &|a, b| changes[a].key.cmp(&changes[b].key));
            // No group may serve the directory of the object, so none may find out more.
            for &index in objects.iter().filter(|_| *is_served) {
                ignore(&mut self.ignored[index], Ignored::Unserved(Unserved::OriginPath));
            }
        }
    }

    /// Returns the content of the narrowed messages that a group is for. `None` if it is for the
    /// batch's own part.
    pub(super) fn narrowed_of(&self, group: &Group<'_>) -> Option<&'a Narrowed> {
        self.batch.narrowed.get(group.part)
    }

    /// Returns the number of groups that share the effort of planning with this one.
    pub(super) fn share(&self, group: &Group<'_>) -> usize {
        self.narrowed_of(group).map_or_else(|| self.own_share(), |narrowed| narrowed.share)
    }

    /// Returns the number of groups of the part that is not in narrowed messages.
    pub(super) fn own_share(&self) -> usize {
        self.parts.last().map_or(0, |own| own.groups)
    }

    /// Returns the messages with a group's narrowed part that name a distribution of it.
    pub(super) fn messages(&self, group: &Group<'_>, distribution: &DistributionId) -> &[usize] {
        self.parts[group.part].messages.get(distribution).map_or(&[], Vec::as_slice)
    }

    /// Returns the indices of the changes that a group may serve, in order. It serves no others.
    pub(super) fn changes(&self, group: &Group<'_>) -> Vec<usize> {
        let Some(serving) = group.serving else { return Vec::new() };
        let Part { watched, by_bucket, .. } = &self.parts[group.part];
        let Some(directories) = serving.directories() else { return watched.clone() };
        let key = |index: usize| self.batch.changes[index].key.as_bytes();
        let mut changes = Vec::new();
        let mut last = None;
        for Directory { bucket, prefix } in directories {
            let Some(InBucket { whole, objects, .. }) = by_bucket.get(bucket) else { continue };
            if last.replace(bucket) != Some(bucket) {
                changes.extend_from_slice(whole);
            }
            let begin = objects.partition_point(|index| key(*index) < prefix);
            let below = &objects[begin..];
            let end = below.partition_point(|index| key(*index).starts_with(prefix));
            changes.extend_from_slice(&below[..end]);
        }
        changes.sort_unstable();
        changes
    }

    /// Returns the keys of changes by bucket, in lower case: sorted, without duplicates.
    pub(super) fn keys(&self, changes: &[usize]) -> BTreeMap<String, Vec<&'a [u8]>> {
        let mut by_bucket: BTreeMap<String, Vec<&[u8]>> = BTreeMap::new();
        for change in changes.iter().map(|index| &self.batch.changes[*index]) {
            by_bucket.entry(change.bucket.to_ascii_lowercase()).or_default().push(change.key.as_bytes());
        }
        for keys in by_bucket.values_mut() {
            order::sort(keys, Ord::cmp);
            keys.dedup();
        }
        by_bucket
    }

    /// Returns the requests that concern a group, each with its index and its items.
    pub(super) fn requests(&self, group: &Group<'_>) -> impl Iterator<Item = (usize, Cause<'a>, &[Item])> {
        let request =
            |&index: &usize| (index, Cause::Request(&self.batch.requests[index]), &*self.requested[index]);
        group.requests.iter().map(request)
    }

    /// Returns the paths under which a group serves the object of a change.
    ///
    /// # Errors
    ///
    /// Returns the reason why the group does not serve the object.
    pub(super) fn paths(
        &self,
        group: &Group<'_>,
        change: usize,
    ) -> Result<(Cause<'a>, Vec<(Item, Form)>), Unserved> {
        let change = &self.batch.changes[change];
        let serving = group.serving.ok_or(Unserved::Bucket)?;
        if change.effect == Effect::WholeBucket {
            let all = vec![(Item::everything(), Form::WholeBucket)];
            return serving
                .serves(&change.bucket)
                .then_some((Cause::Change(change), all))
                .ok_or(Unserved::Bucket);
        }
        Ok((Cause::Change(change), serving.paths(&change.bucket, change.key.as_bytes())?))
    }

    /// Returns whether a group needs an invalidation.
    pub(super) fn needs_any(&self, group: &Group<'_>) -> bool {
        let needs = |index: &usize| self.skips(group, *index).is_none() && self.paths(group, *index).is_ok();
        !group.requests.is_empty() || self.changes(group).iter().any(needs)
    }

    /// Returns the reason why a group need not know of a change. `None` if it must.
    pub(super) fn skips(&self, group: &Group<'_>, change: usize) -> Option<Needless> {
        group.rule.skips(self.findings.of(change))
    }

    /// Returns the change with this index as a cause.
    pub(super) fn cause(&self, change: usize) -> Cause<'a> {
        Cause::Change(&self.batch.changes[change])
    }
}

/// Records the reason why a group needs no invalidation for a change, unless another group needs one. A
/// reason that the object is not served counts only until a group serves it.
pub(super) fn ignore(ignored: &mut Option<Ignored>, why: Ignored) {
    *ignored = match (*ignored, why) {
        (Some(Ignored::Unserved(known)), Ignored::Unserved(why)) => Some(Ignored::Unserved(known.later(why))),
        (Some(Ignored::Unserved(_)), Ignored::Needless(why)) => Some(Ignored::Needless(why)),
        (known, _) => known,
    };
}

impl Part {
    /// Adds a change that counts, and returns its bucket in lower case.
    fn watch(&mut self, index: usize, change: &Change, any_bucket: bool) -> String {
        let bucket = change.bucket.to_ascii_lowercase();
        self.watched.push(index);
        if !any_bucket {
            let InBucket { whole, objects, .. } = self.by_bucket.entry(bucket.clone()).or_default();
            if change.effect == Effect::WholeBucket { whole } else { objects }.push(index);
        }
        bucket
    }
}

/// The reason why a request is not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Rejected {
    /// The configuration turns manual events off.
    #[error("manual events are turned off (INVALIDATOR_MANUAL=false)")]
    TurnedOff,
    /// The distribution or some of the paths are invalid. The error reports every problem, and
    /// nothing is purged: a person who mistyped one path of several must not think that it was
    /// purged.
    #[error("{}", problems(distribution.as_ref(), paths))]
    Invalid {
        /// The problem with the distribution.
        distribution: Option<NoDistribution>,
        /// The problems with the paths.
        paths: Vec<ParseItemError>,
    },
}

fn problems(distribution: Option<&NoDistribution>, paths: &[ParseItemError]) -> String {
    let distribution = distribution.map(ToString::to_string);
    joined(distribution.into_iter().chain(paths.iter().map(ToString::to_string)), "; ")
}

/// Parses the items of a request and finds its distributions. Returns `None` instead of the
/// distributions if they could not be looked up.
fn resolve(
    request: &Request,
    policy: &Policy,
    sites: &Sites,
) -> Result<(Vec<Item>, Option<Vec<DistributionId>>), Rejected> {
    if !policy.manual {
        return Err(Rejected::TurnedOff);
    }
    let (mut items, mut wrong) = (Vec::with_capacity(request.paths.len()), Vec::new());
    for path in &request.paths {
        match path.parse() {
            Ok(item) => items.push(item),
            Err(why) => wrong.push(why),
        }
    }
    match distributions(request, sites) {
        Ok(distributions) if wrong.is_empty() => Ok((items, distributions)),
        found => Err(Rejected::Invalid { distribution: found.err(), paths: wrong }),
    }
}

/// Finds the distributions of a request. Returns `None` if they could not be looked up.
fn distributions(request: &Request, sites: &Sites) -> Result<Option<Vec<DistributionId>>, NoDistribution> {
    let Some(name) = &request.distribution else {
        if sites.unresolved {
            return Ok(None);
        }
        if sites.named {
            return Ok(Some(sites.list.iter().map(|site| site.distribution.clone()).collect()));
        }
        return sites.of_watched.clone().transpose();
    };
    match name.parse() {
        Ok(id) => Ok(Some(vec![id])),
        Err(_) => sites.by_name.get(name).cloned().transpose(),
    }
}
