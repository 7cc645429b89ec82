//! The price of invalidation paths, and what is left of the month's allowance.
//!
//! <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/PayingForInvalidation.html>

use crate::usage::{Month, Source};

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

/// Formats how much of the allowance is used: "340 of 1,000 paths used this month".
#[must_use]
pub fn used(month: &Month) -> String {
    let Month { sent, allowance, source, .. } = *month;
    let free = if allowance == FREE_PATHS { " free" } else { "" };
    let (sent, allowance) = (thousands(sent), thousands(allowance));
    match source {
        Source::Read => format!("{sent} of {allowance}{free} paths used this month"),
        Source::Old => format!("at least {sent} of {allowance}{free} paths used this month"),
        Source::Guessed => format!("perhaps {sent} of {allowance}{free} paths used this month"),
    }
}

/// Formats a number with a comma before every third digit from the right.
#[must_use]
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
