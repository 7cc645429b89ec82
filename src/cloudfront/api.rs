//! Calls the SDK's operations in place of the SDK's own `Client`, which does more work than
//! necessary before its first call: see [`endpoint`](super::endpoint).
//!
//! This module leaves out three features of that client: the reporting of feature usage to AWS,
//! except for the user agent; its retries, because those here know CloudFront's errors better; and
//! its protection against stalled streams, because every attempt has a time limit.

use std::{
    borrow::Cow,
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
        FrozenLayer, IdentityCache, Layer, Region, RuntimeComponentsBuilder, RuntimePlugin,
        auth::{DefaultAuthSchemeResolver, ResolveAuthScheme},
        endpoint::ResolveEndpoint,
    },
    error::{BuildError, ErrorMetadata, ProvideErrorMetadata},
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
            context::{
                BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextMut,
                Error as ErasedError, Input, Output,
            },
            dyn_dispatch_hint,
        },
        runtime_components::RuntimeComponents,
        runtime_plugin::{RuntimePlugins, SharedRuntimePlugin, StaticRuntimePlugin},
    },
};
use aws_smithy_types::{DateTime, config_bag::ConfigBag, date_time::Format};
use aws_types::{
    SigningName,
    endpoint_config::{EndpointUrl, UseDualStack, UseFips},
    region::SigningRegion,
};
use tokio::time::timeout;

use super::{Error, Http, Settings, endpoint::Resolver, pace::Turns, secrets::Secrets};

/// The service's name in signatures and in the user agent.
const SERVICE: &str = "cloudfront";

/// Minimum time limit for one attempt, unless the whole call has less time left. CloudFront
/// sometimes takes several seconds to answer.
const LEAST_ATTEMPT: Duration = Duration::from_secs(5);

/// The number of attempts among which a call divides its time limit. Also the default maximum
/// number of attempts to read.
pub(super) const ATTEMPTS: u32 = 3;

/// Maximum wait between two attempts.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Upper bound of a call's time limit, so that its deadline cannot overflow.
const LONGEST_CALL: Duration = Duration::from_hours(24);

/// The limits for the attempts of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tries<'a> {
    /// Maximum number of attempts. `None` for as many as fit into the time limit.
    pub(super) most: Option<u32>,
    /// The maximum wait before the second attempt. The maximum doubles each time, up to
    /// [`LONGEST_WAIT`]; the actual wait is random, and at least half of it.
    pub(super) first_wait: Duration,
    /// The time during which to retry while [too many invalidations are in
    /// progress](Error::is_full).
    pub(super) while_full: Duration,
    /// The turns that attempts take. `None` if they need not wait for each other.
    pub(super) turns: Option<&'a Turns>,
}

/// A value from an answer, and the time when its call began.
#[derive(Debug)]
pub(super) struct Answer<T> {
    pub(super) value: T,
    /// The beginning of the first attempt by CloudFront's clock, which counts whole seconds. `None`
    /// if the answer has no date.
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
            .with_endpoint_resolver(Some(Resolver.into_shared_resolver()))
            .with_auth_scheme_option_resolver(Some(signing))
            .with_auth_scheme(SigV4AuthScheme::new())
            .with_identity_cache(Some(IdentityCache::lazy().build()))
            // `call` does its own retries.
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

    /// Calls an operation within `limit`, and returns what `take` finds in its answer: see
    /// [`Api::call_erased`].
    pub(super) async fn call<O: Operation, T: Send>(
        &self,
        input: O::Input,
        limit: Duration,
        tries: Tries<'_>,
        mut take: impl FnMut(O::Output) -> Result<T, Error> + Send,
    ) -> Result<Answer<T>, Error> {
        let mut value = None;
        let input = || Ok(Input::erase(input.clone()));
        let mut taking = |output| {
            value = Some(take(O::output(output))?);
            Ok(())
        };
        let begun = self.call_erased(&Erased::of::<O>(), &input, limit, tries, &mut taking).await?;
        Ok(Answer { value: value.expect("the value that was taken"), begun })
    }

    /// Calls an operation within `limit`, passes its answer to `take`, and returns the beginning of the
    /// first attempt: see [`Answer::begun`].
    ///
    /// Retries transient errors with growing waits, and throttled calls when it is their turn. If the
    /// first attempt fails with a signature error, retries it immediately: by then, its answer has told
    /// the SDK CloudFront's time.
    pub(super) async fn call_erased(
        &self,
        operation: &Erased,
        input: &BuildInput<'_>,
        limit: Duration,
        tries: Tries<'_>,
        take: &mut Take<'_>,
    ) -> Result<Option<SystemTime>, Error> {
        let date = DateOfAnswer::default();
        let components = RuntimeComponentsBuilder::new("date").with_interceptor(date.clone());
        let plugins = self
            .plugins
            .clone()
            .with_operation_plugin(operation.plugin.clone())
            .with_operation_plugin(StaticRuntimePlugin::new().with_runtime_components(components));
        let limit = limit.min(LONGEST_CALL);
        let begun = Instant::now();
        let deadline = begun + limit;
        let attempt = (limit / ATTEMPTS).max(LEAST_ATTEMPT);
        let mut waits = waits(tries.first_wait);
        let mut made = 0;
        let mut last: Option<Error> = None;
        let (mut had_no_answer, mut is_uncertain) = (false, false);
        loop {
            let turn = match tries.turns {
                Some(turns) => match turns.take(deadline).await {
                    Some(turn) => turn,
                    None => return Err(last.unwrap_or_else(Error::put_off).or_uncertain(is_uncertain)),
                },
                None => Duration::ZERO,
            };
            let left = deadline.saturating_duration_since(Instant::now());
            let answer = once(operation, &plugins, input()?, attempt.min(left)).await;
            let answer = answer.map_err(|error| error.presentable(&self.secrets));
            made += 1;
            let may_try = tries.most.is_none_or(|most| made < most);
            let error = match answer.and_then(&mut *take).map_err(|error| error.of(operation.name)) {
                Ok(()) => {
                    tries.turns.inspect(|turns| turns.accepted());
                    return Ok(date.at(begun));
                }
                Err(error) if error.is_full() && begun.elapsed() >= tries.while_full => {
                    return Err(error.or_uncertain(is_uncertain));
                }
                Err(error) if error.is_busy() || error.is_unreachable() => error,
                Err(error) if error.is_unsigned() && made == 1 && may_try => continue,
                Err(error) => {
                    let error = if had_no_answer { error.after_no_answer() } else { error };
                    return Err(error.or_uncertain(is_uncertain));
                }
            };
            had_no_answer |= error.is_unreachable();
            is_uncertain |= error.is_uncertain();
            let throttled = tries.turns.filter(|_| error.is_throttled());
            throttled.inspect(|turns| turns.throttled(turn));
            // Report "busy" rather than a timeout that follows: it is the more useful of the two.
            last = Some(match last {
                Some(busy) if busy.is_busy() && !error.is_busy() => busy,
                _ => error,
            });
            // A throttled call waits for its turn instead.
            let wait = if throttled.is_some() { None } else { waits.next() };
            if !may_try || wait.is_some_and(|wait| Instant::now() + wait >= deadline) {
                return Err(last.unwrap_or_else(Error::too_late).or_uncertain(is_uncertain));
            }
            if let Some(wait) = wait {
                tokio::time::sleep(wait).await;
            }
        }
    }
}

/// The date of the last answer.
#[derive(Clone, Debug, Default)]
struct DateOfAnswer(Arc<Mutex<Option<SystemTime>>>);

impl DateOfAnswer {
    /// Returns the time that CloudFront's clock showed at `then`, a moment in the past.
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

/// Makes one attempt, which ends within `limit`.
async fn once(
    operation: &Erased,
    plugins: &RuntimePlugins,
    input: Input,
    limit: Duration,
) -> Result<Output, Error> {
    if limit.is_zero() {
        // Even with a timeout of zero, tokio polls the call once, which might send the request.
        return Err(Error::too_late());
    }
    // Only traces use the names, and nothing here records traces. The box is necessary because the
    // SDK nests futures so deeply that the compiler gives up on any future that contains them.
    let call = Box::pin(invoke(SERVICE, "", input, plugins));
    let answer = timeout(limit, call).await.map_err(|_| Error::too_late())?;
    answer.map_err(|error| Error::of_call(&error, operation.metadata))
}

/// Returns the waits before each further attempt. They are random, so that two functions that
/// are throttled at the same time do not retry at the same time.
pub(crate) fn waits(first: Duration) -> impl Iterator<Item = Duration> {
    let random = RandomState::new();
    let longer = |wait: &Duration| Some((*wait * 2).min(LONGEST_WAIT));
    iter::successors(Some(first), longer).enumerate().map(move |(number, wait)| {
        // A random duration between half of the wait and all of it.
        let share = u32::try_from(random.hash_one(number) % 1_000).unwrap_or_default();
        wait / 2 + wait * share / 2_000
    })
}

/// Makes attempts until one succeeds or fails for good. Waits before each further one. Ends with the last error when the
/// waits end, or when the next one would reach `deadline`.
#[cfg(feature = "cli")]
pub(crate) async fn retry<T, E>(
    mut waits: impl Iterator<Item = Duration>,
    deadline: Instant,
    is_transient: impl Fn(&E) -> bool,
    mut attempt: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T, E> {
    loop {
        let error = match attempt().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        match waits.next() {
            Some(wait) if is_transient(&error) && Instant::now() + wait < deadline => {
                tokio::time::sleep(wait).await;
            }
            _ => return Err(error),
        }
    }
}

/// An operation, with the types of its input, output and error, which the SDK erases.
pub(super) trait Operation: RuntimePlugin + Default + 'static {
    const NAME: &'static str;
    type Input: Clone + Debug + Send + Sync + 'static;
    type Output: Debug + Send + Sync + 'static;
    type Error: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static;

    /// Restores the type of an output.
    fn output(output: Output) -> Self::Output {
        output.downcast().expect("the operation's answer")
    }
}

/// The operation that creates an invalidation of a distribution tenant.
///
/// It is [`CreateInvalidation`] at another address: the two have the same requests and answers. The SDK's own
/// operation would make the function larger.
#[derive(Debug, Default)]
pub(super) struct CreateInvalidationForDistributionTenant(CreateInvalidation);

impl RuntimePlugin for CreateInvalidationForDistributionTenant {
    fn config(&self) -> Option<FrozenLayer> {
        self.0.config()
    }

    fn runtime_components(&self, current: &RuntimeComponentsBuilder) -> Cow<'_, RuntimeComponentsBuilder> {
        Cow::Owned(self.0.runtime_components(current).into_owned().with_interceptor(AtTenant))
    }
}

impl Operation for CreateInvalidationForDistributionTenant {
    const NAME: &'static str = "CreateInvalidationForDistributionTenant";
    type Input = CreateInvalidationInput;
    type Output = CreateInvalidationOutput;
    type Error = aws_sdk_cloudfront::operation::create_invalidation::CreateInvalidationError;
}

/// Sends requests about a distribution to the distribution tenant with its id.
#[derive(Debug)]
struct AtTenant;

#[dyn_dispatch_hint]
impl Intercept for AtTenant {
    fn name(&self) -> &'static str {
        "AtTenant"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        let address = request.uri().replacen("/distribution/", "/distribution-tenant/", 1);
        request.set_uri(address)?;
        Ok(())
    }
}

/// An operation without its types. What takes it is compiled once, and not again for each operation,
/// which would make the function larger.
#[derive(Debug)]
pub(super) struct Erased {
    name: &'static str,
    plugin: SharedRuntimePlugin,
    /// Returns what an error of the operation says.
    metadata: fn(&ErasedError) -> Option<&ErrorMetadata>,
}

impl Erased {
    pub(super) fn of<O: Operation>() -> Self {
        Self {
            name: O::NAME,
            plugin: SharedRuntimePlugin::new(O::default()),
            metadata: |error| Some(error.downcast_ref::<O::Error>()?.meta()),
        }
    }
}

/// Builds the input for an attempt.
pub(super) type BuildInput<'a> = dyn Fn() -> Result<Input, BuildError> + Sync + 'a;

/// Takes what is needed from an answer.
pub(super) type Take<'a> = dyn FnMut(Output) -> Result<(), Error> + Send + 'a;

macro_rules! operations {
    ($($module:ident: $operation:ident($input:ident) -> $output:ident or $error:ident;)*) => {$(
        pub(super) use aws_sdk_cloudfront::operation::$module::{$operation, $input, $output};

        impl Operation for $operation {
            const NAME: &'static str = stringify!($operation);
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
    get_distribution_tenant:
        GetDistributionTenant(GetDistributionTenantInput)
            -> GetDistributionTenantOutput or GetDistributionTenantError;
    get_invalidation: GetInvalidation(GetInvalidationInput) -> GetInvalidationOutput or GetInvalidationError;
    get_invalidation_for_distribution_tenant:
        GetInvalidationForDistributionTenant(GetInvalidationForDistributionTenantInput)
            -> GetInvalidationForDistributionTenantOutput or GetInvalidationForDistributionTenantError;
    list_cache_policies:
        ListCachePolicies(ListCachePoliciesInput) -> ListCachePoliciesOutput or ListCachePoliciesError;
    list_distribution_tenants:
        ListDistributionTenants(ListDistributionTenantsInput)
            -> ListDistributionTenantsOutput or ListDistributionTenantsError;
    list_distributions:
        ListDistributions(ListDistributionsInput) -> ListDistributionsOutput or ListDistributionsError;
    list_invalidations:
        ListInvalidations(ListInvalidationsInput) -> ListInvalidationsOutput or ListInvalidationsError;
    list_invalidations_for_distribution_tenant:
        ListInvalidationsForDistributionTenant(ListInvalidationsForDistributionTenantInput)
            -> ListInvalidationsForDistributionTenantOutput or ListInvalidationsForDistributionTenantError;
}
