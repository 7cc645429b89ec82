//! `cfadmin sites`: the distributions that serve a bucket, and their configuration.

use std::{
    io::{self, Write},
    time::Instant,
};

use clap::Args;
use cloudfront_invalidator::{
    bucket::{Readiness, Replaced, S3, Versioning},
    site::{Behavior, BucketAlias, Distribution, LASTING_ERROR, Location, Origin, QueryStrings},
    text::{Plain, counted},
};
use serde::Serialize;

use crate::{
    Exit, LIMIT, Stop,
    account::Connection,
    explain::LOWER_TTL,
    name,
    out::Output,
    settings::{self, Setting},
    tenants::Counted,
};

/// Commands to copy from the help.
const EXAMPLES: &str = "Examples:
  cfadmin sites
  cfadmin sites my-bucket";

/// Show the distributions that have a bucket as an origin, and how they serve it
///
/// If you name a bucket, also shows whether it keeps replaced versions, and the parameters of the template that follow
/// from the configuration.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Bucket [default: every bucket behind a distribution]
    #[arg(value_parser = name::bucket)]
    bucket: Option<String>,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    output: Output,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Exit, Stop> {
    let account = arguments.connection.open().await?;
    let client = &account.client;
    let bucket = arguments.bucket.as_deref();
    let aliases = &account.config.search.aliases;
    let (mut found, mut region, mut has_access_points) = (Vec::new(), None, false);
    for distribution in client.distributions(LIMIT).await? {
        let serves = match bucket {
            Some(bucket) => distribution.has_bucket(bucket, aliases),
            None => distribution.origins.iter().any(may_be_bucket),
        };
        has_access_points |= settings::has_access_point(&distribution, aliases);
        if !serves {
            continue;
        }
        region = region.or_else(|| region_of(&distribution, bucket?, aliases));
        let distribution = Counted::of(client, client.with_details(distribution, LIMIT).await?).await;
        arguments.output.print(&distribution, |out| show(out, &distribution))?;
        found.push(distribution.distribution);
    }
    if found.is_empty() {
        return Err(Stop::NotFound(match bucket {
            Some(bucket) => format!("no distribution has the bucket {bucket:?} as an origin"),
            None => "no distribution has a bucket as an origin".to_owned(),
        }));
    }
    if let Some(bucket) = bucket {
        // Files say nothing about the bucket.
        let readiness = if arguments.connection.distributions.are_given() {
            None
        } else {
            let bucket = S3::of(client).bucket(bucket, region.as_deref());
            Some(bucket.readiness(Instant::now() + LIMIT).await)
        };
        let settings = settings::certain(&found, bucket, aliases, has_access_points);
        let document = BucketJson { bucket, region, readiness, settings };
        arguments.output.print(&document, |out| show_bucket(out, &document))?;
    }
    Ok(Exit::Done)
}

/// The JSON document of a bucket.
#[derive(Serialize)]
struct BucketJson<'a> {
    bucket: &'a str,
    /// The region that an origin names. `None` if no origin names one.
    region: Option<String>,
    #[serde(flatten)]
    readiness: Option<Readiness>,
    settings: Vec<Setting>,
}

/// Returns the region that an origin names for the bucket.
fn region_of(distribution: &Distribution, bucket: &str, aliases: &[BucketAlias]) -> Option<String> {
    let mut origins = distribution.origins.iter().filter(|origin| origin.is_bucket(bucket, aliases));
    origins.find_map(|origin| origin.location()?.endpoint.region)
}

fn show_bucket(out: &mut dyn Write, document: &BucketJson<'_>) -> io::Result<()> {
    let region = document.region.as_ref().map_or(String::new(), |region| format!("  {region}"));
    writeln!(out, "s3://{}{region}", document.bucket)?;
    if let Some(readiness) = &document.readiness {
        show_readiness(out, readiness)?;
    }
    writeln!(out, "  settings  {}", settings::overrides(&document.settings))?;
    // The first one is the bucket, which the caller knows.
    for Setting { parameter, reason, .. } in document.settings.iter().skip(1) {
        writeln!(out, "            {parameter}: {reason}")?;
    }
    Ok(())
}

fn show_readiness(out: &mut dyn Write, readiness: &Readiness) -> io::Result<()> {
    let Readiness { versioning, replaced, uses_kms, unknown } = readiness;
    match versioning {
        Some(Versioning::Enabled) => writeln!(
            out,
            "  versions  kept: with {SKIP_UNCHANGED}, uploads that change nothing invalidate nothing"
        )?,
        Some(Versioning::Suspended) => {
            writeln!(out, "  versions  suspended: {SKIP_UNCHANGED} needs versioning to be enabled")?;
        }
        Some(Versioning::Off) => {
            writeln!(out, "  versions  off: {SKIP_UNCHANGED} needs versioning to be enabled")?;
        }
        None => {}
    }
    // Without versioning, nothing is replaced by a version.
    match replaced.filter(|_| *versioning == Some(Versioning::Enabled)) {
        Some(Replaced::Kept) => writeln!(
            out,
            "  replaced  versions stay, and cost money: a lifecycle rule can expire them (NoncurrentVersionExpiration)"
        )?,
        Some(Replaced::ExpireAfterDays(days)) => {
            let days = usize::try_from(days).unwrap_or(usize::MAX);
            writeln!(out, "  replaced  versions expire after {}", counted(days, "day"))?;
        }
        Some(Replaced::ExpireInPart) => {
            writeln!(
                out,
                "  replaced  versions of some objects expire; no lifecycle rule is for all objects"
            )?;
        }
        None => {}
    }
    if *uses_kms == Some(true) {
        writeln!(
            out,
            "  KMS       encrypts new objects, so equal contents differ in their ETags: {SKIP_UNCHANGED} has no effect"
        )?;
    }
    unknown.iter().try_for_each(|error| writeln!(out, "  unknown   {}", Plain(&error.to_string())))
}

/// The setting for which a bucket should keep replaced versions.
const SKIP_UNCHANGED: &str = "INVALIDATOR_SKIP_UNCHANGED_SINCE";

fn show(out: &mut dyn Write, counted: &Counted) -> io::Result<()> {
    let distribution = &counted.distribution;
    let marks = [
        (!distribution.enabled, "disabled: ignored"),
        (distribution.staging, "staging"),
        (distribution.multi_tenant, "multi-tenant"),
    ];
    let names: Vec<&str> = distribution.names().collect();
    write!(out, "{}  {}  {}", distribution.id, names.join(", "), distribution.status)?;
    for (_, mark) in marks.iter().filter(|(is, _)| *is) {
        write!(out, "  ({mark})")?;
    }
    writeln!(out)?;
    if let Some(tenants) = counted.text() {
        writeln!(out, "  tenants   {tenants}")?;
    }
    for origin in &distribution.origins {
        write_origin(out, origin)?;
    }
    for behavior in &distribution.behaviors {
        let pattern = behavior.pattern.as_deref().unwrap_or("* (default)");
        let query =
            if behavior.query_strings == QueryStrings::Known(false) { "" } else { "  query strings cached" };
        let from = destination(distribution, behavior);
        writeln!(out, "  behavior  {pattern}  from {from}{query}")?;
        for function in &behavior.edge_functions {
            writeln!(out, "            {function}: paths may be missing")?;
        }
    }
    if !distribution.default_root_object.is_empty() {
        writeln!(out, "  root      {}", distribution.default_root_object)?;
    }
    for error in &distribution.error_pages {
        let (code, ttl) = (error.code, error.min_ttl);
        let Some(page) = &error.page else {
            writeln!(out, "  error     {code} is kept for {ttl} s, or longer if the origin says so")?;
            continue;
        };
        writeln!(out, "  error     {code} shows {page}, kept for {ttl} s, or longer if the origin says so")?;
        if ttl >= LASTING_ERROR {
            writeln!(out, "            a change of {page} purges everything: {LOWER_TTL}")?;
        }
    }
    Ok(())
}

fn write_origin(out: &mut dyn Write, origin: &Origin) -> io::Result<()> {
    let Origin { id, domain_name, path } = origin;
    match origin.location() {
        _ if origin.has_placeholder() => {
            writeln!(out, "  origin    {id}  {domain_name}{path}  depends on the tenant")
        }
        Some(Location { bucket, directory, .. }) => {
            let bucket =
                bucket.map_or("every bucket, as /bucket/key".to_owned(), |name| format!("bucket {name}"));
            let below = if directory.is_empty() { "" } else { "  below /" };
            let directory = directory.trim_start_matches('/');
            writeln!(out, "  origin    {id}  {domain_name}  {bucket}{below}{directory}")
        }
        None => writeln!(out, "  origin    {id}  {domain_name}{path}  not a bucket"),
    }
}

/// Returns whether an origin is a bucket, or the origin of tenants where it may be one.
fn may_be_bucket(origin: &Origin) -> bool {
    origin.location().is_some() || origin.has_placeholder()
}

/// Names the origins that a behavior sends requests to: one, or those of a group in their order.
fn destination(distribution: &Distribution, behavior: &Behavior) -> String {
    match distribution.origin_groups.iter().find(|group| group.id == behavior.target) {
        Some(group) => format!("{} (group {})", group.members.join(", then "), group.id),
        None => behavior.target.clone(),
    }
}
