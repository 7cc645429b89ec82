//! The caller's credentials and settings, found as the AWS CLI finds them.

use aws_config::SdkConfig;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_sdk_cloudfront::config::{BehaviorVersion, Region, retry::RetryConfig};
use aws_types::service_config::ServiceConfigKey;

use super::{Http, MOST_ELSEWHERE, Settings, api::ATTEMPTS, secrets::Secrets};

/// The credentials and settings that the AWS CLI would use here, from the environment, profiles or
/// single sign-on.
#[derive(Clone, Debug)]
pub struct Profile {
    pub(crate) config: SdkConfig,
    pub(crate) http: Http,
    max_attempts: Option<u32>,
}

impl Profile {
    /// Loads the profile. `profile`, `region` and `endpoint_url` override what the environment and
    /// the configuration files say.
    pub async fn load(
        max_attempts: Option<u32>,
        profile: Option<&str>,
        region: Option<&str>,
        endpoint_url: Option<&str>,
    ) -> Self {
        let http = Http::of(None, MOST_ELSEWHERE);
        // Set the retries here, because the SDK panics if it reads invalid ones from the
        // environment. They apply only to finding credentials.
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(http.client())
            .retry_config(RetryConfig::standard().with_max_attempts(max_attempts.unwrap_or(ATTEMPTS)));
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

    /// Returns the configured endpoint URL for this service, or else the one for all services.
    fn endpoint_url(&self, service: &str) -> Option<String> {
        let all = || self.config.endpoint_url().map(str::to_owned);
        let key =
            ServiceConfigKey::builder().service_id(service).env("AWS_ENDPOINT_URL").profile("endpoint_url");
        key.build().ok().and_then(|key| self.config.service_config()?.load_config(key)).or_else(all)
    }

    /// Returns the settings for CloudFront.
    pub(super) fn settings(&self) -> Settings {
        let config = &self.config;
        let secrets = Secrets::default();
        let credentials = config.credentials_provider().map(|provider| {
            SharedCredentialsProvider::new(Remembered { provider, secrets: secrets.clone() })
        });
        let mut settings = Settings { secrets, ..Settings::with_credentials(credentials) };
        if let Some(region) = config.region() {
            settings.region = region.to_string();
        }
        settings.endpoint_url = if config.get_origin("endpoint_url").is_client_config() {
            // The argument of `load` overrides the environment variable for CloudFront.
            config.endpoint_url().map(str::to_owned)
        } else {
            self.endpoint_url("CloudFront")
        };
        settings.s3_endpoint_url = self.endpoint_url("S3");
        settings.sqs_endpoint_url = self.endpoint_url("SQS");
        settings.cloudwatch_endpoint_url = self.endpoint_url("CloudWatch");
        settings.lambda_endpoint_url = self.endpoint_url("Lambda");
        settings.use_fips = config.use_fips().unwrap_or_default();
        settings.use_dual_stack = config.use_dual_stack().unwrap_or_default();
        settings.app_name = config.app_name().cloned();
        settings.ignores_clock_skew = config.disable_clock_skew_correction().unwrap_or_default();
        settings.max_attempts = self.max_attempts;
        settings
    }
}

/// A credentials provider that remembers the credentials in use, so that no error shows them.
#[derive(Debug)]
struct Remembered {
    provider: SharedCredentialsProvider,
    secrets: Secrets,
}

impl ProvideCredentials for Remembered {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let credentials = self.provider.provide_credentials().await?;
            let keys = [credentials.secret_access_key(), credentials.access_key_id()];
            self.secrets.add(keys.into_iter().chain(credentials.session_token()));
            Ok(credentials)
        })
    }
}
