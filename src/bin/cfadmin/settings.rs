//! The parameters of the template that the configuration of a bucket's distributions makes certain.

use cloudfront_invalidator::site::{BucketAlias, Distribution, Origin};
use serde::Serialize;

use crate::account::quoted;

/// A parameter with its value, and the reason for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Setting {
    pub(crate) parameter: &'static str,
    pub(crate) value: String,
    pub(crate) reason: &'static str,
}

/// Returns the parameters that differ from their defaults for certain, if `distributions` are all that have the bucket
/// as an origin. Disabled ones do not count. `has_access_points` says whether a distribution may also reach the bucket
/// through an access point.
pub(crate) fn certain(
    distributions: &[Distribution],
    bucket: &str,
    aliases: &[BucketAlias],
    has_access_points: bool,
) -> Vec<Setting> {
    let setting = |parameter, value, reason| Setting { parameter, value, reason };
    let mut settings = vec![setting("BucketNames", bucket.to_owned(), "the bucket")];
    let serving: Vec<&Distribution> = distributions.iter().filter(|one| one.enabled).collect();
    let origins: Vec<&Origin> = serving
        .iter()
        .flat_map(|one| &one.origins)
        .filter(|origin| origin.is_bucket(bucket, aliases))
        .collect();
    // A function at the edge may request another object, even from another origin.
    let has_functions =
        serving.iter().flat_map(|one| &one.behaviors).any(|behavior| !behavior.edge_functions.is_empty());
    let is_uncertain = origins.is_empty() || has_functions || has_access_points;
    if is_uncertain || origins.iter().any(|origin| origin.has_placeholder()) {
        return settings;
    }
    if let Some(prefix) = common_directory(&origins) {
        let why = "no origin serves other keys";
        settings.push(setting("KeyPrefix", prefix, why));
    }
    let is_rest = |origin: &&Origin| origin.location().is_some_and(|location| !location.endpoint.is_website);
    if origins.iter().all(is_rest) {
        let why = "S3's REST endpoint has no index documents, and no function at the edge adds them";
        settings.push(setting("IndexDocument", String::new(), why));
    }
    settings
}

/// Returns whether an enabled distribution has an access point as an origin that no alias assigns to a bucket.
///
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-points-naming.html>
pub(crate) fn has_access_point(distribution: &Distribution, aliases: &[BucketAlias]) -> bool {
    const MARKS: [&str; 3] = ["-s3alias", "--ol-s3", ".accesspoint.s3-global."];
    let is_assigned = |domain: &str| aliases.iter().any(|one| domain.starts_with(&one.alias));
    let mut domains = distribution.origins.iter().map(|origin| origin.domain_name.to_ascii_lowercase());
    distribution.enabled
        && domains.any(|domain| MARKS.iter().any(|mark| domain.contains(mark)) && !is_assigned(&domain))
}

/// Returns the directory below which all objects of these origins are, such as `site/`. `None` if that is the whole
/// bucket, or if it is not known or not a valid `KeyPrefix`.
fn common_directory(origins: &[&Origin]) -> Option<String> {
    let mut common: Option<String> = None;
    for origin in origins {
        // Without a bucket, viewers name it.
        origin.location().filter(|location| location.bucket.is_some())?;
        let prefix = String::from_utf8(origin.directory().prefix().to_vec()).ok()?;
        let segments = |prefix: &str| prefix.split_inclusive('/').map(str::to_owned).collect::<Vec<_>>();
        common = Some(match common {
            None => prefix,
            Some(common) => {
                let pairs = segments(&common).into_iter().zip(segments(&prefix));
                pairs.take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
            }
        });
    }
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"/!_.'()-".contains(&byte);
    common.filter(|common| !common.is_empty() && !common.starts_with('/') && common.bytes().all(is_valid))
}

/// Returns the settings as words of a command.
pub(crate) fn overrides(settings: &[Setting]) -> String {
    let word = |Setting { parameter, value, .. }: &Setting| {
        // The SAM CLI refuses an empty value without quotation marks.
        let value = if value.is_empty() { "\"\"" } else { value };
        quoted(&format!("{parameter}={value}"))
    };
    settings.iter().map(word).collect::<Vec<_>>().join(" ")
}
