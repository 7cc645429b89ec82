//! The SAM template: its text, evaluated as CloudFormation does, and its deployment on an emulator.

mod dashboard;
mod deployed;
mod forwarded;
mod included;
mod released;
mod role;
mod stack;
mod turned_on;

use cloudfront_invalidator::config::{Config, VARIABLES};
use serde_json::{Value, json};

use stack::{Stack, template};

/// Returns the first block of commands in docs/deploy.md that contains `word`.
fn commands(word: &str) -> &'static str {
    let blocks = include_str!("../../docs/deploy.md").split("```sh\n").skip(1);
    let mut blocks = blocks.filter_map(|block| block.split_once("```")).map(|(block, _)| block);
    blocks.find(|block| block.contains(word)).unwrap_or_else(|| panic!("no command with {word}"))
}

/// The only parameter without a default, with a value for the tests.
const REQUIRED: (&str, &str) = ("BucketNames", "site");

fn stack(parameters: &[(&str, &str)]) -> Stack {
    Stack::of(&[&[REQUIRED], parameters].concat(), "aws")
}

#[track_caller]
fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is not a number"))
}

#[test]
fn messages_return_after_the_timeout_and_outlast_half_a_day() {
    let windows = template()["Parameters"]["BatchingWindow"]["AllowedValues"].clone();
    for window in windows.as_array().expect("windows") {
        let window = number(window);
        assert!(window >= 1, "batches of more than ten messages need a window");
        let stack = stack(&[("BatchingWindow", &window.to_string())]);
        let timeout = number(&stack.properties("Function")["Timeout"]);
        let queue = stack.properties("Queue");
        let visibility = number(&queue["VisibilityTimeout"]);
        assert_eq!(visibility, 6 * timeout + window, "exactly as long as AWS advises");
        let receives = number(&queue["RedrivePolicy"]["maxReceiveCount"]);
        assert!(visibility * receives >= 12 * 3_600, "messages must outlast half a day");
        assert!(visibility * receives < number(&queue["MessageRetentionPeriod"]), "none expires before that");
    }
    let stack = stack(&[]);
    let queue = stack.properties("Queue");
    assert_eq!(queue["VisibilityTimeout"], 190);
    assert!(number(&queue["RedrivePolicy"]["maxReceiveCount"]) >= 5, "as AWS advises");
    assert_eq!(queue["RedrivePolicy"]["deadLetterTargetArn"], "DeadLetters.Arn");
    let kept = |queue: &str| number(&stack.properties(queue)["MessageRetentionPeriod"]);
    assert!(kept("DeadLetters") > kept("Queue"), "a message keeps its age in the dead-letter queue");
    let mapping = stack.properties("Function")["Events"]["Changes"]["Properties"].clone();
    assert_eq!(mapping["FunctionResponseTypes"], json!(["ReportBatchItemFailures"]));
    assert_eq!(mapping["ScalingConfig"]["MaximumConcurrency"], 2);
    assert_eq!(mapping["BatchSize"], "3000");
}

#[test]
fn the_template_sets_every_variable_with_the_functions_defaults() {
    let environment = stack(&[]).environment();
    let mut named: Vec<&str> = environment.iter().map(|(name, _)| &**name).collect();
    let mut known = VARIABLES.to_vec();
    named.sort_unstable();
    known.sort_unstable();
    assert_eq!(named, known);

    let aws = [("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x")];
    let aws = aws.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let read = |environment: &[(String, String)]| {
        let all = environment.iter().cloned().chain(aws.clone());
        let (config, _) = Config::of_function(all).expect("a valid configuration");
        format!("{config:?}")
    };
    let other = [("INVALIDATOR_BUCKETS", "site"), ("INVALIDATOR_MONTHLY_PATHS", "1000")];
    let other = other.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(read(&environment), read(&other), "the template's other defaults are the function's");
    for parameters in [
        [("DistributionIds", "E1,E2"), ("OriginPath", "/live")],
        [("Metrics", "false"), ("QueryStrings", "true")],
    ] {
        read(&stack(&parameters).environment());
    }
}

#[test]
fn a_new_bucket_keeps_replaced_versions_only_if_they_are_asked_for() {
    let skipping =
        stack(&[("CreateBucket", "true"), ("SkipUnchangedSince", "2026-11-25")]).properties("Bucket");
    assert_eq!(skipping["VersioningConfiguration"], json!({"Status": "Enabled"}));
    let rule = &skipping["LifecycleConfiguration"]["Rules"][0];
    assert_eq!(rule["NoncurrentVersionExpiration"], json!({"NoncurrentDays": 3}));
    let plain = stack(&[("CreateBucket", "true")]).properties("Bucket");
    assert!(plain.get("VersioningConfiguration").is_none() && plain.get("LifecycleConfiguration").is_none());
}

#[test]
fn only_the_event_source_can_send_to_the_queue() {
    let sender = |stack: &Stack, policy: &str| {
        let statements = stack.properties(policy)["PolicyDocument"]["Statement"].clone();
        let [statement] = statements.as_array().expect("statements").as_slice() else {
            panic!("one statement")
        };
        assert_eq!(statement["Action"], "sqs:SendMessage");
        (statement["Principal"]["Service"].clone(), statement["Condition"].clone())
    };
    let rule = json!({"ArnEquals": {"aws:SourceArn": "Rule.Arn"}});
    assert_eq!(sender(&stack(&[]), "QueuePolicy"), (json!("events.amazonaws.com"), rule.clone()));
    assert_eq!(sender(&stack(&[]), "DeadLettersPolicy"), (json!("events.amazonaws.com"), rule));
    let notified = stack(&[("CreateBucket", "true"), ("Trigger", "Notifications")]);
    let bucket = json!({
        "ArnLike": {"aws:SourceArn": "arn:aws:s3:::site"},
        "StringEquals": {"aws:SourceAccount": "123456789012"},
    });
    assert_eq!(sender(&notified, "QueuePolicy"), (json!("s3.amazonaws.com"), bucket));
    assert!(!notified.has("DeadLettersPolicy") && !notified.has("Rule"));
}

#[test]
fn rules_refuse_contradictory_parameters() {
    let refused = |parameters: &[(&str, &str)]| stack(parameters).violations();
    assert_eq!(refused(&[]), [""; 0]);
    assert_eq!(refused(&[("CreateBucket", "true"), ("Trigger", "Notifications")]), [""; 0]);
    assert_eq!(refused(&[("CreateBucket", "true")]), [""; 0]);
    assert_eq!(refused(&[("DistributionIds", "E1"), ("OriginPath", "/live")]), [""; 0]);
    assert_eq!(refused(&[("Trigger", "Notifications")]), ["NotificationsAreOfNewBuckets"]);
    assert_eq!(refused(&[("OriginPath", "/live")]), ["OriginPathIsOfGivenDistributions"]);
    let other = [("CreateBucket", "true"), ("EventAccount", "210987654321")];
    assert_eq!(refused(&other), ["NewBucketsAreOfThisAccount"]);
    for (ids, is_valid) in [("", true), ("E1", true), ("E1,E2", true), ("E1,", false), ("E1,,E2", false)] {
        let expected = if is_valid { vec![] } else { vec!["DistributionIdsAreNotEmpty".to_owned()] };
        assert_eq!(refused(&[("DistributionIds", ids)]), expected, "{ids}");
    }
    for (partition, expected) in [("aws", &[][..]), ("aws-cn", &["TracesAreNotInChina"]), ("aws-eusc", &[])] {
        let traced = Stack::of(&[REQUIRED, ("Tracing", "Active")], partition);
        assert_eq!(traced.violations(), expected, "{partition}");
    }
}

#[test]
fn existing_buckets_change_only_by_the_command_in_the_outputs() {
    let existing = Stack::of(&[("BucketNames", "one,two")], "aws");
    assert!(!existing.has("Bucket"));
    let command = existing.output("TurnOnEvents").expect("a command");
    assert!(
        command.starts_with("for bucket in one two; do aws s3api put-bucket-notification-configuration ")
    );
    let notified = [("CreateBucket", "true"), ("Trigger", "Notifications")];
    assert_eq!(stack(&notified).output("TurnOnEvents"), None);
    let pattern = Stack::of(&[("BucketNames", "one,two"), ("KeyPrefix", "live/")], "aws").properties("Rule")
        ["EventPattern"]
        .clone();
    assert_eq!(
        pattern["detail"],
        json!({"bucket": {"name": ["one", "two"]}, "object": {"key": [{"prefix": "live/"}]}})
    );
    assert_eq!(pattern["account"], json!(["123456789012"]));
}

#[test]
fn the_page_names_the_version_of_the_sam_cli_that_the_tests_use() {
    let packages = include_str!("../../requirements.txt");
    let version = packages.lines().find_map(|line| line.strip_prefix("aws-sam-cli=="));
    let sentence = format!("The tests use {}.", version.expect("a version"));
    assert!(include_str!("../../docs/deploy.md").contains(&sentence), "{sentence}");
}

#[test]
fn parameters_are_complete() {
    let template = template();
    let parameters = template["Parameters"].as_object().expect("parameters");
    let groups = &template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"];
    let grouped: Vec<&str> = groups
        .as_array()
        .expect("groups")
        .iter()
        .flat_map(|group| group["Parameters"].as_array().expect("parameters"))
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(grouped.len(), parameters.len());
    for (name, parameter) in parameters {
        assert!(grouped.contains(&&**name), "{name} is in no group");
        assert!(parameter["Description"].as_str().is_some_and(|text| text.len() > 10), "{name}");
        assert!(parameter.get("Default").is_some() || name == REQUIRED.0, "{name} has no default");
    }
}
