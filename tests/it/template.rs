//! The SAM template: its text, evaluated as CloudFormation does, and its deployment on an emulator.

mod deployed;
mod forwarded;
mod stack;
mod turned_on;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use cloudfront_invalidator::{
    config::{Config, VARIABLES},
    local::{Options, Server},
    report::metrics,
};
use serde_json::{Value, json};

use crate::{
    function::refusal,
    support::{Function, s3, sqs},
    tenant_sites::every_kind,
};
use stack::{Stack, template};

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

/// Returns the actions and resources of each statement in the policies of the function's role.
fn statements(stack: &Stack) -> Vec<(BTreeSet<String>, Vec<String>)> {
    let list = |value: &Value| match value {
        Value::Array(values) => values.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        value => vec![value.as_str().expect("text").to_owned()],
    };
    let policies = stack.properties("Function")["Policies"].clone();
    policies
        .as_array()
        .expect("policies")
        .iter()
        .flat_map(|policy| policy["Statement"].as_array().expect("statements"))
        .map(|statement| (list(&statement["Action"]).into_iter().collect(), list(&statement["Resource"])))
        .collect()
}

/// Returns the actions and resources of the statement that lets the function count the paths of the month.
fn metrics_statement() -> (BTreeSet<String>, Vec<String>) {
    (BTreeSet::from(["cloudwatch:GetMetricData".to_owned()]), vec!["*".to_owned()])
}

#[test]
fn a_limit_of_paths_a_month_needs_metrics_and_is_shown() {
    let limit = |stack: &Stack| {
        let variables = stack.environment();
        let limit = variables.into_iter().find(|(name, _)| name == "INVALIDATOR_MONTHLY_PATHS");
        limit.expect("the variable").1
    };
    let widgets = |stack: &Stack| {
        let body = stack.properties("Dashboard")["DashboardBody"].clone();
        let body: Value = serde_json::from_str(body.as_str().expect("text")).expect("a dashboard in JSON");
        body["widgets"].as_array().expect("widgets").clone()
    };
    for (metrics, paths, expected) in
        [("true", "1000", "1000"), ("true", "50", "50"), ("true", "0", "0"), ("false", "1000", "0")]
    {
        let stack = stack(&[("Metrics", metrics), ("PathsPerMonth", paths)]);
        assert_eq!(limit(&stack), expected);
        let is_limited = expected != "0";
        assert_eq!(statements(&stack).contains(&metrics_statement()), is_limited, "{metrics} {paths}");
        assert_eq!(stack.has("ForecastAlarm"), is_limited, "{metrics} {paths}");
        if is_limited {
            assert_eq!(stack.properties("ForecastAlarm")["Threshold"], expected);
        }
        if metrics == "true" {
            let widgets = widgets(&stack);
            let lines = widgets.iter().filter_map(|one| one["properties"].get("annotations"));
            let lines: Vec<String> = lines.map(|one| one["horizontal"][0]["value"].to_string()).collect();
            let expected = if is_limited { vec![expected] } else { vec![] };
            assert_eq!(lines, expected, "{paths}");
            let place = |one: &Value, field: &str| number(&one[field]);
            let end = widgets.iter().map(|one| place(one, "y") + place(one, "height")).max();
            let area: u64 = widgets.iter().map(|one| place(one, "width") * place(one, "height")).sum();
            assert_eq!(end.map(|rows| rows * 24), Some(area), "the widgets fill all rows");
        }
    }
}

#[test]
fn the_role_lists_the_buckets_only_if_it_has_to() {
    let lists = |stack: &Stack| {
        let list = BTreeSet::from(["s3:ListBucket".to_owned()]);
        statements(stack).into_iter().find(|(actions, _)| *actions == list).map(|(_, resources)| resources)
    };
    assert_eq!(lists(&stack(&[])), None);
    for partition in ["aws", "aws-cn", "aws-eusc"] {
        let stack = Stack::of(&[("BucketNames", "site,other.site"), ("ListBucket", "true")], partition);
        let arns = ["site", "other.site"].map(|bucket| format!("arn:{partition}:s3:::{bucket}"));
        assert_eq!(lists(&stack), Some(arns.to_vec()));
    }
}

#[test]
fn the_role_is_limited_to_its_distributions_and_key() {
    for (partition, ids) in [("aws", "E1"), ("aws-cn", "E1,E2"), ("aws-eusc", "E1,E2,E3"), ("aws", "E1,E2")] {
        let stack = Stack::of(&[REQUIRED, ("DistributionIds", ids)], partition);
        let arns: Vec<String> =
            ids.split(',').map(|id| format!("arn:{partition}:cloudfront::*:distribution/{id}")).collect();
        let create = BTreeSet::from(["cloudfront:CreateInvalidation".to_owned()]);
        let send = BTreeSet::from(["sqs:SendMessage".to_owned()]);
        let expected = [(create, arns), (send, vec!["Queue.Arn".to_owned()]), metrics_statement()];
        assert_eq!(statements(&stack), expected, "{partition}");
    }
    for (actions, resources) in statements(&stack(&[("PathsPerMonth", "0")])) {
        let unscoped =
            ["ListCachePolicies", "ListDistributions", "ListDistributionTenants", "GetDistributionTenant"]
                .map(|action| format!("cloudfront:{action}"));
        if actions.contains("sqs:SendMessage") {
            assert_eq!((actions.len(), &*resources), (1, &["Queue.Arn".to_owned()][..]));
            continue;
        }
        let may_be_any = actions.iter().all(|action| unscoped.contains(action));
        let kind = if actions.iter().any(|action| action.ends_with("ForDistributionTenant")) {
            "distribution-tenant"
        } else {
            "distribution"
        };
        assert!(
            may_be_any || resources == [format!("arn:aws:cloudfront::123456789012:{kind}/*")],
            "{actions:?}"
        );
    }
    let key = "arn:aws:kms:eu-central-1:123456789012:key/1";
    let with_key = stack(&[("KeyArn", key), ("DistributionIds", "E1")]);
    let kms = BTreeSet::from(["kms:Decrypt".to_owned(), "kms:GenerateDataKey".to_owned()]);
    assert_eq!(statements(&with_key)[2], (kms, vec![key.to_owned()]));
    assert_eq!(with_key.properties("Queue")["KmsMasterKeyId"], key);
    assert_eq!(with_key.properties("Queue").get("SqsManagedSseEnabled"), None);
    assert_eq!(stack(&[]).properties("Queue")["SqsManagedSseEnabled"], true);
}

#[test]
fn the_role_may_ask_the_named_buckets_only_if_a_parameter_says_so() {
    for parameter in [("SkipUnchangedSince", "2026-11-25"), ("SkipNew", "true")] {
        for partition in ["aws", "aws-cn", "aws-eusc"] {
            let stack = Stack::of(&[("BucketNames", "one,two"), parameter], partition);
            let arn = |resource: &str| format!("arn:{partition}:s3:::{resource}");
            let resources = ["one", "two", "one/*", "two/*"].map(arn).to_vec();
            let actions = ["ListBucketVersions", "ListBucket", "GetObject", "GetObjectVersion"];
            let actions = actions.map(|action| format!("s3:{action}")).into_iter().collect();
            assert!(statements(&stack).contains(&(actions, resources)), "{partition}");
            let command = stack.output("TurnOnVersions").expect("a command");
            assert!(command.starts_with("for bucket in one two; do aws s3api put-bucket-versioning "));
        }
    }
    let asks =
        |stack: &Stack| statements(stack).iter().any(|(all, _)| all.iter().any(|one| one.starts_with("s3:")));
    assert!(!asks(&stack(&[])) && stack(&[]).output("TurnOnVersions").is_none());
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

/// The function makes every kind of call that it can make, and the policy allows exactly these.
#[tokio::test]
async fn the_role_allows_exactly_the_calls_of_the_function() {
    let account = every_kind();
    let options = Options { distributions: Vec::new(), account, ..Options::default() };
    let cloudfront = Server::start(options).await.expect("a CloudFront");
    let variables = [("INVALIDATOR_DISTRIBUTIONS", ""), ("INVALIDATOR_MONTHLY_PATHS", "1000")];
    let mut function = Function::start(&cloudfront.endpoint_url(), &variables).await;
    let batch = sqs([("m", s3("live/a.html", "1").to_string())]);
    assert_eq!(function.invoke(batch.to_string()).await.handed_back(), [""; 0]);
    let sent: BTreeSet<String> = cloudfront.recorded().into_iter().map(|one| one.distribution).collect();
    assert_eq!(sent, ["E1EXAMPLE", "dt_a"].map(str::to_owned).into());
    let created = ["CreateInvalidation", "CreateInvalidationForDistributionTenant"];
    let called = cloudfront.reads().into_iter().chain(created);
    let action = |operation: &str| match operation {
        "GetMetricData" => "cloudwatch:GetMetricData".to_owned(),
        other => format!("cloudfront:{other}"),
    };
    let mut called: BTreeSet<String> = called.map(action).collect();
    let mut allowed: BTreeSet<String> =
        statements(&stack(&[])).into_iter().flat_map(|(actions, _)| actions).collect();
    // What is left of a batch goes into the queue.
    cloudfront.inject(Some("dt_a"), refusal(403, "AccessDenied", "no"));
    let batch = sqs([("m", s3("live/b.html", "2").to_string())]);
    assert_eq!(function.invoke(batch.to_string()).await.handed_back(), [""; 0]);
    assert_eq!(cloudfront.sent().len(), 1);
    assert!(allowed.remove("sqs:SendMessage"), "SendMessageBatch");
    assert_eq!(called, allowed);
    assert!(called.remove("cloudwatch:GetMetricData"), "with a limit of paths a month");

    // The source contains no other calls, except those that only cfadmin makes.
    let room = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cloudfront");
    let mut code = fs::read_to_string(room.with_extension("rs")).expect("a source");
    code.push_str(&fs::read_to_string(room.join("distributions.rs")).expect("a source"));
    let calls =
        [".read::<", ".pages::<", "api.call::<"].into_iter().flat_map(|call| code.split(call).skip(1));
    let calls = calls.filter_map(|call| call.split_once(", _>")).map(|(operation, _)| operation);
    // Generic code passes an operation on, so a type parameter stands in the place of its name.
    let calls = calls.filter(|operation| operation.len() > 1 && operation.chars().all(char::is_alphanumeric));
    let mut calls: BTreeSet<String> = calls.map(|operation| format!("cloudfront:{operation}")).collect();
    for operation in ["GetInvalidation", "ListInvalidations"] {
        for of_cfadmin in [operation.to_owned(), format!("{operation}ForDistributionTenant")] {
            assert!(calls.remove(&format!("cloudfront:{of_cfadmin}")), "{of_cfadmin}");
        }
    }
    assert_eq!(calls, called);
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

/// Returns whether a metric with this namespace, name and dimension exists.
fn is_known(namespace: &str, name: &str, dimension: &str) -> bool {
    match (namespace, dimension) {
        ("CloudFrontInvalidator", "FunctionName") => metrics().any(|(known, _)| known == name),
        ("AWS/Lambda", "FunctionName") => ["Errors", "Throttles", "Duration"].contains(&name),
        ("AWS/Events", "RuleName") => ["FailedInvocations", "InvocationsFailedToBeSentToDlq"].contains(&name),
        ("AWS/SQS", "QueueName") => {
            ["ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"].contains(&name)
        }
        _ => false,
    }
}

#[test]
fn dashboard_and_alarms_name_metrics_that_exist() {
    let topic = "arn:aws:sns:eu-central-1:123456789012:alarms";
    let stack = stack(&[("AlarmTopic", topic)]);
    let body = stack.properties("Dashboard")["DashboardBody"].clone();
    let body: Value = serde_json::from_str(body.as_str().expect("text")).expect("a dashboard in JSON");
    let mut shown = BTreeSet::new();
    for widget in body["widgets"].as_array().expect("widgets") {
        for metric in widget["properties"]["metrics"].as_array().into_iter().flatten() {
            let part = |index: usize| metric[index].as_str().expect("text");
            assert!(is_known(part(0), part(1), part(2)), "{metric}");
            shown.insert(part(1).to_owned());
        }
    }
    for (name, _) in metrics() {
        assert!(shown.contains(name), "{name} is not on the dashboard");
    }
    let alarms = |stack: &Stack| -> BTreeMap<String, Value> {
        let all = stack.resources().into_iter();
        let alarms = all.filter(|(_, resource)| resource["Type"] == "AWS::CloudWatch::Alarm");
        alarms.map(|(name, resource)| (name, resource["Properties"].clone())).collect()
    };
    let with_topic = alarms(&stack);
    for (name, alarm) in &with_topic {
        let text = |field: &str| alarm[field].as_str().expect("text");
        let dimension = alarm["Dimensions"][0]["Name"].as_str().expect("a name");
        assert!(is_known(text("Namespace"), text("MetricName"), dimension), "{name}");
        assert_eq!(alarm["AlarmActions"], json!([topic]), "{name}");
    }
    assert_eq!(with_topic.len(), 12);
    // Without a topic, the stack has the same alarms without actions. The console shows them.
    let without = alarms(&self::stack(&[]));
    assert_eq!(without.keys().collect::<Vec<_>>(), with_topic.keys().collect::<Vec<_>>());
    assert!(without.values().all(|alarm| alarm.get("AlarmActions").is_none()));
    let failed = &without["FailedAlarm"];
    assert_eq!(failed["Period"].as_u64().zip(failed["EvaluationPeriods"].as_u64()), Some((300, 3)));
    let silent = self::stack(&[("Metrics", "false")]);
    assert!(!silent.has("Dashboard"));
    let own = |alarm: &Value| alarm["Namespace"] == "CloudFrontInvalidator";
    assert!(alarms(&silent).len() == 5 && !alarms(&silent).values().any(own));
}

#[test]
fn parameters_and_metadata_are_complete() {
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
    // <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/serverless-sam-template-publishing-applications-metadata-properties.html>
    let about = &template["Metadata"]["AWS::ServerlessRepo::Application"];
    let text = |field: &str| about[field].as_str().unwrap_or_else(|| panic!("{field}"));
    assert_eq!(text("SemanticVersion"), env!("CARGO_PKG_VERSION"));
    assert!(text("Name").len() <= 140 && text("Description").len() <= 256 && text("Author").len() <= 127);
    assert!(about["Labels"].as_array().is_some_and(|labels| labels.len() <= 10));
    for file in ["LicenseUrl", "ReadmeUrl"] {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(text(file)).is_file(), "{file}");
    }
}
