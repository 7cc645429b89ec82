//! The connection to CloudFront: AWS's, or one on this machine.

use std::{
    env,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use cloudfront_invalidator::{
    cloudfront::{Client, Profile, Settings},
    config::Config,
    local::{Account, Options, Server},
    request::InvalidationRequest,
    site::DistributionId,
    verify::Viewer,
    versions::Skip,
};

use crate::Stop;

/// The sample account of `--local`.
const SAMPLE: [&[u8]; 2] =
    [include_bytes!("../../../samples/E1EXAMPLE.json"), include_bytes!("../../../samples/policies.json")];

/// The distribution of the sample account.
const SAMPLE_ID: &str = "E1EXAMPLE";

/// The distributions of `--distributions`.
#[derive(Debug, Args)]
pub(crate) struct Distributions {
    /// Read distributions from a file instead of AWS: the output of `aws cloudfront
    /// get-distribution-config` (the file is named as the id), `list-distributions` or
    /// `get-distribution-tenant`, or a list of those
    #[arg(long = "distributions", value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Distributions {
    /// Returns whether a file is given.
    pub(crate) fn are_given(&self) -> bool {
        !self.files.is_empty()
    }

    /// Starts a CloudFront on this machine with the distributions of the files, and with `ids`, which
    /// have no configuration.
    pub(crate) async fn start(&self, ids: Vec<String>) -> Result<Server, Stop> {
        let mut account = Account::default();
        for file in &self.files {
            let json = std::fs::read(file).map_err(Stop::io(file.display().to_string()))?;
            account.add(&json, id(file)).map_err(|why| Stop::Usage(format!("{}: {why}", file.display())))?;
        }
        start(account, ids).await
    }
}

/// The option to ask S3.
#[derive(Debug, Args)]
pub(crate) struct Asking {
    /// Ask S3 about the objects, with your credentials, as the function would with its settings
    #[arg(long)]
    pub(crate) ask_bucket: bool,
}

impl Asking {
    /// Returns the client that asks S3. Without the option, the configuration then skips nothing.
    pub(crate) async fn client(
        &self,
        config: &mut Config,
        max_attempts: Option<u32>,
    ) -> Result<Option<Client>, Stop> {
        if !self.ask_bucket {
            (config.policy.skip, config.policy.list_bucket) = (Skip::default(), false);
            return Ok(None);
        }
        if config.policy.skip.is_off() && !config.policy.list_bucket {
            let why = "--ask-bucket does nothing without INVALIDATOR_SKIP_UNCHANGED_SINCE, INVALIDATOR_SKIP_NEW or \
                       INVALIDATOR_LIST_BUCKET; set one of them";
            return Err(Stop::Usage(why.to_owned()));
        }
        Ok(Some(Client::of_profile(&Profile::load(max_attempts, None, None, None).await)))
    }
}

/// Options for the connection, named as in the AWS CLI.
#[derive(Debug, Args)]
pub(crate) struct Connection {
    #[command(flatten)]
    pub(crate) distributions: Distributions,

    /// Use a CloudFront on this machine with a sample account
    #[arg(long)]
    local: bool,

    /// Use a profile of the AWS configuration
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,

    /// Use the CloudFront endpoint of this region's partition
    #[arg(long)]
    region: Option<String>,

    /// Use this CloudFront endpoint
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
}

/// An open connection and the configuration.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) config: Config,
    service: Service,
}

/// The service behind a session.
#[derive(Debug)]
pub(crate) enum Service {
    /// A CloudFront on this machine. It ends when this is dropped.
    Local(Server),
    /// AWS, with the credentials and settings of the AWS CLI.
    Aws(Box<Profile>),
}

impl Session {
    /// Creates a viewer of this account's distributions.
    pub(crate) fn viewer(&self) -> Viewer {
        match &self.service {
            Service::Local(local) => Viewer::local(&local.endpoint_url()),
            Service::Aws(profile) => Viewer::new(profile),
        }
    }
}

impl Connection {
    /// Opens a session with the configuration from the environment.
    pub(crate) async fn open(&self) -> Result<Session, Stop> {
        let (config, max_attempts) = Config::of_caller(env::vars_os())?;
        let (service, client) = self.client(max_attempts).await?;
        Ok(Session { client, config, service })
    }

    /// Creates the client, and the service that must live as long as the client.
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

/// Starts a CloudFront with the sample account: one cached page is purged, another is stale.
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
        // S3 cuts times to seconds, so an invalidation of the same second might be older than the deploy.
        local.advance(Duration::from_secs(1));
        let request = InvalidationRequest::new(id).keys(["index.html", "css/site.css"]);
        request.caller_reference("sample").send(&client_of(&local)).await?;
    }
    Ok(local)
}

async fn start(account: Account, distributions: Vec<String>) -> Result<Server, Stop> {
    let options = Options { distributions, account, ..Options::default() };
    Server::start(options).await.map_err(Stop::io("CloudFront on loopback"))
}

/// Returns the distribution id that a file is named as. `None` if its name is no id.
fn id(file: &Path) -> Option<&str> {
    let name = file.file_stem()?.to_str()?;
    (name.starts_with('E') && name.len() > 1 && name.parse::<DistributionId>().is_ok()).then_some(name)
}

/// Creates a client of a CloudFront on this machine.
pub(crate) fn client_of(local: &Server) -> Client {
    Client::new(Settings::local(&local.endpoint_url()))
}
