//! Judges the parts of the chain.

use cloudfront_invalidator::{
    bucket::{Destination, Notifications, Readiness, Versioning},
    discover::Target,
    event::Key,
    lambda::{Function, Mapping},
    queue::Attributes,
    site::{Distribution, Origin},
    text::counted,
    watch::Unwatched,
};

use super::{
    Check, Verdict,
    chain::{Chain, Fed, Read, Reading, stands_for},
};
use crate::objects;

/// The kinds of events that change what viewers get, each with its types.
///
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations.html>
const EVENTS: [(&str, &[&str]); 3] = [
    ("s3:ObjectCreated", &["Put", "Post", "Copy", "CompleteMultipartUpload"]),
    ("s3:ObjectRemoved", &["Delete", "DeleteMarkerCreated"]),
    ("s3:LifecycleExpiration", &["Delete", "DeleteMarkerCreated"]),
];

/// The service by which EventBridge sends to a queue, as policies name it.
const EVENT_BRIDGE: &str = "events.amazonaws.com";

/// Everyone, as policies name it.
const EVERYONE: &str = "*";

/// The answer of a function that names the messages that failed.
const PARTIAL_ANSWER: &str = "ReportBatchItemFailures";

/// The number of receives that AWS recommends as a minimum before a message goes to the dead-letter queue.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html>
const FEWEST_RECEIVES: u64 = 5;

/// The options of the caller's connection, for commands to copy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options<'a> {
    /// The options of `cfadmin`.
    pub(super) own: &'a str,
    /// The profile, as an option of the AWS CLI.
    pub(super) profile: &'a str,
}

impl Options<'_> {
    /// Returns a command of the AWS CLI for something in a region.
    fn aws(self, command: &str, region: &str) -> String {
        format!("aws {command} --region {region}{}", self.profile)
    }
}

/// Returns the checks of a chain, in its order.
pub(super) fn of(chain: &Chain, options: Options<'_>) -> Vec<Check> {
    let mut checks = vec![of_bucket(chain, options)];
    match &chain.functions {
        Err(why) => checks.push(unknown("function", why)),
        Ok(functions) if functions.is_empty() => {
            let text = format!("no function in {} has s3://{} in its settings", chain.region, chain.bucket);
            checks.push(wrong(
                "function",
                text,
                "deploy the stack in this region, or name the function with --function",
            ));
        }
        Ok(functions) => {
            for reading in functions {
                checks.extend(of_function(reading, &chain.bucket, options));
                checks.extend(of_queues(reading, chain, options));
                checks.extend(of_distributions(reading, chain));
                checks.extend(of_versions(reading, chain.readiness.as_ref()));
            }
        }
    }
    checks
}

fn check(part: &'static str, verdict: Verdict, text: impl Into<String>) -> Check {
    Check { part, verdict, text: text.into(), next: None }
}

fn ok(part: &'static str, text: impl Into<String>) -> Check {
    check(part, Verdict::Ok, text)
}

fn note(part: &'static str, text: impl Into<String>) -> Check {
    check(part, Verdict::Note, text)
}

fn unknown(part: &'static str, text: impl Into<String>) -> Check {
    check(part, Verdict::Unknown, text)
}

fn wrong(part: &'static str, text: impl Into<String>, next: impl Into<String>) -> Check {
    Check { next: Some(next.into()), ..check(part, Verdict::Wrong, text) }
}

/// Checks whether the events of the bucket reach the queues or the functions.
fn of_bucket(chain: &Chain, options: Options<'_>) -> Check {
    const PART: &str = "bucket";
    let name = format!("s3://{}", chain.bucket);
    let found = match &chain.notifications {
        Ok(found) => found,
        Err(why) => return unknown(PART, why),
    };
    let readings: Vec<&Reading> = chain.functions.iter().flatten().collect();
    let queues: Vec<&Fed> =
        readings.iter().flat_map(|reading| reading.queues()).map(|(_, fed)| fed).collect();
    let senders: Vec<&str> = queues
        .iter()
        .filter_map(|fed| fed.attributes.as_ref().ok())
        .flat_map(|attributes| attributes.senders.iter().map(String::as_str))
        .collect();
    let accepts = |service: &str| senders.iter().any(|sender| [service, EVERYONE].contains(sender));
    let is_ours = |destination: &&Destination| {
        queues.iter().any(|fed| fed.arn == destination.arn)
            || readings.iter().any(|reading| reading.function.arn == destination.arn)
    };
    let direct: Vec<&Destination> = found.destinations.iter().filter(is_ours).collect();
    if !direct.is_empty() {
        return of_direct(&name, &direct, found.event_bridge && accepts(EVENT_BRIDGE));
    }
    let are_known = chain.functions.is_ok()
        && readings.iter().all(|reading| reading.mappings.is_ok())
        && queues.iter().all(|fed| fed.attributes.is_ok());
    match found.event_bridge {
        true if are_known && !queues.is_empty() && !accepts(EVENT_BRIDGE) => wrong(
            PART,
            format!("{name} sends its events to EventBridge, from which the queue accepts none"),
            "deploy the stack with Trigger=EventBridge",
        ),
        true => ok(PART, format!("{name} sends its events to EventBridge")),
        false if !are_known => {
            let text =
                format!("{name} does not send its events to EventBridge, and the rest could not be read");
            unknown(PART, text)
        }
        false if !found.destinations.is_empty() && senders.iter().any(|one| *one != EVENT_BRIDGE) => {
            let arns: Vec<&str> = found.destinations.iter().map(|one| &*one.arn).collect();
            let text = format!("{name} does not send its events to EventBridge, but to {}", arns.join(", "));
            Check {
                next: Some(format!(
                    "if the events do not come from there, run cfadmin enable {name}{}",
                    options.own
                )),
                ..unknown(PART, text)
            }
        }
        false => wrong(
            PART,
            format!("{name} does not send its events to EventBridge"),
            format!("cfadmin enable {name}{}", options.own),
        ),
    }
}

/// Checks the notifications that come directly from the bucket. `come_twice` says whether EventBridge sends the same.
fn of_direct(name: &str, direct: &[&Destination], come_twice: bool) -> Check {
    const PART: &str = "bucket";
    let reports = |kind: &str, one: &str| {
        let event = format!("{kind}:{one}");
        direct.iter().any(|destination| destination.events.contains(&event))
    };
    let missing: Vec<String> = EVENTS
        .iter()
        .filter(|(kind, types)| !reports(kind, "*") && !types.iter().all(|one| reports(kind, one)))
        .map(|(kind, _)| format!("{kind}:*"))
        .collect();
    if come_twice {
        return note(
            PART,
            format!("{name} sends its events to EventBridge and to the queue, so they come twice"),
        );
    }
    if !missing.is_empty() {
        return wrong(
            PART,
            format!("{name} does not notify the queue of {}", missing.join(", ")),
            "add these events to its notification configuration",
        );
    }
    let mut filters: Vec<String> = direct
        .iter()
        .filter(|one| !one.prefix.is_empty() || !one.suffix.is_empty())
        .map(|one| format!("{}*{}", one.prefix, one.suffix))
        .collect();
    filters.dedup();
    let only =
        if filters.is_empty() { String::new() } else { format!(", of keys {} only", filters.join(", ")) };
    ok(PART, format!("{name} notifies the queue{only}"))
}

/// Checks a function and its settings.
fn of_function(reading: &Reading, bucket: &str, options: Options<'_>) -> Vec<Check> {
    const PART: &str = "function";
    let function = &reading.function;
    let name = &function.name;
    let mut checks = Vec::new();
    let because = |reason: &Option<String>| reason.as_ref().map_or(String::new(), |why| format!(": {why}"));
    if !reading.is_invalidator {
        let text = format!("{name} is another program: it has no INVALIDATOR_ variables");
        return vec![wrong(PART, text, "name the function of the stack, which is in its output Function")];
    }
    match (function.state.as_deref(), function.last_update_status.as_deref()) {
        // An inactive function starts with its next event.
        (Some(state), _) if !["Active", "Inactive", "Pending"].contains(&state) => {
            let text = format!("the state of {name} is {state}{}", because(&function.state_reason));
            checks.push(wrong(PART, text, "deploy the stack again"));
        }
        (_, Some("Failed")) => {
            checks.push(wrong(
                PART,
                format!("the last update of {name} failed{}", because(&function.last_update_status_reason)),
                "deploy the stack again",
            ));
        }
        _ => {}
    }
    match &reading.reserved {
        Ok(Some(0)) => checks.push(wrong(
            PART,
            format!("{name} is turned off: its reserved concurrency is 0"),
            options.aws(&format!("lambda delete-function-concurrency --function-name {name}"), function.region()),
        )),
        Ok(Some(1)) => checks.push(note(
            PART,
            format!("{name} has a reserved concurrency of 1, while the queue invokes it twice: throttled messages come later"),
        )),
        Ok(_) => {}
        Err(why) => checks.push(unknown(PART, why)),
    }
    let redeploy = "correct the parameters, and deploy the stack again";
    match &reading.config {
        None => {
            let text = format!(
                "the settings of {name} are encrypted with a key that you may not use; allow kms:Decrypt"
            );
            checks.push(unknown(PART, text));
        }
        Some(Err(problems)) => {
            checks
                .extend(problems.0.iter().map(|problem| wrong(PART, format!("{name}: {problem}"), redeploy)));
        }
        Some(Ok(config)) => {
            let change = objects::change(bucket, Key::from(b"a".to_vec()), false);
            if config.policy.watch.ignores(&change) == Some(Unwatched::Bucket) {
                let next = "add the bucket to BucketNames, and deploy the stack again";
                checks.push(wrong(PART, format!("{name} ignores changes in s3://{bucket}"), next));
            }
            if config.dry_run {
                let text = format!("{name} purges nothing: it is in a dry run");
                checks.push(wrong(PART, text, "deploy the stack with DryRun=false"));
            }
        }
    }
    if checks.is_empty() {
        checks.push(ok(PART, format!("{name} is ready, and its settings are valid")));
    }
    checks
}

/// Checks the queues that feed a function, and their dead letters.
fn of_queues(reading: &Reading, chain: &Chain, options: Options<'_>) -> Vec<Check> {
    const PART: &str = "queue";
    let name = &reading.function.name;
    let mappings = match &reading.mappings {
        Ok(mappings) => mappings,
        Err(why) => return vec![unknown(PART, why)],
    };
    if !mappings.iter().any(|(_, fed)| fed.is_some()) {
        let is_invoked =
            |found: &Notifications| found.destinations.iter().any(|one| one.arn == reading.function.arn);
        if chain.notifications.as_ref().is_ok_and(is_invoked) {
            let text =
                format!("S3 invokes {name} without a queue, so each object is an invalidation of its own");
            return vec![note(PART, text)];
        }
        let text = format!("no queue feeds {name}, so its events come in another way, or not at all");
        return vec![Check {
            next: Some("deploy the stack again, unless the function has another trigger".to_owned()),
            ..unknown(PART, text)
        }];
    }
    let mut checks = Vec::new();
    for (mapping, fed) in reading.queues() {
        checks.extend(of_queue(mapping, fed, &reading.function, options));
        if let Some((arn, attributes)) = &fed.dead {
            checks.push(of_dead_letters(arn, attributes, options));
        }
    }
    checks
}

fn of_queue(mapping: &Mapping, fed: &Fed, function: &Function, options: Options<'_>) -> Vec<Check> {
    const PART: &str = "queue";
    let name = last(&fed.arn);
    let mut checks = Vec::new();
    let state = mapping.state.as_deref().unwrap_or("Enabled");
    if ["Disabled", "Disabling"].contains(&state) {
        checks.push(wrong(
            PART,
            format!("Lambda does not poll {name}: the event source mapping is {}", state.to_lowercase()),
            options.aws(
                &format!("lambda update-event-source-mapping --uuid {} --enabled", mapping.id),
                function.region(),
            ),
        ));
    }
    if !mapping.function_response_types.iter().any(|kind| kind == PARTIAL_ANSWER) {
        let text = format!("Lambda takes every message of {name} for done: {PARTIAL_ANSWER} is missing");
        checks.push(wrong(PART, text, "add it to the FunctionResponseTypes of the event source mapping"));
    }
    let attributes = match &fed.attributes {
        Ok(attributes) => attributes,
        Err(why) => {
            checks.push(unknown(PART, why));
            return checks;
        }
    };
    let Attributes { waiting, in_flight, delayed, visibility_timeout, redrive_policy, senders } = attributes;
    let advised = 6 * function.timeout + mapping.window;
    if *visibility_timeout < advised {
        checks.push(note(
            PART,
            format!(
                "messages return to {name} after {visibility_timeout} s; AWS advises at least {advised} s"
            ),
        ));
    }
    match redrive_policy {
        None => checks.push(wrong(
            PART,
            format!("{name} has no dead-letter queue, so a message that keeps failing is lost in the end"),
            "set a RedrivePolicy",
        )),
        Some(redrive) if redrive.max_receive_count < FEWEST_RECEIVES => checks.push(note(
            PART,
            format!(
                "{name} gives a message up after {}; AWS advises at least {FEWEST_RECEIVES}",
                counted(usize::try_from(redrive.max_receive_count).unwrap_or(usize::MAX), "receive")
            ),
        )),
        Some(_) => {}
    }
    if senders.is_empty() {
        let text = format!("no service may send messages to {name}");
        checks.push(wrong(PART, text, "deploy the stack again, or allow EventBridge in the queue's policy"));
    }
    if checks.is_empty() {
        checks.push(ok(PART, format!("{name}: {waiting} waiting, {in_flight} in flight, {delayed} delayed")));
    }
    checks
}

fn of_dead_letters(arn: &str, attributes: &Read<Attributes>, options: Options<'_>) -> Check {
    const PART: &str = "dead letters";
    let name = last(arn);
    match attributes {
        Err(why) => unknown(PART, why),
        Ok(attributes) if attributes.waiting == 0 => ok(PART, format!("{name} is empty")),
        Ok(attributes) => {
            let number = usize::try_from(attributes.waiting).unwrap_or(usize::MAX);
            wrong(
                PART,
                format!("{name} has {}, whose changes were not purged", counted(number, "message")),
                format!(
                    "fix what the function's log says, then run {}",
                    options.aws(&format!("sqs start-message-move-task --source-arn {arn}"), region(arn))
                ),
            )
        }
    }
}

/// Checks which distributions serve the bucket.
fn of_distributions(reading: &Reading, chain: &Chain) -> Vec<Check> {
    const PART: &str = "distribution";
    let Some(config) = reading.settings() else { return Vec::new() };
    let listed = match &chain.distributions {
        Ok(listed) => listed,
        Err(why) => return vec![unknown(PART, why)],
    };
    let search = &config.search;
    let bucket = format!("s3://{}", chain.bucket);
    let mut checks = Vec::new();
    let has_tenants = listed.iter().any(|one| one.multi_tenant);
    for target in &search.distributions {
        // No list of distributions contains their tenants.
        let may_be_tenant = match target {
            Target::Id(id) => id.is_tenant(),
            Target::Domain(_) => has_tenants,
        };
        if listed.iter().any(|one| stands_for(target, one)) {
            continue;
        }
        if may_be_tenant {
            let text = format!(
                "the settings name {}, which may be a tenant; this looks up no tenants",
                shown(target)
            );
            checks.push(note(PART, text));
        } else {
            let text =
                format!("the settings name {}, which is no distribution of this account", shown(target));
            checks.push(wrong(PART, text, "correct DistributionIds, and deploy the stack again"));
        }
    }
    for one in listed {
        let has_bucket = one.has_bucket(&chain.bucket, &search.aliases);
        let is_named = reading.names(one);
        if !(is_named || has_bucket && search.distributions.is_empty()) {
            continue;
        }
        let name = one.names().next().map_or(one.id.to_string(), |name| format!("{} ({name})", one.id));
        let mut own = one.origins.iter().filter(|origin| origin.is_bucket(&chain.bucket, &search.aliases));
        let directory =
            |origin: &Origin| origin.location().map_or("", |location| location.directory).to_owned();
        let directories: Vec<String> = own.clone().map(directory).collect();
        let has_path = |directory: &String| {
            format!("/{}", directory.trim_matches('/')).parse() == Ok(search.origin_path.clone())
        };
        checks.push(match own.next() {
            _ if !one.enabled => note(PART, format!("{name} is disabled, so it is ignored")),
            None => note(
                PART,
                format!("{name} has no origin that is {bucket}, but is purged because the settings name it"),
            ),
            Some(_) if is_named && !directories.iter().any(has_path) => {
                let served = directories.join(" and ");
                let text =
                    format!("{name} serves {bucket}{served}, but the settings have another origin path");
                wrong(PART, text, "deploy the stack with the OriginPath of the distribution")
            }
            Some(_) => ok(PART, format!("{name} serves {bucket}{}", directories.join(" and "))),
        });
        checks.extend(of_edges(one));
    }
    if checks.is_empty() {
        checks.push(wrong(
            PART,
            format!("no distribution has {bucket} as an origin"),
            "make it an origin, or set BucketAliases or DistributionIds",
        ));
    }
    checks
}

/// Checks what only the details of a distribution show.
fn of_edges(one: &Distribution) -> Vec<Check> {
    let mut checks = Vec::new();
    let functions: Vec<String> =
        one.behaviors.iter().flat_map(|behavior| &behavior.edge_functions).map(ToString::to_string).collect();
    if let Some(first) = functions.first() {
        let text = format!("{} runs {first}, which may ask for other objects", one.id);
        let next = "see \"Which settings for my site\" in docs/recipes.md, and compare cfadmin explain s3://BUCKET/KEY";
        checks.push(Check { next: Some(next.to_owned()), ..note("distribution", text) });
    }
    checks.extend(one.has_cache_tags.map(|has_cache_tags| {
        if has_cache_tags {
            ok("cache tags", format!("{} reads them", one.id))
        } else {
            note("cache tags", format!("{} reads none, so purging a tag does nothing", one.id))
        }
    }));
    checks
}

/// Checks whether the bucket keeps the versions that the settings need.
fn of_versions(reading: &Reading, readiness: Option<&Readiness>) -> Vec<Check> {
    const PART: &str = "versions";
    let needs = reading.settings().is_some_and(|config| !config.policy.skip.is_off());
    let Some(Readiness { versioning, uses_kms, unknown: errors, .. }) = readiness.filter(|_| needs) else {
        return Vec::new();
    };
    let mut checks: Vec<Check> = errors.iter().map(|error| unknown(PART, error.to_string())).collect();
    match versioning {
        Some(Versioning::Enabled) => checks.push(ok(PART, "the bucket keeps them")),
        Some(Versioning::Suspended | Versioning::Off) => checks.push(wrong(
            PART,
            "the bucket keeps no versions, so unchanged and new objects are purged, too",
            "run the command in the stack's output TurnOnVersions",
        )),
        None => {}
    }
    if *uses_kms == Some(true) {
        let text = "KMS encrypts the objects, so unchanged ones are purged, too: their entity tags differ";
        checks.push(note(PART, text));
    }
    checks
}

fn shown(target: &Target) -> &str {
    match target {
        Target::Id(id) => id.as_str(),
        Target::Domain(domain) => domain,
    }
}

/// Returns the region in an ARN.
fn region(arn: &str) -> &str {
    arn.split(':').nth(3).unwrap_or_default()
}

/// Returns the last part of an ARN, which is a queue's name.
fn last(arn: &str) -> &str {
    arn.rsplit(':').next().unwrap_or(arn)
}
