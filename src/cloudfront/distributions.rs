//! What CloudFront says of the account's distributions.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_cloudfront::types::{
    CacheBehavior, CachePolicyQueryStringBehavior, ConnectionMode, DefaultCacheBehavior, DistributionSummary,
    EventType, ForwardedValues, FunctionAssociations, LambdaFunctionAssociations,
};

use super::{
    Client, Error,
    api::{
        GetCachePolicy, GetCachePolicyInput, GetDistributionConfig, GetDistributionConfigInput,
        ListDistributions, ListDistributionsInput,
    },
    next_page,
};
use crate::site::{Behavior, Distribution, ErrorPage, Origin, OriginGroup, QueryStrings, managed_policy};

/// For how many seconds CloudFront keeps an error where a configuration does not say.
///
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/HTTPStatusCodes.html>
const DEFAULT_ERROR_TTL: i64 = 10;

impl Client {
    /// Every distribution of the account, all pages, without what the list does not
    /// tell: default root objects, and what cache policies say. Each page ends within
    /// `limit`.
    ///
    /// <https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_ListDistributions.html>
    ///
    /// # Errors
    ///
    /// As [`Client::create_invalidation`].
    pub async fn distributions(&self, limit: Duration) -> Result<Vec<Distribution>, Error> {
        let mut found = Vec::new();
        let mut marker: Option<String> = None;
        loop {
            let input = ListDistributionsInput::builder().set_marker(marker.clone()).build()?;
            let list = self.read::<ListDistributions, _>(input, limit, |answer| {
                answer.distribution_list.ok_or_else(|| Error::no_answer("list"))
            });
            let list = list.await?;
            found.extend(list.items.unwrap_or_default().into_iter().filter_map(distribution));
            marker = next_page(list.is_truncated, list.next_marker, marker.as_ref())?;
            if marker.is_none() {
                return Ok(found);
            }
        }
    }

    /// A distribution with what the list does not tell. Each call that takes ends
    /// within `limit`.
    ///
    /// <https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_GetDistributionConfig.html>
    ///
    /// # Errors
    ///
    /// As [`Client::create_invalidation`].
    pub async fn complete(
        &self,
        mut distribution: Distribution,
        limit: Duration,
    ) -> Result<Distribution, Error> {
        let input = GetDistributionConfigInput::builder().id(distribution.id.as_str()).build()?;
        let config = self.read::<GetDistributionConfig, _>(input, limit, |answer| {
            answer.distribution_config.ok_or_else(|| Error::no_answer("configuration"))
        });
        let config = config.await?;
        distribution.default_root_object = config.default_root_object.unwrap_or_default();
        let mut known: BTreeMap<String, bool> = BTreeMap::new();
        for behavior in &mut distribution.behaviors {
            if let QueryStrings::OfPolicy(id) = &behavior.query_strings {
                let has = match known.get(id) {
                    Some(has) => *has,
                    None => self.has_query_strings(id, limit).await?,
                };
                known.insert(id.clone(), has);
                behavior.query_strings = QueryStrings::Known(has);
            }
        }
        Ok(distribution)
    }

    /// Whether a cache policy has query strings in the cache key, which one that is not
    /// there is taken to have.
    ///
    /// <https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_GetCachePolicy.html>
    async fn has_query_strings(&self, policy: &str, limit: Duration) -> Result<bool, Error> {
        let input = GetCachePolicyInput::builder().id(policy).build()?;
        let strings = self.read::<GetCachePolicy, _>(input, limit, |answer| {
            let config = answer.cache_policy.and_then(|policy| policy.cache_policy_config);
            let key = config.and_then(|config| config.parameters_in_cache_key_and_forwarded_to_origin);
            let strings = key.and_then(|key| key.query_strings_config);
            strings.ok_or_else(|| Error::no_answer("cache policy"))
        });
        match strings.await {
            Ok(strings) => Ok(strings.query_string_behavior != CachePolicyQueryStringBehavior::None),
            // Nobody can tell; then it is safer to purge them, too.
            Err(error) if error.is_no_such_cache_policy() => Ok(true),
            Err(error) => Err(error),
        }
    }
}

/// None for an id that cannot be one.
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
        let page = error.response_page_path.filter(|page| !page.is_empty())?;
        let min_ttl = error.error_caching_min_ttl.unwrap_or(DEFAULT_ERROR_TTL);
        Some(ErrorPage { code: error.error_code, page, min_ttl })
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
        error_pages: errors.into_iter().filter_map(error_page).collect(),
        default_root_object: String::new(),
    })
}

#[expect(deprecated, reason = "what came before cache policies is still in use")]
fn behavior(behavior: CacheBehavior) -> Behavior {
    Behavior {
        pattern: Some(behavior.path_pattern),
        target: behavior.target_origin_id,
        query_strings: query_strings(behavior.cache_policy_id, behavior.forwarded_values),
        edge_functions: edge_functions(behavior.function_associations, behavior.lambda_function_associations),
    }
}

#[expect(deprecated, reason = "what came before cache policies is still in use")]
fn default_behavior(behavior: DefaultCacheBehavior) -> Behavior {
    Behavior {
        pattern: None,
        target: behavior.target_origin_id,
        query_strings: query_strings(behavior.cache_policy_id, behavior.forwarded_values),
        edge_functions: edge_functions(behavior.function_associations, behavior.lambda_function_associations),
    }
}

fn query_strings(policy: Option<String>, forwarded: Option<ForwardedValues>) -> QueryStrings {
    match policy.filter(|id| !id.is_empty()) {
        Some(id) => managed_policy(&id).map_or(QueryStrings::OfPolicy(id), QueryStrings::Known),
        None => QueryStrings::Known(forwarded.is_some_and(|forwarded| forwarded.query_string)),
    }
}

/// Those that run before the origin is asked: they may ask for another object.
fn edge_functions(
    functions: Option<FunctionAssociations>,
    lambdas: Option<LambdaFunctionAssociations>,
) -> Vec<(String, String)> {
    let functions = functions.and_then(|functions| functions.items).unwrap_or_default();
    let lambdas = lambdas.and_then(|lambdas| lambdas.items).unwrap_or_default();
    let functions = functions.into_iter().map(|function| (function.event_type, function.function_arn));
    let lambdas = lambdas.into_iter().map(|lambda| (lambda.event_type, lambda.lambda_function_arn));
    functions
        .chain(lambdas)
        .filter(|(event, _)| matches!(event, EventType::ViewerRequest | EventType::OriginRequest))
        .map(|(event, arn)| (event.to_string(), arn))
        .collect()
}
