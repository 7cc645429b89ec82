//! How a distribution caches, as far as its configuration says.

use std::num::NonZeroU64;

use super::{Distribution, LASTING_ERROR, Location};

/// The number of seconds for which CloudFront caches an error for which nothing is configured.
///
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/HTTPStatusCodes.html>
const DEFAULT_ERROR_TTL: i64 = 10;

/// The statuses with which S3 answers requests for objects that do not exist.
const MISSING: [i32; 2] = [403, 404];

/// The settings that decide what a distribution's caches may still hold of earlier states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caching {
    /// The time of the last change of the configuration, in milliseconds since 1970. `None` if unknown.
    pub modified: Option<NonZeroU64>,
    /// The time for which it caches the errors 403 and 404.
    pub errors: Errors,
}

/// The time for which a distribution caches the errors 403 and 404.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errors {
    /// A maximum of ten seconds, which is the default.
    Brief,
    /// Less than [`LASTING_ERROR`] seconds as configured. The errors of website endpoints and of origin
    /// groups may have a lifetime of their own, and Lambda@Edge functions may change it.
    Short,
    /// A minimum of [`LASTING_ERROR`] seconds.
    Lasting,
}

impl Caching {
    /// Reads the settings of a distribution.
    pub(super) fn of(distribution: &Distribution) -> Self {
        let errors = distribution.error_pages.iter().filter(|error| MISSING.contains(&error.code));
        let longest = errors.map(|error| error.min_ttl).fold(DEFAULT_ERROR_TTL, i64::max);
        let has_website = distribution.origins.iter().any(|origin| {
            match Location::of(&origin.domain_name, &origin.path) {
                Some(location) => location.endpoint.is_website,
                // Another origin than a bucket does not concern objects, but a parameter may stand for any.
                None => origin.has_placeholder(),
            }
        });
        let has_lambda = distribution.behaviors.iter().any(|behavior| behavior.has_lambda);
        let is_plain = !has_website && !has_lambda && distribution.origin_groups.is_empty();
        let errors = match longest {
            LASTING_ERROR.. => Errors::Lasting,
            ..=DEFAULT_ERROR_TTL if is_plain => Errors::Brief,
            _ => Errors::Short,
        };
        Self { modified: distribution.modified, errors }
    }

    /// Returns the settings for a tenant that was last changed at this time.
    pub(super) fn of_tenant(self, modified: Option<NonZeroU64>) -> Self {
        let modified = self.modified.zip(modified).map(|(one, other)| one.max(other));
        Self { modified, ..self }
    }
}
