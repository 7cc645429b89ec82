//! Buckets of one account and distributions of others: the template that forwards the events, and
//! what the main template does with `EventAccount`.
//!
//! moto forwards events to the bus of another account, but drops the account that they come from.
//! ministack does not forward, but tells whether a pattern matches an event. Neither knows the
//! policies of buses.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::{
    commands, stack,
    stack::{Stack, forwarding, region, template},
};
use crate::peers::{Peer, SERVICES, send};

/// The account in which `Stack` evaluates templates.
const OWN: &str = "123456789012";

/// The account that owns the bucket in the documentation.
const OWNER: &str = "111111111111";

/// The AWS command for SQS, which ignores the endpoint in the environment.
const SQS: &str = "aws sqs --endpoint-url $AWS_ENDPOINT_URL";

fn forwards(parameters: &[(&str, &str)], partition: &str) -> Stack {
    let defaults = [("BucketNames", "site"), ("Account", "210987654321")];
    Stack::new(forwarding(), &[parameters, &defaults].concat(), partition)
}

#[test]
fn only_the_other_account_may_send_and_only_the_rule_does() {
    for partition in ["aws", "aws-cn"] {
        let region = region(partition);
        let sender = forwards(&[], partition);
        let bus = format!("arn:{partition}:events:{region}:210987654321:event-bus/default");
        let target = &sender.properties("Rule")["Targets"][0];
        assert_eq!((&target["Arn"], &target["RoleArn"]), (&json!(bus), &json!("Role.Arn")));
        assert_eq!(target["DeadLetterConfig"]["Arn"], "DeadLetters.Arn");
        let role = sender.properties("Role");
        let [trust, send] = [&role["AssumeRolePolicyDocument"], &role["Policies"][0]["PolicyDocument"]]
            .map(|policy| policy["Statement"].clone());
        let events = json!({"Service": "events.amazonaws.com"});
        let trusted = json!([{"Effect": "Allow", "Principal": events, "Action": "sts:AssumeRole"}]);
        assert_eq!(trust, trusted);
        assert_eq!(send, json!([{"Effect": "Allow", "Action": "events:PutEvents", "Resource": bus}]));
        let keep = sender.properties("DeadLettersPolicy")["PolicyDocument"]["Statement"][0].clone();
        assert_eq!(keep["Condition"], json!({"ArnEquals": {"aws:SourceArn": "Rule.Arn"}}));

        let parameters = [("BucketNames", "site"), ("EventAccount", "210987654321")];
        let statement = json!({
            "Effect": "Allow",
            "Principal": {"AWS": format!("arn:{partition}:iam::210987654321:root")},
            "Action": "events:PutEvents",
            "Resource": format!("arn:{partition}:events:{region}:{OWN}:event-bus/default"),
        });
        let policy = Stack::of(&parameters, partition).properties("BusPolicy");
        assert_eq!(policy, json!({"StatementId": "invalidator-id", "Statement": statement}));
    }
    for own in ["", OWN] {
        assert!(!stack(&[("EventAccount", own)]).has("BusPolicy"), "{own:?}");
    }
}

#[test]
fn the_forwarded_events_are_those_that_the_other_account_expects() {
    for (buckets, prefix) in [("site", ""), ("one,two", "live/")] {
        let parameters = [("BucketNames", buckets), ("KeyPrefix", prefix)];
        let pattern = |stack: &Stack| stack.properties("Rule")["EventPattern"].clone();
        let sent = pattern(&forwards(&parameters, "aws"));
        assert_eq!(sent["account"], json!([OWN]));
        // The receiving stack is evaluated in `OWN` too, and expects events from elsewhere.
        let received = |account| {
            let parameters = [&parameters[..], &[("EventAccount", account)]].concat();
            pattern(&Stack::of(&parameters, "aws"))
        };
        assert_eq!(received("210987654321")["account"], json!(["210987654321"]));
        assert_eq!(received(OWN), sent);
    }
    let [sender, receiver] = [forwarding(), template()].map(|template| template["Parameters"].clone());
    for shared in ["BucketNames", "KeyPrefix", "AlarmTopic"] {
        for field in ["Type", "AllowedPattern", "MaxLength", "Default"] {
            assert_eq!(sender[shared][field], receiver[shared][field], "{field} of {shared}");
        }
    }
}

#[test]
fn the_command_that_turns_on_events_is_an_output_in_the_account_of_the_buckets() {
    let sender = forwards(&[("BucketNames", "one,two")], "aws");
    let own = Stack::of(&[("BucketNames", "one,two")], "aws");
    assert!(own.output("TurnOnEvents").is_some());
    assert_eq!(sender.output("TurnOnEvents"), own.output("TurnOnEvents"));
    assert_eq!(stack(&[("EventAccount", OWN)]).output("TurnOnEvents"), stack(&[]).output("TurnOnEvents"));
    assert_eq!(stack(&[("EventAccount", "210987654321")]).output("TurnOnEvents"), None);
    assert_eq!(sender.violations(), [""; 0]);
    assert_eq!(forwards(&[("Account", OWN)], "aws").violations(), ["AccountIsAnother"]);
}

/// Returns the project's folder, in which the commands of the documentation run.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A caller of moto or ministack, in an account of its own.
struct Caller<'a> {
    aws: &'a Peer,
    variables: Vec<(&'a str, String)>,
}

impl<'a> Caller<'a> {
    /// Creates the caller that moto has by default.
    fn default_of(aws: &'a Peer) -> Self {
        Self { aws, variables: Vec::new() }
    }

    /// Returns a caller in another account of moto.
    fn in_account(&self, account: &str) -> Self {
        let role = format!("arn:aws:iam::{account}:role/tests");
        let made = self.run(&format!("aws sts assume-role --role-arn {role} --role-session-name tests"));
        let key = |name: &str| made["Credentials"][name].as_str().expect("a key").to_owned();
        let variables = [
            ("AWS_ACCESS_KEY_ID", "AccessKeyId"),
            ("AWS_SECRET_ACCESS_KEY", "SecretAccessKey"),
            ("AWS_SESSION_TOKEN", "SessionToken"),
        ];
        Self { aws: self.aws, variables: variables.map(|(variable, name)| (variable, key(name))).to_vec() }
    }

    #[track_caller]
    fn run(&self, command: &str) -> Value {
        let variables: Vec<(&str, &str)> =
            self.variables.iter().map(|(name, value)| (*name, &**value)).collect();
        self.aws.run(root(), &variables, command)
    }

    /// Creates a queue that gets all events of S3 on the account's default bus.
    fn listen(&self) {
        let made = self.run(&format!("{SQS} create-queue --queue-name seen"));
        let url = made["QueueUrl"].as_str().expect("a URL");
        let seen = self.run(&format!("{SQS} get-queue-attributes --queue-url {url} --attribute-names All"));
        let arn = seen["Attributes"]["QueueArn"].as_str().expect("an ARN");
        self.run(r#"aws events put-rule --name all --event-pattern '{"source": ["aws.s3"]}'"#);
        self.run(&format!("aws events put-targets --rule all --targets Id=seen,Arn={arn}"));
    }

    /// Returns the events in the queue.
    fn heard(&self) -> Vec<Value> {
        let url = self.run(&format!("{SQS} get-queue-url --queue-name seen"));
        let url = url["QueueUrl"].as_str().expect("a URL");
        let command = format!("{SQS} receive-message --queue-url {url} --max-number-of-messages 10");
        let received = self.run(&command);
        let bodies = received["Messages"].as_array().into_iter().flatten();
        bodies
            .map(|message| serde_json::from_str(message["Body"].as_str().expect("text")).expect("JSON"))
            .collect()
    }

    /// Puts objects into the bucket and deletes one.
    fn change(&self, bucket: &str) {
        for key in ["live/a b+ü.html", "live/gone", "other"] {
            self.run(&format!("aws s3api put-object --bucket {bucket} --key '{key}'"));
        }
        self.run(&format!("aws s3api delete-object --bucket {bucket} --key live/gone"));
    }
}

/// Returns whether the pattern matches the event, as this account of ministack says.
fn is_match(ministack: &Peer, account: &str, pattern: &Value, event: &Value) -> bool {
    let head = "POST / HTTP/1.1\r\nContent-Type: application/x-amz-json-1.1\r\n\
                X-Amz-Target: AWSEvents.TestEventPattern";
    let body = json!({"EventPattern": pattern.to_string(), "Event": event.to_string()});
    let answer = send(ministack.endpoint(), head, (account, "events"), &body.to_string());
    let (_, result) = answer.split_once("\r\n\r\n").expect("a body");
    let result: Value = serde_json::from_str(result).unwrap_or_else(|error| panic!("{error}: {answer}"));
    result["Result"].as_bool().expect("a result")
}

/// The events that `Caller::change` causes in the bucket of the documentation, as `changes` shows
/// them.
const CHANGES: [&str; 4] = [
    "Object Created my-bucket live/a b+ü.html",
    "Object Created my-bucket live/gone",
    "Object Created my-bucket other",
    "Object Deleted my-bucket live/gone",
];

/// Returns the kind, bucket and key of each event, sorted.
fn changes(events: &[Value]) -> Vec<String> {
    let change = |event: &Value| {
        let detail = &event["detail"];
        let [kind, bucket, key] =
            [&event["detail-type"], &detail["bucket"]["name"], &detail["object"]["key"]]
                .map(|part| part.as_str().expect("text"));
        format!("{kind} {bucket} {key}")
    };
    let mut changes: Vec<String> = events.iter().map(change).collect();
    changes.sort_unstable();
    changes
}

#[test]
#[ignore = "needs moto_server: make test"]
fn the_commands_of_the_documentation_forward_changes_to_two_accounts() {
    let moto = Peer::moto();
    let owner = Caller::default_of(&moto);
    let others = ["222222222222", "333333333333"].map(|account| owner.in_account(account));
    for bucket in ["my-bucket", "unrelated"] {
        owner.run(&format!("aws s3api create-bucket --bucket {bucket}"));
    }
    others.iter().for_each(Caller::listen);
    owner.run(commands("templates/forward-events.yaml"));
    for bucket in ["my-bucket", "unrelated"] {
        // `TurnOnEvents` runs on ministack, because moto has no outputs of a stack that is deployed by
        // a change set.
        owner.run(&format!(
            "aws s3api put-bucket-notification-configuration --bucket {bucket} --notification-configuration \
             EventBridgeConfiguration={{}}"
        ));
        owner.change(bucket);
    }
    for other in &others {
        assert_eq!(changes(&other.heard()), CHANGES);
    }
}

#[test]
#[ignore = "needs ministack: make test"]
fn both_rules_match_the_changes_of_the_account_that_owns_the_bucket_and_of_no_other() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("forwarded");
    fs::create_dir_all(&folder).expect("a folder");
    let ministack = Peer::ministack_with(SERVICES, &folder);
    // ministack takes an access key of twelve digits as the number of the account.
    let owner = Caller { aws: &ministack, variables: vec![("AWS_ACCESS_KEY_ID", OWNER.to_owned())] };
    owner.run("aws s3api create-bucket --bucket my-bucket");
    owner.listen();
    owner.run(commands("templates/forward-events.yaml"));
    owner.run(commands("--stack-name forward-events-222222222222"));
    owner.change("my-bucket");
    let mut events = owner.heard();
    assert_eq!(events.len(), 4, "{events:?}");
    let mut other_kind = events[0].clone();
    other_kind["detail-type"] = json!("Object Tags Added");
    events.push(other_kind);

    let rules = owner.run("aws events list-rules --name-prefix forward");
    assert_eq!(rules["Rules"].as_array().map(Vec::len), Some(2));
    let sent = rules["Rules"][0]["EventPattern"].as_str().expect("a pattern");
    let sent: Value = serde_json::from_str(sent).expect("JSON");
    let received = |account, prefix| {
        let parameters = [("BucketNames", "my-bucket"), ("EventAccount", account), ("KeyPrefix", prefix)];
        Stack::of(&parameters, "aws").properties("Rule")["EventPattern"].clone()
    };
    let [of_all, below_live] = [&CHANGES[..], &[CHANGES[0], CHANGES[1], CHANGES[3]]];
    for (pattern, expected) in [
        (sent, of_all),
        (received(OWNER, ""), of_all),
        (received(OWNER, "live/"), below_live),
        (received("222222222222", ""), &[]),
        (received("", ""), &[]),
    ] {
        let matching = events.iter().filter(|event| is_match(&ministack, OWNER, &pattern, event));
        assert_eq!(changes(&matching.cloned().collect::<Vec<_>>()), expected, "{pattern}");
    }
}
