//! Finds CloudFront's endpoint.

use std::sync::LazyLock;

use aws_sdk_cloudfront::config::endpoint::{
    DefaultResolver, Endpoint, EndpointFuture, Params, ResolveEndpoint,
};
use aws_smithy_types::endpoint::EndpointAuthScheme;

/// A resolver that uses the SDK's rules only if the endpoint is not obvious.
///
/// To create its rules, the SDK parses a list of all AWS partitions. That took a quarter of the
/// function's cold start.
#[derive(Debug)]
pub(super) struct Resolver {
    rules: LazyLock<DefaultResolver>,
}

impl Resolver {
    pub(super) const fn new() -> Self {
        Self { rules: LazyLock::new(DefaultResolver::new) }
    }
}

impl ResolveEndpoint for Resolver {
    fn resolve_endpoint<'a>(&'a self, params: &'a Params) -> EndpointFuture<'a> {
        match plain(params) {
            Some(endpoint) => EndpointFuture::ready(Ok(endpoint)),
            None => ResolveEndpoint::resolve_endpoint(&*self.rules, params),
        }
    }
}

/// Returns the endpoint if it is obvious, as it is for nearly everyone: the configured URL, or the
/// endpoint of the partition `aws`. `None` if it takes the SDK's rules.
///
/// <https://docs.aws.amazon.com/general/latest/gr/cf_region.html>
fn plain(params: &Params) -> Option<Endpoint> {
    if params.use_fips() != Some(false) || params.use_dual_stack() != Some(false) {
        return None;
    }
    if let Some(url) = params.endpoint() {
        return Some(Endpoint::builder().url(url.to_owned()).build());
    }
    let scheme = EndpointAuthScheme::with_capacity("sigv4", 1).put("signingRegion", "us-east-1");
    let endpoint = Endpoint::builder().url("https://cloudfront.amazonaws.com").auth_scheme(scheme);
    is_of_aws(params.region()?).then(|| endpoint.build())
}

/// Returns whether a region certainly belongs to the partition `aws`. Recognizes it by its name, as
/// the SDK's list of partitions does.
fn is_of_aws(region: &str) -> bool {
    let mut parts = region.split('-');
    let [Some(continent), Some(direction), Some(number), None] = [(); 4].map(|()| parts.next()) else {
        return false;
    };
    matches!(continent, "af" | "ap" | "ca" | "eu" | "il" | "me" | "mx" | "sa" | "us")
        && !direction.is_empty()
        && direction.bytes().all(|byte| byte.is_ascii_lowercase())
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules(params: &Params) -> Result<Endpoint, String> {
        static RULES: LazyLock<DefaultResolver> = LazyLock::new(DefaultResolver::new);
        let future = ResolveEndpoint::resolve_endpoint(&*RULES, params);
        futures_util::FutureExt::now_or_never(future)
            .expect("an immediate answer")
            .map_err(|error| error.to_string())
    }

    fn params(region: &str, url: Option<&str>, fips: bool, dual: bool) -> Params {
        let params = Params::builder().region(region).set_endpoint(url.map(str::to_owned));
        params.use_fips(fips).use_dual_stack(dual).build().expect("parameters")
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
            "il-central-1",
            "me-central-1",
            "mx-central-1",
            "sa-east-1",
            "us-east-1",
            "us-gov-west-1",
            "us-iso-east-1",
            "us-isob-east-1",
            "cn-north-1",
            "cn-northwest-1",
            "us-isof-south-1",
            "aws-global",
            "local",
            "us-east",
            "us-east-a",
            "us--1",
            "us-east-1a",
            "xx-east-1",
        ];
        let mut plainly = 0;
        for region in regions {
            for url in [None, Some("http://localhost:4566"), Some("https://example.com/base")] {
                let params = params(region, url, false, false);
                if let Some(endpoint) = plain(&params) {
                    plainly += 1;
                    assert_eq!(Ok(endpoint), rules(&params), "{region} {url:?}");
                }
            }
            assert_eq!(plain(&params(region, None, true, false)), None);
            assert_eq!(plain(&params(region, None, false, true)), None);
        }
        assert!(plain(&params("us-east-1", None, false, false)).is_some());
        assert_eq!(plain(&params("us-gov-west-1", None, false, false)), None);
        assert!(plainly > 2 * regions.len(), "{plainly}");
    }

    proptest! {
        #[test]
        fn any_region_agrees_with_the_sdk(region in "(us|eu|cn|mx|ap|eusc|us-iso)-[a-z]{0,9}-?[a-z0-9]{0,3}") {
            let params = params(&region, None, false, false);
            if let Some(endpoint) = plain(&params) {
                prop_assert_eq!(Ok(endpoint), rules(&params));
            }
        }
    }
}
