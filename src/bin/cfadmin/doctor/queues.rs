//! Judges the queues that feed a function, and their dead letters.

use cloudfront_invalidator::{
    bucket::Notifications,
    lambda::{Function, Mapping},
    queue::Attributes,
    text::counted,
};

use super::{
    Check,
    chain::{Chain, Fed, Read, Reading},
    checks::{Options, note, ok, unknown, wrong},
};

/// The answer of a function that names the messages that failed.
const PARTIAL_ANSWER: &str = "ReportBatchItemFailures";

/// The number of receives that AWS recommends as a minimum before a message goes to the dead-letter queue.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html>
const FEWEST_RECEIVES: u64 = 5;

/// Checks the queues that feed a function, and their dead letters.
pub(super) fn checked(reading: &Reading, chain: &Chain, options: Options<'_>) -> Vec<Check> {
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

/// Returns the region in an ARN.
fn region(arn: &str) -> &str {
    arn.split(':').nth(3).unwrap_or_default()
}

/// Returns the last part of an ARN, which is a queue's name.
fn last(arn: &str) -> &str {
    arn.rsplit(':').next().unwrap_or(arn)
}
