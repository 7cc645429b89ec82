//! Deploys the whole template on ministack, an emulator of AWS by other authors. It accepts the SAM
//! template, runs the real binary as the function, and fills the queue when the AWS command line
//! puts objects.
//!
//! ministack allows a call only if the policies do: each call of the function needs its role, and S3 needs the
//! policy of the queue. It does not check what EventBridge sends and what Lambda polls. These tests do not
//! cover what only the real CloudFront does.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::stack::template;
use crate::{peers::Peer, support::binary};

/// An account on ministack with a distribution, and a folder for files.
pub(super) struct Account {
    aws: Peer,
    folder: PathBuf,
    distribution: String,
}

/// The configuration of the account's distribution, whose origin is a bucket.
const DISTRIBUTION: &str = r#"{
    "CallerReference": "site", "Comment": "", "Enabled": true, "DefaultRootObject": "index.html",
    "Origins": {"Quantity": 1, "Items": [{
        "Id": "site", "DomainName": "site.s3.us-east-1.amazonaws.com", "OriginPath": "/live",
        "S3OriginConfig": {"OriginAccessIdentity": ""}
    }]},
    "DefaultCacheBehavior": {
        "TargetOriginId": "site", "ViewerProtocolPolicy": "allow-all",
        "CachePolicyId": "658327ea-f89d-4fab-a63d-7e88639e58f6"
    }
}"#;

/// The bucket for the function's code.
const CODE: &str = "code";

impl Account {
    /// Starts ministack with a distribution and the function's code, in a folder with this name.
    pub(super) fn new(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).expect("a folder");
        let aws = Peer::ministack_with_policies(&folder);
        let mut account = Self { aws, folder, distribution: String::new() };
        account.file("distribution.json", DISTRIBUTION);
        let made =
            account.run("aws cloudfront create-distribution --distribution-config file://distribution.json");
        made["Distribution"]["Id"].as_str().expect("an id").clone_into(&mut account.distribution);
        fs::copy(binary(), account.folder.join("bootstrap")).expect("a copy");
        account.run("rm -f code.zip && python3 -m zipfile -c code.zip bootstrap");
        account.run(&format!("aws s3api create-bucket --bucket {CODE}"));
        account.run(&format!("aws s3api put-object --bucket {CODE} --key code.zip --body code.zip"));
        account
    }

    fn file(&self, name: &str, content: &str) {
        fs::write(self.folder.join(name), content).expect("a file");
    }

    /// Runs a shell command in the account's folder, as `Peer::run` does.
    #[track_caller]
    pub(super) fn run(&self, command: &str) -> Value {
        self.aws.run(&self.folder, &[], command)
    }

    /// Deploys the template, and returns the outputs of the stack. Unless the parameters say otherwise, the
    /// allowance of paths is so large that it makes no difference.
    fn deploy(&self, parameters: &[(&str, &str)]) -> Outputs {
        let mut template = template();
        template["Resources"]["Function"]["Properties"]["CodeUri"] = json!(format!("s3://{CODE}/code.zip"));
        // ministack wants an action for SendMessageBatch that IAM does not have.
        let policy =
            &mut template["Resources"]["FunctionRole"]["Properties"]["Policies"][0]["PolicyDocument"];
        let statements = policy["Statement"].as_array_mut().expect("statements").iter_mut();
        let mut actions = statements.filter_map(|statement| statement["Action"].as_array_mut());
        let actions = actions.find(|all| all.iter().any(|action| *action == "sqs:ReceiveMessage"));
        actions.expect("the queue's statement").push(json!("sqs:SendMessageBatch"));
        // ministack knows no Fn::Join in conditions, and has the list as text.
        template["Conditions"]["LooksUp"] = json!({"Fn::Equals": [{"Ref": "DistributionIds"}, ""]});
        self.file("template.json", &template.to_string());
        let always = [("BucketNames", "site"), ("Architecture", "x86_64"), ("BatchingWindow", "1")];
        let is_given = |name: &str| parameters.iter().any(|(given, _)| *given == name);
        let allowance = Some(("PathsPerMonth", "100000")).filter(|(name, _)| !is_given(name));
        let given: Vec<Value> = always
            .iter()
            .chain(parameters)
            .chain(&allowance)
            .map(|(name, value)| json!({"ParameterKey": name, "ParameterValue": value}))
            .collect();
        self.file("parameters.json", &json!(given).to_string());
        self.run(
            "aws cloudformation create-stack --stack-name invalidator \
             --capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND \
             --template-body file://template.json --parameters file://parameters.json",
        );
        let stack = self.wait("stack", || {
            let stacks = self.run("aws cloudformation describe-stacks --stack-name invalidator");
            let stack = stacks["Stacks"][0].clone();
            let status = stack["StackStatus"].as_str().expect("a status");
            assert!(["CREATE_IN_PROGRESS", "CREATE_COMPLETE"].contains(&status), "{stack}");
            (status == "CREATE_COMPLETE").then_some(stack)
        });
        Outputs(stack["Outputs"].clone())
    }

    fn wait<T>(&self, what: &str, look: impl Fn() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(seen) = look() {
                return seen;
            }
            assert!(
                begun.elapsed() < Duration::from_mins(1),
                "no {what} within a minute: {}",
                self.folder.display()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Puts objects and deletes one. Waits until those that the distribution serves are purged, and
    /// checks that nothing else is.
    pub(super) fn purges_changes(&self) {
        self.file("object", "content");
        for key in
            ["live/a b+c.html", "live/ü/index.html", "other/x.html", "live/index.html", "live/gone.html"]
        {
            self.run(&format!("aws s3api put-object --bucket site --key '{key}' --body object"));
        }
        self.run("aws s3api delete-object --bucket site --key live/gone.html");
        let expected = [
            "/",
            "/%C3%BC/",
            "/%C3%BC/index.html",
            "/a%20b%2Bc.html",
            "/a+b%2Bc.html",
            "/gone.html",
            "/index.html",
        ];
        let purged = self.wait("purged paths", || {
            let mut paths = self.purged();
            paths.dedup();
            (paths.len() >= expected.len()).then_some(paths)
        });
        assert_eq!(purged, expected);
    }

    /// Returns the paths of all invalidations, sorted.
    fn purged(&self) -> Vec<String> {
        let of = format!("--distribution-id {}", self.distribution);
        let listed = self.run(&format!("aws cloudfront list-invalidations {of}"));
        let mut paths: Vec<String> = Vec::new();
        for one in listed["InvalidationList"]["Items"].as_array().into_iter().flatten() {
            let id = one["Id"].as_str().expect("an id");
            let seen = self.run(&format!("aws cloudfront get-invalidation {of} --id {id}"));
            let items = seen["Invalidation"]["InvalidationBatch"]["Paths"]["Items"].clone();
            paths.extend(items.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
        }
        paths.sort_unstable();
        paths
    }

    /// Returns the attributes of a queue.
    fn attributes(&self, queue: &str) -> Value {
        let command = format!(
            "aws sqs --endpoint-url $AWS_ENDPOINT_URL get-queue-attributes --queue-url {queue} \
             --attribute-names All"
        );
        self.run(&command)["Attributes"].clone()
    }

    /// Waits until the function has processed all messages of a queue.
    fn wait_until_empty(&self, queue: &str) {
        self.wait("empty queue", || {
            let attributes = self.attributes(queue);
            let is_zero = |state: &str| attributes[format!("ApproximateNumberOfMessages{state}")] == "0";
            ["", "NotVisible", "Delayed"].into_iter().all(is_zero).then_some(())
        });
    }
}

/// The outputs of a stack.
struct Outputs(Value);

impl Outputs {
    fn get(&self, name: &str) -> &str {
        let mut all = self.0.as_array().expect("outputs").iter();
        let output = all.find(|output| output["OutputKey"] == name);
        output.unwrap_or_else(|| panic!("no output {name}"))["OutputValue"].as_str().expect("text")
    }
}

#[test]
#[ignore = "needs ministack: make test"]
fn changes_in_an_existing_bucket_are_purged_after_the_command() {
    let account = Account::new("existing");
    account.run("aws s3api create-bucket --bucket site");
    let others = json!({"QueueConfigurations": [{
        "Id": "somebody-else",
        "QueueArn": "arn:aws:sqs:us-east-1:000000000000:somebody-else",
        "Events": ["s3:ObjectCreated:*"],
    }]});
    account.run("aws sqs --endpoint-url $AWS_ENDPOINT_URL create-queue --queue-name somebody-else");
    // S3 may not send to that queue, so it would refuse the configuration if it checked.
    account.run(&format!(
        "aws s3api put-bucket-notification-configuration --bucket site --skip-destination-validation \
         --notification-configuration '{others}'"
    ));
    let outputs = account.deploy(&[("KeyPrefix", "live/")]);
    account.run(outputs.get("TurnOnEvents"));
    let now = account.run("aws s3api get-bucket-notification-configuration --bucket site");
    assert_eq!(now["EventBridgeConfiguration"], json!({}));
    assert_eq!(now["QueueConfigurations"][0]["Id"], "somebody-else", "other notifications stay");
    account.purges_changes();
}

#[test]
#[ignore = "needs ministack: make test"]
fn changes_in_a_new_bucket_are_purged_by_its_notifications() {
    let account = Account::new("new");
    account.deploy(&[("CreateBucket", "true"), ("Trigger", "Notifications"), ("KeyPrefix", "live/")]);
    account.purges_changes();
}

#[test]
#[ignore = "needs ministack: make test"]
fn a_site_that_is_synchronized_again_is_purged_where_it_differs() {
    let account = Account::new("sync");
    let given =
        [("CreateBucket", "true"), ("Trigger", "Notifications"), ("SkipUnchangedSince", "2026-01-01")];
    let outputs = account.deploy(&given);
    // As a fresh checkout does, this gives every file another time.
    let sync = "find checkout -type f -exec touch {} + && aws s3 sync checkout s3://site/live && sleep 1";
    account.run("rm -rf checkout && mkdir -p checkout/docs");
    let pages: Vec<String> = (0..20).map(|number| format!("checkout/docs/{number}.html")).collect();
    for page in &pages {
        account.file(page, page);
    }
    // A version before the last change of the distribution does not count.
    account.run("sleep 2");
    account.run(sync);
    account.wait_until_empty(outputs.get("Queue"));
    let first = account.purged();
    assert_eq!(first.len(), 20, "{first:?}");

    account.run("echo other > checkout/docs/3.html && echo other > checkout/docs/15.html");
    account.run(sync);
    account.wait_until_empty(outputs.get("Queue"));
    let mut second = account.purged();
    for path in &first {
        second.remove(second.iter().position(|one| one == path).expect("the same path"));
    }
    assert_eq!(second, ["/docs/15.html", "/docs/3.html"]);
}

#[test]
#[ignore = "needs ministack: make test"]
fn few_paths_are_sent_once_the_month_has_no_more() {
    let account = Account::new("allowance");
    account.run(
        "aws cloudwatch put-metric-data --namespace CloudFrontInvalidator --metric-name Paths --value 5000",
    );
    let given = [("CreateBucket", "true"), ("Trigger", "Notifications"), ("PathsPerMonth", "1000")];
    let outputs = account.deploy(&given);
    account.run("rm -rf checkout && mkdir -p checkout");
    for number in 0..30 {
        account.file(&format!("checkout/{number}.html"), "content");
    }
    account.run("aws s3 cp --recursive checkout s3://site/live");
    account.wait("purged path", || (!account.purged().is_empty()).then_some(()));
    account.run("sleep 3");
    // Each environment sends one path, and the other changes wait for ten minutes.
    let purged = account.purged();
    assert!(purged.len() <= 2, "{purged:?}");
    let delayed = account.attributes(outputs.get("Queue"))["ApproximateNumberOfMessagesDelayed"].clone();
    assert_ne!(delayed, "0", "what is left waits in the queue");
}

#[test]
#[ignore = "needs ministack: make test"]
fn what_the_role_does_not_allow_is_refused() {
    let account = Account::new("denied");
    let ids = account.distribution.clone();
    let own = [("DistributionIds", &*ids), ("OriginPath", "/live")];
    let outputs =
        account.deploy(&[&[("CreateBucket", "true"), ("Trigger", "Notifications")][..], &own].concat());
    account.file("object", "content");
    let put =
        |key: &str| account.run(&format!("aws s3api put-object --bucket site --key {key} --body object"));
    put("live/before.html");
    account.wait("purged path", || (account.purged() == ["/before.html"]).then_some(()));

    let roles = account.run("aws iam list-roles")["Roles"].clone();
    let roles = roles.as_array().expect("roles");
    let is_own = |role: &&Value| role["RoleName"].as_str().is_some_and(|name| name.contains("FunctionRole"));
    let role = roles.iter().find(is_own).expect("the function's role");
    let name = role["RoleName"].as_str().expect("a name");
    let arn = role["Arn"].as_str().expect("an ARN");
    // Lambda polls with the role. ministack polls without it, but tells what it allows.
    let decision = |resource: &str, actions: &str| {
        let asked = account.run(&format!(
            "aws iam simulate-principal-policy --policy-source-arn {arn} --resource-arns {resource} \
             --action-names {actions}"
        ));
        let results = asked["EvaluationResults"].as_array().expect("results").clone();
        results.iter().all(|result| result["EvalDecision"] == "allowed")
    };
    let queue = outputs.get("QueueArn");
    let polling = "sqs:ReceiveMessage sqs:DeleteMessage sqs:GetQueueAttributes";
    assert!(decision(queue, polling));
    assert!(!decision("arn:aws:sqs:us-east-1:000000000000:other", polling));
    let groups = account.run("aws logs describe-log-groups");
    let group = groups["logGroups"][0]["logGroupName"].as_str().expect("a name");
    let stream = format!("arn:aws:logs:us-east-1:000000000000:log-group:{group}:log-stream:one");
    assert!(decision(&stream, "logs:PutLogEvents"));

    let get = format!("aws iam get-role-policy --role-name {name} --policy-name invalidator");
    let mut policy = account.run(&get)["PolicyDocument"].clone();
    let statements = policy["Statement"].as_array_mut().expect("statements");
    let count = statements.len();
    statements.retain(|statement| statement["Action"] != "cloudfront:CreateInvalidation");
    assert_eq!(statements.len() + 1, count);
    account.file("policy.json", &policy.to_string());
    account.run(&format!(
        "aws iam put-role-policy --role-name {name} --policy-name invalidator --policy-document \
         file://policy.json"
    ));
    put("live/after.html");
    let log = format!("aws logs filter-log-events --log-group-name {group}");
    account.wait("refusal in the log", || {
        account.run(&log).to_string().contains("CloudFrontDenied").then_some(())
    });
    assert_eq!(account.purged(), ["/before.html"]);
}
