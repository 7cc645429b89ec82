//! Reads the parts of the chain from a bucket to its distributions.

use std::{collections::BTreeMap, time::Instant};

use cloudfront_invalidator::{
    bucket::{Notifications, Readiness, S3},
    cloudfront::Client,
    config::{BUCKETS, Config, Problems},
    discover::Target,
    lambda::{self, Function, Mapping},
    queue::{Attributes, Queue},
    site::Distribution,
    text::counted,
};

use super::Arguments;
use crate::{LIMIT, Stop, enable, errors};

/// A value, or the reason why it could not be read, with the permission to allow.
pub(super) type Read<T> = Result<T, String>;

/// The parts of the chain.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) bucket: String,
    /// The bucket's region, as far as it is known.
    pub(super) region: String,
    pub(super) notifications: Read<Notifications>,
    /// The functions that the caller names, or that have the bucket in their settings.
    pub(super) functions: Read<Vec<Reading>>,
    /// The account's distributions. Those that have the bucket as an origin, or that a function names, have their
    /// details.
    pub(super) distributions: Read<Vec<Distribution>>,
    /// The bucket's settings for versions. `None` if no function needs them.
    pub(super) readiness: Option<Readiness>,
}

/// A function with the queues that feed it.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) function: Function,
    /// The settings. `None` if the caller may not read the variables.
    pub(super) config: Option<Result<Config, Problems>>,
    pub(super) reserved: Read<Option<u64>>,
    pub(super) mappings: Read<Vec<(Mapping, Option<Fed>)>>,
}

/// A queue that feeds a function.
#[derive(Debug)]
pub(super) struct Fed {
    pub(super) arn: String,
    pub(super) attributes: Read<Attributes>,
    /// The dead-letter queue. `None` if there is none.
    pub(super) dead: Option<(String, Read<Attributes>)>,
}

/// Reads the chain. Goes on after a call that fails, unless the caller has no valid credentials.
pub(super) async fn read(client: &Client, arguments: &Arguments) -> Result<Chain, Stop> {
    // The first call shows whether there are credentials: S3 would take a request without a signature.
    let listed = match client.distributions(LIMIT).await {
        Err(error) if errors::translate(&error, &arguments.connection).is_some() => return Err(error.into()),
        listed => listed.map_err(|error| errors::explain(&error, &arguments.connection)),
    };
    let bucket = S3::of(client).bucket(&arguments.bucket, None);
    let notifications = match bucket.notifications(Instant::now() + LIMIT).await {
        Err(error) if error.is_no_such_bucket() => return Err(Stop::NotFound(error.to_string())),
        found => found.map_err(|error| enable::explain(&error)),
    };
    let functions = match functions(client, arguments, bucket.region()).await {
        Err(Missing::Function(error)) => return Err(Stop::NotFound(error.to_string())),
        Err(Missing::Permission(why)) => Err(why),
        Ok(found) => Ok(found),
    };
    let readiness = if functions.iter().flatten().any(Reading::needs_versions) {
        Some(bucket.readiness(Instant::now() + LIMIT).await)
    } else {
        None
    };
    let distributions = match listed {
        Ok(listed) => Ok(with_details(client, listed, &arguments.bucket, functions.as_deref()).await),
        Err(why) => Err(why),
    };
    let region = bucket.region().to_owned();
    Ok(Chain { bucket: arguments.bucket.clone(), region, notifications, functions, distributions, readiness })
}

impl Reading {
    /// Returns the valid settings. `None` if there are none.
    pub(super) fn settings(&self) -> Option<&Config> {
        self.config.as_ref()?.as_ref().ok()
    }

    /// Returns whether the variables are those of this program, or cannot be read.
    pub(super) fn may_be_invalidator(&self) -> bool {
        self.function.variables().is_none_or(is_own)
    }

    /// Returns whether the settings need a bucket that keeps replaced versions.
    pub(super) fn needs_versions(&self) -> bool {
        self.settings().is_some_and(|config| !config.policy.skip.is_off())
    }

    /// Returns whether the settings name a distribution.
    pub(super) fn names(&self, distribution: &Distribution) -> bool {
        let targets = self.settings().map_or(&[][..], |config| &config.search.distributions);
        targets.iter().any(|target| stands_for(target, distribution))
    }

    /// Returns the queues that feed the function.
    pub(super) fn queues(&self) -> impl Iterator<Item = (&Mapping, &Fed)> {
        self.mappings.iter().flatten().filter_map(|(mapping, fed)| Some((mapping, fed.as_ref()?)))
    }
}

/// The reason why a function could not be read.
enum Missing {
    /// There is no such function.
    Function(lambda::Error),
    /// Any other reason, with the permission to allow.
    Permission(String),
}

impl Missing {
    fn of(error: lambda::Error, advice: &str) -> Self {
        if error.is_not_found() {
            return Self::Function(error);
        }
        Self::Permission(with_advice(&error, error.is_denied(), advice))
    }
}

/// Reads the function that the caller names, or else those in the bucket's region that have the bucket in their
/// settings.
async fn functions(client: &Client, arguments: &Arguments, region: &str) -> Result<Vec<Reading>, Missing> {
    let names = if let Some(name) = &arguments.function {
        vec![name.clone()]
    } else {
        let all = lambda::functions(client, region).await.map_err(|error| {
            Missing::of(error, "allow lambda:ListFunctions, or name the function with --function")
        })?;
        let is_meant = |function: &&Function| {
            function.variables().is_some_and(|variables| serves(variables, &arguments.bucket))
        };
        let names: Vec<String> = all.iter().filter(is_meant).map(|function| function.name.clone()).collect();
        let hidden = all.iter().filter(|function| function.variables().is_none()).count();
        if names.is_empty() && hidden > 0 {
            return Err(Missing::Permission(format!(
                "the settings of {} in {region} are encrypted with a key that you may not use; allow kms:Decrypt, or name \
                 the function with --function",
                counted(hidden, "function")
            )));
        }
        names
    };
    let mut found = Vec::new();
    for name in names {
        found.push(function(client, &name, region).await?);
    }
    Ok(found)
}

/// Returns whether variables are those of this program.
fn is_own(variables: &BTreeMap<String, String>) -> bool {
    variables.keys().any(|name| name.starts_with("INVALIDATOR_"))
}

/// Returns whether variables are those of a function for this bucket.
fn serves(variables: &BTreeMap<String, String>, bucket: &str) -> bool {
    let buckets = variables.get(BUCKETS).map(String::as_str).unwrap_or_default();
    is_own(variables) && (buckets.is_empty() || buckets.split(',').any(|one| one.trim() == bucket))
}

/// Reads a function, and the queues that feed it.
async fn function(client: &Client, name: &str, region: &str) -> Result<Reading, Missing> {
    let advised = |error: lambda::Error| {
        let advice = format!("allow lambda:{}", error.operation());
        with_advice(&error, error.is_denied(), &advice)
    };
    let function = lambda::function(client, name, region)
        .await
        .map_err(|error| Missing::of(error, "allow lambda:GetFunctionConfiguration"))?;
    let config = function.variables().map(|variables| Config::read(variables.clone()));
    let reserved = lambda::reserved_concurrency(client, &function).await.map_err(advised);
    let mappings = match lambda::mappings(client, &function).await {
        Ok(mappings) => {
            let mut fed = Vec::new();
            for mapping in mappings {
                let queue = match mapping.event_source_arn.as_deref() {
                    Some(arn) => queue(client, arn).await,
                    None => None,
                };
                fed.push((mapping, queue));
            }
            Ok(fed)
        }
        Err(error) => Err(advised(error)),
    };
    Ok(Reading { function, config, reserved, mappings })
}

/// Reads a queue and its dead-letter queue. `None` if the ARN is not that of a queue.
async fn queue(client: &Client, arn: &str) -> Option<Fed> {
    let read = async |arn: &str| {
        let attributes = Queue::of_arn(arn, client)?.attributes(client, Instant::now() + LIMIT).await;
        Some(attributes.map_err(|error| {
            let is_denied = error.contains("AccessDenied");
            with_advice(&error, is_denied, "allow sqs:GetQueueAttributes")
        }))
    };
    let attributes = read(arn).await?;
    let dead = match attributes.as_ref().ok().and_then(|attributes| attributes.redrive_policy.as_ref()) {
        Some(redrive) => read(&redrive.queue).await.map(|attributes| (redrive.queue.clone(), attributes)),
        None => None,
    };
    Some(Fed { arn: arn.to_owned(), attributes, dead })
}

/// Adds the details of those distributions that have the bucket as an origin, or that a function names.
async fn with_details(
    client: &Client,
    mut listed: Vec<Distribution>,
    bucket: &str,
    functions: Result<&[Reading], &String>,
) -> Vec<Distribution> {
    for one in &mut listed {
        let concerns = |reading: &Reading| {
            let aliases = reading.settings().map_or(&[][..], |config| &config.search.aliases);
            one.has_bucket(bucket, aliases) || reading.names(one)
        };
        if functions.is_ok_and(|functions| functions.iter().any(concerns)) {
            // Without the details, only cache tags stay unknown.
            if let Ok(detailed) = client.with_details(one.clone(), LIMIT).await {
                *one = detailed;
            }
        }
    }
    listed
}

/// Returns whether a target in the settings stands for a distribution.
pub(super) fn stands_for(target: &Target, distribution: &Distribution) -> bool {
    match target {
        Target::Id(id) => *id == distribution.id,
        Target::Domain(domain) => distribution.is_called(domain),
    }
}

/// Formats an error, with advice if the caller lacks a permission.
fn with_advice(error: &impl ToString, is_denied: bool, advice: &str) -> String {
    if is_denied { format!("{}; {advice}", error.to_string()) } else { error.to_string() }
}
