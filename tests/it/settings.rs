//! The parameters that `cfadmin sites BUCKET` proposes.

use cloudfront_invalidator::local::{Options, Server};
use serde_json::{Value, json};

use crate::{cfadmin::cfadmin_at, sites};

const REST: &str = "site.s3.eu-central-1.amazonaws.com";
const WEBSITE: &str = "site.s3-website.eu-central-1.amazonaws.com";

/// The domains and paths of origins.
type Origins<'a> = &'a [(&'a str, &'a str)];

/// Returns a distribution with these origins.
fn serving(id: &str, origins: Origins) -> Value {
    let origin = |(index, (domain, path)): (usize, &(&str, &str))| json!({"Id": index.to_string(), "DomainName": domain, "OriginPath": path});
    let items: Vec<Value> = origins.iter().enumerate().map(origin).collect();
    sites::changed(id, origins[0].0, |config| {
        config["Origins"] = json!({"Quantity": items.len(), "Items": items});
        config["DefaultCacheBehavior"]["TargetOriginId"] = json!("0");
    })
}

/// Returns the parameters and values that are proposed for the bucket `site`.
async fn proposed(distributions: &[Value]) -> Vec<String> {
    let account = sites::account(distributions);
    let options = Options { distributions: Vec::new(), account, ..Options::default() };
    let server = Server::start(options).await.expect("a server");
    server.put("site", "a", Some(b"a"));
    let output =
        tokio::task::block_in_place(|| cfadmin_at(&server.endpoint_url(), &["sites", "s3://site", "--json"]));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let bucket: Value = serde_json::from_str(text.lines().last().expect("a line")).expect("a document");
    let settings = bucket["settings"].as_array().expect("settings").iter();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    settings.map(|one| format!("{}={}", text(&one["parameter"]), text(&one["value"]))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_certain_parameters_are_proposed() {
    let cases: [(Origins, &[&str]); 9] = [
        (&[(REST, "")], &["IndexDocument="]),
        (&[(REST, "/live")], &["KeyPrefix=live/", "IndexDocument="]),
        (&[(REST, "/live/a"), (REST, "/live/b%21")], &["KeyPrefix=live/", "IndexDocument="]),
        (&[(REST, "/live"), (REST, "/livestock")], &["IndexDocument="]),
        (&[(REST, "/live"), (WEBSITE, "/live")], &["KeyPrefix=live/"]),
        (&[("s3.eu-central-1.amazonaws.com", "/site/live")], &["KeyPrefix=live/", "IndexDocument="]),
        // Viewers name the bucket.
        (&[("s3.eu-central-1.amazonaws.com", "")], &["IndexDocument="]),
        // The template does not accept these prefixes.
        (&[(WEBSITE, "/a%20b")], &[]),
        (&[(REST, "/live"), ("api.example.com", "")], &["KeyPrefix=live/", "IndexDocument="]),
    ];
    for (origins, expected) in cases {
        let expected = [&["BucketNames=site"], expected].concat();
        assert_eq!(proposed(&[serving("E1", origins)]).await, expected, "{origins:?}");
    }
    let both = [serving("E1", &[(REST, "/live")]), serving("E2", &[(REST, "")])];
    assert_eq!(proposed(&both).await, ["BucketNames=site", "IndexDocument="]);
    // An access point may lead to any bucket.
    let both = [
        serving("E1", &[(REST, "/live")]),
        serving("E2", &[("x-abc-s3alias.s3.eu-central-1.amazonaws.com", "")]),
    ];
    assert_eq!(proposed(&both).await, ["BucketNames=site"]);
    let one = serving("E1", &[(REST, "/live"), ("x-abc-s3alias.s3.eu-central-1.amazonaws.com", "")]);
    assert_eq!(proposed(&[one]).await, ["BucketNames=site"]);
    let mut disabled = serving("E2", &[(REST, "")]);
    disabled["Distribution"]["DistributionConfig"]["Enabled"] = json!(false);
    let both = [serving("E1", &[(REST, "/live")]), disabled];
    assert_eq!(proposed(&both).await, ["BucketNames=site", "KeyPrefix=live/", "IndexDocument="]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_at_the_edge_leaves_everything_open() {
    let mut distribution = serving("E1", &[(REST, "/live")]);
    let behavior = &mut distribution["Distribution"]["DistributionConfig"]["DefaultCacheBehavior"];
    behavior["FunctionAssociations"] = json!({"Quantity": 1, "Items": [{
        "FunctionARN": "arn:aws:cloudfront::123456789012:function/rewrite", "EventType": "viewer-request",
    }]});
    assert_eq!(proposed(&[distribution]).await, ["BucketNames=site"]);
}
