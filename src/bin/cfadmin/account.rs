//! Which CloudFront is asked: AWS's, or one on this machine that holds what files say.

use std::path::{Path, PathBuf};

use clap::Args;
use cloudfront_invalidator::{
    cloudfront::Client,
    config::Aws,
    local::{Account, Local, Options},
};

use crate::Stop;

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
        let options = Options { distributions: ids, account, ..Options::default() };
        Local::start(options).await.map_err(Stop::io("CloudFront on loopback"))
    }

    /// The CloudFront that has them, or AWS's.
    pub(crate) async fn client(&self, max_attempts: Option<u32>) -> Result<(Option<Local>, Client), Stop> {
        if self.are_given() {
            let local = self.start(Vec::new()).await?;
            let client = client_of(&local);
            Ok((Some(local), client))
        } else {
            Ok((None, Client::from_profile(max_attempts).await))
        }
    }
}

/// The id that a file's name is, if it is one.
fn id(file: &Path) -> Option<&str> {
    let name = file.file_stem()?.to_str()?;
    let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    (name.starts_with('E') && name.len() > 1 && name.bytes().all(fits)).then_some(name)
}

/// A client of a CloudFront on this machine.
pub(crate) fn client_of(local: &Local) -> Client {
    Client::new(&Aws {
        region: "us-east-1".to_owned(),
        access_key_id: "local".to_owned(),
        secret_access_key: "local".to_owned(),
        session_token: None,
        endpoint_url: Some(local.endpoint_url()),
        use_fips: false,
        use_dual_stack: false,
        max_attempts: None,
    })
}
