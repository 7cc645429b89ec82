//! `cfadmin explain`: what one object is served as.

use std::{
    io::{self, Write},
    time::{Instant, SystemTime},
};

use clap::Args;
use cloudfront_invalidator::{
    config::Config,
    discover::Finder,
    event::{Batch, Change, Effect},
};

use crate::{Exit, LIMIT, Stop, account::Connection, input::variables};

/// Show which paths of which distributions an object is served as, and why, or why not
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The object
    #[arg(value_name = "s3://BUCKET/KEY")]
    object: String,

    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Exit, Stop> {
    let (config, _) = Config::of_caller(variables())?;
    let object = &arguments.object;
    let (bucket, key) = object
        .strip_prefix("s3://")
        .and_then(|object| object.split_once('/'))
        .filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
        .ok_or_else(|| {
            Stop::Usage(format!("{object:?} is no object: one looks like s3://my-bucket/docs/a.html"))
        })?;
    let change = Change {
        message: 0,
        bucket: bucket.into(),
        key: key.as_bytes().to_vec().into(),
        event: "ObjectCreated:Put".into(),
        effect: Effect::Content,
        identity: "explain".into(),
    };
    let mut out = io::stdout().lock();
    if let Some(why) = config.policy.watch.ignores(&change) {
        writeln!(out, "nothing: {why}").map_err(Stop::io("standard output"))?;
        return Ok(Exit::Done);
    }
    let asks = config.search.asks();
    let connection = if asks { Some(arguments.connection.client().await?) } else { None };
    let client = connection.as_ref().map(|(_, client)| client);
    let batch = Batch { changes: vec![change], ..Batch::default() };
    let watch = &config.policy.watch;
    let finder = Finder::new(config.search.clone());
    let found = finder.find(&batch, watch, client, Instant::now() + LIMIT, SystemTime::now()).await;
    if let Some(failure) = found.failure {
        return Err(Stop::of("ListDistributions")(failure));
    }
    let show = |out: &mut dyn Write| -> io::Result<()> {
        if found.sites.list.is_empty() {
            writeln!(out, "nothing: no enabled distribution has the bucket {bucket:?} as an origin")?;
        }
        for site in &found.sites.list {
            let name = site.name.as_ref().map_or(String::new(), |name| format!("  {name}"));
            writeln!(out, "{}{name}", site.distribution)?;
            match site.paths(bucket, key.as_bytes()) {
                Ok(paths) => {
                    let longest = paths.iter().map(|(item, _)| item.as_str().len()).max().unwrap_or_default();
                    for (item, form) in paths {
                        writeln!(out, "  {item:<longest$}  {form} {object}")?;
                    }
                }
                Err(why) => writeln!(out, "  nothing: {why}")?,
            }
            for (behavior, function) in &site.edge_functions {
                writeln!(
                    out,
                    "  beware: behavior {behavior} has {function}, which may ask for other objects"
                )?;
            }
        }
        out.flush()
    };
    show(&mut out).map_err(Stop::io("standard output"))?;
    Ok(Exit::Done)
}
