//! Finds CloudFront's endpoint.
//!
//! The SDK has rules for this, but to apply them it parses a list of all AWS partitions with regular
//! expressions. That took a quarter of the function's cold start, and 130 kB of its binary. The tests
//! compare the two.

use aws_sdk_cloudfront::config::endpoint::{Endpoint, EndpointFuture, Params, ResolveEndpoint};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_types::endpoint::EndpointAuthScheme;

use super::Settings;

/// A resolver that applies the SDK's rules.
#[derive(Debug)]
pub(super) struct Resolver;

impl ResolveEndpoint for Resolver {
    fn resolve_endpoint<'a>(&'a self, params: &'a Params) -> EndpointFuture<'a> {
        EndpointFuture::ready(endpoint(params))
    }
}

/// A group of regions that share nothing with those of other groups, not even accounts.
///
/// <https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html>
#[derive(Debug, PartialEq, Eq)]
struct Partition {
    /// The name in ARNs.
    name: &'static str,
    /// The beginning of the names of its regions. The rest is like `east-1`.
    regions: &'static str,
    /// The domain of its services.
    domain: &'static str,
    /// The domain of its endpoints that support IPv6 as well as IPv4.
    dual_stack_domain: &'static str,
    /// The region whose name CloudFront's signatures contain.
    signing_region: &'static str,
}

/// The partition of all regions that belong to no other.
const AWS: Partition = Partition {
    name: "aws",
    regions: "",
    domain: "amazonaws.com",
    dual_stack_domain: "api.aws",
    signing_region: "us-east-1",
};

/// The name of the partition in China, whose endpoint has a region in its name.
const CHINA: &str = "aws-cn";

/// The name of the partition for the government of the United States.
const GOVERNMENT: &str = "aws-us-gov";

const OTHERS: [Partition; 7] = [
    Partition {
        name: CHINA,
        regions: "cn-",
        domain: "amazonaws.com.cn",
        dual_stack_domain: "api.amazonwebservices.com.cn",
        signing_region: "cn-northwest-1",
    },
    Partition {
        name: "aws-eusc",
        regions: "eusc-de-",
        domain: "amazonaws.eu",
        dual_stack_domain: "api.amazonwebservices.eu",
        signing_region: "eusc-de-east-1",
    },
    Partition {
        name: "aws-iso",
        regions: "us-iso-",
        domain: "c2s.ic.gov",
        dual_stack_domain: "api.aws.ic.gov",
        signing_region: "us-iso-east-1",
    },
    Partition {
        name: "aws-iso-b",
        regions: "us-isob-",
        domain: "sc2s.sgov.gov",
        dual_stack_domain: "api.aws.scloud",
        signing_region: "us-isob-east-1",
    },
    Partition {
        name: "aws-iso-e",
        regions: "eu-isoe-",
        domain: "cloud.adc-e.uk",
        dual_stack_domain: "api.cloud-aws.adc-e.uk",
        signing_region: "eu-isoe-west-1",
    },
    Partition {
        name: "aws-iso-f",
        regions: "us-isof-",
        domain: "csp.hci.ic.gov",
        dual_stack_domain: "api.aws.hci.ic.gov",
        signing_region: "us-isof-south-1",
    },
    Partition {
        name: GOVERNMENT,
        regions: "us-gov-",
        domain: "amazonaws.com",
        dual_stack_domain: "api.aws",
        signing_region: "us-gov-west-1",
    },
];

impl Partition {
    /// Returns the partition of a region.
    fn of(region: &str) -> &'static Self {
        OTHERS.iter().find(|partition| partition.has(region)).unwrap_or(&AWS)
    }

    fn has(&self, region: &str) -> bool {
        let place = region.strip_prefix(self.regions).and_then(|place| place.split_once('-'));
        let is_place = |(name, number): (&str, &str)| {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
                && !number.is_empty()
                && number.bytes().all(|byte| byte.is_ascii_digit())
        };
        place.is_some_and(is_place) || region.strip_suffix("-global") == Some(self.name)
    }
}

/// Returns the domain of the services in a region.
pub(crate) fn domain_of(region: &str) -> &'static str {
    Partition::of(region).domain
}

/// Returns the domain of the services of a partition, by its name in ARNs.
pub(crate) fn domain(partition: &str) -> &'static str {
    OTHERS.iter().find(|one| one.name == partition).unwrap_or(&AWS).domain
}

/// Returns the URL of CloudWatch's endpoint: the configured one, or that of the region.
///
/// <https://docs.aws.amazon.com/general/latest/gr/cw_region.html>
pub(crate) fn monitoring(settings: &Settings) -> String {
    regional(settings, settings.cloudwatch_endpoint_url.as_deref(), "monitoring", &settings.region)
}

/// Returns the URL of Lambda's endpoint: the configured one, or that of the region.
///
/// <https://docs.aws.amazon.com/general/latest/gr/lambda-service.html>
#[cfg(feature = "cli")]
pub(crate) fn lambda(settings: &Settings, region: &str) -> String {
    regional(settings, settings.lambda_endpoint_url.as_deref(), "lambda", region)
}

/// Returns the URL of a service's endpoint: the configured one, or that of a region.
fn regional(settings: &Settings, configured: Option<&str>, service: &str, region: &str) -> String {
    if let Some(url) = configured {
        return url.trim_end_matches('/').to_owned();
    }
    let partition = Partition::of(region);
    let domain = if settings.use_dual_stack { partition.dual_stack_domain } else { partition.domain };
    // All endpoints of CloudWatch for the government use FIPS 140 cryptography, and none says so.
    let is_named = partition.name != GOVERNMENT || service != "monitoring";
    let fips = if settings.use_fips && is_named { "-fips" } else { "" };
    format!("https://{service}{fips}.{region}.{domain}")
}

/// Returns the endpoint: the configured URL, or the one of the region's partition.
///
/// <https://docs.aws.amazon.com/general/latest/gr/cf_region.html>
fn endpoint(params: &Params) -> Result<Endpoint, BoxError> {
    let (is_fips, is_dual_stack) = (params.use_fips() == Some(true), params.use_dual_stack() == Some(true));
    if let Some(url) = params.endpoint() {
        return match (is_fips, is_dual_stack) {
            (true, _) => Err("Invalid Configuration: FIPS and custom endpoint are not supported".into()),
            (_, true) => Err("Invalid Configuration: Dualstack and custom endpoint are not supported".into()),
            _ => Ok(Endpoint::builder().url(url.to_owned()).build()),
        };
    }
    let region = params.region().ok_or("Invalid Configuration: Missing Region")?;
    let Partition { name, domain, dual_stack_domain, signing_region, .. } = Partition::of(region);
    let service = if is_fips { "cloudfront-fips" } else { "cloudfront" };
    let url = match (is_dual_stack, *name) {
        (true, name) if name == AWS.name => format!("https://{service}.global.{dual_stack_domain}"),
        (true, _) => format!("https://{service}.{dual_stack_domain}"),
        (false, CHINA) => format!("https://{service}.{signing_region}.{domain}"),
        (false, _) => format!("https://{service}.{domain}"),
    };
    let scheme = EndpointAuthScheme::with_capacity("sigv4", 1).put("signingRegion", *signing_region);
    Ok(Endpoint::builder().url(url).auth_scheme(scheme).build())
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use aws_sdk_cloudfront::config::endpoint::DefaultResolver;
    use futures_util::FutureExt;
    use proptest::prelude::*;

    use super::*;

    /// Returns the endpoint by the rules here, and by those of the SDK.
    fn both(
        region: Option<&str>,
        url: Option<&str>,
        fips: bool,
        dual: bool,
    ) -> [Result<Endpoint, String>; 2] {
        static RULES: LazyLock<DefaultResolver> = LazyLock::new(DefaultResolver::new);
        let params = Params::builder()
            .set_region(region.map(str::to_owned))
            .set_endpoint(url.map(str::to_owned))
            .use_fips(fips)
            .use_dual_stack(dual)
            .build()
            .expect("parameters");
        let resolvers: [&dyn ResolveEndpoint; 2] = [&Resolver, &*RULES];
        resolvers.map(|resolver| {
            let answer = resolver.resolve_endpoint(&params).now_or_never().expect("an immediate answer");
            answer.map_err(|error| error.to_string())
        })
    }

    /// The expected URLs are those of botocore's rules.
    #[cfg(feature = "cli")]
    #[test]
    fn the_endpoint_of_lambda_is_in_the_region() {
        for (region, fips, dual, expected) in [
            ("eu-central-1", false, false, "https://lambda.eu-central-1.amazonaws.com"),
            ("us-east-1", true, false, "https://lambda-fips.us-east-1.amazonaws.com"),
            ("us-east-1", false, true, "https://lambda.us-east-1.api.aws"),
            ("us-east-1", true, true, "https://lambda-fips.us-east-1.api.aws"),
            ("cn-north-1", false, false, "https://lambda.cn-north-1.amazonaws.com.cn"),
            ("us-gov-west-1", true, false, "https://lambda-fips.us-gov-west-1.amazonaws.com"),
        ] {
            let mut settings = Settings::new("an id", "a secret", None);
            (settings.use_fips, settings.use_dual_stack) = (fips, dual);
            assert_eq!(lambda(&settings, region), expected);
        }
        assert_eq!(lambda(&Settings::local("http://[::1]:9/"), "eu-west-1"), "http://[::1]:9");
    }

    /// The expected URLs are those of botocore's rules.
    #[test]
    fn the_endpoint_of_cloudwatch_is_in_the_region() {
        for (region, fips, dual, expected) in [
            ("eu-central-1", false, false, "https://monitoring.eu-central-1.amazonaws.com"),
            ("us-east-1", true, false, "https://monitoring-fips.us-east-1.amazonaws.com"),
            ("us-east-1", false, true, "https://monitoring.us-east-1.api.aws"),
            ("us-east-1", true, true, "https://monitoring-fips.us-east-1.api.aws"),
            ("cn-north-1", false, false, "https://monitoring.cn-north-1.amazonaws.com.cn"),
            ("cn-north-1", false, true, "https://monitoring.cn-north-1.api.amazonwebservices.com.cn"),
            ("us-gov-west-1", true, false, "https://monitoring.us-gov-west-1.amazonaws.com"),
            ("us-gov-west-1", true, true, "https://monitoring.us-gov-west-1.api.aws"),
            ("eusc-de-east-1", false, false, "https://monitoring.eusc-de-east-1.amazonaws.eu"),
        ] {
            let mut settings = Settings::new("an id", "a secret", None);
            region.clone_into(&mut settings.region);
            (settings.use_fips, settings.use_dual_stack) = (fips, dual);
            assert_eq!(monitoring(&settings), expected);
        }
        assert_eq!(monitoring(&Settings::local("http://[::1]:9/")), "http://[::1]:9");
    }

    #[test]
    fn sample_regions_agree_with_the_sdk() {
        let regions = [
            "af-south-1",
            "ap-east-2",
            "ap-northeast-3",
            "ap-southeast-7",
            "ca-west-1",
            "eu-central-2",
            "eu-isoe-west-1",
            "eusc-de-east-1",
            "eusc-fr-east-1",
            "il-central-1",
            "me-central-1",
            "mx-central-1",
            "sa-east-1",
            "us-east-1",
            "us-gov-west-1",
            "us-gov-east-1",
            "us-iso-east-1",
            "us-isob-east-1",
            "cn-north-1",
            "cn-northwest-1",
            "us-isof-south-1",
            "aws-global",
            "aws-cn-global",
            "aws-iso-global",
            "aws-iso-b-global",
            "aws-iso-e-global",
            "aws-iso-f-global",
            "aws-us-gov-global",
            "local",
            "us-east",
            "us-east-a",
            "us--1",
            "us-gov--1",
            "us-gov-east-1a",
            "cn-north2-10",
            "cn-a-b-1",
            "xx-east-1",
        ];
        for region in regions.map(Some).into_iter().chain([None]) {
            for url in [None, Some("http://localhost:4566"), Some("https://example.com/base")] {
                for (fips, dual) in [(false, false), (true, false), (false, true), (true, true)] {
                    let [own, rules] = both(region, url, fips, dual);
                    assert_eq!(own, rules, "{region:?} {url:?} {fips} {dual}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_region_agrees_with_the_sdk(
            region in "(us|eu|cn|mx|ap|eusc-de|us-gov|us-iso[bf]?|eu-isoe)-[a-z]{0,9}-?[a-z0-9]{0,3}",
            fips: bool,
            dual: bool,
        ) {
            let [own, rules] = both(Some(&region), None, fips, dual);
            prop_assert_eq!(own, rules);
        }
    }
}
