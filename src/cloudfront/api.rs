//! The SDK's operations, called as its own `Client` calls them. That one does more than is
//! needed here before it can call anything: see [`endpoint`](super::endpoint). What it does for
//! each call besides, headers and counters that tell AWS about its use, is left out.

use std::{fmt::Debug, time::Duration};

use aws_runtime::{
    auth::sigv4::{SCHEME_ID, SigV4AuthScheme},
    service_clock_skew::ServiceClockSkewInterceptor,
    user_agent::{ApiMetadata, UserAgentInterceptor},
};
use aws_sdk_cloudfront::{
    config::{
        AppName, BehaviorVersion, Layer, Region, RuntimeComponentsBuilder, RuntimePlugin,
        SharedCredentialsProvider, SharedInterceptor,
        auth::{DefaultAuthSchemeResolver, ResolveAuthScheme},
        endpoint::ResolveEndpoint,
        retry::RetryConfig,
        timeout::TimeoutConfig,
    },
    error::SdkError,
    meta::PKG_VERSION,
};
use aws_smithy_runtime::client::{
    defaults::{DefaultPluginParams, default_plugins},
    http::connection_poisoning::ConnectionPoisoningInterceptor,
    orchestrator::{AuthSchemeAndEndpointOrchestrationV2, invoke},
    retries::classifiers::HttpStatusCodeClassifier,
};
use aws_smithy_runtime_api::client::{
    interceptors::context::{Error, Input},
    runtime_plugin::{RuntimePlugins, StaticRuntimePlugin},
};
use aws_types::{
    SigningName,
    endpoint_config::{EndpointUrl, UseDualStack, UseFips},
    region::SigningRegion,
};

use super::{Http, attempt, endpoint::Resolver};

/// The service's name in signatures, and in what the SDK says of itself.
const SERVICE: &str = "cloudfront";

/// Who asks, and where.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) region: Region,
    pub(super) credentials: Option<SharedCredentialsProvider>,
    pub(super) endpoint_url: Option<String>,
    pub(super) use_fips: bool,
    pub(super) use_dual_stack: bool,
    /// What to call the caller besides, in the user agent.
    pub(super) app_name: Option<AppName>,
}

/// CloudFront's operations.
#[derive(Clone, Debug)]
pub(super) struct Api {
    plugins: RuntimePlugins,
    retries: RetryConfig,
}

impl Api {
    /// Them, for those who have this access. `retries` is how what only reads is tried again.
    pub(super) fn new(access: Access, http: &Http, retries: RetryConfig) -> Self {
        let behavior = BehaviorVersion::v2026_01_12();
        let defaults = DefaultPluginParams::new()
            .with_retry_partition_name(SERVICE)
            .with_behavior_version(behavior)
            .with_is_aws_sdk(true);

        let mut layer = Layer::new("access");
        layer.store_put(ApiMetadata::new(SERVICE, PKG_VERSION));
        layer.store_put(AuthSchemeAndEndpointOrchestrationV2);
        layer.store_put(RetryConfig::disabled());
        layer.store_put(SigningName::from_static(SERVICE));
        layer.store_put(SigningRegion::from(access.region.clone()));
        layer.store_put(access.region);
        layer.store_put(UseFips(access.use_fips));
        layer.store_put(UseDualStack(access.use_dual_stack));
        layer.store_or_unset(access.endpoint_url.map(EndpointUrl));
        layer.store_or_unset(access.app_name);

        let mut components = RuntimeComponentsBuilder::new("access")
            .with_http_client(Some(http.client()))
            .with_endpoint_resolver(Some(Resolver::new().into_shared_resolver()))
            .with_auth_scheme_option_resolver(Some(
                DefaultAuthSchemeResolver::default().into_shared_resolver(),
            ))
            .with_auth_scheme(SigV4AuthScheme::new())
            .with_interceptor(SharedInterceptor::permanent(ConnectionPoisoningInterceptor::new()))
            .with_interceptor(ServiceClockSkewInterceptor::new())
            .with_interceptor(UserAgentInterceptor::new())
            .with_retry_classifier(HttpStatusCodeClassifier::default());
        if let Some(credentials) = access.credentials {
            components.set_identity_resolver(SCHEME_ID, credentials);
        }

        let access =
            StaticRuntimePlugin::new().with_config(layer.freeze()).with_runtime_components(components);
        let plugins =
            RuntimePlugins::new().with_client_plugins(default_plugins(defaults)).with_client_plugin(access);
        Self { plugins, retries }
    }

    /// What the operation answers, asked once, for as long as it takes.
    pub(super) async fn once<O: Operation>(&self, input: O::Input) -> Result<O::Output, SdkError<O::Error>> {
        call::<O>(&self.plugins.clone().with_operation_plugin(O::default()), input).await
    }

    /// What one answers that changes nothing, asked again where that may help, within `limit`.
    pub(super) async fn read<O: Operation>(
        &self,
        input: O::Input,
        limit: Duration,
    ) -> Result<O::Output, SdkError<O::Error>> {
        let timeouts =
            TimeoutConfig::builder().operation_attempt_timeout(attempt(limit)).operation_timeout(limit);
        let mut layer = Layer::new("read");
        layer.store_put(self.retries.clone());
        layer.store_put(timeouts.build());
        let again = StaticRuntimePlugin::new().with_config(layer.freeze());
        let plugins = self.plugins.clone().with_operation_plugin(O::default()).with_operation_plugin(again);
        call::<O>(&plugins, input).await
    }
}

async fn call<O: Operation>(
    plugins: &RuntimePlugins,
    input: O::Input,
) -> Result<O::Output, SdkError<O::Error>> {
    // The names would be for traces, which nobody takes here. What the SDK does in there is so
    // deep that the compiler gives up on whoever holds it, unless it is in a box.
    match Box::pin(invoke(SERVICE, "", Input::erase(input), plugins)).await {
        Ok(output) => Ok(output.downcast().expect("the operation's answer")),
        Err(error) => {
            Err(error.map_service_error(|error: Error| error.downcast().expect("the operation's error")))
        }
    }
}

/// An operation, with the types that it takes and gives: the SDK erases them.
pub(super) trait Operation: RuntimePlugin + Default + 'static {
    type Input: Debug + Send + Sync + 'static;
    type Output: Debug + Send + Sync + 'static;
    type Error: std::error::Error + Send + Sync + 'static;
}

macro_rules! operations {
    ($($module:ident: $operation:ident($input:ident) -> $output:ident or $error:ident;)*) => {$(
        pub(super) use aws_sdk_cloudfront::operation::$module::{$operation, $input};

        impl Operation for $operation {
            type Input = $input;
            type Output = aws_sdk_cloudfront::operation::$module::$output;
            type Error = aws_sdk_cloudfront::operation::$module::$error;
        }
    )*};
}

operations! {
    create_invalidation:
        CreateInvalidation(CreateInvalidationInput) -> CreateInvalidationOutput or CreateInvalidationError;
    get_cache_policy: GetCachePolicy(GetCachePolicyInput) -> GetCachePolicyOutput or GetCachePolicyError;
    get_distribution_config:
        GetDistributionConfig(GetDistributionConfigInput)
            -> GetDistributionConfigOutput or GetDistributionConfigError;
    get_invalidation: GetInvalidation(GetInvalidationInput) -> GetInvalidationOutput or GetInvalidationError;
    list_distributions:
        ListDistributions(ListDistributionsInput) -> ListDistributionsOutput or ListDistributionsError;
    list_invalidations:
        ListInvalidations(ListInvalidationsInput) -> ListInvalidationsOutput or ListInvalidationsError;
}
