//! `cfadmin wait`: waits until an invalidation is completed, or until an upload is purged.

use std::time::Duration;

use clap::Args;

use crate::{
    Exit, Stop,
    account::Connection,
    follow::{MAX_TIMEOUT, follow, show},
    look::Looks,
    out::Output,
    target::Target,
    uploaded::{Options, Place},
    waited::Waiting,
};

/// Commands to copy from the help.
const EXAMPLES: &str = "Examples:
  cfadmin wait www.example.com I2J0I21PCUYOIK --timeout 120
  cfadmin wait s3://my-bucket/docs/ --since 10m --function my-invalidator
  cfadmin wait s3://my-bucket --changed upload.txt --or-invalidate";

/// Wait until an invalidation is completed, or until the objects of an upload are purged
///
/// For an upload, give its bucket and the beginning of its keys instead of a target and an id. This waits until
/// completed invalidations cover every path of the changed objects, and judges each object as the function does. An
/// invalidation counts if CloudFront created it after the change.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(override_usage = "cfadmin wait [OPTIONS] <TARGET> <ID>\n       \
                            cfadmin wait [OPTIONS] s3://BUCKET/PREFIX --since <TIME|DURATION>\n       \
                            cfadmin wait [OPTIONS] s3://BUCKET/PREFIX --changed <FILE>")]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,

    /// Invalidation id
    id: Option<String>,

    #[command(flatten)]
    upload: Options,

    /// Purge what no invalidation covers at the timeout, and wait until everything is purged
    #[arg(long, conflicts_with = "id")]
    or_invalidate: bool,

    /// Then request the purged paths as a viewer, and compare the answers with the objects
    #[arg(long, conflicts_with = "id")]
    verify: bool,

    /// Maximum time to wait
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(..=MAX_TIMEOUT))]
    timeout: u64,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Exit, Stop> {
    let limit = Duration::from_secs(arguments.timeout);
    let Some(id) = &arguments.id else {
        let place = Place::of(arguments.target.text()).ok_or_else(|| {
            let why = "name the invalidation by its id, or an upload as s3://BUCKET/PREFIX with --since or --changed";
            Stop::Usage(why.to_owned())
        })?;
        let mut account = arguments.connection.open().await?;
        let waiting = Waiting {
            demand: arguments.upload.demand(&mut account, place).await?,
            bucket: place.bucket,
            limit,
            or_invalidate: arguments.or_invalidate,
        };
        let exit = waiting.run(&account, &arguments.output).await?;
        if exit == Exit::Done && arguments.verify {
            return Looks::new(&waiting, &account, &arguments.connection).run(&arguments.output).await;
        }
        return Ok(exit);
    };
    let account = arguments.connection.open().await?;
    let distribution = arguments.target.find_one(&account).await?;
    let followed = follow(&account, &distribution, id, limit, &arguments.output).await;
    let (exit, seen) = match followed {
        Ok(followed) => followed,
        Err(error) => return Err(arguments.target.explain(&account, error).await),
    };
    if let Some(seen) = seen {
        show(&arguments.output, &distribution, &seen, false)?;
    }
    Ok(exit)
}
