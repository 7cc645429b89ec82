//! Judges whether an answer to a viewer is the object that S3 holds.

use serde::Serialize;

use super::{Answer, Expected};

/// The verdict on an answer to a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The object as the bucket holds it.
    Current,
    /// A missing object, with an answer that says so: it was deleted, or the URL is mistyped.
    Absent,
    /// A cached answer that is not what the bucket holds.
    Stale,
    /// A fresh answer or a custom error page that is not what the bucket holds.
    Different,
    /// Too little information to judge.
    Unknown,
}

/// Judges an answer. Returns the verdict and the reason for it.
#[must_use]
pub fn judge(answer: &Answer, expected: &Expected) -> (Verdict, String) {
    use Verdict::{Absent, Current, Different, Stale, Unknown};
    let Answer { status, .. } = *answer;
    let Some(x_cache) =
        answer.x_cache.as_deref().filter(|told| told.to_ascii_lowercase().contains("cloudfront"))
    else {
        return (Unknown, "the answer does not come from CloudFront".to_owned());
    };
    if let (300..=399, Some(location)) = (status, &answer.location) {
        return (Unknown, format!("viewers are redirected to {location}; verify that URL"));
    }
    let is_there = matches!(status, 200..=299 | 304);
    let is_gone = matches!(status, 403 | 404 | 410);
    // After a miss at the edge, another of CloudFront's caches may still have answered. The age
    // shows that.
    let age = answer.age.unwrap_or_default();
    let is_kept = x_cache.starts_with("Hit") || age > 0;
    let kept = if is_kept { Stale } else { Different };
    if is_there && x_cache.starts_with("Error") {
        return (Different, "viewers get a custom error page".to_owned());
    }
    let has_just_asked = !is_kept && (x_cache.starts_with("Miss") || x_cache.starts_with("RefreshHit"));
    match expected {
        Expected::Present(etag) if is_there => match answer.etag.as_deref() {
            Some(got) if opaque(got) == opaque(etag) => (Current, "viewers get the object".to_owned()),
            Some(_) if is_kept => (Stale, format!("viewers get what CloudFront cached {age} s ago")),
            Some(_) => (Different, "the origin just returned something other than the object: a function at the edge may request another one".to_owned()),
            None => (Unknown, "the answer has no ETag to compare".to_owned()),
        },
        Expected::Present(_) if is_gone => (
            kept,
            format!(
                "the object exists, but viewers get {status}: a cached error, or a missing permission"
            ),
        ),
        Expected::Absent if is_gone => {
            (Absent, format!("the object does not exist, and viewers get {status}: it was deleted, or the URL is mistyped"))
        }
        Expected::Absent if is_there => (kept, "the object is gone, but viewers get an answer".to_owned()),
        Expected::Unknown(_) if is_there && has_just_asked => {
            (Current, "CloudFront has just asked the origin".to_owned())
        }
        Expected::Unknown(why) if is_there => {
            (Unknown, format!("current unless the object changed within the last {age} s; {why}"))
        }
        Expected::Unknown(why) => (Unknown, format!("viewers get {status}; {why}")),
        _ => (Unknown, format!("viewers get {status}")),
    }
}

/// Strips the quotes of an entity tag, and the `W/` that marks it as weak: CloudFront adds that
/// when it compresses an object.
///
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/ServingCompressedFiles.html>
fn opaque(etag: &str) -> &str {
    let etag = etag.trim();
    etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, etag: &str, x_cache: &str, age: Option<u64>) -> Answer {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Answer { status, etag: some(etag), x_cache: some(x_cache), age, ..Answer::default() }
    }

    #[test]
    fn verdicts() {
        use Verdict::{Absent, Current, Different, Stale, Unknown};
        let there = Expected::Present("\"new\"".to_owned());
        let unknown = Expected::Unknown("no permission".to_owned());
        let (hit, miss, error) = ("Hit from cloudfront", "Miss from cloudfront", "Error from cloudfront");
        let cases = [
            (answer(200, "\"new\"", hit, Some(9)), &there, Current),
            (answer(200, "W/\"new\"", hit, Some(9)), &there, Current),
            (answer(304, "\"new\"", "RefreshHit from cloudfront", None), &there, Current),
            (answer(200, "\"old\"", hit, Some(9)), &there, Stale),
            (answer(200, "\"old\"", miss, Some(9)), &there, Stale),
            (answer(200, "\"old\"", miss, None), &there, Different),
            (answer(200, "\"old\"", "RefreshHit from cloudfront", None), &there, Different),
            (answer(200, "", hit, Some(9)), &there, Unknown),
            (answer(404, "", error, Some(3)), &there, Stale),
            (answer(403, "", error, None), &there, Different),
            (answer(503, "", error, None), &there, Unknown),
            (answer(404, "", error, None), &Expected::Absent, Absent),
            (answer(403, "", error, Some(1)), &Expected::Absent, Absent),
            (answer(200, "\"old\"", hit, Some(9)), &Expected::Absent, Stale),
            (answer(200, "\"page\"", miss, None), &Expected::Absent, Different),
            (answer(200, "\"x\"", miss, None), &unknown, Current),
            (answer(200, "\"x\"", miss, Some(1)), &unknown, Unknown),
            (answer(200, "\"page\"", error, None), &unknown, Different),
            (answer(200, "\"page\"", error, Some(9)), &Expected::Absent, Different),
            (answer(200, "\"x\"", "FunctionGeneratedResponse from cloudfront", None), &unknown, Unknown),
            (answer(200, "\"x\"", hit, Some(9)), &unknown, Unknown),
            (answer(404, "", error, None), &unknown, Unknown),
            (answer(200, "\"new\"", "", None), &there, Unknown),
            (answer(200, "\"new\"", "HIT from squid", None), &there, Unknown),
        ];
        for (answer, expected, verdict) in cases {
            assert_eq!(judge(&answer, expected).0, verdict, "{answer:?} {expected:?}");
        }
        let moved = Answer { location: Some("https://a/".to_owned()), ..answer(301, "", miss, None) };
        assert_eq!(
            judge(&moved, &there),
            (Unknown, "viewers are redirected to https://a/; verify that URL".to_owned())
        );
    }
}
