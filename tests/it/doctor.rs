//! `cfadmin enable` and `cfadmin doctor`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use cloudfront_invalidator::local::{Encryption, Function, Options, Server, Upload, Versioning};
use serde_json::{Value, json};

use crate::{
    cfadmin::cfadmin_at,
    function::refusal,
    peers::{Peer, SERVICES},
    sites::{self, plain},
};

/// The notification configuration of a bucket whose destination is gone.
const OTHERS: &str = "<NotificationConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
    <QueueConfiguration><Id>thumbnails</Id><Queue>arn:aws:sqs:eu-central-1:123456789012:gone</Queue>\
    <Event>s3:ObjectCreated:*</Event><Filter><S3Key><FilterRule><Name>prefix</Name><Value>img/</Value></FilterRule>\
    </S3Key></Filter></QueueConfiguration></NotificationConfiguration>";

/// The function.
const FUNCTION: &str = "arn:aws:lambda:eu-central-1:123456789012:function:invalidator";

/// The queue that feeds the function.
const QUEUE: &str = "arn:aws:sqs:eu-central-1:123456789012:changes";

/// Starts a server with a distribution of the bucket `site`, which has versions, and with a function whose settings
/// are `variables`.
async fn account(variables: Value) -> Server {
    let account = sites::account(&[plain("E1", "site.s3.eu-central-1.amazonaws.com")]);
    let options = Options { distributions: Vec::new(), account, ..Options::default() };
    let server = Server::start(options).await.expect("a server");
    server.set_versioning("site", Versioning::Enabled);
    server.put_object("site", "a.html", Upload::default());
    server.set_function(function("invalidator", &variables));
    server
}

/// Returns a function with this name and these variables, as the template deploys it.
pub(crate) fn function(name: &str, variables: &Value) -> Function {
    let configuration = json!({
        "FunctionName": name,
        "FunctionArn": format!("arn:aws:lambda:eu-central-1:123456789012:function:{name}"),
        "State": "Active", "LastUpdateStatus": "Successful", "Timeout": 30,
        "Environment": {"Variables": variables},
    });
    Function { configuration, mappings: vec![mapping()], reserved: None }
}

fn mapping() -> Value {
    json!({
        "UUID": "u-1", "EventSourceArn": QUEUE, "State": "Enabled", "MaximumBatchingWindowInSeconds": 10,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    })
}

fn run(server: &Server, arguments: &[&str]) -> Output {
    tokio::task::block_in_place(|| cfadmin_at(&server.endpoint_url(), arguments))
}

/// Returns the checks, each as its part and its verdict, the texts with what to do, and the exit code.
fn checked(server: &Server, arguments: &[&str]) -> (Vec<String>, String, Option<i32>) {
    let output = run(server, &[&["doctor", "s3://site", "--json"], arguments].concat());
    let text = String::from_utf8(output.stdout).expect("text");
    let checks: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("a document")).collect();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = checks.iter().map(|check| format!("{} {}", word(&check["part"]), word(&check["verdict"])));
    let texts = checks.iter().map(|check| format!("{} / {}\n", word(&check["text"]), word(&check["next"])));
    (all.collect(), texts.collect(), output.status.code())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_keeps_its_notifications_when_event_bridge_is_turned_on() {
    let server = account(json!({})).await;
    server.set_notifications("site", OTHERS);
    // Nobody is there to answer a question.
    let output = run(&server, &["enable", "s3://site"]);
    assert_eq!(output.status.code(), Some(2));
    let shown = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let kept = "  keeps arn:aws:sqs:eu-central-1:123456789012:gone s3:ObjectCreated:* img/*\n"
        .replace(" s3:", "  s3:");
    let kept = kept.replace("* img", "*  img");
    let output = run(&server, &["enable", "s3://site", "--dry-run"]);
    assert_eq!(shown(&output), format!("s3://site  would send its events to EventBridge\n{kept}"));
    for state in ["now; the first may take five minutes", "already"] {
        let output = run(&server, &["enable", "arn:aws:s3:::site", "--yes"]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(shown(&output), format!("s3://site  sends its events to EventBridge {state}\n{kept}"));
    }
    let calls = server.reads();
    let writes = calls.iter().filter(|call| **call == "PutBucketNotificationConfiguration");
    assert_eq!(writes.count(), 1, "{calls:?}");
    let output = run(&server, &["enable", "site", "--json", "--yes"]);
    let document: Value = serde_json::from_slice(&output.stdout).expect("a document");
    let others = json!([{
        "arn": "arn:aws:sqs:eu-central-1:123456789012:gone", "events": ["s3:ObjectCreated:*"], "prefix": "img/", "suffix": "",
    }]);
    assert_eq!(document, json!({"bucket": "site", "was_on": true, "is_on": true, "others": others}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_cannot_be_changed_is_named() {
    let server = account(json!({})).await;
    let output = run(&server, &["enable", "nosuch", "--yes"]);
    assert_eq!(output.status.code(), Some(3));
    let output = run(&server, &["enable", "s3://site/docs", "--yes"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("write it as s3://my-bucket"));
    server.inject_read("PutBucketNotificationConfiguration", 0, refusal(403, "AccessDenied", "no"));
    let output = run(&server, &["enable", "site", "--yes"]);
    let error = String::from_utf8(output.stderr).expect("text");
    assert!(
        error.contains("allow s3:PutBucketNotification, or use the credentials of the bucket's owner"),
        "{error}"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_without_gaps_is_good() {
    let variables =
        json!({"INVALIDATOR_BUCKETS": "other,site", "INVALIDATOR_SKIP_UNCHANGED_SINCE": "2026-11-25"});
    let server = account(variables.clone()).await;
    assert_eq!(run(&server, &["enable", "site", "--yes"]).status.code(), Some(0));
    // Other functions do not count.
    server.set_function(function("other", &json!({"INVALIDATOR_BUCKETS": "other"})));
    server.set_function(function("unrelated", &json!({"BUCKETS": "site"})));
    let all = [
        "bucket ok",
        "function ok",
        "queue ok",
        "dead letters ok",
        "distribution ok",
        "cache tags note",
        "versions ok",
    ];
    for number in 0..60 {
        server.set_function(function(&format!("other-{number}"), &json!({"INVALIDATOR_BUCKETS": "other"})));
    }
    server.set_function(function("invalidator", &variables));
    for arguments in [&[][..], &["--function", "invalidator"], &["--function", FUNCTION]] {
        let (checks, texts, code) = checked(&server, arguments);
        assert_eq!((&*checks, code), (&all.map(str::to_owned)[..], Some(0)), "{texts}");
    }
}

/// A gap in the chain: what makes it, the check that names it, and what its text contains.
type Gap = (fn(&Server), &'static str, &'static str);

/// Replaces the function with a changed one.
fn with(server: &Server, change: impl Fn(&mut Function)) {
    let mut changed = function("invalidator", &json!({"INVALIDATOR_BUCKETS": "site"}));
    change(&mut changed);
    server.set_function(changed);
}

/// Sets a variable of the function.
fn variable(server: &Server, name: &str, value: &str) {
    with(server, |one| one.configuration["Environment"]["Variables"][name] = json!(value));
}

/// The gaps before the queue.
const BEFORE: &[Gap] = &[
    (
        |server| server.set_notifications("site", OTHERS),
        "bucket wrong",
        "does not send its events to EventBridge / cfadmin enable s3://site --region eu-west-1 --endpoint-url",
    ),
    (
        |server| server.set_notifications("site", &OTHERS.replace(":gone", ":changes")),
        "bucket wrong",
        "does not notify the queue of s3:ObjectRemoved:*, s3:LifecycleExpiration:*",
    ),
    (|server| server.set_denied("site", true), "bucket unknown", "allow s3:GetBucketNotification"),
    (
        |server| {
            with(server, |one| {
                one.configuration["State"] = json!("Failed");
                one.configuration["StateReason"] = json!("no disk");
            });
        },
        "function wrong",
        "the state of invalidator is Failed: no disk / deploy the stack again",
    ),
    (
        |server| with(server, |one| one.configuration["LastUpdateStatus"] = json!("Failed")),
        "function wrong",
        "the last update of invalidator failed",
    ),
    (|server| with(server, |one| one.reserved = Some(0)), "function wrong", "delete-function-concurrency"),
    (|server| with(server, |one| one.reserved = Some(1)), "function note", "a reserved concurrency of 1"),
    (|server| variable(server, "INVALIDATOR_MAX_PATHS", "0"), "function wrong", "INVALIDATOR_MAX_PATHS"),
    (|server| variable(server, "INVALIDATOR_DRY_RUN", "true"), "function wrong", "DryRun=false"),
];

/// Findings that doctor cannot judge, or that may be on purpose.
const OPEN: &[Gap] = &[
    (
        |server| {
            with(server, |one| {
                let error = json!({"ErrorCode": "AccessDeniedException", "Message": "no"});
                one.configuration["Environment"] = json!({"Variables": null, "Error": error});
            });
        },
        "function unknown",
        "allow kms:Decrypt, or name the function with --function",
    ),
    (
        |server| {
            let bucket = OTHERS.replace("arn:aws:sqs:eu-central-1:123456789012:gone", FUNCTION);
            let bucket = bucket.replace("QueueConfiguration", "CloudFunctionConfiguration");
            server.set_notifications("site", &bucket.replace("Queue>", "CloudFunction>"));
            with(server, |one| one.mappings.clear());
        },
        "queue note",
        "S3 invokes invalidator without a queue",
    ),
    (
        |server| {
            server.set_notifications("site", OTHERS);
            with(server, |one| one.mappings.clear());
            server.inject_read("ListEventSourceMappings", 0, refusal(403, "AccessDeniedException", "no"));
        },
        "bucket unknown",
        "and the rest could not be read",
    ),
    (
        |server| {
            server.set_notifications("site", OTHERS);
            allow(server, "sns.amazonaws.com");
        },
        "bucket unknown",
        "but to arn:aws:sqs:eu-central-1:123456789012:gone / if the events do not come from there, run cfadmin enable",
    ),
    (
        |server| {
            let all = "<Event>s3:ObjectCreated:*</Event><Event>s3:ObjectRemoved:Delete</Event>\
                       <Event>s3:ObjectRemoved:DeleteMarkerCreated</Event><Event>s3:LifecycleExpiration:*</Event>";
            let direct =
                OTHERS.replace(":gone", ":changes").replace("<Event>s3:ObjectCreated:*</Event>", all);
            server.set_notifications("site", &direct);
        },
        "bucket ok",
        "s3://site notifies the queue, of keys img/* only",
    ),
    (|server| allow(server, "s3.amazonaws.com"), "bucket wrong", "from which the queue accepts none"),
    (
        |server| variable(server, "INVALIDATOR_DISTRIBUTIONS", "dt_a"),
        "distribution note",
        "the settings name dt_a, which may be a tenant",
    ),
];

/// Lets only this service send messages to the queue.
fn allow(server: &Server, service: &str) {
    let policy = json!({"Statement": [{
        "Effect": "Allow", "Principal": {"Service": service}, "Action": "sqs:SendMessage", "Resource": "*",
    }]});
    server.set_queue_attribute("changes", "Policy", &policy.to_string());
}

/// The gaps from the queue on.
const BEHIND: &[Gap] = &[
    (
        |server| with(server, |one| one.mappings.clear()),
        "queue unknown",
        "no queue feeds invalidator, so its events come in another way, or not at all / deploy the stack again",
    ),
    (
        |server| with(server, |one| one.mappings[0]["State"] = json!("Disabled")),
        "queue wrong",
        "/ aws lambda update-event-source-mapping --uuid u-1 --enabled --region eu-west-1",
    ),
    (
        |server| {
            with(server, |one| {
                one.mappings[0]["FunctionResponseTypes"] = json!(null);
                one.mappings[0]["MaximumBatchingWindowInSeconds"] = json!(null);
            });
        },
        "queue wrong",
        "ReportBatchItemFailures is missing",
    ),
    (
        |server| server.set_queue_attribute("changes", "VisibilityTimeout", "30"),
        "queue note",
        "after 30 s; AWS advises at least 190 s",
    ),
    (
        |server| server.set_queue_attribute("changes", "RedrivePolicy", ""),
        "queue wrong",
        "has no dead-letter queue",
    ),
    (
        |server| server.set_queue_attribute("changes", "Policy", ""),
        "queue wrong",
        "no service may send messages to changes",
    ),
    (
        |server| server.set_queue_attribute("dead-letters", "ApproximateNumberOfMessages", "2"),
        "dead letters wrong",
        "has 2 messages, whose changes were not purged / fix what the function's log says, then run aws sqs \
             start-message-move-task --source-arn arn:aws:sqs:eu-central-1:123456789012:dead-letters --region eu-central-1",
    ),
    (
        |server| server.inject_read("GetQueueAttributes", 0, refusal(403, "AccessDenied", "no")),
        "queue unknown",
        "allow sqs:GetQueueAttributes",
    ),
    (
        |server| server.inject_read("ListFunctions", 0, refusal(403, "AccessDeniedException", "no")),
        "function unknown",
        "allow lambda:ListFunctions, or name the function with --function",
    ),
    (
        |server| with(server, |one| one.configuration["Environment"] = json!(null)),
        "function wrong",
        "no function in eu-west-1 has s3://site in its settings",
    ),
    (
        |server| server.change(sites::account(&[plain("E1", "other.s3.eu-central-1.amazonaws.com")])),
        "distribution wrong",
        "no distribution has s3://site as an origin",
    ),
    (
        |server| variable(server, "INVALIDATOR_DISTRIBUTIONS", "E9"),
        "distribution wrong",
        "the settings name E9, which is no distribution of this account",
    ),
    (
        |server| {
            with(server, |one| {
                let variables = &mut one.configuration["Environment"]["Variables"];
                variables["INVALIDATOR_DISTRIBUTIONS"] = json!("E1");
                variables["INVALIDATOR_ORIGIN_PATH"] = json!("/live");
            });
        },
        "distribution wrong",
        "but the settings have another origin path",
    ),
    (
        |server| {
            variable(server, "INVALIDATOR_SKIP_NEW", "true");
            server.set_versioning("site", Versioning::Suspended);
            server.set_encryption("site", Encryption::Kms);
        },
        "versions wrong",
        "the stack's output TurnOnVersions",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_gap_is_named_with_what_to_do() {
    for (make, check, text) in [BEFORE, BEHIND, OPEN].concat() {
        let server = account(json!({"INVALIDATOR_BUCKETS": "site"})).await;
        assert_eq!(run(&server, &["enable", "site", "--yes"]).status.code(), Some(0));
        make(&server);
        let (checks, texts, code) = checked(&server, &[]);
        assert!(
            checks.iter().any(|one| one == check) && texts.contains(text),
            "{check} {text}:\n{checks:?}\n{texts}"
        );
        let is_good = checks.iter().all(|one| one.ends_with(" ok") || one.ends_with(" note"));
        assert_eq!(code, Some(i32::from(!is_good)), "{checks:?}");
    }
    let server = account(json!({"OTHER": "x"})).await;
    let (_, texts, _) = checked(&server, &["--function", "invalidator"]);
    assert!(texts.contains("invalidator is another program"), "{texts}");
    let server = account(json!({"INVALIDATOR_BUCKETS": "other"})).await;
    let (_, texts, _) = checked(&server, &["--function", "invalidator"]);
    assert!(
        texts.contains("invalidator ignores changes in s3://site / add the bucket to BucketNames"),
        "{texts}"
    );
    assert_eq!(run(&server, &["doctor", "site", "--function", "nosuch"]).status.code(), Some(3));
    assert_eq!(run(&server, &["doctor", "nosuch"]).status.code(), Some(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn named_distributions_have_the_origin_path_of_the_settings() {
    let rest = "site.s3.eu-central-1.amazonaws.com";
    let in_path = "s3.eu-central-1.amazonaws.com";
    for (domain, path, origin_path, served, verdict) in [
        (rest, "", "", "s3://site/", "ok"),
        (rest, "/live", "/live", "s3://site/live/", "ok"),
        (rest, "/live/", "/live", "s3://site/live/", "ok"),
        (in_path, "/site", "", "s3://site/", "ok"),
        (in_path, "/site/live", "/live", "s3://site/live/", "ok"),
        (rest, "/live", "", "s3://site/live/", "wrong"),
        (rest, "", "/live", "s3://site/", "wrong"),
    ] {
        let settings = json!({"INVALIDATOR_DISTRIBUTIONS": "E1", "INVALIDATOR_ORIGIN_PATH": origin_path});
        let server = account(settings).await;
        let distribution = sites::changed("E1", domain, |config| {
            config["Origins"]["Items"][0]["OriginPath"] = json!(path);
        });
        server.change(sites::account(&[distribution]));
        let (checks, texts, _) = checked(&server, &["--function", "invalidator"]);
        assert!(checks.contains(&format!("distribution {verdict}")), "{domain} {path}: {checks:?}\n{texts}");
        assert!(texts.contains(&format!("E1 (e1.example.com) serves {served}")), "{domain} {path}: {texts}");
    }
}

/// Runs a shell command on a peer, with `$SQS` for the AWS command line's queues, which ignore the endpoint's variable.
#[track_caller]
fn at(peer: &Peer, folder: &Path, command: &str) -> Value {
    let command = command.replace("$SQS", "aws sqs --endpoint-url $AWS_ENDPOINT_URL");
    peer.run(folder, &[("AWS_DEFAULT_REGION", "eu-west-1")], &command)
}

#[test]
#[ignore = "needs the AWS command line, moto_server and ministack: make test"]
fn the_chain_is_checked_on_moto_and_ministack() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("doctor");
    fs::create_dir_all(&folder).expect("a folder");
    // moto turns EventBridge on, but does not show it.
    for (peer, shows_event_bridge) in [(Peer::moto(), false), (Peer::ministack_with(SERVICES, &folder), true)]
    {
        let run = |command: &str| at(&peer, &folder, command);
        let cfadmin = |arguments: &[&str]| cfadmin_at(peer.endpoint(), arguments);
        let shown = |output: &Output| {
            let all = [&output.stdout[..], &output.stderr[..]].concat();
            String::from_utf8_lossy(&all).into_owned()
        };
        run(
            "aws s3api create-bucket --bucket site --create-bucket-configuration LocationConstraint=eu-west-1",
        );
        run("$SQS create-queue --queue-name other");
        let others = json!({"QueueConfigurations": [{
            "Id": "other", "QueueArn": arn(&run, "other"), "Events": ["s3:ObjectCreated:*"],
            "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "a b&c/"}]}},
        }]});
        run(&format!(
            "aws s3api put-bucket-notification-configuration --bucket site --notification-configuration '{others}'"
        ));
        run("$SQS create-queue --queue-name dead");
        let redrive = json!({"deadLetterTargetArn": arn(&run, "dead"), "maxReceiveCount": "240"}).to_string();
        let policy = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": "*",
        }]});
        let attributes =
            json!({"VisibilityTimeout": "190", "RedrivePolicy": redrive, "Policy": policy.to_string()});
        fs::write(folder.join("attributes.json"), attributes.to_string()).expect("a file");
        run("$SQS create-queue --queue-name changes --attributes file://attributes.json");
        fs::write(folder.join("bootstrap"), "#!/bin/sh\n").expect("a file");
        run("rm -f code.zip && python3 -m zipfile -c code.zip bootstrap");
        let trust = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole",
        }]});
        let role = run(&format!(
            "aws iam create-role --role-name invalidator --assume-role-policy-document '{trust}'"
        ));
        let role = role["Role"]["Arn"].as_str().expect("an ARN").to_owned();
        run(&format!(
            "aws lambda create-function --function-name invalidator --runtime provided.al2023 --handler bootstrap \
             --role {role} --zip-file fileb://code.zip --timeout 30 --environment \
             '{{\"Variables\": {{\"INVALIDATOR_BUCKETS\": \"site\"}}}}'"
        ));
        run(&format!(
            "aws lambda create-event-source-mapping --function-name invalidator --event-source-arn {} --batch-size 10 \
             --maximum-batching-window-in-seconds 10 --function-response-types ReportBatchItemFailures",
            arn(&run, "changes")
        ));
        let distribution = peer.distribution_of("site.s3.eu-west-1.amazonaws.com", "");

        let before = cfadmin(&["doctor", "s3://site"]);
        let text = shown(&before);
        assert!(
            text.contains("wrong    bucket        s3://site does not send its events to EventBridge"),
            "{text}"
        );
        assert_eq!(before.status.code(), Some(1), "{text}");
        let enabled = cfadmin(&["enable", "s3://site", "--yes"]);
        assert_eq!(enabled.status.code(), Some(0), "{}", shown(&enabled));
        let now = run("aws s3api get-bucket-notification-configuration --bucket site");
        assert_eq!(now["EventBridgeConfiguration"] == json!({}), shows_event_bridge, "{now}");
        let kept = &now["QueueConfigurations"][0];
        assert_eq!(kept["Id"], "other", "{now}");
        assert_eq!(kept["Filter"]["Key"]["FilterRules"][0]["Value"], "a b&c/", "{now}");
        let after = cfadmin(&["doctor", "s3://site"]);
        let text = shown(&after);
        assert_eq!(after.status.code(), Some(i32::from(!shows_event_bridge)), "{text}");
        let bucket = "ok       bucket        s3://site sends its events to EventBridge";
        assert_eq!(text.contains(bucket), shows_event_bridge, "{text}");
        for part in [
            "ok       function      invalidator is ready",
            "ok       queue         changes: 0 waiting",
            "ok       dead letters  dead is empty",
            &format!("ok       distribution  {distribution} ("),
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}

/// Returns the ARN of a queue.
fn arn(run: &impl Fn(&str) -> Value, queue: &str) -> String {
    let url = run(&format!("$SQS get-queue-url --queue-name {queue}"))["QueueUrl"]
        .as_str()
        .expect("a URL")
        .to_owned();
    let attributes = run(&format!("$SQS get-queue-attributes --queue-url {url} --attribute-names QueueArn"));
    attributes["Attributes"]["QueueArn"].as_str().expect("an ARN").to_owned()
}
