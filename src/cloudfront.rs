//! CloudFront's API. Except for `verify`, only this module uses the SDK.
//!
//! An [`struct@Error`] answers questions about what happened, so no other module has to know error
//! codes and HTTP statuses.

mod api;
mod distributions;
mod endpoint;
mod error;
mod http;
mod pace;
#[cfg(feature = "cli")]
mod profile;
#[cfg(feature = "cli")]
mod recent;
mod secrets;
mod settings;
mod signed;

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant, SystemTime},
};

use aws_sdk_cloudfront::{
    config::endpoint::{Params, ResolveEndpoint},
    error::BuildError,
    primitives::DateTimeFormat,
    types::{InvalidationBatch, InvalidationList, InvalidationSummary, Paths},
};
use aws_smithy_runtime_api::client::{
    interceptors::context::{Input, Output},
    orchestrator::HttpRequest,
};
use aws_smithy_types::body::SdkBody;
use serde::Serialize;

#[cfg(feature = "cli")]
pub(crate) use self::{api::retry, endpoint::lambda, http::MOST_ELSEWHERE};
pub(crate) use self::{
    api::waits,
    endpoint::{domain, domain_of, monitoring},
    http::Http,
    signed::{Received, Scope},
};
use self::{
    api::{
        ATTEMPTS, Answer, Api, CreateInvalidation, CreateInvalidationForDistributionTenant,
        CreateInvalidationInput, CreateInvalidationOutput, Erased, GetInvalidation,
        GetInvalidationForDistributionTenant, GetInvalidationForDistributionTenantInput,
        GetInvalidationInput, LONGEST_WAIT, ListInvalidations, ListInvalidationsForDistributionTenant,
        ListInvalidationsForDistributionTenantInput, ListInvalidationsInput, Operation, Tries,
    },
    endpoint::Resolver,
    pace::Turns,
};
pub use self::{error::Error, pace::Pace, settings::Settings};
#[cfg(feature = "cli")]
pub use self::{profile::Profile, recent::RecentPage};
use crate::site::DistributionId;

/// The wait before the second attempt to create an invalidation.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// Time limit for one call that reads invalidations.
const READ_LIMIT: Duration = Duration::from_secs(30);

/// The wait before the second poll of an invalidation that is being followed, and before the second
/// attempt to read.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// A client for CloudFront's API.
#[derive(Clone, Debug)]
pub struct Client {
    api: Api,
    http: Http,
    /// An HTTP client that trusts the system's certificate authorities, if `http` trusts none. It is
    /// created when it is needed.
    with_authorities: Arc<OnceLock<Http>>,
    settings: Settings,
    turns: Turns,
}

/// An invalidation as CloudFront describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Invalidation {
    /// The id that CloudFront gave it.
    pub id: String,
    /// The status: `InProgress` or `Completed`.
    pub status: String,
    /// The items that it purges.
    pub paths: Vec<String>,
    /// The caller reference of the request that created it.
    pub caller_reference: String,
    /// The time of its creation. `None` if CloudFront's answer has no valid one.
    #[serde(skip)]
    pub created: Option<SystemTime>,
}

/// The result of a call that creates an invalidation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Creation {
    /// The invalidation.
    pub invalidation: Invalidation,
    /// Whether this call created it. If not, an earlier call with the same caller reference and
    /// paths did, and CloudFront charges nothing.
    pub is_new: bool,
}

/// The time limits for creating an invalidation.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Time limit for the whole call.
    pub limit: Duration,
    /// The part of the limit during which to retry while [too many invalidations are in
    /// progress](Error::is_full).
    pub while_full: Duration,
}

impl From<Duration> for Patience {
    /// Creates limits that allow retries until the end of the call, whatever the error.
    fn from(limit: Duration) -> Self {
        Self { limit, while_full: limit }
    }
}

/// Maximum time by which an invalidation may seem older than the call that created it. Both times
/// are CloudFront's, but one is in whole seconds, and they may come from different machines.
const SLACK: Duration = Duration::from_secs(2);

impl Invalidation {
    /// Returns whether every edge location has purged the items. Ignores the case of the status,
    /// because the API does not restrict its text.
    #[must_use]
    pub fn is_completed(&self) -> bool {
        self.status.eq_ignore_ascii_case(COMPLETED)
    }
}

/// An invalidation in CloudFront's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The id that CloudFront gave it.
    pub id: String,
    /// The status: `InProgress` or `Completed`.
    pub status: String,
    /// The time of its creation, in RFC 3339 format and UTC.
    pub created: String,
    /// The same time. `None` if it is not valid.
    #[serde(skip)]
    pub at: Option<SystemTime>,
}

impl Summary {
    /// Returns whether every edge location has purged the items: see [`Invalidation::is_completed`].
    #[must_use]
    pub fn is_completed(&self) -> bool {
        self.status.eq_ignore_ascii_case(COMPLETED)
    }
}

impl From<InvalidationSummary> for Summary {
    fn from(summary: InvalidationSummary) -> Self {
        Self {
            created: summary.create_time.fmt(DateTimeFormat::DateTime).unwrap_or_default(),
            at: summary.create_time.try_into().ok(),
            id: summary.id,
            status: summary.status,
        }
    }
}

/// The status of an invalidation that every edge location has completed.
///
/// <https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_Invalidation.html>
const COMPLETED: &str = "Completed";

impl Client {
    /// Creates a client for the function, which has little memory: it reads answers of up to 2 MiB
    /// plus twice the size of the request.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let http = Http::of(settings.endpoint_url.as_deref(), http::MOST_IN_FUNCTION);
        Self::with_http(settings, http)
    }

    /// Creates a client with the settings and the HTTP client of `profile`.
    #[cfg(feature = "cli")]
    #[must_use]
    pub fn of_profile(profile: &Profile) -> Self {
        Self::with_http(profile.settings(), profile.http.clone())
    }

    fn with_http(settings: Settings, http: Http) -> Self {
        Self {
            api: Api::new(&settings, &http),
            http,
            with_authorities: Arc::default(),
            settings,
            turns: Turns::default(),
        }
    }

    /// Opens a connection for the first call to use. Does nothing for an endpoint without TLS,
    /// where there is no handshake to save. Ignores errors, because the first call reports them.
    pub async fn connect(&self) {
        let Settings { region, endpoint_url, use_fips, use_dual_stack, .. } = &self.settings;
        let parameters = Params::builder()
            .region(region)
            .set_endpoint(endpoint_url.clone())
            .use_fips(*use_fips)
            .use_dual_stack(*use_dual_stack);
        let Ok(parameters) = parameters.build() else { return };
        let Ok(endpoint) = Resolver.resolve_endpoint(&parameters).await else { return };
        if !endpoint.url().starts_with("https://") {
            return;
        }
        // hyper connects only to send a request, so this sends an unsigned HEAD.
        let request = ::http::Request::head(endpoint.url()).body(SdkBody::empty());
        if let Some(request) = request.ok().and_then(|request| HttpRequest::try_from(request).ok()) {
            let _ = self.http.call(request).await;
        }
    }

    /// Creates an invalidation, or finds the one that an earlier call created with the same caller
    /// reference and paths.
    ///
    /// Retries transient errors with growing waits. An error is transient if CloudFront is busy,
    /// whichever code says so, or if no answer comes. Retries are safe, because CloudFront creates
    /// only one invalidation for a caller reference. Once CloudFront has throttled a call, all calls of
    /// this client and its clones wait for their turn at the [`Pace`] that CloudFront accepts.
    ///
    /// <https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_CreateInvalidation.html>
    /// <https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_CreateInvalidationForDistributionTenant.html>
    ///
    /// # Errors
    ///
    /// Returns the error that CloudFront answers, or the reason why no answer came: see
    /// [`struct@Error`].
    pub async fn create_invalidation(
        &self,
        distribution: &DistributionId,
        paths: impl ExactSizeIterator<Item = &str>,
        caller_reference: &str,
        patience: impl Into<Patience>,
    ) -> Result<Creation, Error> {
        let Patience { limit, while_full } = patience.into();
        let quantity = i32::try_from(paths.len()).unwrap_or(i32::MAX);
        let paths = Paths::builder().quantity(quantity).set_items(Some(paths.map(str::to_owned).collect()));
        let batch =
            InvalidationBatch::builder().paths(paths.build()?).caller_reference(caller_reference).build()?;
        let created = |answer: Option<aws_sdk_cloudfront::types::Invalidation>| {
            let created = answer.map(Invalidation::from);
            let created = created.filter(|created| !created.id.is_empty());
            match created.ok_or_else(|| Error::no_answer("invalidation"))? {
                created if created.caller_reference == caller_reference => Ok(created),
                other => Err(Error::other_invalidation(caller_reference, &other.caller_reference)),
            }
        };
        let turns = Some(&self.turns);
        let tries = Tries { most: self.settings.max_attempts, first_wait: FIRST_WAIT, while_full, turns };
        let Answer { value: invalidation, begun } =
            self.create(distribution, batch, limit, tries, created).await?;
        let is_new = match (invalidation.created, begun) {
            (Some(created), Some(begun)) => created + SLACK >= begun,
            _ => true,
        };
        Ok(Creation { invalidation, is_new })
    }

    /// Returns the settings.
    pub(crate) const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the average time between two calls that create an invalidation at the pace that
    /// CloudFront accepts. Zero while CloudFront has throttled no call.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.turns.interval()
    }

    /// Calls the operation that creates invalidations of a distribution, or the one of a tenant. Returns
    /// what `take` finds in its answer.
    async fn create(
        &self,
        distribution: &DistributionId,
        batch: InvalidationBatch,
        limit: Duration,
        tries: Tries<'_>,
        mut take: impl FnMut(Option<aws_sdk_cloudfront::types::Invalidation>) -> Result<Invalidation, Error>
        + Send,
    ) -> Result<Answer<Invalidation>, Error> {
        let input = CreateInvalidationInput::builder().distribution_id(distribution.as_str());
        let input = input.invalidation_batch(batch).build()?;
        let take = |answer: CreateInvalidationOutput| take(answer.invalidation);
        if distribution.is_tenant() {
            self.api.call::<CreateInvalidationForDistributionTenant, _>(input, limit, tries, take).await
        } else {
            self.api.call::<CreateInvalidation, _>(input, limit, tries, take).await
        }
    }

    /// Calls an operation that changes nothing, and returns what `take` finds in its answer.
    async fn read<O: Operation, T: Send>(
        &self,
        input: O::Input,
        limit: Duration,
        take: impl FnMut(O::Output) -> Result<T, Error> + Send,
    ) -> Result<T, Error> {
        Ok(self.api.call::<O, T>(input, limit, self.tries_to_read(limit), take).await?.value)
    }

    /// Returns the limits for the attempts of a call that changes nothing.
    fn tries_to_read(&self, limit: Duration) -> Tries<'static> {
        // Reads get only a few attempts, so the waits between them are longer.
        let most = Some(self.settings.max_attempts.unwrap_or(ATTEMPTS));
        Tries { most, first_wait: FIRST_LOOK, while_full: limit, turns: None }
    }

    /// Returns the invalidation with this id.
    ///
    /// <https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_GetInvalidation.html>
    ///
    /// # Errors
    ///
    /// See [`Client::create_invalidation`].
    pub async fn invalidation(&self, distribution: &DistributionId, id: &str) -> Result<Invalidation, Error> {
        let invalidation = |answer: Option<aws_sdk_cloudfront::types::Invalidation>| {
            answer.map(Invalidation::from).ok_or_else(|| Error::no_answer("invalidation"))
        };
        if distribution.is_tenant() {
            let of = GetInvalidationForDistributionTenantInput::builder();
            let input = of.distribution_tenant_id(distribution.as_str()).id(id).build()?;
            let read = self.read::<GetInvalidationForDistributionTenant, _>(input, READ_LIMIT, |answer| {
                invalidation(answer.invalidation)
            });
            return read.await;
        }
        let input = GetInvalidationInput::builder().distribution_id(distribution.as_str()).id(id).build()?;
        self.read::<GetInvalidation, _>(input, READ_LIMIT, |answer| invalidation(answer.invalidation)).await
    }

    /// Polls an invalidation until it is completed or `limit` is over, and returns its last state.
    /// Calls `progress` with each state.
    ///
    /// AWS says that 95 % of invalidations are completed within 25 seconds. The first wait is
    /// therefore one second. Each further wait is one second longer, up to five seconds.
    ///
    /// # Errors
    ///
    /// See [`Client::create_invalidation`].
    pub async fn follow(
        &self,
        distribution: &DistributionId,
        id: &str,
        limit: Duration,
        mut progress: impl FnMut(&Invalidation),
    ) -> Result<Invalidation, Error> {
        let deadline = Instant::now() + limit;
        let mut wait = FIRST_LOOK;
        loop {
            let seen = self.invalidation(distribution, id).await?;
            progress(&seen);
            if seen.is_completed() || Instant::now() + wait > deadline {
                return Ok(seen);
            }
            tokio::time::sleep(wait).await;
            wait = (wait + FIRST_LOOK).min(LONGEST_WAIT);
        }
    }

    /// Lists all invalidations of a distribution or tenant, newest first, from all pages.
    ///
    /// <https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_ListInvalidations.html>
    ///
    /// # Errors
    ///
    /// See [`Client::create_invalidation`].
    pub async fn invalidations(&self, distribution: &DistributionId) -> Result<Vec<Summary>, Error> {
        let id = distribution.as_str();
        let page = |list: Option<InvalidationList>| {
            let list = list.ok_or_else(|| Error::no_answer("list"))?;
            let items = list.items.unwrap_or_default();
            Ok(Page { items, is_truncated: list.is_truncated, next: list.next_marker })
        };
        let listed = if distribution.is_tenant() {
            let listed = self.pages::<ListInvalidationsForDistributionTenant, _>(
                READ_LIMIT,
                |marker, max_items| {
                    let of = ListInvalidationsForDistributionTenantInput::builder().id(id);
                    of.set_marker(marker).set_max_items(max_items).build()
                },
                |answer| page(answer.invalidation_list),
            );
            listed.await?
        } else {
            let listed = self.pages::<ListInvalidations, _>(
                READ_LIMIT,
                |marker, max_items| {
                    let of = ListInvalidationsInput::builder().distribution_id(id);
                    of.set_marker(marker).set_max_items(max_items).build()
                },
                |answer| page(answer.invalidation_list),
            );
            listed.await?
        };
        Ok(listed.into_iter().map(Summary::from).collect())
    }

    /// Reads all pages of a list, each within `limit`.
    ///
    /// `input` builds the request for the page after a marker, with a maximum number of items.
    /// `page` reads the answer. If an answer is too long, requests the page again with fewer items.
    async fn pages<O: Operation, T: Send>(
        &self,
        limit: Duration,
        input: impl Fn(Option<String>, Option<i32>) -> Result<O::Input, BuildError> + Send + Sync,
        mut page: impl FnMut(O::Output) -> Result<Page<T>, Error> + Send,
    ) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        let input = |marker, max_items| Ok(Input::erase(input(marker, max_items)?));
        let mut take = |output| {
            let Page { items, is_truncated, next } = page(O::output(output))?;
            all.extend(items);
            Ok((is_truncated, next))
        };
        self.pages_erased(&Erased::of::<O>(), limit, &input, &mut take).await?;
        Ok(all)
    }

    /// Reads all pages of a list: see [`Client::pages`]. `take` returns whether there are more pages, and
    /// the marker of the next one.
    async fn pages_erased(
        &self,
        operation: &Erased,
        limit: Duration,
        input: &InputOfPage<'_>,
        take: &mut TakePage<'_>,
    ) -> Result<(), Error> {
        let mut marker: Option<String> = None;
        let mut sizes = PAGE_SIZES.iter();
        let mut max_items = None;
        loop {
            let (mut is_truncated, mut next) = (false, None);
            let mut taking = |output| {
                (is_truncated, next) = take(output)?;
                Ok(())
            };
            let input = || input(marker.clone(), max_items);
            let tries = self.tries_to_read(limit);
            match self.api.call_erased(operation, &input, limit, tries, &mut taking).await {
                Ok(_) => {
                    marker = next_page(is_truncated, next, marker.as_ref())?;
                    if marker.is_none() {
                        return Ok(());
                    }
                }
                Err(error) if error.is_too_long() => {
                    max_items = Some(*sizes.next().ok_or(error)?);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Builds the request for a page of a list.
type InputOfPage<'a> = dyn Fn(Option<String>, Option<i32>) -> Result<Input, BuildError> + Sync + 'a;

/// Takes the items of a page.
type TakePage<'a> = dyn FnMut(Output) -> Result<(bool, Option<String>), Error> + Send + 'a;

/// The page sizes to try, in order, after a page that is too long. CloudFront's default is 100
/// items.
const PAGE_SIZES: [i32; 3] = [25, 5, 1];

/// A page of a list.
struct Page<T> {
    items: Vec<T>,
    is_truncated: bool,
    next: Option<String>,
}

impl<T> Page<T> {
    /// Creates a page of a list in which only the marker of the next page says that there is one.
    fn before(next: Option<String>, items: Vec<T>) -> Self {
        Self { items, is_truncated: next.as_ref().is_some_and(|marker| !marker.is_empty()), next }
    }
}

/// Returns the marker of the page after the one that `marker` requested. `None` after the last
/// page. Fails if the answer should have a new marker and does not.
fn next_page(
    is_truncated: bool,
    next: Option<String>,
    marker: Option<&String>,
) -> Result<Option<String>, Error> {
    if !is_truncated {
        return Ok(None);
    }
    let next = next.filter(|next| marker != Some(next));
    next.map(Some).ok_or_else(|| Error::no_answer("next page"))
}

impl From<aws_sdk_cloudfront::types::Invalidation> for Invalidation {
    fn from(answer: aws_sdk_cloudfront::types::Invalidation) -> Self {
        let (paths, caller_reference) = answer.invalidation_batch.map_or_else(Default::default, |batch| {
            (batch.paths.and_then(|paths| paths.items).unwrap_or_default(), batch.caller_reference)
        });
        let created = answer.create_time.try_into().ok();
        Self { id: answer.id, status: answer.status, paths, caller_reference, created }
    }
}
