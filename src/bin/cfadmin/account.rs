//! Which CloudFront is asked: AWS's, or one on this machine.

use std::path::{Path, PathBuf};

use clap::Args;
use cloudfront_invalidator::{
    cloudfront::Client,
    config::Aws,
    local::{Account, Local, Options},
    request::InvalidationRequest,
    site::DistributionId,
};

use crate::{Stop, input::variables};

/// The account that `--local` starts with.
const SAMPLE: [&[u8]; 2] = [include_bytes!("sample/E1EXAMPLE.json"), include_bytes!("sample/policies.json")];

/// The distribution in it.
const SAMPLE_ID: &str = "E1EXAMPLE";

/// Distributions to use instead of the account's.
#[derive(Debug, Args)]
pub(crate) struct Distributions {
    /// Distributions as `aws cloudfront get-distribution-config` or list-distributions
    /// prints them, instead of asking AWS; the file's name is the id
    #[arg(long = "distributions", value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Distributions {
    /// Whether there are any.
    pub(crate) fn are_given(&self) -> bool {
        !self.files.is_empty()
    }

    /// A CloudFront on this machine with them, and with those of which only the id is
    /// known.
    pub(crate) async fn start(&self, ids: Vec<String>) -> Result<Local, Stop> {
        let mut account = Account::default();
        for file in &self.files {
            let json = std::fs::read(file).map_err(Stop::io(file.display().to_string()))?;
            account.add(&json, id(file)).map_err(|why| Stop::Usage(format!("{}: {why}", file.display())))?;
        }
        start(account, ids).await
    }
}

/// How to reach CloudFront, as in the AWS command line.
#[derive(Debug, Args)]
pub(crate) struct Connection {
    #[command(flatten)]
    pub(crate) distributions: Distributions,

    /// Ask a CloudFront on this machine, started for the purpose with a sample account
    #[arg(long)]
    local: bool,

    /// A profile of the AWS configuration
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,

    /// A region of the partition; CloudFront has one endpoint for each
    #[arg(long)]
    region: Option<String>,

    /// Where CloudFront is
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
}

impl Connection {
    /// The client, and the CloudFront that must live as long where it is one of ours.
    pub(crate) async fn client(&self) -> Result<(Option<Local>, Client), Stop> {
        let (_, max_attempts) = cloudfront_invalidator::config::Config::of_caller(variables())?;
        let local = if self.distributions.are_given() {
            self.distributions.start(Vec::new()).await?
        } else if self.local {
            sample().await?
        } else {
            let Self { profile, region, endpoint_url, .. } = self;
            let client = Client::from_profile(
                max_attempts,
                profile.as_deref(),
                region.as_deref(),
                endpoint_url.as_deref(),
            );
            return Ok((None, client.await));
        };
        let client = client_of(&local);
        Ok((Some(local), client))
    }
}

/// The sample account, in which something was purged already.
async fn sample() -> Result<Local, Stop> {
    let mut account = Account::default();
    for json in SAMPLE {
        account.add(json, Some(SAMPLE_ID)).map_err(|why| Stop::Usage(why.to_string()))?;
    }
    let local = start(account, Vec::new()).await?;
    if let Ok(id) = SAMPLE_ID.parse() {
        let request = InvalidationRequest::new(id).keys(["index.html", "css/site.css"]);
        request
            .caller_reference("sample")
            .send(&client_of(&local))
            .await
            .map_err(Stop::of("CreateInvalidation"))?;
    }
    Ok(local)
}

async fn start(account: Account, distributions: Vec<String>) -> Result<Local, Stop> {
    let options = Options { distributions, account, ..Options::default() };
    Local::start(options).await.map_err(Stop::io("CloudFront on loopback"))
}

/// The id that a file's name is, if it is one.
fn id(file: &Path) -> Option<&str> {
    let name = file.file_stem()?.to_str()?;
    (name.starts_with('E') && name.len() > 1 && name.parse::<DistributionId>().is_ok()).then_some(name)
}

/// A client of a CloudFront on this machine.
pub(crate) fn client_of(local: &Local) -> Client {
    Client::new(&Aws::local(&local.endpoint_url()))
}
