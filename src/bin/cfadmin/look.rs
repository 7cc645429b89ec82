//! Looks at the paths of an upload as a viewer, after they were purged.

use std::collections::BTreeMap;

use cloudfront_invalidator::{
    path::Kind,
    site::{DistributionId, Endpoint, Object},
    text::counted,
    verify::{Verdict, Viewer, judge},
};
use futures_util::{StreamExt, stream};
use http::Uri;
use serde::Serialize;

use crate::{
    Exit, LIMIT, Stop,
    account::Session,
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
    pub(crate) fn new(waiting: &'a Waiting<'a>, account: &'a Session) -> Self {
        Self { waiting, account, viewer: account.viewer() }
    }

    /// Requests every path, and prints the answers that are not as they should be.
    pub(crate) async fn run(&self, output: &Output) -> Result<Exit, Stop> {
        let hosts = self.hosts().await?;
        let demand = &self.waiting.demand;
        let exact =
            demand.needs.iter().zip(&demand.behind).filter(|(need, _)| need.item.kind() == Kind::Exact);
        let urls = exact.filter_map(|(need, behind)| {
            let host = hosts.get(&need.distribution)?;
            Some((format!("https://{host}{}", need.item), *behind.first()?))
        });
        let looks = stream::iter(urls).map(|(url, object)| self.look(url, object)).buffered(AT_ONCE);
        let looks: Vec<LookJson> = looks.collect().await;
        let is_good = |one: &LookJson| matches!(one.verdict, Verdict::Current | Verdict::Absent);
        let bad: Vec<&LookJson> = looks.iter().filter(|one| !is_good(one)).collect();
        for look in if output.json { looks.iter().collect() } else { bad.clone() } {
            output.print(look, |out| writeln!(out, "{}  {}  {}", look.url, look.reason, look.object))?;
        }
        if !output.json && !output.quiet {
            let good = looks.len() - bad.len();
            println!("{} requested, {good} as they should be", counted(looks.len(), "path"));
            eprintln!("{UNKNOWABLE}");
        }
        Ok(if bad.is_empty() { Exit::Done } else { Exit::Failed })
    }

    /// Returns a host under which viewers reach each distribution.
    async fn hosts(&self) -> Result<BTreeMap<&DistributionId, String>, Stop> {
        let mut hosts = BTreeMap::new();
        let mut listed = None;
        for site in &self.waiting.demand.sites.list {
            let named = site.name.as_deref().filter(|name| !name.contains('*')).map(str::to_owned);
            let host = if named.is_some() {
                named
            } else {
                if listed.is_none() {
                    listed = Some(self.account.client.distributions(LIMIT).await?);
                }
                let of_site = listed.iter().flatten().find(|one| one.id == site.distribution);
                of_site.and_then(|one| one.names().find(|name| !name.contains('*')).map(str::to_owned))
            };
            match host {
                Some(host) => {
                    hosts.insert(&site.distribution, host);
                }
                None => eprintln!("cfadmin: {} has no host name to request", site.distribution),
            }
        }
        Ok(hosts)
    }

    async fn look(&self, url: String, object: usize) -> LookJson {
        let demand = &self.waiting.demand;
        let behind = Object {
            endpoint: Endpoint::default(),
            bucket: self.waiting.bucket.to_owned(),
            key: demand.objects[object].as_bytes().to_vec(),
        };
        let headers = [(ACCEPT_ENCODING.0.to_owned(), ACCEPT_ENCODING.1.to_owned())];
        let looked = match url.parse::<Uri>() {
            Ok(uri) => self.viewer.look(&uri, &headers).await.map_err(|why| why.to_string()),
            Err(why) => Err(why.to_string()),
        };
        let (verdict, reason) = match looked {
            Ok(answer) => judge(&answer, &self.viewer.expected(std::slice::from_ref(&behind)).await.0),
            Err(why) => (Verdict::Unknown, why),
        };
        LookJson { url, verdict, reason, object: self.waiting.address(object) }
    }
}
