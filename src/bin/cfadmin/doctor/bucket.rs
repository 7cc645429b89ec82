//! Judges whether the events of a bucket reach the function.

use cloudfront_invalidator::bucket::Destination;

use super::{
    Check,
    chain::{Chain, Fed, Reading},
    checks::{Options, note, ok, unknown, wrong},
};

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

/// Checks whether the events of the bucket reach the queues or the functions.
pub(super) fn checked(chain: &Chain, options: Options<'_>) -> Check {
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
    let receiver = if direct.iter().all(|one| one.arn.contains(":lambda:")) { "function" } else { "queue" };
    if come_twice {
        return note(
            PART,
            format!("{name} sends its events to EventBridge and to the {receiver}, so they come twice"),
        );
    }
    let missing: Vec<String> = EVENTS
        .iter()
        .filter(|(kind, types)| !reports(kind, "*") && !types.iter().all(|one| reports(kind, one)))
        .map(|(kind, _)| format!("{kind}:*"))
        .collect();
    if !missing.is_empty() {
        return wrong(
            PART,
            format!("{name} does not notify the {receiver} of {}", missing.join(", ")),
            "add these events to its notification configuration",
        );
    }
    let mut filters: Vec<String> = direct.iter().filter_map(|one| one.filter()).collect();
    filters.dedup();
    let only =
        if filters.is_empty() { String::new() } else { format!(", of keys {} only", filters.join(", ")) };
    ok(PART, format!("{name} notifies the {receiver}{only}"))
}
