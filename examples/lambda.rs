//! A Lambda function around [`Invalidator`] with an additional step: if a post below `blog/` changes, it also purges
//! `/feed.xml`, which an API makes from the posts. A batch of which nothing is purged leaves the feed alone.
//!
//! Its variables are those of the function itself, and `FEED_DISTRIBUTION` for the distribution that serves the feed.
//! To build it, run `cargo lambda build --release --example lambda`. It logs text for people, so alarms and metrics of
//! the template do not work with it.

use std::{
    env, error,
    time::{Duration, Instant, SystemTime},
};

use cloudfront_invalidator::{Client, Config, DistributionId, InvalidationRequest, Invalidator};
use lambda_runtime::{Diagnostic, Error, LambdaEvent, run, service_fn};
use serde_json::value::RawValue;

/// The time between the function's answer and its Lambda timeout.
const MARGIN: Duration = Duration::from_secs(1);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let (config, settings) = Config::of_function(env::vars_os())?;
    let settings = settings.filter(|_| !config.dry_run).ok_or("this function has no dry run")?;
    let client = Client::new(settings);
    let feed: DistributionId = env::var("FEED_DISTRIBUTION")?.parse()?;
    let invalidator = Invalidator::new(config, Some(client.clone()));
    run(service_fn(|event| answer(event, &invalidator, &client, &feed))).await
}

/// Purges the objects of the event, then the feed. Returns the answer to Lambda, which lists the messages that return
/// to the queue.
async fn answer(
    LambdaEvent { payload: event, context }: LambdaEvent<Box<RawValue>>,
    invalidator: &Invalidator,
    client: &Client,
    feed: &DistributionId,
) -> Result<Box<RawValue>, Diagnostic> {
    let left = context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
    let left = left.saturating_sub(MARGIN);
    // A quarter of the time is for the feed.
    let report = invalidator.run(event.get(), &context.request_id, Instant::now() + left * 3 / 4).await;
    println!("{}", report.explain(invalidator.policy(), false));

    let is_post = report.batch.changes.iter().any(|change| change.key.as_bytes().starts_with(b"blog/"));
    if is_post && let Some(first) = report.plan.invalidations.first() {
        // The same batch has the same caller reference, so a retry creates no second invalidation.
        let request = InvalidationRequest::new(feed.clone())
            .paths(["/feed.xml"])
            .map_err(|error| failure("FeedPathInvalid", &error))?
            .caller_reference(format!("feed-{}", first.caller_reference))
            .within(left / 4);
        // If this fails, the whole batch returns to the queue. The paths that it sent are not billed again.
        request.send(client).await.map_err(|error| failure(error.error_type(), &error))?;
    }
    report.answer().map_err(|failure| Diagnostic {
        error_type: failure.error_type.to_owned(),
        error_message: failure.message,
    })
}

/// Creates the answer to Lambda for a failed invocation.
fn failure(error_type: &str, error: &dyn error::Error) -> Diagnostic {
    Diagnostic { error_type: error_type.to_owned(), error_message: error.to_string() }
}
