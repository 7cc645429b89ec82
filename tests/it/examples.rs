//! Runs the programs in `examples/` and compares their output.

use std::{
    env::{self, consts::EXE_SUFFIX},
    path::PathBuf,
    time::Duration,
};

use cloudfront_invalidator::local::Server;
use tokio::{process::Command, time::timeout};

use crate::support::{Function, cloudfront, s3, sqs};

/// Time limit for an example, which waits for an invalidation at most.
const HANG: Duration = Duration::from_mins(2);

/// Returns the path of an example's binary, which Cargo puts near that of the tests.
fn example(name: &str) -> PathBuf {
    let tests = env::current_exe().expect("the path of the tests");
    let profile = tests.ancestors().nth(2).expect("the folder of the profile");
    let binary = profile.join("examples").join(format!("{name}{EXE_SUFFIX}"));
    assert!(binary.is_file(), "{} is missing: run `cargo build --locked --examples`", binary.display());
    binary
}

/// Runs an example with an empty environment, and returns its output.
async fn output(name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(example(name));
    command.args(arguments).env_clear().envs(variables.iter().copied()).kill_on_drop(true);
    let output = timeout(HANG, command.output()).await.expect("an end in time").expect("the example");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test]
async fn purge_creates_an_invalidation_and_waits_for_it() {
    let printed = output("purge", &[], &[]).await;
    let lines: Vec<Vec<&str>> = printed.lines().map(|line| line.split("  ").collect()).collect();
    let [created, followed] = &lines[..] else { panic!("{printed}") };
    assert_eq!(created[1..], ["InProgress", "/img/* /index.html"]);
    assert_eq!(followed[..], [created[0], "Completed"]);
}

#[tokio::test]
async fn paths_prints_the_paths_of_keys_and_the_reasons() {
    let expected = "E1EXAMPLE\n  \
         /docs/index.html  object s3://site/live/docs/index.html\n  \
         /docs/  directory of s3://site/live/docs/index.html\n  \
         /a%20page*  object s3://site/live/a page~1.html\n  \
         /a+page*  object s3://site/live/a page~1.html\n  \
         /images/logo.svg*  with any query string, of s3://site/media/images/logo.svg\n  \
         nothing for s3://site/drafts/new.html: outside the origin path\n";
    assert_eq!(output("paths", &[], &[]).await, expected);

    let variables = [("INVALIDATOR_INDEX_DOCUMENT", ""), ("INVALIDATOR_CLEAN_URLS", "true")];
    let expected = "E1EXAMPLE\n  \
         /docs/index.html  object s3://site/live/docs/index.html\n  \
         /docs/index  page without .html of s3://site/live/docs/index.html\n";
    assert_eq!(output("paths", &["live/docs/index.html"], &variables).await, expected);
}

/// Starts the example `lambda`. The distribution `E2FEED` serves the feed.
async fn start(cloudfront: &Server, variables: &[(&str, &str)]) -> Function {
    let variables = [&[("FEED_DISTRIBUTION", "E2FEED")], variables].concat();
    Function::start_command([example("lambda").as_os_str()], &cloudfront.endpoint_url(), &variables).await
}

/// Returns an SQS batch with a message for each of these keys.
fn batch(keys: &[&str]) -> String {
    sqs(keys.iter().map(|key| (*key, s3(key, "1").to_string()))).to_string()
}

/// Returns the distribution and the paths of each invalidation so far.
fn purged(cloudfront: &Server) -> Vec<(String, String)> {
    let recorded = cloudfront.recorded().into_iter();
    recorded.map(|one| (one.distribution, one.paths.join(" "))).collect()
}

#[tokio::test]
async fn lambda_purges_the_feed_if_a_post_changes() {
    let cloudfront = cloudfront(&["E1EXAMPLE", "E2FEED"]).await;
    let mut function = start(&cloudfront, &[]).await;
    let pair = |distribution: &str, paths: &str| (distribution.to_owned(), paths.to_owned());
    let mut expected = vec![pair("E1EXAMPLE", "/about.html")];
    assert_eq!(function.invoke(batch(&["about.html"])).await.handed_back(), [""; 0]);
    assert_eq!(purged(&cloudfront), expected);

    let posts = batch(&["blog/one.html", "about.html"]);
    expected.extend([pair("E1EXAMPLE", "/about.html /blog/one.html"), pair("E2FEED", "/feed.xml")]);
    assert_eq!(function.invoke(posts.clone()).await.handed_back(), [""; 0]);
    assert_eq!(purged(&cloudfront), expected);
    assert_eq!(function.invoke(posts).await.handed_back(), [""; 0]);
    assert_eq!(purged(&cloudfront), expected, "the same batch again");

    let log = function.log().join("\n");
    assert!(log.contains("exact    /blog/one.html  s3://site/blog/one.html ObjectCreated:Put"), "{log}");
}

#[tokio::test]
async fn lambda_returns_the_batch_to_the_queue_if_the_feed_is_not_purged() {
    let cloudfront = cloudfront(&["E1EXAMPLE"]).await;
    let mut function = start(&cloudfront, &[]).await;
    assert_eq!(function.invoke(batch(&["blog/one.html"])).await.error_type(), "NoSuchDistribution");
    assert_eq!(purged(&cloudfront), [("E1EXAMPLE".to_owned(), "/blog/one.html".to_owned())]);
}

#[tokio::test]
async fn lambda_refuses_to_start_with_a_dry_run() {
    let cloudfront = cloudfront(&["E1EXAMPLE", "E2FEED"]).await;
    let (status, _log) = start(&cloudfront, &[("INVALIDATOR_DRY_RUN", "true")]).await.ended().await;
    assert!(!status.success());
}
