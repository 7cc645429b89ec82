//! CloudFront's API: the only room, but for `view`, that names the SDK.
//!
//! An [`struct@Error`] answers questions about what happened, so that nobody else has to
//! know codes and statuses.

mod api;
mod distributions;
mod endpoint;
mod error;
mod http;
#[cfg(feature = "cli")]
mod profile;

use std::time::{Duration, Instant};

use aws_sdk_cloudfront::{
    config::{
        Credentials, Region, SharedCredentialsProvider,
        endpoint::{Params, ResolveEndpoint},
    },
    primitives::DateTimeFormat,
    types::{InvalidationBatch, Paths},
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use serde::Serialize;

pub use self::error::Error;
pub(crate) use self::http::Http;
#[cfg(feature = "cli")]
pub use self::profile::Profile;
use self::{
    api::{
        ATTEMPTS, Access, Api, CreateInvalidation, CreateInvalidationInput, CreateInvalidationOutput,
        GetInvalidation, GetInvalidationInput, LONGEST_WAIT, ListInvalidations, ListInvalidationsInput,
        Operation, Tries,
    },
    endpoint::Resolver,
};
use crate::config::Aws;

/// How long to wait before the second attempt to create an invalidation.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// How long one answer about invalidations may take.
const READ_LIMIT: Duration = Duration::from_secs(30);

/// How long to wait before the second look at an invalidation that is followed, and before the
/// second attempt to read.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// A CloudFront to talk to.
#[derive(Clone, Debug)]
pub struct Client {
    api: Api,
    http: Http,
    /// How often to try. None: to create an invalidation as long as there is time, and three
    /// times to read.
    max_attempts: Option<u32>,
}

/// An invalidation as CloudFront shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Invalidation {
    /// CloudFront's id for it.
    pub id: String,
    /// `InProgress` or `Completed`.
    pub status: String,
    /// What it purges.
    pub paths: Vec<String>,
    /// The reference that it was asked for with.
    pub caller_reference: String,
}

impl Invalidation {
    /// Whether every edge has purged. The API calls the status any text, so its case does
    /// not matter.
    #[must_use]
    pub fn is_completed(&self) -> bool {
        self.status.eq_ignore_ascii_case(COMPLETED)
    }
}

/// An invalidation as CloudFront lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// CloudFront's id for it.
    pub id: String,
    /// `InProgress` or `Completed`.
    pub status: String,
    /// When it was created: RFC 3339, in UTC.
    pub created: String,
}

/// The status of an invalidation that every edge has done.
///
/// <https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_Invalidation.html>
const COMPLETED: &str = "Completed";

impl Client {
    /// A client for these settings.
    #[must_use]
    pub fn new(settings: &Aws) -> Self {
        let credentials = Credentials::new(
            &settings.access_key_id,
            &settings.secret_access_key,
            settings.session_token.clone(),
            None,
            "environment",
        );
        let http = Http::of(settings.endpoint_url.as_deref());
        let access = Access {
            region: Region::new(settings.region.clone()),
            credentials: Some(SharedCredentialsProvider::new(credentials)),
            endpoint_url: settings.endpoint_url.clone(),
            use_fips: settings.use_fips,
            use_dual_stack: settings.use_dual_stack,
            app_name: None,
            own_clock: false,
        };
        Self::of(access, http, settings.max_attempts)
    }

    fn of(access: Access, http: Http, max_attempts: Option<u32>) -> Self {
        Self { api: Api::new(access, &http), http, max_attempts }
    }

    /// Opens a connection for the first call to use, to where these settings say that
    /// CloudFront is. Where it cannot be opened, that call will find out and tell.
    ///
    /// It takes a request, and this one asks for nothing, unsigned. Without TLS there is nothing
    /// to be won.
    pub async fn connect(&self, settings: &Aws) {
        let parameters = Params::builder()
            .region(settings.region.clone())
            .set_endpoint(settings.endpoint_url.clone())
            .use_fips(settings.use_fips)
            .use_dual_stack(settings.use_dual_stack);
        let Ok(parameters) = parameters.build() else { return };
        let Ok(endpoint) = Resolver::new().resolve_endpoint(&parameters).await else { return };
        if !endpoint.url().starts_with("https://") {
            return;
        }
        let request = ::http::Request::head(endpoint.url()).body(SdkBody::empty());
        if let Some(request) = request.ok().and_then(|request| HttpRequest::try_from(request).ok()) {
            // Whatever is answered.
            let _ = self.http.call(request).await;
        }
    }

    /// A client for whatever the AWS command line would use here.
    #[cfg(feature = "cli")]
    #[must_use]
    pub fn of_profile(profile: &Profile) -> Self {
        Self::of(profile.access(), profile.http.clone(), profile.max_attempts)
    }

    /// Creates an invalidation, or finds the one that was created with the same
    /// reference and paths. Ends within `limit`.
    ///
    /// Tries again what may pass, waiting longer each time: whenever CloudFront is busy,
    /// in whatever words, and whenever no answer comes, since with the same reference
    /// nothing is created twice.
    ///
    /// <https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_CreateInvalidation.html>
    ///
    /// # Errors
    ///
    /// Whatever CloudFront answers, and whatever keeps it from answering: see
    /// [`struct@Error`].
    pub async fn create_invalidation(
        &self,
        distribution: &str,
        paths: impl ExactSizeIterator<Item = &str>,
        caller_reference: &str,
        limit: Duration,
    ) -> Result<Invalidation, Error> {
        let quantity = i32::try_from(paths.len()).unwrap_or(i32::MAX);
        let paths = Paths::builder().quantity(quantity).set_items(Some(paths.map(str::to_owned).collect()));
        let batch =
            InvalidationBatch::builder().paths(paths.build()?).caller_reference(caller_reference).build()?;
        let input = CreateInvalidationInput::builder()
            .distribution_id(distribution)
            .invalidation_batch(batch)
            .build()?;
        let created = |answer: CreateInvalidationOutput| {
            let created = answer.invalidation.map(Invalidation::from);
            created.filter(|created| !created.id.is_empty()).ok_or_else(|| Error::no_answer("invalidation"))
        };
        let tries = Tries { most: self.max_attempts, first_wait: FIRST_WAIT };
        self.api.call::<CreateInvalidation, _>(input, limit, tries, created).await
    }

    /// What `take` finds in the answer of an operation that changes nothing.
    async fn read<O: Operation, T>(
        &self,
        input: O::Input,
        limit: Duration,
        take: impl Fn(O::Output) -> Result<T, Error>,
    ) -> Result<T, Error> {
        // There are only few, so they come later.
        let most = Some(self.max_attempts.unwrap_or(ATTEMPTS));
        self.api.call::<O, T>(input, limit, Tries { most, first_wait: FIRST_LOOK }, take).await
    }

    /// The invalidation with this id.
    ///
    /// <https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_GetInvalidation.html>
    ///
    /// # Errors
    ///
    /// As [`Client::create_invalidation`].
    pub async fn invalidation(&self, distribution: &str, id: &str) -> Result<Invalidation, Error> {
        let input = GetInvalidationInput::builder().distribution_id(distribution).id(id).build()?;
        self.read::<GetInvalidation, _>(input, READ_LIMIT, |answer| {
            answer.invalidation.map(Invalidation::from).ok_or_else(|| Error::no_answer("invalidation"))
        })
        .await
    }

    /// An invalidation as it was seen last: completed, or not where `limit` is over first.
    /// Tells `progress` of each look at it.
    ///
    /// CloudFront says that 95 % are completed within 25 seconds, so looks come one
    /// second after the other at first, and later five.
    ///
    /// # Errors
    ///
    /// As [`Client::create_invalidation`].
    pub async fn follow(
        &self,
        distribution: &str,
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

    /// All invalidations of a distribution, newest first, every page.
    ///
    /// <https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_ListInvalidations.html>
    ///
    /// # Errors
    ///
    /// As [`Client::create_invalidation`].
    pub async fn invalidations(&self, distribution: &str) -> Result<Vec<Summary>, Error> {
        let mut all = Vec::new();
        let mut marker: Option<String> = None;
        loop {
            let input = ListInvalidationsInput::builder()
                .distribution_id(distribution)
                .set_marker(marker.clone())
                .build()?;
            let list = self.read::<ListInvalidations, _>(input, READ_LIMIT, |answer| {
                answer.invalidation_list.ok_or_else(|| Error::no_answer("list"))
            });
            let list = list.await?;
            all.extend(list.items.unwrap_or_default().into_iter().map(|summary| Summary {
                created: summary.create_time.fmt(DateTimeFormat::DateTime).unwrap_or_default(),
                id: summary.id,
                status: summary.status,
            }));
            marker = next_page(list.is_truncated, list.next_marker, marker.as_ref())?;
            if marker.is_none() {
                return Ok(all);
            }
        }
    }
}

/// The marker of the page after the one that `marker` asked for. None after the last.
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
        Self { id: answer.id, status: answer.status, paths, caller_reference }
    }
}
