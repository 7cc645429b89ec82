//! Which CloudFront is asked: AWS's, or one on this machine.

use std::{
    env,
    path::{Path, PathBuf},
};

use clap::Args;
use cloudfront_invalidator::{
    cloudfront::{Client, Profile, Settings},
    config::Config,
    local::{Account, Options, Server},
    request::InvalidationRequest,
    site::DistributionId,
    verify::Viewer,
};

use crate::Stop;

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
    pub(crate) async fn start(&self, ids: Vec<String>) -> Result<Server, Stop> {
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

/// An account that can be asked.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) config: Config,
    service: Service,
}

/// Where an account is.
#[derive(Debug)]
pub(crate) enum Service {
    /// On this machine, as long as this lives.
    Local(Server),
    /// Where the AWS command line would look.
    Aws(Box<Profile>),
}

impl Session {
    /// One who looks at what this account serves.
    pub(crate) async fn viewer(&self) -> Viewer {
        match &self.service {
            Service::Local(local) => Viewer::local(&local.endpoint_url()),
            Service::Aws(profile) => Viewer::new(profile).await,
        }
    }
}

impl Connection {
    /// The account, with the configuration that the environment has.
    pub(crate) async fn open(&self) -> Result<Session, Stop> {
        let (config, max_attempts) = Config::of_caller(env::vars_os())?;
        let (service, client) = self.client(max_attempts).await?;
        Ok(Session { client, config, service })
    }

    /// The client, and where the account is, which must live as long.
    pub(crate) async fn client(&self, max_attempts: Option<u32>) -> Result<(Service, Client), Stop> {
        let local = if self.distributions.are_given() {
            self.distributions.start(Vec::new()).await?
        } else if self.local {
            sample().await?
        } else {
            let Self { profile, region, endpoint_url, .. } = self;
            let (profile, region) = (profile.as_deref(), region.as_deref());
            let profile = Profile::load(max_attempts, profile, region, endpoint_url.as_deref()).await;
            let client = Client::of_profile(&profile);
            return Ok((Service::Aws(Box::new(profile)), client));
        };
        let client = client_of(&local);
        Ok((Service::Local(local), client))
    }
}

/// The sample account, in which something was purged already, and something not.
async fn sample() -> Result<Server, Stop> {
    let mut account = Account::default();
    for json in SAMPLE {
        account.add(json, Some(SAMPLE_ID)).map_err(|why| Stop::Usage(why.to_string()))?;
    }
    let local = start(account, Vec::new()).await?;
    if let Ok(id) = SAMPLE_ID.parse() {
        let viewer = Viewer::local(&local.endpoint_url());
        let deploy = |version: &str| {
            for key in ["index.html", "css/site.css", "docs/index.html"] {
                let content = format!("{version} of {key}");
                local.put("site", &format!("live/{key}"), Some(content.as_bytes()));
            }
        };
        deploy("the first");
        for url in ["https://www.example.com/index.html", "https://www.example.com/docs/index.html"] {
            if let Ok(url) = url.parse() {
                let _ = viewer.look(&url, &[]).await;
            }
        }
        deploy("the second");
        let request = InvalidationRequest::new(id).keys(["index.html", "css/site.css"]);
        request
            .caller_reference("sample")
            .send(&client_of(&local))
            .await
            .map_err(Stop::of("CreateInvalidation"))?;
    }
    Ok(local)
}

async fn start(account: Account, distributions: Vec<String>) -> Result<Server, Stop> {
    let options = Options { distributions, account, ..Options::default() };
    Server::start(options).await.map_err(Stop::io("CloudFront on loopback"))
}

/// The id that a file's name is, if it is one.
fn id(file: &Path) -> Option<&str> {
    let name = file.file_stem()?.to_str()?;
    (name.starts_with('E') && name.len() > 1 && name.parse::<DistributionId>().is_ok()).then_some(name)
}

/// A client of a CloudFront on this machine.
pub(crate) fn client_of(local: &Server) -> Client {
    Client::new(Settings::local(&local.endpoint_url()))
}
