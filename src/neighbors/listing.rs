//! Lists the buckets as the choice says.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use futures_util::future::join_all;

use super::{
    Neighbors, Wanted,
    choice::{PAGE, Start},
};
use crate::{
    bucket::{self, Bucket, ObjectsQuery},
    event::Key,
    order,
};

/// Maximum number of calls for a batch. Together they cost a thirtieth of a path.
pub const MOST_CALLS: usize = 30;

/// Maximum number of calls at the same time.
const AT_ONCE: usize = 4;

/// A bucket that can be listed.
pub trait Source {
    /// The reason why it could not be listed.
    type Error;

    /// Returns up to 1,000 keys that begin with `prefix` and come after `after`, in order, and whether
    /// these are all.
    fn page(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        deadline: Instant,
    ) -> impl Future<Output = Result<(Vec<Key>, bool), Self::Error>>;
}

impl Source for Bucket<'_> {
    type Error = bucket::Error;

    async fn page(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        deadline: Instant,
    ) -> Result<(Vec<Key>, bool), Self::Error> {
        let query = ObjectsQuery { prefix, start_after: after, continuation_token: None, max_keys: PAGE };
        let page = self.objects(&query, deadline).await?;
        let keys = page.entries.into_iter().map(|object| object.key);
        Ok((keys.collect(), page.next.is_none()))
    }
}

/// The result of listing buckets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<E> {
    /// The number of calls.
    pub calls: usize,
    /// The first error. The plan estimates the content of the other parts of a bucket.
    pub failure: Option<E>,
}

/// Lists what lies around the changed keys of each bucket, and adds it to `known`. Stops after
/// [`MOST_CALLS`] calls, or once `left` is over. `open` returns the source for the name of a bucket.
pub async fn list<S: Source>(
    known: &mut Neighbors,
    mut wanted: Vec<Wanted<'_>>,
    open: impl Fn(&str) -> S,
    left: Duration,
) -> Listed<S::Error> {
    let deadline = Instant::now() + left;
    let mut listed = Listed { calls: 0, failure: None };
    // The calls that a bucket with few changes does not need are left for the next ones.
    order::sort(&mut wanted, |a, b| a.keys.len().cmp(&b.keys.len()));
    for (index, one) in wanted.iter().enumerate() {
        let share = (MOST_CALLS - listed.calls) / (wanted.len() - index);
        let until = listed.calls + share;
        let source = open(&one.bucket);
        while Instant::now() < deadline {
            let starts = one.next(known, until - listed.calls, AT_ONCE);
            listed.calls += starts.len();
            let pages =
                starts.iter().map(|start| source.page(&start.prefix, start.after.as_deref(), deadline));
            let pages = join_all(pages).await;
            let mut is_stuck = true;
            // The pages are added in the order of the starts, so that the plan does not depend on which
            // answer comes first.
            for (Start { prefix, after }, page) in starts.iter().zip(pages) {
                match page {
                    Ok((keys, is_last)) => {
                        is_stuck &= keys.is_empty() && !is_last;
                        let keys: Vec<&[u8]> = keys.iter().map(Key::as_bytes).collect();
                        known.add_page(&one.bucket, prefix, after.as_deref(), &keys, is_last);
                    }
                    Err(error) => {
                        listed.failure.get_or_insert(error);
                    }
                }
            }
            if is_stuck || known.is_full() {
                break;
            }
        }
    }
    listed
}
