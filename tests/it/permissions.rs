//! The policies in docs/cfadmin.md: each command calls what its policy allows, and the policies allow nothing else.

use std::{collections::BTreeSet, time::Duration};

use cloudfront_invalidator::local::{Options, Server, Upload};
use serde_json::{Value, json};

use crate::{cfadmin::cfadmin_at, doctor::function, tenant_sites::every_kind};

/// Returns the actions of each policy on the page, in order.
fn policies() -> Vec<BTreeSet<String>> {
    let page = include_str!("../../docs/cfadmin.md");
    let section = page.split("## Permissions\n").nth(1).expect("the section");
    let section = section.split("\n## ").next().expect("its text");
    let blocks = section.split("```json\n").skip(1).map(|block| block.split("```").next().expect("its end"));
    let actions = |block: &str| {
        let policy: Value = serde_json::from_str(block).expect("a policy");
        let statements = policy["Statement"].as_array().expect("statements").clone();
        let of = |statement: Value| match statement["Action"].clone() {
            Value::Array(actions) => actions,
            action => vec![action],
        };
        statements
            .into_iter()
            .flat_map(of)
            .map(|action| action.as_str().expect("an action").to_owned())
            .collect()
    };
    blocks.map(actions).collect()
}

/// Returns the action that a call needs.
fn action(operation: &str) -> String {
    match operation {
        "ListObjectsV2" => "s3:ListBucket".to_owned(),
        "HeadObject" => "s3:GetObject".to_owned(),
        "GetBucketVersioning" => "s3:GetBucketVersioning".to_owned(),
        "GetBucketLifecycleConfiguration" => "s3:GetLifecycleConfiguration".to_owned(),
        "GetBucketEncryption" => "s3:GetEncryptionConfiguration".to_owned(),
        "GetBucketNotificationConfiguration" => "s3:GetBucketNotification".to_owned(),
        "PutBucketNotificationConfiguration" => "s3:PutBucketNotification".to_owned(),
        "GetQueueAttributes" => "sqs:GetQueueAttributes".to_owned(),
        "ListFunctions"
        | "GetFunctionConfiguration"
        | "GetFunctionConcurrency"
        | "ListEventSourceMappings" => {
            format!("lambda:{operation}")
        }
        other => format!("cloudfront:{other}"),
    }
}

/// A group of commands that share a policy.
const GROUPS: [&[&[&str]]; 7] = [
    &[
        &["invalidate", "s3://site", "--keys", "live/docs/a.html", "--all"],
        &["invalidate", "www.example.com", "/a"],
        &["invalidate", "dt_a", "/a"],
    ],
    &[
        &["listinvalidations", "www.example.com", "--paths"],
        &["listinvalidations", "a.example.org", "--paths"],
        &["status", "www.example.com", "I0000000000001"],
        &["history", "/a", "--distribution", "www.example.com"],
        &["cost"],
    ],
    &[&["ls", "--tenants"], &["sites", "site"], &["explain", "s3://site/live/a.html"], &["ls"]],
    &[&["verify", "http://www.example.com/docs/a.html"], &["verify", "http://a.example.org/a.html"]],
    &[&["enable", "s3://site", "--yes"]],
    &[&["doctor", "s3://site"]],
    &[&["wait", "s3://site/live/", "--since", "1h", "--timeout", "0"]],
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_command_calls_what_its_policy_allows() {
    let policies = policies();
    assert_eq!(policies.len(), GROUPS.len());
    for (policy, commands) in policies.iter().zip(GROUPS) {
        let account = every_kind();
        let completes_after = Duration::ZERO;
        let options = Options { distributions: Vec::new(), account, completes_after, ..Options::default() };
        let server = Server::start(options).await.expect("a server");
        server.put_object("site", "live/docs/a.html", Upload::default());
        server.set_function(function("invalidator", &json!({"INVALIDATOR_SKIP_NEW": "true"})));
        let run = |arguments: &[&str]| {
            let _ = tokio::task::block_in_place(|| cfadmin_at(&server.endpoint_url(), arguments));
        };
        // S3 cuts the time of an object to seconds.
        server.advance(Duration::from_secs(2));
        run(&["invalidate", "E1EXAMPLE", "/a"]);
        run(&["invalidate", "dt_a", "/a"]);
        let (before, created) = (server.reads().len(), server.created());
        for arguments in commands {
            run(arguments);
        }
        let mut called: BTreeSet<String> = server.reads()[before..].iter().map(|call| action(call)).collect();
        // Without this, S3 does not say that an object does not exist.
        if called.contains("s3:GetObject") {
            called.insert("s3:ListBucket".to_owned());
        }
        if server.created() > created {
            called.insert("cloudfront:CreateInvalidation".to_owned());
        }
        let missing: Vec<&String> = called.difference(policy).collect();
        assert!(missing.is_empty(), "{commands:?} also call {missing:?}");
        // The server does not tell the calls about a tenant apart. `wait` asks for no function here, and its `--verify`
        // needs TLS to look at objects.
        let is_seen = |action: &&String| {
            let is_of_wait = commands[0][0] == "wait"
                && ["s3:GetObject", "lambda:GetFunctionConfiguration"].contains(&action.as_str());
            !is_of_wait && !action.ends_with("ForDistributionTenant")
        };
        let superfluous: Vec<&String> = policy.difference(&called).filter(is_seen).collect();
        assert!(superfluous.is_empty(), "{commands:?} do not call {superfluous:?}");
    }
}
