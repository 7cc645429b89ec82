//! Judges the parts of the chain, one after another.

use super::{Check, Verdict, bucket, chain::Chain, distributions, function, kept, queues};

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
    pub(super) fn aws(self, command: &str, region: &str) -> String {
        format!("aws {command} --region {region}{}", self.profile)
    }
}

/// Returns the checks of a chain, in its order.
pub(super) fn of(chain: &Chain, options: Options<'_>) -> Vec<Check> {
    let mut checks = vec![bucket::checked(chain, options)];
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
                checks.extend(function::checked(reading, &chain.bucket, options));
                checks.extend(queues::checked(reading, chain, options));
                checks.extend(distributions::checked(reading, chain));
                checks.extend(kept::checked(reading, chain.readiness.as_ref()));
            }
        }
    }
    checks
}

fn check(part: &'static str, verdict: Verdict, text: impl Into<String>) -> Check {
    Check { part, verdict, text: text.into(), next: None }
}

pub(super) fn ok(part: &'static str, text: impl Into<String>) -> Check {
    check(part, Verdict::Ok, text)
}

pub(super) fn note(part: &'static str, text: impl Into<String>) -> Check {
    check(part, Verdict::Note, text)
}

pub(super) fn unknown(part: &'static str, text: impl Into<String>) -> Check {
    check(part, Verdict::Unknown, text)
}

pub(super) fn wrong(part: &'static str, text: impl Into<String>, next: impl Into<String>) -> Check {
    Check { next: Some(next.into()), ..check(part, Verdict::Wrong, text) }
}
