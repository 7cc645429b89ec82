//! What CloudFront charges for paths.
//!
//! <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/PayingForInvalidation.html>

/// How many paths of a month are free, in all distributions of the account together.
pub const FREE_PATHS: usize = 1_000;

/// What each further one costs, in tenths of a cent.
///
/// <https://aws.amazon.com/cloudfront/pricing/>
pub(super) const MILLS_PER_PATH: usize = 5;

/// What so many paths cost, none of them free: in dollars, to a tenth of a cent.
#[must_use]
pub fn dollars(paths: usize) -> String {
    let mills = paths * MILLS_PER_PATH;
    format!("{}.{:03}", mills / 1_000, mills % 1_000)
}
