//! Runs commands that change the settings of buckets on moto and ministack.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{commands, stack::Stack};
use crate::peers::{Peer, SERVICES};

/// The region of the evaluated template.
const REGION: &str = "eu-central-1";

/// Runs a command of `aws s3api` on a bucket, and returns its JSON.
#[track_caller]
fn s3api(peer: &Peer, folder: &Path, command: &str, bucket: &str) -> Value {
    peer.run(folder, &[], &format!("aws s3api {command} --region {REGION} --bucket {bucket}"))
}

#[test]
#[ignore = "needs moto_server and ministack: make test"]
fn buckets_keep_their_lifecycle_rules_after_the_command() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("turned-on");
    fs::create_dir_all(&folder).expect("a folder");
    let parameters = [("BucketNames", "ruled,plain"), ("SkipUnchangedSince", "2026-11-25")];
    let command = Stack::of(&parameters, "aws").output("TurnOnVersions").expect("a command");
    let own = json!({
        "ID": "logs",
        "Status": "Enabled",
        "Filter": {"Prefix": "logs/"},
        "Expiration": {"Days": 30},
    });
    let added = json!({
        "ID": "expire-replaced-versions",
        "Status": "Enabled",
        "NoncurrentVersionExpiration": {"NoncurrentDays": 3},
    });
    for peer in [Peer::moto(), Peer::ministack_with(SERVICES, &folder)] {
        for bucket in ["ruled", "plain"] {
            let place = format!("create-bucket --create-bucket-configuration LocationConstraint={REGION}");
            s3api(&peer, &folder, &place, bucket);
        }
        let rules = json!({"Rules": [own]});
        let put = format!("put-bucket-lifecycle-configuration --lifecycle-configuration '{rules}'");
        s3api(&peer, &folder, &put, "ruled");
        // Running the command again adds no second rule.
        (0..2).for_each(|_| drop(peer.run(&folder, &[], &command)));
        for (bucket, expected) in [("ruled", vec![&own, &added]), ("plain", vec![&added])] {
            let versioning = s3api(&peer, &folder, "get-bucket-versioning", bucket);
            assert_eq!(versioning["Status"], "Enabled", "{}", peer.endpoint());
            let lifecycle = s3api(&peer, &folder, "get-bucket-lifecycle-configuration", bucket);
            let rules = lifecycle["Rules"].as_array().expect("rules");
            assert_eq!(rules.len(), expected.len(), "{lifecycle}");
            for expected in expected {
                let fields = expected.as_object().expect("fields");
                let is_meant = |rule: &Value| fields.iter().all(|(name, value)| rule[name] == *value);
                assert!(rules.iter().any(is_meant), "{expected} is not in {lifecycle}");
            }
        }
    }
}

#[test]
fn lifecycle_rules_that_cannot_be_read_are_not_replaced() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("turned-on-unread");
    fs::create_dir_all(folder.join("bin")).expect("a folder");
    // An `aws` that may not read the rules, and says what else it is asked for.
    let denied = "#!/bin/sh\ncase \"$*\" in\n*get-bucket-lifecycle*) echo 'An error occurred (AccessDenied)' >&2; exit 254;;\n*) echo \"$2\" >> calls;;\nesac\n";
    fs::write(folder.join("bin/aws"), denied).expect("a file");
    let parameters = [("BucketNames", "one,two"), ("SkipUnchangedSince", "2026-11-25")];
    let command = Stack::of(&parameters, "aws").output("TurnOnVersions").expect("a command");
    fs::write(folder.join("calls"), "").expect("a file");
    let output = std::process::Command::new("sh")
        .args(["-c", &format!("chmod +x bin/aws; PATH=\"$PWD/bin:$PATH\"; {command}")])
        .current_dir(&folder)
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said.matches("AccessDenied").count(), 2, "{said}");
    let calls = fs::read_to_string(folder.join("calls")).expect("the calls");
    assert_eq!(calls, "put-bucket-versioning\nput-bucket-versioning\n");
}

#[test]
#[ignore = "needs moto_server and ministack: make test"]
fn only_the_notifications_to_a_queue_that_is_gone_are_removed() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("turned-off");
    fs::create_dir_all(&folder).expect("a folder");
    let command = commands("QueueConfigurations[?");
    for peer in [Peer::moto(), Peer::ministack_with(SERVICES, &folder)] {
        peer.run(&folder, &[], "aws s3api create-bucket --bucket my-bucket");
        let sqs = "aws sqs --endpoint-url $AWS_ENDPOINT_URL";
        let kept = peer.run(&folder, &[], &format!("{sqs} create-queue --queue-name kept"));
        let arn = format!(
            "{sqs} get-queue-attributes --attribute-names QueueArn --queue-url {}",
            kept["QueueUrl"].as_str().expect("a URL")
        );
        let kept =
            peer.run(&folder, &[], &arn)["Attributes"]["QueueArn"].as_str().expect("an ARN").to_owned();
        let gone = kept.replace(":kept", ":cloudfront-invalidator-Queue-AbCdEf");
        let to = |id: &str, queue: &str| json!({"Id": id, "QueueArn": queue, "Events": [format!("s3:Object{id}:*")]});
        let before = json!({
            "QueueConfigurations": [to("Created", &gone), to("Removed", &kept)],
            "EventBridgeConfiguration": {},
        });
        let put = format!(
            "aws s3api put-bucket-notification-configuration --bucket my-bucket --skip-destination-validation \
             --notification-configuration '{before}'"
        );
        peer.run(&folder, &[], &put);
        let get = "aws s3api get-bucket-notification-configuration --bucket my-bucket";
        // moto does not return EventBridgeConfiguration.
        let mut expected = peer.run(&folder, &[], get);
        let queues = expected["QueueConfigurations"].as_array_mut().expect("a list");
        queues.retain(|one| one["QueueArn"] == *kept);
        assert_eq!(queues.len(), 1);
        // Running the command again changes nothing.
        for _ in 0..2 {
            peer.run(&folder, &[], command);
            assert_eq!(peer.run(&folder, &[], get), expected, "{}", peer.endpoint());
        }
        peer.run(&folder, &[], commands("LambdaFunctionConfigurations"));
        expected.as_object_mut().expect("an object").remove("EventBridgeConfiguration");
        assert_eq!(peer.run(&folder, &[], get), expected, "{}: EventBridge is off", peer.endpoint());
    }
}
