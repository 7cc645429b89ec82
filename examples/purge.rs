//! Purges two paths of a distribution and waits until CloudFront has completed the invalidation.
//!
//! Runs against a CloudFront on this machine: `cargo run --example purge`. With
//! `Client::of_profile` instead of `Settings::local` it runs against AWS.

use std::{error::Error, time::Duration};

use cloudfront_invalidator::{
    Client, DistributionId, InvalidationRequest, Settings,
    local::{Options, Server},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let local = Server::start(Options::default()).await?;
    let client = Client::new(Settings::local(&local.endpoint_url()));

    let distribution: DistributionId = "E1EXAMPLE".parse()?;
    let request = InvalidationRequest::new(distribution.clone()).paths(["/index.html", "/img/*"])?;
    let created = request.send(&client).await?;
    println!("{}  {}  {}", created.id, created.status, created.paths.join(" "));

    let limit = Duration::from_mins(1);
    let followed = client.follow(&distribution, &created.id, limit, |_| ()).await?;
    println!("{}  {}", followed.id, followed.status);
    Ok(())
}
