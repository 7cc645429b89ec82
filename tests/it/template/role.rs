//! The function's role: what the template writes, and what is left of it after SAM's translator.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use cloudfront_invalidator::local::{Options, Server};
use serde_json::{Value, json};

use super::{
    REQUIRED, stack,
    stack::{Stack, template},
};
use crate::{
    function::refusal,
    peers::Peer,
    support::{Function, s3, sqs},
    tenant_sites::every_kind,
};

/// The actions that a statement allows, and its resources.
type Statement = (BTreeSet<String>, Vec<String>);

/// Creates a statement with these actions and resources.
fn statement(actions: &[&str], resources: &[&str]) -> Statement {
    let owned = |text: &&str| (*text).to_owned();
    (actions.iter().map(owned).collect(), resources.iter().map(owned).collect())
}

/// Returns the statements in the policies of the function's role.
pub(super) fn statements(stack: &Stack) -> Vec<Statement> {
    let list = |value: &Value| match value {
        Value::Array(values) => values.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        value => vec![value.as_str().expect("text").to_owned()],
    };
    let policies = stack.properties("FunctionRole")["Policies"].clone();
    policies
        .as_array()
        .expect("policies")
        .iter()
        .flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().expect("statements"))
        .map(|statement| (list(&statement["Action"]).into_iter().collect(), list(&statement["Resource"])))
        .collect()
}

/// Returns the statement that lets the function count the paths of the month.
pub(super) fn metrics_statement() -> Statement {
    statement(&["cloudwatch:GetMetricData"], &["*"])
}

/// Returns the statements of every stack: for its queues and its log.
fn always() -> [Statement; 3] {
    let queue = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:SendMessage"];
    [
        statement(&queue, &["Queue.Arn"]),
        statement(&["sqs:SendMessage"], &["DeadLetters.Arn"]),
        statement(&["logs:CreateLogStream", "logs:PutLogEvents"], &["LogGroup.Arn"]),
    ]
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
        let mut expected = vec![(BTreeSet::from(["cloudfront:CreateInvalidation".to_owned()]), arns)];
        expected.extend(always());
        expected.push(metrics_statement());
        assert_eq!(statements(&stack), expected, "{partition}");
    }
    let any = "arn:aws:cloudfront::123456789012:distribution/*";
    let any_tenant = "arn:aws:cloudfront::123456789012:distribution-tenant/*";
    let unscoped =
        ["ListDistributions", "ListCachePolicies", "ListDistributionTenants", "GetDistributionTenant"]
            .map(|action| format!("cloudfront:{action}"));
    let mut expected = vec![
        statement(&["cloudfront:CreateInvalidation"], &[any]),
        statement(&["cloudfront:GetDistributionConfig"], &[any]),
        statement(&["cloudfront:CreateInvalidationForDistributionTenant"], &[any_tenant]),
        (unscoped.into(), vec!["*".to_owned()]),
    ];
    expected.extend(always());
    assert_eq!(statements(&stack(&[("PathsPerMonth", "0")])), expected);
    let key = "arn:aws:kms:eu-central-1:123456789012:key/1";
    let with_key = stack(&[("KeyArn", key), ("DistributionIds", "E1")]);
    assert!(statements(&with_key).contains(&statement(&["kms:Decrypt", "kms:GenerateDataKey"], &[key])));
    assert_eq!(with_key.properties("Queue")["KmsMasterKeyId"], key);
    assert_eq!(with_key.properties("Queue").get("SqsManagedSseEnabled"), None);
    assert_eq!(stack(&[]).properties("Queue")["SqsManagedSseEnabled"], true);
    let traces = statement(&["xray:PutTraceSegments", "xray:PutTelemetryRecords"], &["*"]);
    assert!(statements(&stack(&[("Tracing", "Active")])).contains(&traces));
    assert!(!statements(&stack(&[])).contains(&traces));
}

/// Parameters with which the role has every kind of statement.
const EVERYTHING: [(&str, &str); 5] = [
    ("ListBucket", "true"),
    ("SkipNew", "true"),
    ("SkipUnchangedSince", "2026-11-25"),
    ("Tracing", "Active"),
    ("KeyArn", "arn:aws:kms:ap-southeast-2:123456789012:key/12345678-1234-1234-1234-123456789012"),
];

/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
#[test]
fn the_policy_has_room_for_as_many_distributions_as_the_documentation_says() {
    let page = include_str!("../../../docs/deploy.md");
    let (before, _) = page.split_once(" distributions fit in the role").expect("a sentence");
    let most: usize = before.rsplit(' ').next().and_then(|word| word.parse().ok()).expect("a number");
    let size = |distributions: usize| {
        let ids = vec!["E1A2B3C4D5E6F7"; distributions].join(",");
        let parameters =
            [&EVERYTHING[..], &[("BucketNames", "a-bucket.example.com"), ("DistributionIds", &ids)]];
        let stack = Stack::of(&parameters.concat(), "aws");
        let policy = stack.properties("FunctionRole")["Policies"][0]["PolicyDocument"].to_string();
        // The evaluated template has `Queue.Arn` in the place of an ARN.
        let arn = "arn:aws:logs:ap-southeast-2:123456789012:log-group:cloudfront-invalidator-LogGroup-123456789012:*\"";
        policy.replace(".Arn\"", arn).len()
    };
    assert!(size(most) <= 10_240, "{}", size(most));
    assert!(size(most + 20) > 10_240, "the number is too small: {}", size(most + 20));
}

/// Returns the template as SAM's own translator leaves it for these parameters.
fn transformed(parameters: &[(&str, &str)]) -> Value {
    let script = "import boto3, json, sys
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
given = json.load(sys.stdin)
session = boto3.Session(region_name='eu-central-1')
made = Translator({}, Parser(), boto_session=session).translate(given['template'], given['parameters'])
json.dump(made, sys.stdout)";
    let mut template = template();
    template["Resources"]["Function"]["Properties"]["CodeUri"] = json!("s3://code/code.zip");
    let parameters: serde_json::Map<String, Value> =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let mut python = Command::new(Peer::programs().join("python"))
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python");
    let given = json!({"template": template, "parameters": parameters}).to_string();
    python.stdin.take().expect("its input").write_all(given.as_bytes()).expect("a write");
    let output = python.wait_with_output().expect("its output");
    assert!(output.status.success(), "SAM's translator failed: {}", output.status);
    serde_json::from_slice(&output.stdout).expect("a template in JSON")
}

/// Actions for which AWS supports no narrower resource than `*`.
const UNSCOPED: [&str; 7] = [
    "cloudfront:GetDistributionTenant",
    "cloudfront:ListCachePolicies",
    "cloudfront:ListDistributionTenants",
    "cloudfront:ListDistributions",
    "cloudwatch:GetMetricData",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
];

#[test]
#[ignore = "needs SAM's translator: make test"]
fn after_sams_translator_the_function_has_this_role_and_no_other_permission() {
    for parameters in [&[REQUIRED][..], &[&[REQUIRED][..], &EVERYTHING].concat()] {
        let written = Stack::of(parameters, "aws");
        let made = Stack::new(transformed(parameters), parameters, "aws");
        assert_eq!(made.properties("Function")["Role"], "FunctionRole.Arn");
        let kinds = |kind: &str| -> Vec<String> {
            let all = made.resources().into_iter();
            all.filter(|(_, one)| one["Type"].as_str().is_some_and(|own| own.starts_with(kind)))
                .map(|(name, _)| name)
                .collect()
        };
        assert_eq!(kinds("AWS::IAM::"), ["FunctionRole"]);
        assert_eq!(kinds("AWS::Lambda::Permission"), [""; 0]);
        assert_eq!(kinds("AWS::Lambda::EventSourceMapping"), ["FunctionChanges"]);
        let role = made.properties("FunctionRole");
        assert_eq!(role, written.properties("FunctionRole"));
        assert_eq!(role.get("ManagedPolicyArns"), None);
        for (actions, resources) in statements(&made) {
            assert!(actions.iter().all(|action| !action.contains('*')), "{actions:?}");
            if resources == ["*"] {
                assert!(actions.iter().all(|action| UNSCOPED.contains(&&**action)), "{actions:?}");
                continue;
            }
            for resource in resources {
                let account = "arn:aws:cloudfront::123456789012:";
                let objects = resource.strip_prefix("arn:aws:s3:::").and_then(|rest| rest.strip_suffix("/*"));
                let is_own = ["distribution/*", "distribution-tenant/*"]
                    .iter()
                    .any(|own| resource.strip_prefix(account) == Some(own));
                assert!(is_own || objects.is_some() || !resource.contains('*'), "{resource}");
            }
        }
    }
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
    // The rest of a batch goes into the queue.
    cloudfront.inject(Some("dt_a"), refusal(403, "AccessDenied", "no"));
    let batch = sqs([("m", s3("live/b.html", "2").to_string())]);
    assert_eq!(function.invoke(batch.to_string()).await.handed_back(), [""; 0]);
    assert_eq!(cloudfront.sent().len(), 1);
    assert!(allowed.remove("sqs:SendMessage"), "SendMessageBatch");
    // Lambda itself uses the role to poll the queue and to write the log.
    let polling = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"];
    for of_lambda in polling.into_iter().chain(["logs:CreateLogStream", "logs:PutLogEvents"]) {
        assert!(allowed.remove(of_lambda), "{of_lambda}");
    }
    assert_eq!(called, allowed);
    assert!(called.remove("cloudwatch:GetMetricData"), "with a limit of paths a month");

    // The source contains no other calls, except those that only cfadmin makes.
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cloudfront");
    let mut code = fs::read_to_string(module.with_extension("rs")).expect("a source");
    code.push_str(&fs::read_to_string(module.join("distributions.rs")).expect("a source"));
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
