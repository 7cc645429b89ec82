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
    local::{Account, Function, NotAnAccount, Options, Server},
    request::InvalidationRequest,
    site::DistributionId,
    verify::Viewer,
    versions::Skip,
};
use serde_json::json;

use crate::{Stop, input, out};

/// The sample account of `--local`.
const SAMPLE: [&[u8]; 2] =
    [include_bytes!("../../../samples/E1EXAMPLE.json"), include_bytes!("../../../samples/policies.json")];

/// The distribution of the sample account.
const SAMPLE_ID: &str = "E1EXAMPLE";

/// The distributions of `--distributions`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Distributions {
    /// Read distributions from a file instead of AWS: a `DistributionConfig`, the output of `aws cloudfront
    /// get-distribution-config`, `list-distributions` or `get-distribution-tenant`, or a list of those; "-" for
    /// standard input
    #[arg(short = 'd', long = "distributions", global = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Id of a distribution whose file does not contain it [default: the file's name, as in E1A2B3C4D5E6F7.json]
    #[arg(long = "id", global = true, value_name = "ID")]
    id_of_file: Option<DistributionId>,
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
            let json = input::read(file, "distributions")?;
            let id = self.id_of_file.as_ref().map(DistributionId::as_str).or_else(|| id(file));
            account.add(&json, id).map_err(|why| {
                let hint = match why {
                    NotAnAccount::Nameless => {
                        "; pass it with --id, or as the name of the file, such as E1A2B3C4D5E6F7.json"
                    }
                    NotAnAccount::Taken(_) => "; put each configuration in a file with its id as the name",
                    _ => "",
                };
                Stop::Usage(format!("{}: {why}{hint}", file.display()))
            })?;
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
        connection: &Connection,
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
        Ok(Some(Client::of_profile(&connection.load(max_attempts).await)))
    }
}

/// Options for the connection, named as in the AWS CLI. They may stand before and after the command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    #[command(flatten)]
    pub(crate) distributions: Distributions,

    /// Use a CloudFront on this machine with a sample account
    #[arg(long, global = true)]
    pub(crate) local: bool,

    /// Use a profile of the AWS configuration
    #[arg(short, long, global = true, value_name = "NAME")]
    profile: Option<String>,

    /// Look for buckets and functions in this region, and use the CloudFront endpoint of its partition
    #[arg(long, global = true)]
    region: Option<String>,

    /// Use this endpoint for every AWS service
    #[arg(long, global = true, value_name = "URL", value_parser = endpoint_url)]
    endpoint_url: Option<String>,
}

/// Checks that an endpoint's URL has a scheme and a host.
fn endpoint_url(text: &str) -> Result<String, String> {
    match text.split_once("://") {
        Some(("http" | "https", host)) if !host.is_empty() && !host.starts_with('/') => Ok(text.to_owned()),
        Some(_) => Err("write it as https://localhost:4566".to_owned()),
        None => Err(format!("it has no scheme; write it as http://{text} or https://{text}")),
    }
}

/// An open connection and the configuration.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) config: Config,
    /// The options of the connection, for commands to copy.
    pub(crate) options: String,
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
        Ok(Session { client, config, options: self.options(), service })
    }

    /// Creates the client, and the service that must live as long as the client.
    pub(crate) async fn client(&self, max_attempts: Option<u32>) -> Result<(Service, Client), Stop> {
        let local = if self.distributions.are_given() {
            self.distributions.start(Vec::new()).await?
        } else if self.local {
            sample().await?
        } else {
            let profile = self.load(max_attempts).await;
            let client = Client::of_profile(&profile);
            return Ok((Service::Aws(Box::new(profile)), client));
        };
        out::mark_as_simulated();
        let client = client_of(&local);
        Ok((Service::Local(local), client))
    }

    /// Checks that the options make sense together.
    pub(crate) fn check(&self) -> Result<(), Stop> {
        let Distributions { files, id_of_file } = &self.distributions;
        if id_of_file.is_some() && files.is_empty() {
            return Err(Stop::Usage(
                "--id is for the distribution in a file; pass --distributions, too".to_owned(),
            ));
        }
        Ok(())
    }

    /// Loads the profile for calls to AWS.
    pub(crate) async fn load(&self, max_attempts: Option<u32>) -> Profile {
        let Self { profile, region, endpoint_url, .. } = self;
        Profile::load(max_attempts, profile.as_deref(), region.as_deref(), endpoint_url.as_deref()).await
    }

    /// Returns the name of the profile for an error, such as "profile site".
    pub(crate) fn profile_name(&self) -> String {
        let profile = self.profile.clone().or_else(|| variable("AWS_PROFILE"));
        profile.map_or("the default profile".to_owned(), |name| format!("profile {name}"))
    }

    /// Returns the option for the profile as a person types it after a command. Empty if there is none.
    pub(crate) fn profile_option(&self) -> String {
        self.profile.as_ref().map_or(String::new(), |name| format!(" --profile {}", quoted(name)))
    }

    /// Returns the endpoint of the options or the environment. `None` if both name none.
    pub(crate) fn endpoint(&self) -> Option<String> {
        let variables = ["AWS_ENDPOINT_URL_CLOUDFRONT", "AWS_ENDPOINT_URL"];
        self.endpoint_url.clone().or_else(|| variables.into_iter().find_map(variable))
    }

    /// Returns the options as a person types them after a command, for commands to copy.
    pub(crate) fn options(&self) -> String {
        let text = |name: &'static str, value: &Option<String>| {
            value.as_ref().map(|value| format!(" {name} {}", quoted(value)))
        };
        let files = self.distributions.files.iter();
        let files = files.map(|file| format!(" --distributions {}", quoted(&file.to_string_lossy())));
        let id = self.distributions.id_of_file.as_ref().map(|id| format!(" --id {id}"));
        let options = [
            self.local.then(|| " --local".to_owned()),
            text("--profile", &self.profile),
            text("--region", &self.region),
            text("--endpoint-url", &self.endpoint_url),
        ];
        files.chain(id).chain(options.into_iter().flatten()).collect()
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Quotes a word for a shell, if it needs that.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Starts a CloudFront with the sample account: one cached page is purged, another is stale.
async fn sample() -> Result<Server, Stop> {
    let mut account = Account::default();
    for json in SAMPLE {
        account.add(json, Some(SAMPLE_ID)).map_err(|why| Stop::Usage(why.to_string()))?;
    }
    let local = start(account, Vec::new()).await?;
    local.set_function(function());
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

/// Returns the function of the sample account, as the template deploys it.
fn function() -> Function {
    let name = "cloudfront-invalidator-Function-SAMPLE";
    let configuration = json!({
        "FunctionName": name,
        "FunctionArn": format!("arn:aws:lambda:eu-central-1:123456789012:function:{name}"),
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "Timeout": 30,
        "Environment": {"Variables": {"INVALIDATOR_BUCKETS": "site"}},
    });
    let mapping = json!({
        "UUID": "00000000-0000-4000-8000-000000000000",
        "EventSourceArn": "arn:aws:sqs:eu-central-1:123456789012:changes",
        "State": "Enabled",
        "MaximumBatchingWindowInSeconds": 10,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    });
    Function { configuration, mappings: vec![mapping], reserved: None }
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
