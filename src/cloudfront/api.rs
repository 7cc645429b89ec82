//! The SDK's operations, called as its own `Client` calls them. That one does more than is
//! needed here before it can call anything: see [`endpoint`](super::endpoint). Left out are what
//! tells AWS about its use, but for the user agent, its retries, for which there are better ones
//! here, and its watch over slow streams: every attempt has a limit.

use std::{
    fmt::Debug,
    hash::{BuildHasher, RandomState},
    iter,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use aws_runtime::{
    auth::sigv4::{SCHEME_ID, SigV4AuthScheme},
    service_clock_skew::{DisableClockSkewCorrection, ServiceClockSkewInterceptor},
    user_agent::{ApiMetadata, UserAgentInterceptor},
};
use aws_sdk_cloudfront::{
    config::{
        IdentityCache, Layer, Region, RuntimeComponentsBuilder, RuntimePlugin,
        auth::{DefaultAuthSchemeResolver, ResolveAuthScheme},
        endpoint::ResolveEndpoint,
    },
    error::ProvideErrorMetadata,
    meta::PKG_VERSION,
};
use aws_smithy_async::{rt::sleep::TokioSleep, time::SystemTimeSource};
use aws_smithy_runtime::client::{
    orchestrator::{AuthSchemeAndEndpointOrchestrationV2, invoke},
    retries::strategy::NeverRetryStrategy,
};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{
            Intercept,
            context::{BeforeDeserializationInterceptorContextRef, Error as ErasedError, Input},
            dyn_dispatch_hint,
        },
        runtime_components::RuntimeComponents,
        runtime_plugin::{RuntimePlugins, StaticRuntimePlugin},
    },
};
use aws_smithy_types::{DateTime, config_bag::ConfigBag, date_time::Format};
use aws_types::{
    SigningName,
    endpoint_config::{EndpointUrl, UseDualStack, UseFips},
    region::SigningRegion,
};
use tokio::time::timeout;

use super::{Error, Http, Settings, endpoint::Resolver, secrets::Secrets};

/// The service's name in signatures, and in what the SDK says of itself.
const SERVICE: &str = "cloudfront";

/// The least that one attempt gets, where the whole call has that long. CloudFront
/// has been seen to take some seconds for an answer.
const LEAST_ATTEMPT: Duration = Duration::from_secs(5);

/// How many attempts the time is made to suffice for.
pub(super) const ATTEMPTS: u32 = 3;

/// The longest wait between two attempts.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// More than any call may take.
const LONGEST_CALL: Duration = Duration::from_hours(24);

/// How often to try, and how patiently.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tries {
    /// The most attempts. None: as many as there is time for.
    pub(super) most: Option<u32>,
    /// How long to wait before the second, twice as long before the third, and so on.
    pub(super) first_wait: Duration,
    /// How long to try again where [too much is in progress](Error::is_full).
    pub(super) while_full: Duration,
}

/// What an answer said, and when the call was begun.
#[derive(Debug)]
pub(super) struct Answer<T> {
    pub(super) value: T,
    /// The beginning of the first attempt by CloudFront's clock, to the second. `None` if the
    /// answer has no date.
    pub(super) begun: Option<SystemTime>,
}

/// CloudFront's operations.
#[derive(Clone, Debug)]
pub(super) struct Api {
    plugins: RuntimePlugins,
    secrets: Secrets,
}

impl Api {
    /// Builds the operations for a caller with these settings.
    pub(super) fn new(settings: &Settings, http: &Http) -> Self {
        let region = Region::new(settings.region.clone());
        let mut layer = Layer::new(SERVICE);
        layer.store_put(ApiMetadata::new(SERVICE, PKG_VERSION));
        layer.store_put(AuthSchemeAndEndpointOrchestrationV2);
        layer.store_put(SigningName::from_static(SERVICE));
        layer.store_put(SigningRegion::from(region.clone()));
        layer.store_put(region);
        layer.store_put(UseFips(settings.use_fips));
        layer.store_put(UseDualStack(settings.use_dual_stack));
        layer.store_or_unset(settings.endpoint_url.clone().map(EndpointUrl));
        layer.store_or_unset(settings.app_name.clone());
        layer.store_put(DisableClockSkewCorrection::from(settings.ignores_clock_skew));

        let signing = DefaultAuthSchemeResolver::default().into_shared_resolver();
        let mut components = RuntimeComponentsBuilder::new(SERVICE)
            .with_http_client(Some(http.client()))
            .with_endpoint_resolver(Some(Resolver::new().into_shared_resolver()))
            .with_auth_scheme_option_resolver(Some(signing))
            .with_auth_scheme(SigV4AuthScheme::new())
            .with_identity_cache(Some(IdentityCache::lazy().build()))
            // What is to be tried again is known better below.
            .with_retry_strategy(Some(NeverRetryStrategy::new()))
            .with_sleep_impl(Some(TokioSleep::new()))
            .with_time_source(Some(SystemTimeSource::new()))
            .with_interceptor(ServiceClockSkewInterceptor::new())
            .with_interceptor(UserAgentInterceptor::new());
        if let Some(credentials) = &settings.credentials {
            components.set_identity_resolver(SCHEME_ID, credentials.clone());
        }
        let plugin =
            StaticRuntimePlugin::new().with_config(layer.freeze()).with_runtime_components(components);
        Self { plugins: RuntimePlugins::new().with_client_plugin(plugin), secrets: settings.secrets.clone() }
    }

    /// What `take` finds in the operation's answer, within `limit`.
    ///
    /// Tries again what may pass, waiting longer each time, and at once, but only once, where
    /// CloudFront's clock seems to be another: by then that is known.
    pub(super) async fn call<O: Operation, T>(
        &self,
        input: O::Input,
        limit: Duration,
        tries: Tries,
        take: impl Fn(O::Output) -> Result<T, Error>,
    ) -> Result<Answer<T>, Error> {
        let date = DateOfAnswer::default();
        let components = RuntimeComponentsBuilder::new("date").with_interceptor(date.clone());
        let plugins = self
            .plugins
            .clone()
            .with_operation_plugin(O::default())
            .with_operation_plugin(StaticRuntimePlugin::new().with_runtime_components(components));
        let limit = limit.min(LONGEST_CALL);
        let begun = Instant::now();
        let deadline = begun + limit;
        let attempt = (limit / ATTEMPTS).max(LEAST_ATTEMPT);
        let mut waits = waits(tries.first_wait);
        let mut made = 0;
        let mut last: Option<Error> = None;
        let mut had_no_answer = false;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let answer = once::<O>(&plugins, input.clone(), attempt.min(left)).await;
            let answer = answer.map_err(|error| error.presentable(&self.secrets));
            made += 1;
            let may_try = tries.most.is_none_or(|most| made < most);
            let error = match answer.and_then(&take) {
                Ok(value) => return Ok(Answer { value, begun: date.at(begun) }),
                Err(error) if error.is_full() && begun.elapsed() >= tries.while_full => return Err(error),
                Err(error) if error.is_busy() || error.is_unreachable() => error,
                Err(error) if error.is_unsigned() && made == 1 && may_try => continue,
                Err(error) if had_no_answer => return Err(error.after_no_answer()),
                Err(error) => return Err(error),
            };
            had_no_answer |= error.is_unreachable();
            // That CloudFront is busy says more than that it did not say so again.
            last = Some(match last {
                Some(busy) if busy.is_busy() && !error.is_busy() => busy,
                _ => error,
            });
            let wait = waits.next().unwrap_or(LONGEST_WAIT);
            if !may_try || Instant::now() + wait >= deadline {
                return Err(last.unwrap_or_else(Error::too_late));
            }
            tokio::time::sleep(wait).await;
        }
    }
}

/// Keeps the date of the last answer.
#[derive(Clone, Debug, Default)]
struct DateOfAnswer(Arc<Mutex<Option<SystemTime>>>);

impl DateOfAnswer {
    /// Returns what CloudFront's clock showed at this moment of the past.
    fn at(&self, then: Instant) -> Option<SystemTime> {
        let date = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        date?.checked_sub(then.elapsed())
    }
}

#[dyn_dispatch_hint]
impl Intercept for DateOfAnswer {
    fn name(&self) -> &'static str {
        "DateOfAnswer"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, Format::HttpDate).ok());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = date.and_then(|date| date.try_into().ok());
        Ok(())
    }
}

/// One attempt, which ends within `limit`.
async fn once<O: Operation>(
    plugins: &RuntimePlugins,
    input: O::Input,
    limit: Duration,
) -> Result<O::Output, Error> {
    if limit.is_zero() {
        // A timeout of nothing would still look first, and might see an answer.
        return Err(Error::too_late());
    }
    // The names would be for traces, which nobody takes here. What the SDK does in there is so
    // deep that the compiler gives up on whoever holds it, unless it is in a box.
    let call = Box::pin(invoke(SERVICE, "", Input::erase(input), plugins));
    match timeout(limit, call).await.map_err(|_| Error::too_late())? {
        Ok(output) => Ok(output.downcast().expect("the operation's answer")),
        Err(error) => {
            let of_operation =
                |error: ErasedError| error.downcast::<O::Error>().expect("the operation's error");
            Err(error.map_service_error(of_operation).into())
        }
    }
}

/// How long to wait before each further attempt. Two functions that are refused at the
/// same time do not come back at the same time.
fn waits(first: Duration) -> impl Iterator<Item = Duration> {
    let random = RandomState::new();
    let longer = |wait: &Duration| Some((*wait * 2).min(LONGEST_WAIT));
    iter::successors(Some(first), longer).enumerate().map(move |(number, wait)| {
        // Between a half and all of it.
        let share = u32::try_from(random.hash_one(number) % 1_000).unwrap_or_default();
        wait / 2 + wait * share / 2_000
    })
}

/// An operation, with the types that it takes and gives: the SDK erases them.
pub(super) trait Operation: RuntimePlugin + Default + 'static {
    type Input: Clone + Debug + Send + Sync + 'static;
    type Output: Debug + Send + Sync + 'static;
    type Error: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static;
}

macro_rules! operations {
    ($($module:ident: $operation:ident($input:ident) -> $output:ident or $error:ident;)*) => {$(
        pub(super) use aws_sdk_cloudfront::operation::$module::{$operation, $input, $output};

        impl Operation for $operation {
            type Input = $input;
            type Output = $output;
            type Error = aws_sdk_cloudfront::operation::$module::$error;
        }
    )*};
}

operations! {
    create_invalidation:
        CreateInvalidation(CreateInvalidationInput) -> CreateInvalidationOutput or CreateInvalidationError;
    get_distribution_config:
        GetDistributionConfig(GetDistributionConfigInput)
            -> GetDistributionConfigOutput or GetDistributionConfigError;
    get_invalidation: GetInvalidation(GetInvalidationInput) -> GetInvalidationOutput or GetInvalidationError;
    list_cache_policies:
        ListCachePolicies(ListCachePoliciesInput) -> ListCachePoliciesOutput or ListCachePoliciesError;
    list_distributions:
        ListDistributions(ListDistributionsInput) -> ListDistributionsOutput or ListDistributionsError;
    list_invalidations:
        ListInvalidations(ListInvalidationsInput) -> ListInvalidationsOutput or ListInvalidationsError;
}
