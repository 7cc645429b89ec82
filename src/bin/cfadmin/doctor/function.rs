//! Judges a function and its settings.

use cloudfront_invalidator::{event::Key, watch::Unwatched};

use super::{
    Check,
    chain::Reading,
    checks::{Options, note, ok, unknown, wrong},
};
use crate::objects;

/// Checks a function and its settings.
pub(super) fn checked(reading: &Reading, bucket: &str, options: Options<'_>) -> Vec<Check> {
    const PART: &str = "function";
    let function = &reading.function;
    let name = &function.name;
    let mut checks = Vec::new();
    let because = |reason: &Option<String>| reason.as_ref().map_or(String::new(), |why| format!(": {why}"));
    if !reading.may_be_invalidator() {
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
