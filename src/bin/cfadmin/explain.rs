//! `cfadmin explain`: the paths under which an object is served.

use std::{
    env,
    io::{self, Write},
    time::{Instant, SystemTime},
};

use clap::Args;
use cloudfront_invalidator::{
    config::Config,
    discover::Finder,
    event::{Batch, Change, Effect},
    site::{DistributionId, Form, Rewrite, Site, Unserved},
    watch::Unwatched,
};

use serde::Serialize;

use crate::{Exit, LIMIT, Stop, account::Connection, input, out::Output};

/// Advice for error pages that invalidate everything.
pub(crate) const LOWER_TTL: &str =
    "set the error's minimum TTL (ErrorCachingMinTTL) below 60 s to avoid that";

/// Show the paths under which each distribution serves an object, and why, or why not
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Object
    #[arg(value_name = "s3://BUCKET/KEY")]
    object: String,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Exit, Stop> {
    let (config, max_attempts) = Config::of_caller(env::vars_os())?;
    let object = &arguments.object;
    let (bucket, key) = input::object(object).ok_or_else(|| {
        Stop::Usage(format!("invalid object {object:?}; write it as s3://my-bucket/docs/a.html"))
    })?;
    let change = Change {
        message: 0,
        bucket: bucket.into(),
        key: key.as_bytes().to_vec().into(),
        event: "ObjectCreated:Put".into(),
        effect: Effect::Content,
        time: None,
        identity: "explain".into(),
    };
    if let Some(why) = config.policy.watch.ignores(&change) {
        let document = ExplainJson { object, ignored: Some(why), distributions: Vec::new() };
        arguments.output.print(&document, |out| writeln!(out, "nothing: {why}"))?;
        return Ok(Exit::Done);
    }
    let needs_lookup = config.search.needs_lookup();
    let connection = if needs_lookup { Some(arguments.connection.client(max_attempts).await?) } else { None };
    let client = connection.as_ref().map(|(_, client)| client);
    let batch = Batch { changes: vec![change], ..Batch::default() };
    let watch = &config.policy.watch;
    let finder = Finder::new(config.search.clone());
    let found = finder.find(&batch, watch, client, Instant::now() + LIMIT, SystemTime::now()).await;
    if let Some(failure) = found.failure {
        return Err(Stop::of("ListDistributions")(failure));
    }
    let distributions =
        found.sites.list.iter().map(|site| Served::of(site, bucket, key.as_bytes())).collect();
    let document = ExplainJson { object, ignored: None, distributions };
    arguments.output.print(&document, |out| {
        if document.distributions.is_empty() {
            writeln!(out, "nothing: no enabled distribution has the bucket {bucket:?} as an origin")?;
        }
        document.distributions.iter().try_for_each(|served| served.write(out, object))
    })?;
    Ok(Exit::Done)
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

/// The paths of one distribution.
#[derive(Serialize)]
struct Served<'a> {
    distribution: &'a DistributionId,
    name: Option<&'a str>,
    paths: Vec<ServedAs>,
    /// The reason why there are no paths.
    #[serde(skip_serializing_if = "Option::is_none")]
    ignored: Option<Unserved>,
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
    fn of(site: &'a Site, bucket: &str, key: &[u8]) -> Self {
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
            name: site.name.as_deref(),
            paths: paths.into_iter().map(|(path, form)| ServedAs { path: path.to_string(), form }).collect(),
            ignored,
            edge_functions: site.rewrites.iter().map(function).collect(),
        }
    }

    fn write(&self, out: &mut dyn Write, object: &str) -> io::Result<()> {
        let name = self.name.map_or(String::new(), |name| format!("  {name}"));
        writeln!(out, "{}{name}", self.distribution)?;
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
        for FunctionJson { behavior, function } in &self.edge_functions {
            writeln!(out, "  beware: behavior {behavior} has {function}, which may ask for other objects")?;
        }
        Ok(())
    }
}
