//! The price of invalidation paths.
//!
//! <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/PayingForInvalidation.html>

/// The number of free paths a month, for all distributions of an account together.
pub const FREE_PATHS: usize = 1_000;

/// The price of each further path, in tenths of a cent.
///
/// <https://aws.amazon.com/cloudfront/pricing/>
pub(super) const MILLS_PER_PATH: usize = 5;

/// Formats the price of `paths` paths without the free tier, in dollars to a tenth of a cent.
#[must_use]
pub fn dollars(paths: usize) -> String {
    let mills = paths * MILLS_PER_PATH;
    format!("{}.{:03}", mills / 1_000, mills % 1_000)
}
