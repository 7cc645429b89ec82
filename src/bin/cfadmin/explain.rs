//! `cfadmin explain`: the paths under which an object is served.

use std::{
    collections::BTreeMap,
    env,
    io::{self, Write},
    time::Instant,
};

use clap::Args;
use cloudfront_invalidator::{
    bucket::S3,
    cloudfront::Client,
    config::Config,
    event::{Batch, Change},
    now,
    plan::{MOST_PEERS, Policy},
    site::{DistributionId, Form, Object, Rewrite, Site, Sites, Unserved},
    text::counted,
    versions::{self, Finding, Findings, Needless, Skip},
    watch::Unwatched,
};

use serde::Serialize;

use crate::{
    Exit, LIMIT, Stop,
    account::{Asking, Connection},
    input,
    lookup::Lookup,
    objects,
    out::Output,
    tenants::MOST_SHOWN,
};

/// Advice for error pages that invalidate everything.
pub(crate) const LOWER_TTL: &str =
    "set the error's minimum TTL (ErrorCachingMinTTL) below 60 s to avoid that";

/// Commands to copy from the help.
const EXAMPLES: &str = "Examples:
  cfadmin explain s3://my-bucket/docs/a.html
  cfadmin explain https://www.example.com/docs/";

/// Show the paths under which each distribution or tenant serves an object, and why, or why not
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Object, or a URL: then the objects behind it, for its distribution or tenant only
    #[arg(value_name = "s3://BUCKET/KEY|URL")]
    object: String,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    asking: Asking,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Exit, Stop> {
    let (mut config, max_attempts) = Config::of_caller(env::vars_os())?;
    let asking = arguments.asking.client(&mut config, &arguments.connection, max_attempts).await?;
    let asking = asking.as_ref();
    let text = &arguments.object;
    if let Some((bucket, key)) = input::object(text) {
        let connection = if config.search.needs_lookup() {
            Some(arguments.connection.client(max_attempts).await?)
        } else {
            None
        };
        let client = connection.as_ref().map(|(_, client)| client);
        return arguments.explain(&config, (client, asking), (bucket, key.as_bytes()), None).await;
    }
    let url = input::url(text)
        .ok()
        .filter(|url| url.host().is_some_and(|host| host.contains('.')))
        .ok_or_else(|| {
            Stop::Usage(format!(
                "invalid object {text:?}; write it as s3://my-bucket/docs/a.html, or a URL as \
             https://www.example.com/docs/a.html"
            ))
        })?;
    let (_service, client) = arguments.connection.client(max_attempts).await?;
    let mut lookup = Lookup::default();
    let distribution =
        lookup.distribution(&client, &arguments.connection, url.host().unwrap_or_default()).await;
    let distribution = distribution.map_err(Stop::NotFound)?;
    let objects = distribution.objects(url.path(), &config.search.forms.index_document);
    if objects.is_empty() {
        return Err(Stop::NotFound(format!("{text:?} has an origin that is not a bucket")));
    }
    let mut exit = Exit::NotFound;
    for Object { bucket, key, .. } in &objects {
        let only = Some(&distribution.id);
        let explained = arguments.explain(&config, (Some(&client), asking), (bucket, key), only).await?;
        exit = if explained == Exit::Done { explained } else { exit };
    }
    Ok(exit)
}

impl Arguments {
    /// Prints the paths of an object, in the distribution or tenant `only` if that is given. Asks S3 with
    /// the client `asking` whether the object differs from the version below it. Returns
    /// [`Exit::NotFound`] if nobody serves the object.
    async fn explain(
        &self,
        config: &Config,
        (client, asking): (Option<&Client>, Option<&Client>),
        (bucket, key): (&str, &[u8]),
        only: Option<&DistributionId>,
    ) -> Result<Exit, Stop> {
        let object = &format!("s3://{bucket}/{}", String::from_utf8_lossy(key));
        let change = objects::change(bucket, key.to_vec().into(), false);
        if let Some(why) = config.policy.watch.ignores(&change) {
            let document = ExplainJson { object, ignored: Some(why), distributions: Vec::new() };
            self.output.print(&document, |out| writeln!(out, "nothing: {why}"))?;
            return Ok(Exit::NotFound);
        }
        let mut batch = Batch { changes: vec![change], ..Batch::default() };
        let sites = objects::sites(&batch, &config.search, &config.policy.watch, client).await?;
        let mut findings = Findings::default();
        if let Some(asking) = asking {
            findings = judge(&mut batch, &config.policy, &sites, asking).await?;
        }
        let of_object = sites.list.iter().filter(|site| only.is_none_or(|only| site.distribution == *only));
        let served = |site| Served::of(site, (bucket, key), (config.policy.skip, findings.of(0)));
        let distributions = of_object.map(|site| served(site)).collect();
        let document = ExplainJson { object, ignored: None, distributions };
        if let Some(failure) = &findings.failure {
            eprintln!("S3 could not be asked whether the object differs: {failure}");
        }
        self.output.print(&document, |out| {
            match only {
                Some(only) if document.distributions.is_empty() => {
                    writeln!(out, "nothing: {only} is disabled, or not in INVALIDATOR_DISTRIBUTIONS")?;
                }
                None if document.distributions.is_empty() => {
                    writeln!(out, "nothing: no enabled distribution has the bucket {bucket:?} as an origin")?;
                }
                _ => {}
            }
            document.write(out)
        })?;
        let is_served = document.distributions.iter().any(|served| !served.paths.is_empty());
        Ok(if is_served { Exit::Done } else { Exit::NotFound })
    }
}

/// Asks S3 what an upload of the current version of the only object in a batch would change.
async fn judge(batch: &mut Batch, policy: &Policy, sites: &Sites, client: &Client) -> Result<Findings, Stop> {
    let deadline = Instant::now() + LIMIT;
    let Change { bucket, key, .. } = &batch.changes[0];
    let head = S3::of(client).bucket(bucket, None).head(key.as_bytes(), None, deadline).await;
    let head = head.map_err(|error| Stop::NotFound(error.to_string()))?;
    let Some(head) = head else {
        return Err(Stop::NotFound(format!("the bucket {bucket:?} has no such object")));
    };
    batch.changes[0].time = Some(now());
    batch.versions = vec![head.version.filter(|version| **version != *"null")];
    Ok(versions::ask(batch, (&policy.watch, policy.skip), sites, client, deadline, now()).await)
}

/// The JSON document of an object.
#[derive(Serialize)]
struct ExplainJson<'a> {
    object: &'a str,
    /// The reason why changes of the object are ignored for all distributions.
    #[serde(skip_serializing_if = "Option::is_none")]
    ignored: Option<Unwatched>,
    distributions: Vec<Served<'a>>,
}

impl ExplainJson<'_> {
    /// Writes the distributions, then the tenants: those that serve the object first, and not all if
    /// there are many.
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let (tenants, others): (Vec<_>, Vec<_>) =
            self.distributions.iter().partition(|served| served.tenant_of.is_some());
        others.iter().try_for_each(|served| served.write(out, self.object))?;
        let mut by_parent: BTreeMap<_, Vec<&Served<'_>>> = BTreeMap::new();
        for tenant in tenants {
            by_parent.entry(tenant.tenant_of).or_default().push(tenant);
        }
        for tenants in by_parent.values_mut() {
            tenants.sort_by_key(|tenant| tenant.paths.is_empty());
            let (shown, hidden) = tenants.split_at(tenants.len().min(MOST_SHOWN));
            shown.iter().try_for_each(|served| served.write(out, self.object))?;
            if !hidden.is_empty() {
                let more = counted(hidden.len(), "more tenant");
                match hidden.iter().filter(|tenant| !tenant.paths.is_empty()).count() {
                    serve if serve == hidden.len() => writeln!(out, "… and {more} that serve the object")?,
                    serve => writeln!(out, "… and {more}, {serve} of which serve the object")?,
                }
            }
            let peers = tenants.iter().filter(|tenant| !tenant.paths.is_empty()).map(|tenant| tenant.peers);
            if let Some(peers) = peers.max().filter(|peers| *peers > MOST_PEERS) {
                writeln!(
                    out,
                    "{peers} tenants serve the same objects: each gets one path for all changes of a batch, since \
                     they are more than {MOST_PEERS}"
                )?;
            }
        }
        Ok(())
    }
}

/// The paths of one distribution.
#[derive(Serialize)]
struct Served<'a> {
    distribution: &'a DistributionId,
    /// The distribution of a tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_of: Option<&'a DistributionId>,
    #[serde(skip)]
    peers: usize,
    name: Option<&'a str>,
    paths: Vec<ServedAs>,
    /// The reason why there are no paths.
    #[serde(skip_serializing_if = "Option::is_none")]
    ignored: Option<Unserved>,
    /// The reason why the last upload of the object needs no purge.
    #[serde(skip_serializing_if = "Option::is_none")]
    needless: Option<Needless>,
    /// The edge functions that may map other paths to the object.
    edge_functions: Vec<FunctionJson<'a>>,
}

#[derive(Serialize)]
struct ServedAs {
    path: String,
    form: Form,
}

#[derive(Serialize)]
struct FunctionJson<'a> {
    behavior: &'a str,
    function: String,
}

impl<'a> Served<'a> {
    fn of(site: &'a Site, (bucket, key): (&str, &[u8]), (skip, finding): (Skip, Finding)) -> Self {
        let (paths, ignored) = match site.paths(bucket, key) {
            Ok(paths) => (paths, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        let function = |Rewrite { behavior, function }: &'a Rewrite| FunctionJson {
            behavior,
            function: function.to_string(),
        };
        Self {
            distribution: &site.distribution,
            tenant_of: site.parent.as_deref(),
            peers: site.peers,
            name: site.name.as_deref(),
            paths: paths.into_iter().map(|(path, form)| ServedAs { path: path.to_string(), form }).collect(),
            needless: skip.rule(site.caching.as_ref()).skips(finding).filter(|_| ignored.is_none()),
            ignored,
            edge_functions: site.rewrites.iter().map(function).collect(),
        }
    }

    fn write(&self, out: &mut dyn Write, object: &str) -> io::Result<()> {
        let name = self.name.map_or(String::new(), |name| format!("  {name}"));
        let of = self.tenant_of.map_or(String::new(), |parent| format!("  tenant of {parent}"));
        writeln!(out, "{}{name}{of}", self.distribution)?;
        let longest = self.paths.iter().map(|one| one.path.len()).max().unwrap_or_default();
        for ServedAs { path, form } in &self.paths {
            writeln!(out, "  {path:<longest$}  {form} {object}")?;
        }
        if self.paths.iter().any(|one| one.form == Form::ErrorPage) {
            writeln!(out, "  CloudFront has kept this page under every path that failed: {LOWER_TTL}")?;
        }
        if let Some(why) = &self.ignored {
            writeln!(out, "  nothing: {why}")?;
        }
        if let Some(why) = &self.needless {
            writeln!(out, "  needs no purge: {why}")?;
        }
        for FunctionJson { behavior, function } in &self.edge_functions {
            writeln!(out, "  beware: behavior {behavior} has {function}, which may ask for other objects")?;
        }
        Ok(())
    }
}
