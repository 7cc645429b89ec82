//! Looks at the paths of an upload as a viewer, after they were purged.

use std::collections::BTreeMap;

use cloudfront_invalidator::{
    path::Kind,
    site::{Distribution, DistributionId, Object},
    text::counted,
    verify::{Verdict, Viewer, judge},
};
use futures_util::{StreamExt, stream};
use http::Uri;
use serde::Serialize;

use crate::{
    Exit, LIMIT, Stop,
    account::{Connection, Session},
    lookup::Lookup,
    out::Output,
    verify::{ACCEPT_ENCODING, UNKNOWABLE},
    waited::Waiting,
};

/// Maximum number of requests at the same time.
const AT_ONCE: usize = 8;

/// The paths to request.
pub(crate) struct Looks<'a> {
    waiting: &'a Waiting<'a>,
    account: &'a Session,
    connection: &'a Connection,
    viewer: Viewer,
}

/// The JSON document of a path.
#[derive(Serialize)]
struct LookJson {
    url: String,
    verdict: Verdict,
    reason: String,
    object: String,
}

impl<'a> Looks<'a> {
    pub(crate) fn new(waiting: &'a Waiting<'a>, account: &'a Session, connection: &'a Connection) -> Self {
        Self { waiting, account, connection, viewer: account.viewer() }
    }

    /// Requests the paths that lead straight to an object, and prints the answers that are not as they should be.
    pub(crate) async fn run(&self, output: &Output) -> Result<Exit, Stop> {
        let reached = self.reached().await?;
        let demand = &self.waiting.demand;
        let mut urls = Vec::new();
        for (need, behind) in demand.needs.iter().zip(&demand.behind) {
            let Some((host, distribution)) = reached.get(&need.distribution) else { continue };
            if need.item.kind() != Kind::Exact {
                continue;
            }
            let (path, _) = need.item.as_str().split_once('?').unwrap_or((need.item.as_str(), ""));
            let objects = distribution.objects(path, &self.account.config.search.forms.index_document);
            // Only a function at the edge or a browser knows what the other paths lead to.
            let is_it = |object: &usize| {
                let key = demand.objects[*object].as_bytes();
                objects.iter().any(|one| one.bucket == self.waiting.bucket && one.key == key)
            };
            if let Some(object) = behind.iter().copied().find(is_it) {
                urls.push((format!("https://{host}{}", need.item), objects, object));
            }
        }
        let looks = stream::iter(urls).map(|(url, objects, object)| self.look(url, objects, object));
        let looks: Vec<LookJson> = looks.buffered(AT_ONCE).collect().await;
        let is_good = |one: &LookJson| matches!(one.verdict, Verdict::Current | Verdict::Absent);
        let good = looks.iter().filter(|one| is_good(one)).count();
        for look in looks.iter().filter(|one| output.json || !is_good(one)) {
            output.print(look, |out| writeln!(out, "{}  {}  {}", look.url, look.reason, look.object))?;
        }
        if !output.json && !output.quiet {
            let all = counted(looks.len(), "path");
            output.print(&good, |out| writeln!(out, "{all} requested, {good} as they should be"))?;
            eprintln!("{UNKNOWABLE}");
        }
        Ok(if good == looks.len() { Exit::Done } else { Exit::Failed })
    }

    /// Returns each distribution as its viewers reach it, with a host for that.
    async fn reached(&self) -> Result<BTreeMap<&DistributionId, (String, Distribution)>, Stop> {
        let mut lookup = Lookup::default();
        let mut listed = None;
        let mut reached = BTreeMap::new();
        for site in &self.waiting.demand.sites.list {
            let id = &site.distribution;
            let is_host = |name: &&str| !name.contains('*');
            let mut host = site.name.as_deref().filter(is_host).map(str::to_owned);
            if host.is_none() {
                if listed.is_none() {
                    listed = Some(self.account.client.distributions(LIMIT).await?);
                }
                let of_site = listed.iter().flatten().find(|one| one.id == *id);
                host = of_site.and_then(|one| one.names().find(is_host).map(str::to_owned));
            }
            let Some(host) = host else {
                eprintln!("cfadmin: {id} has no host name to request");
                continue;
            };
            let found = lookup.distribution(&self.account.client, self.connection, &host).await;
            let found = found.map_err(Stop::NotFound)?;
            reached.insert(id, (host, found.clone()));
        }
        Ok(reached)
    }

    /// Requests a URL that leads to the first of `objects` that exists.
    async fn look(&self, url: String, objects: Vec<Object>, object: usize) -> LookJson {
        let headers = [(ACCEPT_ENCODING.0.to_owned(), ACCEPT_ENCODING.1.to_owned())];
        let looked = match url.parse::<Uri>() {
            Ok(uri) => self.viewer.look(&uri, &headers).await.map_err(|why| why.to_string()),
            Err(why) => Err(why.to_string()),
        };
        let (verdict, reason) = match looked {
            Ok(answer) => judge(&answer, &self.viewer.expected(&objects).await.0),
            Err(why) => (Verdict::Unknown, why),
        };
        LookJson { url, verdict, reason, object: self.waiting.address(object) }
    }
}
