//! `cfadmin invoke`: the whole line, as the function would run it.

use std::time::{Duration, Instant, SystemTime};

use clap::Args;
use cloudfront_invalidator::{
    cloudfront::Client,
    config::{Aws, Config},
    local::{Local, Options},
    run as line,
};

use crate::{
    Exit, Stop,
    input::{Events, exit, variables, variables_with_example},
};

/// Do what the function would do with an event
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    events: Events,

    /// Against a CloudFront on this machine, started for the purpose, instead of AWS
    #[arg(long)]
    local: bool,
}

/// How long one event may take: as long as the function gets by default.
const LIMIT: Duration = Duration::from_secs(30);

pub(crate) async fn run(arguments: &Arguments) -> Result<Exit, Stop> {
    let (config, max_attempts) =
        Config::of_caller(if arguments.local { variables_with_example() } else { variables() })?;
    let events = arguments.events.read()?;
    let local = if arguments.local { Some(start(&config).await?) } else { None };
    let client = match &local {
        _ if config.dry_run => None,
        Some(local) => Some(Client::new(&settings(local))),
        None => Some(Client::from_profile(max_attempts).await),
    };
    let mut done = true;
    for (number, (name, event)) in events.into_iter().enumerate() {
        let invocation = invocation(number);
        let deadline = Instant::now() + LIMIT;
        let report = line(&event, &invocation, &config.policy, client.as_ref(), deadline).await;
        arguments.events.write(&name, &report, &report)?;
        done &= report.is_done();
    }
    Ok(exit(done))
}

/// An id as Lambda gives each invocation: what makes a manual event sent twice two
/// invalidations.
fn invocation(number: usize) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("cfadmin-{}-{}-{number}", now.as_nanos(), std::process::id())
}

async fn start(config: &Config) -> Result<Local, Stop> {
    let sites = &config.policy.sites;
    let distributions = sites.iter().map(|site| site.distribution.to_string()).collect();
    let options = Options { distributions, ..Options::default() };
    Local::start(options).await.map_err(Stop::io("CloudFront on loopback"))
}

fn settings(local: &Local) -> Aws {
    Aws {
        region: "us-east-1".to_owned(),
        access_key_id: "local".to_owned(),
        secret_access_key: "local".to_owned(),
        session_token: None,
        endpoint_url: Some(local.endpoint_url()),
        use_fips: false,
        use_dual_stack: false,
        max_attempts: None,
    }
}
