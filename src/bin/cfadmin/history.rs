//! `cfadmin history`: the invalidations that purged a path or an object.

use clap::Args;
use cloudfront_invalidator::{
    cloudfront::{Client, RecentPage, Summary},
    event::Batch,
    now,
    path::{Item, Kind},
    since_1970,
    site::DistributionId,
    text::counted,
    watch::Watch,
};
use serde::Serialize;

use crate::{
    Exit, LIMIT, Stop,
    account::{Connection, Session},
    input,
    lookup::Lookup,
    objects,
    out::Output,
    purges::Sender,
    target::Target,
    when::{When, shown},
};

/// Commands to copy from the help.
const EXAMPLES: &str = "Examples:
  cfadmin history https://www.example.com/docs/a.html --since 7d
  cfadmin history /docs/a.html --distribution www.example.com
  cfadmin history s3://my-bucket/docs/a.html";

/// Show which invalidations purged a path or an object, when, and whose they were
///
/// The sender is a guess from the caller reference: "function", "cfadmin", or "other", which may also be cfadmin with
/// --caller-reference.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Path or cache tag as CloudFront spells it, URL, or object
    #[arg(value_name = "PATH|URL|s3://BUCKET/KEY")]
    wanted: String,

    /// Distribution or tenant of a path: as the target of other commands [default: the account's only distribution]
    #[arg(long, value_name = "TARGET")]
    distribution: Option<String>,

    /// Show only invalidations since a time (2026-11-25T09:30:00Z) or of the last duration (7d)
    #[arg(long, value_name = "TIME|DURATION")]
    since: Option<When>,

    /// Maximum number of invalidations to read in each distribution (one API call for each)
    #[arg(long, value_name = "N", default_value_t = 100)]
    max: usize,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    connection: Connection,
}

/// An invalidation that purged one of the paths.
#[derive(Serialize)]
struct Purged {
    distribution: DistributionId,
    id: String,
    status: String,
    created: Option<String>,
    /// The item that covers the path.
    item: String,
    /// The path that it covers.
    path: String,
    #[serde(rename = "match")]
    kind: &'static str,
    sender: Sender,
    caller_reference: String,
}

/// The reason to stop reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The maximum number.
    Max,
    /// The time of `--since`.
    Since,
    /// The end of CloudFront's list.
    List,
}

/// The invalidations of a distribution that were read.
struct Read {
    number: usize,
    /// The time of the oldest one.
    oldest: Option<u64>,
    end: End,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Exit, Stop> {
    let account = arguments.connection.open().await?;
    let mut purged = Vec::new();
    let mut notes = Vec::new();
    for (distribution, items) in arguments.subjects(&account).await? {
        let read = arguments.read(&account.client, &distribution, &items, &mut purged).await?;
        notes.push(read.note(&distribution));
    }
    let headings = ["CREATED", "DISTRIBUTION", "ID", "STATUS", "ITEM", "MATCH", "SENDER"];
    arguments.output.table(&headings, &purged, |one| {
        let Purged { distribution, id, status, created, item, kind, sender, .. } = one;
        let created = created.clone().unwrap_or_else(|| "-".to_owned());
        let texts = [distribution.as_str(), id, status, item, kind, sender.name()].map(str::to_owned);
        ([created].into_iter().chain(texts).collect(), Vec::new())
    })?;
    if !arguments.output.quiet {
        for note in notes {
            eprintln!("{note}");
        }
    }
    Ok(Exit::Done)
}

impl Arguments {
    /// Returns the distributions to look at, and the paths to look for in each.
    async fn subjects(&self, account: &Session) -> Result<Vec<(DistributionId, Vec<Item>)>, Stop> {
        let wanted = &self.wanted;
        if let Some((bucket, key)) = input::object(wanted) {
            let mut subjects = served(account, bucket, key).await?;
            if self.distribution.is_some() {
                let only = self.only(account).await?;
                subjects.retain(|(distribution, _)| *distribution == only);
            }
            return Ok(subjects);
        }
        if wanted.starts_with(['/', '#']) {
            return Ok(vec![(self.only(account).await?, vec![typed(wanted)?])]);
        }
        let url = input::url(wanted).ok().filter(|url| url.host().is_some_and(|host| host.contains('.')));
        let url = url.ok_or_else(|| {
            Stop::Usage(format!(
                "invalid path {wanted:?}; write it as /docs/a.html, https://www.example.com/docs/a.html or \
                 s3://my-bucket/docs/a.html"
            ))
        })?;
        let item = typed(url.path_and_query().map_or("/", |path| path.as_str()))?;
        let distribution = if self.distribution.is_some() {
            self.only(account).await?
        } else {
            let mut lookup = Lookup::default();
            let found =
                lookup.distribution(&account.client, &self.connection, url.host().unwrap_or_default()).await;
            found.map_err(Stop::NotFound)?.id.clone()
        };
        Ok(vec![(distribution, vec![item])])
    }

    /// Returns the distribution that `--distribution` names, or the only one of the account.
    async fn only(&self, account: &Session) -> Result<DistributionId, Stop> {
        if let Some(target) = &self.distribution {
            return Target::named(target).map_err(Stop::Usage)?.find_one(account).await;
        }
        let listed = account.client.distributions(LIMIT).await?;
        match &listed[..] {
            [one] if !one.multi_tenant => Ok(one.id.clone()),
            [] => Err(Stop::NotFound("the account has no distribution".to_owned())),
            _ => Err(Stop::Usage(format!(
                "{:?} may be a path of any distribution; pass --distribution, or a URL instead of the path",
                self.wanted
            ))),
        }
    }

    /// Reads the invalidations of a distribution, newest first, and adds those that cover one of the items.
    async fn read(
        &self,
        client: &Client,
        distribution: &DistributionId,
        items: &[Item],
        purged: &mut Vec<Purged>,
    ) -> Result<Read, Stop> {
        let since = self.since.map(|since| since.time(now()));
        let mut read = Read { number: 0, oldest: None, end: End::List };
        let mut marker = None;
        loop {
            let RecentPage { invalidations, next } =
                client.recent_invalidations(distribution, marker).await?;
            for Summary { id, at, .. } in invalidations {
                let created = at.and_then(since_1970);
                if created.zip(since).is_some_and(|(created, since)| created < since) {
                    read.end = End::Since;
                    return Ok(read);
                }
                if read.number == self.max {
                    read.end = End::Max;
                    return Ok(read);
                }
                (read.number, read.oldest) = (read.number + 1, created);
                let seen = client.invalidation(distribution, &id).await?;
                for item in seen.paths.iter().map(|path| Item::listed(path)) {
                    let Some(path) = items.iter().find(|path| covers(&item, path)) else { continue };
                    purged.push(Purged {
                        distribution: distribution.clone(),
                        id: id.clone(),
                        status: seen.status.clone(),
                        created: created.map(shown),
                        item: item.to_string(),
                        path: path.to_string(),
                        kind: match item.kind() {
                            Kind::Exact => "exact",
                            Kind::Wildcard => "wildcard",
                            Kind::Tag => "tag",
                        },
                        sender: Sender::of(&seen.caller_reference),
                        caller_reference: seen.caller_reference.clone(),
                    });
                }
            }
            marker = next;
            if marker.is_none() {
                return Ok(read);
            }
        }
    }
}

/// Parses a path or a cache tag. Keeps a path as it is that is only purged by a wildcard.
fn typed(text: &str) -> Result<Item, Stop> {
    let item: Item = text.parse().map_err(|why| Stop::Usage(format!("{why}")))?;
    Ok(if item.kind() == Kind::Wildcard && !text.ends_with('*') { Item::listed(text) } else { item })
}

/// Returns whether an item purges a path. `/*` also purges what has a tag.
fn covers(item: &Item, path: &Item) -> bool {
    item.covers(path) || *item == Item::everything()
}

/// Returns the distributions that serve an object, with its paths.
async fn served(
    account: &Session,
    bucket: &str,
    key: &str,
) -> Result<Vec<(DistributionId, Vec<Item>)>, Stop> {
    let change = objects::change(bucket, key.as_bytes().to_vec().into(), false);
    let batch = Batch { changes: vec![change], ..Batch::default() };
    // The function may ignore the object, but somebody else may have purged it.
    let watch = Watch::default();
    let sites = objects::sites(&batch, &account.config.search, &watch, Some(&account.client)).await?;
    let mut served = Vec::new();
    for site in &sites.list {
        if let Ok(paths) = site.paths(bucket, key.as_bytes()) {
            let items = paths.into_iter().map(|(item, _)| item).collect();
            served.push((site.distribution.clone(), items));
        }
    }
    if served.is_empty() {
        return Err(Stop::NotFound(format!(
            "no enabled distribution serves s3://{bucket}/{key}; cfadmin explain says why"
        )));
    }
    Ok(served)
}

impl Read {
    /// Returns how far the history of a distribution goes.
    fn note(&self, distribution: &DistributionId) -> String {
        let read = counted(self.number, "invalidation");
        let how_far = match (self.end, self.oldest) {
            (End::Max, Some(oldest)) => format!("back to {}; --max reads older ones", shown(oldest)),
            (End::Max, None) => "and not the older ones; see --max".to_owned(),
            (End::Since, _) => "all since then".to_owned(),
            (End::List, _) => "all that CloudFront lists".to_owned(),
        };
        format!("{distribution}: read {read}, {how_far}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_only_wildcards_purge_is_looked_for_as_it_is() {
        let item = |text| typed(text).expect("an item").to_string();
        assert_eq!(item("/a b.html"), "/a%20b.html");
        assert_eq!(item("/docs/*"), "/docs/*");
        assert_eq!(item("/~joe/a.html"), "/~joe/a.html");
        assert_eq!(item("#news"), "#news");
        assert!(typed("/a**").is_err());
    }
}
