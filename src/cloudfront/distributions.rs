//! Reads the account's distributions, tenants and cache policies from CloudFront.

use std::{collections::BTreeMap, num::NonZeroU64, sync::Arc, time::Duration};

use aws_sdk_cloudfront::{
    primitives::DateTime,
    types::{
        CacheBehavior, CachePolicyQueryStringBehavior, CachePolicySummary, CachePolicyType, ConnectionMode,
        DefaultCacheBehavior, DistributionSummary, DistributionTenant, DistributionTenantAssociationFilter,
        DistributionTenantSummary, EventType, ForwardedValues, FunctionAssociations,
        LambdaFunctionAssociations, ParameterDefinition,
    },
};

use super::{
    Client, Error, Page,
    api::{
        GetDistributionConfig, GetDistributionConfigInput, GetDistributionTenant, GetDistributionTenantInput,
        ListCachePolicies, ListCachePoliciesInput, ListDistributionTenants, ListDistributionTenantsInput,
        ListDistributions, ListDistributionsInput,
    },
};
use crate::site::{
    Behavior, Details, Distribution, DistributionId, EdgeFunction, ErrorPage, Origin, OriginGroup,
    QueryStrings, Tenant, managed_policy,
};

/// The number of seconds for which CloudFront caches an error if the configuration does not say.
///
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/HTTPStatusCodes.html>
const DEFAULT_ERROR_TTL: i64 = 10;

impl Client {
    /// Lists all distributions of the account, from all pages, each within `limit`. The list does
    /// not include their [`Details`] or the settings of cache policies.
    ///
    /// <https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_ListDistributions.html>
    ///
    /// # Errors
    ///
    /// See [`Client::create_invalidation`].
    pub async fn distributions(&self, limit: Duration) -> Result<Vec<Distribution>, Error> {
        let listed = self.pages::<ListDistributions, _>(
            limit,
            |marker, max_items| {
                ListDistributionsInput::builder().set_marker(marker).set_max_items(max_items).build()
            },
            |answer| {
                let list = answer.distribution_list.ok_or_else(|| Error::no_answer("list"))?;
                let items = list.items.unwrap_or_default();
                Ok(Page { items, is_truncated: list.is_truncated, next: list.next_marker })
            },
        );
        Ok(listed.await?.into_iter().filter_map(distribution).collect())
    }

    /// Reads the settings of a distribution that the list of distributions does not include.
    ///
    /// <https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_GetDistributionConfig.html>
    ///
    /// # Errors
    ///
    /// See [`Client::create_invalidation`].
    pub async fn details(&self, distribution: &DistributionId, limit: Duration) -> Result<Details, Error> {
        let input = GetDistributionConfigInput::builder().id(distribution.as_str()).build()?;
        self.read::<GetDistributionConfig, _>(input, limit, |answer| {
            let config = answer.distribution_config.ok_or_else(|| Error::no_answer("configuration"))?;
            let tags = config.cache_tag_config;
            let definitions = config.tenant_config.and_then(|tenants| tenants.parameter_definitions);
            let default = |parameter: ParameterDefinition| {
                Some((parameter.name, parameter.definition?.string_schema?.default_value?))
            };
            Ok(Details {
                default_root_object: config.default_root_object.unwrap_or_default(),
                has_cache_tags: tags.is_some_and(|tags| !tags.header_name.is_empty()),
                parameters: definitions.into_iter().flatten().filter_map(default).collect(),
            })
        })
        .await
    }

    /// Lists all tenants of a multi-tenant distribution, from all pages, each within `limit`. The
    /// list does not include their parameters.
    ///
    /// <https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_ListDistributionTenants.html>
    ///
    /// # Errors
    ///
    /// See [`Client::create_invalidation`].
    pub async fn tenants(
        &self,
        distribution: &DistributionId,
        limit: Duration,
    ) -> Result<Vec<Tenant>, Error> {
        let filter =
            DistributionTenantAssociationFilter::builder().distribution_id(distribution.as_str()).build();
        let parent = Arc::new(distribution.clone());
        let listed = self.pages::<ListDistributionTenants, _>(
            limit,
            |marker, max_items| {
                let of = ListDistributionTenantsInput::builder().association_filter(filter.clone());
                of.set_marker(marker).set_max_items(max_items).build()
            },
            |answer| {
                let items = answer.distribution_tenant_list.unwrap_or_default();
                // The list is long, and a summary is much larger than what is needed of it.
                let items = items.into_iter().filter_map(|one| listed_tenant(one, &parent)).collect();
                Ok(Page::before(answer.next_marker, items))
            },
        );
        listed.await
    }

    /// Reads a tenant with its parameters. `name` is its id or its name.
    ///
    /// <https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_GetDistributionTenant.html>
    ///
    /// # Errors
    ///
    /// See [`Client::create_invalidation`].
    pub async fn tenant(&self, name: &str, limit: Duration) -> Result<Tenant, Error> {
        let input = GetDistributionTenantInput::builder().identifier(name).build()?;
        self.read::<GetDistributionTenant, _>(input, limit, |answer| {
            let tenant = answer.distribution_tenant.and_then(|one| tenant(one, answer.e_tag));
            tenant.ok_or_else(|| Error::no_answer("distribution tenant"))
        })
        .await
    }

    /// Lists the account's own cache policies by id: `true` if query strings are in the cache key.
    ///
    /// <https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_ListCachePolicies.html>
    ///
    /// # Errors
    ///
    /// See [`Client::create_invalidation`].
    pub async fn cache_policies(&self, limit: Duration) -> Result<BTreeMap<String, bool>, Error> {
        let listed = self.pages::<ListCachePolicies, _>(
            limit,
            |marker, max_items| {
                let custom = ListCachePoliciesInput::builder().r#type(CachePolicyType::Custom);
                custom.set_marker(marker).set_max_items(max_items).build()
            },
            |answer| {
                let list = answer.cache_policy_list.ok_or_else(|| Error::no_answer("list"))?;
                Ok(Page::before(list.next_marker, list.items.unwrap_or_default()))
            },
        );
        let mut policies = BTreeMap::new();
        policies.extend(listed.await?.into_iter().filter_map(cache_policy));
        Ok(policies)
    }

    /// Completes a distribution from the list with its details and the settings of its cache
    /// policies. Each call ends within `limit`.
    ///
    /// # Errors
    ///
    /// See [`Client::create_invalidation`].
    pub async fn with_details(
        &self,
        mut distribution: Distribution,
        limit: Duration,
    ) -> Result<Distribution, Error> {
        let details = self.details(&distribution.id, limit).await?;
        let mut policies = BTreeMap::new();
        if distribution.needs_policies() {
            policies = self.cache_policies(limit).await?;
        }
        distribution.add_details(details, &policies);
        Ok(distribution)
    }
}

/// Returns the id of a cache policy, and whether it has query strings in the cache key. `None` if
/// the answer does not say.
fn cache_policy(summary: CachePolicySummary) -> Option<(String, bool)> {
    let policy = summary.cache_policy?;
    let key = policy.cache_policy_config?.parameters_in_cache_key_and_forwarded_to_origin?;
    let behavior = key.query_strings_config?.query_string_behavior;
    Some((policy.id, behavior != CachePolicyQueryStringBehavior::None))
}

/// Converts a tenant of a distribution from the list. Returns `None` if its id is not valid.
fn listed_tenant(summary: DistributionTenantSummary, parent: &Arc<DistributionId>) -> Option<Tenant> {
    Some(Tenant {
        id: summary.id.parse().ok()?,
        distribution: Arc::clone(parent),
        name: summary.name.into(),
        domains: summary.domains.into_iter().map(|one| one.domain).collect(),
        enabled: summary.enabled.unwrap_or(true),
        status: summary.status.unwrap_or_default().into(),
        etag: Some(summary.e_tag).filter(|tag| !tag.is_empty()).map(Into::into),
        modified: milliseconds(summary.last_modified_time),
        parameters: None,
    })
}

/// Converts a tenant. Returns `None` if one of its ids is missing or not valid.
fn tenant(tenant: DistributionTenant, etag: Option<String>) -> Option<Tenant> {
    let parameters = tenant.parameters.unwrap_or_default().into_iter();
    Some(Tenant {
        id: tenant.id?.parse().ok()?,
        distribution: Arc::new(tenant.distribution_id?.parse().ok()?),
        name: tenant.name.unwrap_or_default().into(),
        domains: tenant.domains.unwrap_or_default().into_iter().map(|one| one.domain).collect(),
        enabled: tenant.enabled.unwrap_or(true),
        status: tenant.status.unwrap_or_default().into(),
        etag: etag.filter(|tag| !tag.is_empty()).map(Into::into),
        modified: tenant.last_modified_time.and_then(milliseconds),
        parameters: Some(parameters.map(|one| (one.name, one.value)).collect()),
    })
}

/// Converts a distribution of the list. Returns `None` if its id is not valid.
fn distribution(summary: DistributionSummary) -> Option<Distribution> {
    let origins = summary.origins.map(|origins| origins.items).unwrap_or_default();
    let groups = summary.origin_groups.and_then(|groups| groups.items).unwrap_or_default();
    let group = |group: aws_sdk_cloudfront::types::OriginGroup| OriginGroup {
        id: group.id,
        members: group
            .members
            .map(|members| members.items)
            .unwrap_or_default()
            .into_iter()
            .map(|member| member.origin_id)
            .collect(),
    };
    let errors = summary.custom_error_responses.and_then(|errors| errors.items).unwrap_or_default();
    let error_page = |error: aws_sdk_cloudfront::types::CustomErrorResponse| {
        let page = error.response_page_path.filter(|page| !page.is_empty());
        let min_ttl = error.error_caching_min_ttl.unwrap_or(DEFAULT_ERROR_TTL);
        ErrorPage { code: error.error_code, page, min_ttl }
    };
    let behaviors = summary.cache_behaviors.and_then(|behaviors| behaviors.items).unwrap_or_default();
    Some(Distribution {
        id: summary.id.parse().ok()?,
        domain_name: summary.domain_name,
        aliases: summary.aliases.and_then(|aliases| aliases.items).unwrap_or_default(),
        status: summary.status,
        enabled: summary.enabled,
        staging: summary.staging,
        multi_tenant: summary.connection_mode == Some(ConnectionMode::TenantOnly),
        origins: origins
            .into_iter()
            .map(|origin| Origin {
                id: origin.id,
                domain_name: origin.domain_name,
                path: origin.origin_path.unwrap_or_default(),
            })
            .collect(),
        origin_groups: groups.into_iter().map(group).collect(),
        behaviors: behaviors
            .into_iter()
            .map(behavior)
            .chain(summary.default_cache_behavior.map(default_behavior))
            .collect(),
        error_pages: errors.into_iter().map(error_page).collect(),
        default_root_object: String::new(),
        has_cache_tags: None,
        etag: summary.e_tag.filter(|tag| !tag.is_empty()),
        modified: milliseconds(summary.last_modified_time),
    })
}

/// Returns a time in milliseconds since 1970. `None` if it is not later.
fn milliseconds(time: DateTime) -> Option<NonZeroU64> {
    u64::try_from(time.to_millis().ok()?).ok()?.try_into().ok()
}

#[expect(deprecated, reason = "the settings that preceded cache policies are still in use")]
fn behavior(behavior: CacheBehavior) -> Behavior {
    Behavior {
        pattern: Some(behavior.path_pattern),
        target: behavior.target_origin_id,
        query_strings: query_strings(behavior.cache_policy_id, behavior.forwarded_values),
        has_lambda: behavior.lambda_function_associations.as_ref().is_some_and(|all| all.quantity > 0),
        edge_functions: edge_functions(behavior.function_associations, behavior.lambda_function_associations),
    }
}

#[expect(deprecated, reason = "the settings that preceded cache policies are still in use")]
fn default_behavior(behavior: DefaultCacheBehavior) -> Behavior {
    Behavior {
        pattern: None,
        target: behavior.target_origin_id,
        query_strings: query_strings(behavior.cache_policy_id, behavior.forwarded_values),
        has_lambda: behavior.lambda_function_associations.as_ref().is_some_and(|all| all.quantity > 0),
        edge_functions: edge_functions(behavior.function_associations, behavior.lambda_function_associations),
    }
}

fn query_strings(policy: Option<String>, forwarded: Option<ForwardedValues>) -> QueryStrings {
    match policy.filter(|id| !id.is_empty()) {
        Some(id) => managed_policy(&id).map_or(QueryStrings::OfPolicy(id), QueryStrings::Known),
        None => QueryStrings::Known(forwarded.is_some_and(|forwarded| forwarded.query_string)),
    }
}

/// Returns the functions that run before CloudFront sends a request to the origin, and may
/// therefore request another object.
fn edge_functions(
    functions: Option<FunctionAssociations>,
    lambdas: Option<LambdaFunctionAssociations>,
) -> Vec<EdgeFunction> {
    let functions = functions.and_then(|functions| functions.items).unwrap_or_default();
    let lambdas = lambdas.and_then(|lambdas| lambdas.items).unwrap_or_default();
    let functions = functions.into_iter().map(|function| (function.event_type, function.function_arn));
    let lambdas = lambdas.into_iter().map(|lambda| (lambda.event_type, lambda.lambda_function_arn));
    functions
        .chain(lambdas)
        .filter(|(event, _)| matches!(event, EventType::ViewerRequest | EventType::OriginRequest))
        .map(|(event, arn)| EdgeFunction { event: event.to_string(), arn })
        .collect()
}
