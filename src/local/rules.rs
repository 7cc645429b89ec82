//! Checks whether CloudFront accepts an item.
//!
//! The rules come from the documentation and from field reports, not from the code that makes the
//! items, so that each can be tested against the other.
//!
//! <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/invalidation-specifying-objects.html>

/// Returns whether CloudFront refuses a request with this item.
pub(super) fn is_invalid(item: &str) -> bool {
    match item.strip_prefix('#') {
        Some(tag) => is_invalid_tag(tag),
        None => is_invalid_path(item),
    }
}

pub(super) fn is_wildcard(item: &str) -> bool {
    item.starts_with('/') && item.ends_with('*')
}

fn is_invalid_tag(tag: &str) -> bool {
    tag.is_empty() || tag.len() > 256 || tag.chars().any(|c| !('!'..='~').contains(&c) || c == ',')
}

fn is_invalid_path(path: &str) -> bool {
    // RFC 1738's unsafe characters, and the apostrophe, which CloudFront was seen to refuse.
    const REFUSED: &str = " <>\"#{}|\\^~[]`'";
    let bad_escape = path.split('%').skip(1).any(|after| {
        let digits = after.as_bytes();
        digits.len() < 2 || !digits[..2].iter().all(u8::is_ascii_hexdigit)
    });
    !path.starts_with('/')
        || path.chars().count() > 4_000
        || bad_escape
        || path.chars().any(|c| !c.is_ascii() || c.is_ascii_control() || REFUSED.contains(c))
}
