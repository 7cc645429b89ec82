//! Requests for an invalidation of given paths, in the manner of boto's
//! `create_invalidation_request`: you pass paths and get the invalidation that CloudFront creates.
//!
//! ```
//! use cloudfront_invalidator::{Client, DistributionId, InvalidationRequest, Settings, local::{Options, Server}};
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A local stand-in for CloudFront, with the distribution E1EXAMPLE.
//! let local = Server::start(Options::default()).await?;
//! let client = Client::new(Settings::local(&local.endpoint_url()));
//!
//! let distribution: DistributionId = "E1EXAMPLE".parse()?;
//! let request = InvalidationRequest::new(distribution.clone()).paths(["/path1", "path 2", "/img/*"])?;
//! let created = request.send(&client).await?;
//! assert_eq!(created.status, "InProgress");
//! assert_eq!(created.paths, ["/img/*", "/path%202", "/path1"]);
//!
//! // Wait at most one minute for CloudFront to complete it.
//! let completed = client.follow(&distribution, &created.id, Duration::from_secs(60), |_| ()).await?;
//! assert!(completed.is_completed());
//! # Ok(())
//! # }
//! ```

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use crate::{
    cloudfront::{Client, Error, Invalidation},
    path::{Item, ParseItemError},
    site::DistributionId,
};

/// Default time limit of [`InvalidationRequest::send`].
pub const DEFAULT_LIMIT: Duration = Duration::from_secs(30);

/// A request to purge paths, wildcards and cache tags in one distribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidationRequest {
    distribution: DistributionId,
    items: BTreeSet<Item>,
    caller_reference: Option<String>,
    limit: Duration,
}

impl InvalidationRequest {
    /// Creates a request for this distribution, without paths yet.
    #[must_use]
    pub const fn new(distribution: DistributionId) -> Self {
        Self { distribution, items: BTreeSet::new(), caller_reference: None, limit: DEFAULT_LIMIT }
    }

    /// Adds paths, wildcards and cache tags as a person types them: see [`Item`]'s `FromStr`.
    /// Ignores duplicates.
    ///
    /// # Errors
    ///
    /// Fails at the first text that is not a valid item. The error quotes it and says what to write
    /// instead.
    pub fn paths<P: AsRef<str>>(
        mut self,
        paths: impl IntoIterator<Item = P>,
    ) -> Result<Self, ParseItemError> {
        for path in paths {
            self.items.insert(path.as_ref().parse()?);
        }
        Ok(self)
    }

    /// Adds the paths under which CloudFront serves objects with these keys.
    #[must_use]
    pub fn keys<K: AsRef<[u8]>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.items.extend(keys.into_iter().flat_map(|key| Item::of_any_endpoint(key.as_ref())));
        self
    }

    /// Adds items.
    #[must_use]
    pub fn items(mut self, items: impl IntoIterator<Item = Item>) -> Self {
        self.items.extend(items);
        self
    }

    /// Sets the caller reference. Sending the same paths with the same reference again creates no
    /// second invalidation. Without a caller reference, every [`send`](Self::send) creates a new
    /// one.
    #[must_use]
    pub fn caller_reference(mut self, reference: impl Into<String>) -> Self {
        self.caller_reference = Some(reference.into());
        self
    }

    /// Sets the time limit of [`send`](Self::send).
    #[must_use]
    pub const fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Returns the items to purge, in the order in which they are sent.
    #[must_use]
    pub fn requested(&self) -> impl ExactSizeIterator<Item = &Item> {
        self.items.iter()
    }

    /// Creates the invalidation.
    ///
    /// # Errors
    ///
    /// Fails like [`Client::create_invalidation`].
    pub async fn send(&self, client: &Client) -> Result<Invalidation, Error> {
        let paths = self.items.iter().map(Item::as_str);
        let reference = self.caller_reference.clone().unwrap_or_else(unique);
        let created = client.create_invalidation(&self.distribution, paths, &reference, self.limit).await?;
        Ok(created.invalidation)
    }
}

/// Returns a unique caller reference, made of the time and the process id.
#[must_use]
pub fn unique() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("cfadmin-{}-{}", now.as_nanos(), std::process::id())
}
