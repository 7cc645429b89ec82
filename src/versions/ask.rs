//! Asks S3 about the changes of a batch.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use futures_util::{StreamExt, future, stream};

use super::{
    Finding, Findings, MOST_AGE, Skip,
    walk::{Question, Seen, walk},
};
use crate::{
    bucket::{Bucket, Error, Head, S3},
    cloudfront::Client,
    event::Batch,
    order,
    site::Sites,
    watch::Watch,
};

/// Number of lists and of objects to ask for at the same time. The headers of two versions of an object
/// count as one.
const AT_ONCE: usize = 16;

/// Minimum number of questions to answer one after the other, unless there are fewer. Neighboring keys
/// share lists.
const LEAST_QUESTIONS: usize = 4;

/// Maximum number of questions to answer one after the other. With a maximum, many objects
/// are judged even if the time is not enough for all.
const MOST_QUESTIONS: usize = 100;

/// Metadata in which upload tools keep the times of a file. They may differ.
const TIMES: [&str; 2] = ["x-amz-meta-mtime", "x-amz-meta-s3cmd-attrs"];

/// The questions about one bucket.
struct Asked<'a> {
    bucket: Bucket<'a>,
    /// Sorted by key.
    questions: Vec<Question<'a>>,
    /// The time in milliseconds since 1970 after which the version below must have been uploaded for any
    /// distribution to skip the change. `None` if none skips unchanged objects.
    unchanged_after: Option<u64>,
    /// The time in milliseconds since 1970 after which the uploads must have begun: see [`walk`].
    begun_after: u64,
    /// Whether S3 has failed. Further calls would only take time.
    has_failed: AtomicBool,
}

/// Asks S3 until `deadline` which of the watched changes made a difference, as far as a distribution
/// would skip any. `now` is the time in milliseconds since 1970.
///
/// Asks about the versions that events created within the last 12 hours. Never fails: what S3 does not
/// answer counts as a difference.
pub async fn ask(
    batch: &Batch,
    (watch, skip): (&Watch, Skip),
    sites: &Sites,
    client: &Client,
    deadline: Instant,
    now: u64,
) -> Findings {
    let asked = questions(batch, (watch, skip), sites, client, now);
    if asked.is_empty() {
        return Findings::default();
    }
    let parts = asked.iter().flat_map(|asked| {
        let size = asked.questions.len().div_ceil(AT_ONCE).clamp(LEAST_QUESTIONS, MOST_QUESTIONS);
        asked.questions.chunks(size).map(move |questions| (asked, questions))
    });
    let calls = parts.map(|(asked, questions)| asked.judge(questions, deadline));
    let mut judged = stream::iter(calls).buffer_unordered(AT_ONCE);
    let mut of_changes = vec![Finding::Different; batch.changes.len()];
    let (mut unjudged, mut failure, mut lists, mut heads) = (0, None, 0, 0);
    while let Some(Judged { questions, findings, error, calls }) = judged.next().await {
        lists += calls.0;
        heads += calls.1;
        failure = failure.or(error);
        unjudged += questions[findings.len()..].iter().map(|one| one.changes.len()).sum::<usize>();
        for (question, finding) in questions.iter().zip(findings) {
            question.changes.iter().for_each(|change| of_changes[*change] = finding);
        }
    }
    Findings { unjudged, failure, lists, heads, ..Findings::new(of_changes) }
}

/// The answers to some of the questions about a bucket.
struct Judged<'a> {
    questions: &'a [Question<'a>],
    /// The findings of the first questions.
    findings: Vec<Finding>,
    /// The reason why the others have none.
    error: Option<Error>,
    /// The numbers of lists and of HEAD requests.
    calls: (usize, usize),
}

impl Asked<'_> {
    /// Answers questions one after the other, until S3 fails.
    async fn judge<'a>(&'a self, questions: &'a [Question<'a>], deadline: Instant) -> Judged<'a> {
        let mut judged = Judged { questions, findings: Vec::new(), error: None, calls: (0, 0) };
        if self.has_failed.load(Ordering::Relaxed) {
            return judged;
        }
        let (seen, error, lists) = walk(&self.bucket, questions, self.begun_after, deadline).await;
        (judged.error, judged.calls.0) = (error, lists);
        for (question, seen) in questions.iter().zip(seen) {
            let finding = match seen {
                Seen::First => Finding::First,
                Seen::SameContent { below, uploaded } if self.counts(uploaded) => {
                    judged.calls.1 += 2;
                    match have_same_headers(&self.bucket, question, &below, deadline).await {
                        Ok(true) => Finding::Same(uploaded),
                        Ok(false) => Finding::Different,
                        Err(error) => {
                            judged.error = Some(error);
                            break;
                        }
                    }
                }
                Seen::SameContent { .. } | Seen::Different => Finding::Different,
            };
            judged.findings.push(finding);
        }
        self.has_failed.fetch_or(judged.error.is_some(), Ordering::Relaxed);
        judged
    }

    /// Returns whether a version below that was uploaded at this time lets any distribution skip the change.
    fn counts(&self, uploaded: u64) -> bool {
        self.unchanged_after.is_some_and(|after| uploaded > after)
    }
}

/// Returns the questions about the changes that a distribution may skip, by bucket.
fn questions<'a>(
    batch: &'a Batch,
    (watch, skip): (&Watch, Skip),
    sites: &Sites,
    client: &'a Client,
    now: u64,
) -> Vec<Asked<'a>> {
    // An old configuration says nothing about what caches hold.
    if skip.is_off() || sites.is_old {
        return Vec::new();
    }
    let is_recent = |time: Option<u64>| time.is_some_and(|time| now.saturating_sub(time) < MOST_AGE);
    let mut created = Vec::new();
    for (index, change) in batch.changes.iter().enumerate() {
        if let Some(Some(version)) = batch.versions.get(index)
            && is_recent(change.time)
            // S3's keys are UTF-8, so no version has another one.
            && std::str::from_utf8(change.key.as_bytes()).is_ok()
            && watch.ignores(change).is_none()
        {
            created.push((&*change.bucket, &change.key, &**version, index));
        }
    }
    order::sort(&mut created, Ord::cmp);
    let mut asked = Vec::new();
    for of_bucket in created.chunk_by(|one, other| one.0 == other.0) {
        let name = of_bucket[0].0;
        let lower = name.to_ascii_lowercase();
        let serving = sites.list.iter().filter(|site| site.serving().serves(&lower));
        let rules = serving.map(|site| skip.rule(site.caching.as_ref()));
        let mut rules = rules.filter(|rule| !rule.is_off()).peekable();
        if rules.peek().is_none() {
            continue;
        }
        let unchanged_after = rules.filter_map(|rule| rule.unchanged_after).min();
        let same =
            |one: &(&str, _, &str, _), other: &(&str, _, &str, _)| (one.1, one.2) == (other.1, other.2);
        let questions = of_bucket.chunk_by(same).map(|same| Question {
            key: same[0].1,
            version: same[0].2,
            changes: same.iter().map(|one| one.3).collect(),
        });
        asked.push(Asked {
            bucket: S3::of(client).bucket(name, batch.region(name)),
            questions: questions.collect(),
            begun_after: now.saturating_sub(MOST_AGE),
            unchanged_after,
            has_failed: AtomicBool::new(false),
        });
    }
    asked
}

/// Returns whether a version has the content and the headers of the version `below`.
async fn have_same_headers(
    bucket: &Bucket<'_>,
    question: &Question<'_>,
    below: &str,
    deadline: Instant,
) -> Result<bool, Error> {
    let head = |version| bucket.head(question.key.as_bytes(), Some(version), deadline);
    let (own, below) = future::join(head(question.version), head(below)).await;
    Ok(own?.zip(below?).is_some_and(|(own, below)| is_same(&own, &below)))
}

/// Returns whether viewers get the same from two versions, apart from the time of the upload.
fn is_same(one: &Head, other: &Head) -> bool {
    let counts = |(name, _): &&(Box<str>, Box<str>)| !TIMES.contains(&&**name);
    let [own, others] = [one, other].map(|head| head.headers.iter().filter(counts));
    one.etag == other.etag && one.size == other.size && own.eq(others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_and_headers_have_to_be_the_same_but_for_the_times_of_files() {
        let head = |etag: &str, size, headers: &[(&str, &str)]| Head {
            etag: etag.into(),
            size,
            modified: 0,
            version: None,
            headers: headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        };
        let one = head("e", 1, &[("cache-control", "no-cache"), ("x-amz-meta-mtime", "1")]);
        assert!(is_same(&one, &head("e", 1, &[("cache-control", "no-cache"), ("x-amz-meta-mtime", "2")])));
        assert!(is_same(&one, &head("e", 1, &[("cache-control", "no-cache")])));
        assert!(!is_same(&one, &head("f", 1, &[("cache-control", "no-cache")])));
        assert!(!is_same(&one, &head("e", 2, &[("cache-control", "no-cache")])));
        assert!(!is_same(&one, &head("e", 1, &[("cache-control", "no-store")])));
        assert!(!is_same(&one, &head("e", 1, &[])));
    }
}
