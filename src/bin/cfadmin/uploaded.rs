//! The objects that an upload changed, and what has to be purged for them.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;
use cloudfront_invalidator::{
    bucket::{Bucket, Error as BucketError, ObjectsQuery, S3, Version, VersionsQuery},
    config::Config,
    coverage::Need,
    event::{Batch, Change, Key},
    lambda,
    path::Item,
    site::{DistributionId, Sites},
    text::counted,
    versions::{self, Findings},
};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::{
    LIMIT, Stop,
    account::Session,
    changed::{self, Changed, Upload},
    objects,
    when::{When, shown},
};

/// Time limit for each call that lists or judges objects. A bucket may hold millions.
const LONG: Duration = Duration::from_mins(10);

/// Maximum number of calls to S3 at the same time.
const AT_ONCE: usize = 16;

/// Maximum number of entries on a page of a list.
const PAGE: u16 = 1_000;

/// The time by which an invalidation has to be later than a time that S3 cut to seconds, in milliseconds.
const SECOND: u64 = 1_000;

/// The time before the command in which a named object may have changed more than once, in milliseconds. The function
/// may not have purged the earlier change yet.
const RECENT: u64 = 60 * 60 * SECOND;

/// The options that say what was uploaded.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Wait for the objects that changed since a time (2026-11-25T09:30:00Z) or for a duration (10m). A list does not
    /// show deleted objects: use --changed for those
    #[arg(long, value_name = "TIME|DURATION", conflicts_with_all = ["id", "changed"])]
    pub(crate) since: Option<When>,

    /// Wait for the objects in the output of "aws s3 sync", with deletions; "-" for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "id")]
    pub(crate) changed: Option<PathBuf>,

    /// Time at which the upload ended, or a duration since then: multipart uploads and deletions need an invalidation
    /// after it [default: the time at which this has looked at the bucket]
    #[arg(long, value_name = "TIME|DURATION", conflicts_with = "id")]
    uploaded: Option<When>,

    /// Use the settings of this Lambda function: its ARN, or its name in the bucket's region [default: the INVALIDATOR_*
    /// variables]
    #[arg(long, value_name = "NAME", conflicts_with = "id")]
    function: Option<String>,
}

/// A part of a bucket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) bucket: &'a str,
    /// The beginning of the keys. Empty for the whole bucket.
    pub(crate) prefix: &'a str,
}

impl<'a> Place<'a> {
    /// Parses `s3://bucket` or `s3://bucket/prefix`. `None` for anything else.
    pub(crate) fn of(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix("s3://")?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        (!bucket.is_empty()).then_some(Self { bucket, prefix })
    }
}

/// The paths to purge for an upload.
#[derive(Debug)]
pub(crate) struct Demand {
    /// The keys of the changed objects.
    pub(crate) objects: Vec<Key>,
    /// The paths that have to be purged, in the order of distributions and paths.
    pub(crate) needs: Vec<Need>,
    /// The indices of the objects behind each path.
    pub(crate) behind: Vec<Vec<usize>>,
    /// The sites that were found.
    pub(crate) sites: Sites,
}

/// A change of an object, which is one of several if the object was uploaded more than once.
#[derive(Debug)]
struct Seen {
    /// The index of the object.
    object: usize,
    is_deleted: bool,
    /// The version that the change created. `None` if it has no id, or is not needed.
    version: Option<Box<str>>,
    /// The time of the change. `None` if unknown.
    modified: Option<u64>,
    /// Whether it is a multipart upload, whose time is that of its beginning.
    is_multipart: bool,
}

impl Seen {
    /// Returns whether the time of the change is known.
    const fn is_dated(&self) -> bool {
        self.modified.is_some() && !self.is_multipart
    }
}

/// The times from which invalidations count.
#[derive(Clone, Copy, Debug)]
struct Clock {
    /// The time after the changes were looked up, in milliseconds since 1970. None of them is later.
    known: u64,
    /// The time at which the upload ended.
    uploaded: Option<u64>,
}

impl Clock {
    /// Returns the time from which an invalidation counts for a change. S3 cuts times to seconds, so the second has
    /// to be over.
    fn from(self, seen: &Seen) -> u64 {
        let ended = match seen.modified {
            Some(modified) if seen.is_dated() => modified,
            // A change after the upload belongs to another one.
            modified => self.uploaded.filter(|uploaded| modified <= Some(*uploaded)).unwrap_or(self.known),
        };
        ended.saturating_add(SECOND)
    }
}

/// Converts an error of S3.
fn failed(error: &BucketError) -> Stop {
    let action = match error.operation() {
        "HeadObject" => "s3:GetObject and s3:ListBucket",
        "ListObjectVersions" => "s3:ListBucketVersions",
        _ => "s3:ListBucket",
    };
    let advice = if error.is_denied() { format!("; allow {action}") } else { String::new() };
    Stop::Service(format!("{error}{advice}"))
}

/// Reads the settings of a function.
async fn settings(account: &Session, function: &str, region: &str) -> Result<Config, Stop> {
    match lambda::function(&account.client, function, region).await {
        Ok(found) => match found.variables() {
            Some(variables) => Ok(Config::read(variables.clone())?),
            None => Err(Stop::Service(format!(
                "the variables of {function:?} are encrypted with a key that you may not use; allow kms:Decrypt"
            ))),
        },
        Err(error) if error.is_not_found() => Err(Stop::NotFound(error.to_string())),
        Err(error) if error.is_denied() => {
            Err(Stop::Service(format!("{error}; allow lambda:GetFunctionConfiguration")))
        }
        Err(error) => Err(Stop::Service(error.to_string())),
    }
}

impl Options {
    /// Finds out what has to be purged for the objects at `place`. Replaces the settings of `account` with those of
    /// the function that the options name.
    pub(crate) async fn demand(&self, account: &mut Session, place: Place<'_>) -> Result<Demand, Stop> {
        if self.since.is_none() && self.changed.is_none() {
            let why = "nothing to wait for: pass --since 10m or --changed FILE for an upload, or the id of an invalidation";
            return Err(Stop::Usage(why.to_owned()));
        }
        let named = self.changed.as_ref().map(|file| named(file, place)).transpose()?;
        // The clone keeps the connections, and lets the settings be replaced.
        let client = account.client.clone();
        let bucket = S3::of(&client).bucket(place.bucket, None);
        let begun = bucket.clock(Instant::now() + LIMIT).await.map_err(|error| failed(&error))?;
        if let Some(function) = &self.function {
            account.config = settings(account, function, bucket.region()).await?;
        }
        if account.config.dry_run {
            eprintln!("cfadmin: INVALIDATOR_DRY_RUN is set, so the function purges nothing");
        }
        let since = self.since.map(|since| since.time(begun) / SECOND * SECOND);
        let (objects, mut changes) = match named {
            Some(named) => look_up(&bucket, named).await,
            None => list(&bucket, place.prefix, since.unwrap_or_default()).await,
        }
        .map_err(|error| failed(&error))?;
        if objects.is_empty() {
            let since = since.map_or(String::new(), |since| format!(" since {}", shown(since)));
            eprintln!("cfadmin: no object at s3://{}/{} changed{since}", place.bucket, place.prefix);
        }
        if !account.config.policy.skip.is_off() {
            changes =
                with_versions(&bucket, &objects, changes, since.unwrap_or(begun.saturating_sub(RECENT)))
                    .await
                    .map_err(|error| failed(&error))?;
        }
        let known = if changes.iter().all(Seen::is_dated) {
            begun
        } else {
            // A list takes a while, and uploads may have ended since it began.
            bucket.clock(Instant::now() + LIMIT).await.map_err(|error| failed(&error))?
        };
        let clock = Clock { known, uploaded: self.uploaded.map(|uploaded| uploaded.time(begun)) };
        judge(account, place.bucket, objects, &changes, clock).await
    }
}

/// Reads the objects at `place` from the output of an upload.
fn named(file: &std::path::Path, place: Place<'_>) -> Result<Vec<Changed>, Stop> {
    let Upload { mut changed, failed, is_dry_run } = changed::read(file)?;
    if is_dry_run {
        return Err(Stop::Usage(format!(
            "{} is the output of a dry run, which changed nothing",
            file.display()
        )));
    }
    if !failed.is_empty() {
        eprintln!("cfadmin: the upload failed for {}: {}", counted(failed.len(), "object"), failed[0]);
    }
    let all = changed.len();
    changed.retain(|one| one.bucket == place.bucket && one.key.starts_with(place.prefix.as_bytes()));
    if changed.len() < all {
        let others = counted(all - changed.len(), "object");
        eprintln!("cfadmin: ignored {others} outside of s3://{}/{}", place.bucket, place.prefix);
    }
    Ok(changed)
}

/// Looks up the objects of an upload. One that does not exist any more counts as deleted.
async fn look_up(bucket: &Bucket<'_>, named: Vec<Changed>) -> Result<(Vec<Key>, Vec<Seen>), BucketError> {
    let look_up = |(object, Changed { key, is_deleted, .. }): (usize, Changed)| async move {
        let head = if is_deleted { None } else { bucket.head(&key, None, Instant::now() + LIMIT).await? };
        let seen = Seen {
            object,
            is_deleted: head.is_none(),
            version: None,
            modified: head.as_ref().map(|head| head.modified),
            is_multipart: head.is_some_and(|head| is_multipart(&head.etag)),
        };
        Ok((Key::from(key), seen))
    };
    let found: Vec<(Key, Seen)> =
        stream::iter(named.into_iter().enumerate()).map(look_up).buffered(AT_ONCE).try_collect().await?;
    Ok(found.into_iter().unzip())
}

/// Lists the objects that changed at `since` or later, in milliseconds since 1970.
async fn list(bucket: &Bucket<'_>, prefix: &str, since: u64) -> Result<(Vec<Key>, Vec<Seen>), BucketError> {
    let (mut objects, mut changes) = (Vec::new(), Vec::new());
    let mut next: Option<Box<str>> = None;
    loop {
        let query = ObjectsQuery {
            prefix: prefix.as_bytes(),
            start_after: None,
            continuation_token: next.as_deref(),
            max_keys: PAGE,
        };
        let page = bucket.objects(&query, Instant::now() + LIMIT).await?;
        for one in page.entries.into_iter().filter(|one| one.modified >= since) {
            changes.push(Seen {
                object: objects.len(),
                is_deleted: false,
                version: None,
                modified: Some(one.modified),
                is_multipart: is_multipart(&one.etag),
            });
            objects.push(one.key);
        }
        next = page.next;
        if next.is_none() {
            return Ok((objects, changes));
        }
    }
}

/// Returns whether an object was uploaded in parts, and S3 dates it by the beginning of that.
fn is_multipart(etag: &str) -> bool {
    etag.contains('-')
}

/// Returns the changes with the ids of their versions, which S3 needs to compare them: one for the current version of
/// each object, and for every other one since a time, because the function judged each of them.
async fn with_versions(
    bucket: &Bucket<'_>,
    objects: &[Key],
    changes: Vec<Seen>,
    since: u64,
) -> Result<Vec<Seen>, BucketError> {
    let find = |seen: Seen| async move {
        if seen.is_deleted {
            return Ok(vec![seen]);
        }
        let versions = recent_versions(bucket, objects[seen.object].as_bytes(), since).await?;
        let of_version = |Version { id, is_marker, etag, modified, .. }| Seen {
            object: seen.object,
            is_deleted: is_marker,
            version: (!is_marker && *id != *"null").then_some(id),
            modified: Some(modified),
            is_multipart: is_multipart(&etag),
        };
        let versions: Vec<Seen> = versions.into_iter().map(of_version).collect();
        Ok(if versions.is_empty() { vec![seen] } else { versions })
    };
    let found: Vec<Vec<Seen>> = stream::iter(changes).map(find).buffered(AT_ONCE).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

/// Lists the current version of an object, and the others from `since` on, newest first.
async fn recent_versions(bucket: &Bucket<'_>, key: &[u8], since: u64) -> Result<Vec<Version>, BucketError> {
    let mut found: Vec<Version> = Vec::new();
    let mut marker: Option<(Key, Option<Box<str>>)> = None;
    loop {
        let query = VersionsQuery {
            prefix: key,
            key_marker: marker.as_ref().map(|(key, _)| key.as_bytes()),
            version_id_marker: marker.as_ref().and_then(|(_, version)| version.as_deref()),
            max_keys: PAGE,
        };
        let page = bucket.versions(&query, Instant::now() + LIMIT).await?;
        for version in page.entries {
            let is_wanted = version.key.as_bytes() == key && (found.is_empty() || version.modified >= since);
            if !is_wanted {
                return Ok(found);
            }
            found.push(version);
        }
        match page.next {
            Some(next) => marker = Some((next.key, next.version)),
            None => return Ok(found),
        }
    }
}

/// Judges the changes as the function does.
async fn judge(
    account: &Session,
    bucket: &str,
    objects: Vec<Key>,
    changes: &[Seen],
    clock: Clock,
) -> Result<Demand, Stop> {
    let (policy, client) = (&account.config.policy, &account.client);
    let mut batch = Batch::default();
    for seen in changes {
        let change = objects::change(bucket, objects[seen.object].clone(), seen.is_deleted);
        batch.changes.push(Change { time: seen.modified, ..change });
        batch.versions.push(seen.version.clone());
    }
    let sites = objects::sites(&batch, &account.config.search, &policy.watch, Some(client)).await?;
    let mut findings = Findings::default();
    if !policy.skip.is_off() {
        let asking = (&policy.watch, policy.skip);
        findings = versions::ask(&batch, asking, &sites, client, Instant::now() + LONG, clock.known).await;
        if let Some(failure) = &findings.failure {
            eprintln!(
                "cfadmin: S3 could not be asked which objects differ, so they count as changed: {failure}"
            );
        }
    }
    let mut needs: BTreeMap<(DistributionId, Item), (u64, Vec<usize>)> = BTreeMap::new();
    let mut is_watched = false;
    for (index, (change, seen)) in batch.changes.iter().zip(changes).enumerate() {
        if policy.watch.ignores(change).is_some() {
            continue;
        }
        is_watched = true;
        for site in &sites.list {
            let Ok(paths) = site.paths(bucket, change.key.as_bytes()) else { continue };
            if policy.skip.rule(site.caching.as_ref()).skips(findings.of(index)).is_some() {
                continue;
            }
            let from = clock.from(seen);
            for (item, _) in paths {
                match needs.entry((site.distribution.clone(), item)) {
                    Entry::Vacant(entry) => {
                        entry.insert((from, vec![seen.object]));
                    }
                    Entry::Occupied(mut entry) => {
                        let (latest, behind) = entry.get_mut();
                        *latest = from.max(*latest);
                        if behind.last() != Some(&seen.object) {
                            behind.push(seen.object);
                        }
                    }
                }
            }
        }
    }
    if is_watched && sites.list.is_empty() {
        eprintln!("cfadmin: no enabled distribution has the bucket {bucket:?} as an origin");
    }
    let mut demand = Demand { objects, needs: Vec::new(), behind: Vec::new(), sites };
    for ((distribution, item), (from, behind)) in needs {
        demand.needs.push(Need { distribution, item, from });
        demand.behind.push(behind);
    }
    Ok(demand)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalidation_counts_after_the_second_of_the_change() {
        let seen = |is_deleted, is_multipart, modified| Seen {
            object: 0,
            is_deleted,
            version: None,
            modified,
            is_multipart,
        };
        let clock = Clock { known: 90_000, uploaded: None };
        assert_eq!(clock.from(&seen(false, false, Some(10_000))), 11_000);
        assert_eq!(clock.from(&seen(false, true, Some(10_000))), 91_000);
        assert_eq!(clock.from(&seen(true, false, None)), 91_000);
        let clock = Clock { uploaded: Some(50_000), ..clock };
        assert_eq!(clock.from(&seen(false, false, Some(10_000))), 11_000);
        assert_eq!(clock.from(&seen(false, true, Some(10_000))), 51_000);
        assert_eq!(clock.from(&seen(false, true, Some(60_000))), 91_000, "it began after the upload");
        assert_eq!(clock.from(&seen(true, false, None)), 51_000);
    }

    #[test]
    fn a_place_is_a_bucket_with_or_without_a_prefix() {
        let place = |text| Place::of(text).map(|place| (place.bucket, place.prefix));
        assert_eq!(place("s3://site"), Some(("site", "")));
        assert_eq!(place("s3://site/"), Some(("site", "")));
        assert_eq!(place("s3://site/live/a b"), Some(("site", "live/a b")));
        assert_eq!(place("s3://"), None);
        assert_eq!(place("s3:///a"), None);
        assert_eq!(place("E1EXAMPLE"), None);
    }
}
