//! Who asks, as the AWS command line finds it out.

use aws_config::SdkConfig;
use aws_sdk_cloudfront::config::{BehaviorVersion, Region};

use super::{Http, retries};

/// Whatever the AWS command line would use here: environment, profiles, single sign-on.
#[derive(Clone, Debug)]
pub struct Profile {
    pub(crate) config: SdkConfig,
    pub(crate) http: Http,
    pub(super) max_attempts: Option<u32>,
}

impl Profile {
    /// Looks for it. `profile`, `region` and `endpoint_url` come before what is found.
    pub async fn load(
        max_attempts: Option<u32>,
        profile: Option<&str>,
        region: Option<&str>,
        endpoint_url: Option<&str>,
    ) -> Self {
        let http = Http::new();
        // Read from the environment by the SDK itself, wrong retry settings are a panic.
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(http.client())
            .retry_config(retries(max_attempts));
        if let Some(profile) = profile {
            loader = loader.profile_name(profile);
        }
        if let Some(region) = region {
            loader = loader.region(Region::new(region.to_owned()));
        }
        if let Some(url) = endpoint_url {
            loader = loader.endpoint_url(url);
        }
        Self { config: loader.load().await, http, max_attempts }
    }
}
