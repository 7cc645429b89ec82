//! Prints the paths under which a distribution serves some objects, and why, or why it does not.
//!
//! Runs against a CloudFront on this machine with the distribution of `samples/E1EXAMPLE.json`:
//! `cargo run --example paths -- live/docs/index.html`. With `Client::of_profile` instead of
//! `Settings::local` it reads the distributions of an AWS account.

use std::{env, error::Error, time::Duration};

use cloudfront_invalidator::{
    Client, Config, Settings,
    local::{Account, Options, Server},
    site::Site,
};

/// The bucket with the objects.
const BUCKET: &str = "site";

/// The keys of the objects, if the command line names none.
const KEYS: [&str; 4] =
    ["live/docs/index.html", "live/a page~1.html", "media/images/logo.svg", "drafts/new.html"];

/// Time limit for a call.
const LIMIT: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut account = Account::default();
    account.add(include_bytes!("../samples/E1EXAMPLE.json"), Some("E1EXAMPLE"))?;
    account.add(include_bytes!("../samples/policies.json"), None)?;
    let local = Server::start(Options { account, ..Options::default() }).await?;
    let client = Client::new(Settings::local(&local.endpoint_url()));

    let mut keys: Vec<String> = env::args().skip(1).collect();
    if keys.is_empty() {
        keys = KEYS.map(str::to_owned).to_vec();
    }
    // Index documents and clean URLs as INVALIDATOR_* variables configure them.
    let forms = Config::read(env::vars_os())?.search.forms;
    for distribution in client.distributions(LIMIT).await? {
        let distribution = client.with_details(distribution, LIMIT).await?;
        let site = Site::of(&distribution, &[], forms.clone());
        println!("{}", site.distribution);
        for key in &keys {
            match site.paths(BUCKET, key.as_bytes()) {
                Ok(paths) => {
                    for (path, why) in paths {
                        println!("  {path}  {why} s3://{BUCKET}/{key}");
                    }
                }
                Err(why) => println!("  nothing for s3://{BUCKET}/{key}: {why}"),
            }
        }
    }
    Ok(())
}
