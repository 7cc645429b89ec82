//! An invalidation that a person asks for, as boto's `create_invalidation_request` was:
//! paths in, the invalidation that CloudFront made of them out.
//!
//! ```
//! use cloudfront_invalidator::{cloudfront::{Client, Settings}, local::{Server, Options}, request::InvalidationRequest, site::DistributionId};
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A CloudFront on this machine, with the distribution E1EXAMPLE.
//! let local = Server::start(Options::default()).await?;
//! let client = Client::new(Settings::local(&local.endpoint_url()));
//!
//! let distribution: DistributionId = "E1EXAMPLE".parse()?;
//! let request = InvalidationRequest::new(distribution.clone()).paths(["/path1", "path 2", "/img/*"])?;
//! let created = request.send(&client).await?;
//! assert_eq!(created.status, "InProgress");
//! assert_eq!(created.paths, ["/img/*", "/path%202", "/path1"]);
//!
//! // Until it is completed, or a minute is over.
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

/// How long [`InvalidationRequest::send`] may take, unless told otherwise.
pub const DEFAULT_LIMIT: Duration = Duration::from_secs(30);

/// Paths to purge in one distribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidationRequest {
    distribution: DistributionId,
    items: BTreeSet<Item>,
    caller_reference: Option<String>,
    limit: Duration,
}

impl InvalidationRequest {
    /// One for this distribution, without paths yet.
    #[must_use]
    pub const fn new(distribution: DistributionId) -> Self {
        Self { distribution, items: BTreeSet::new(), caller_reference: None, limit: DEFAULT_LIMIT }
    }

    /// With these paths, wildcards and cache tags besides, as a person types them: see
    /// [`Item`]'s `FromStr`. The same one twice is one.
    ///
    /// # Errors
    ///
    /// The first that is none, quoted, with what to write instead.
    pub fn paths<P: AsRef<str>>(
        mut self,
        paths: impl IntoIterator<Item = P>,
    ) -> Result<Self, ParseItemError> {
        for path in paths {
            self.items.insert(path.as_ref().parse()?);
        }
        Ok(self)
    }

    /// With the paths besides under which CloudFront serves objects with these keys.
    #[must_use]
    pub fn keys<K: AsRef<[u8]>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.items.extend(keys.into_iter().flat_map(|key| Item::of_any_endpoint(key.as_ref())));
        self
    }

    /// With these items besides.
    #[must_use]
    pub fn items(mut self, items: impl IntoIterator<Item = Item>) -> Self {
        self.items.extend(items);
        self
    }

    /// With this caller reference: the same one and the same paths again are the same
    /// invalidation. Without one, each time is another.
    #[must_use]
    pub fn caller_reference(mut self, reference: impl Into<String>) -> Self {
        self.caller_reference = Some(reference.into());
        self
    }

    /// Ending within this time.
    #[must_use]
    pub const fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// What it would purge, in the order of the wire.
    #[must_use]
    pub fn asked(&self) -> impl ExactSizeIterator<Item = &Item> {
        self.items.iter()
    }

    /// Creates the invalidation.
    ///
    /// # Errors
    ///
    /// As [`Client::create_invalidation`].
    pub async fn send(&self, client: &Client) -> Result<Invalidation, Error> {
        let paths = self.items.iter().map(Item::as_str);
        let reference = self.caller_reference.clone().unwrap_or_else(unique);
        let created = client.create_invalidation(&self.distribution, paths, &reference, self.limit).await?;
        Ok(created.invalidation)
    }
}

/// A reference that nobody else has.
#[must_use]
pub fn unique() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("cfadmin-{}-{}", now.as_nanos(), std::process::id())
}
