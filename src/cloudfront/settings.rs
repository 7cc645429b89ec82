//! The settings of a [`Client`](super::Client): its endpoint, credentials and retries.

use aws_sdk_cloudfront::config::{AppName, Credentials, SharedCredentialsProvider};

use super::secrets::Secrets;

/// The settings of a [`Client`](super::Client).
#[derive(Clone, Debug)]
pub struct Settings {
    /// The region, which selects the partition: CloudFront has one endpoint in each.
    pub region: String,
    /// The endpoint's URL. `None` for the partition's own.
    pub endpoint_url: Option<String>,
    /// The URL of SQS's endpoint. `None` for the one of the queue's region.
    pub sqs_endpoint_url: Option<String>,
    /// The URL of S3's endpoint. `None` for the one of the bucket's region.
    pub s3_endpoint_url: Option<String>,
    /// The URL of CloudWatch's endpoint. `None` for the one of the region.
    pub cloudwatch_endpoint_url: Option<String>,
    /// The URL of Lambda's endpoint. `None` for the one of the function's region.
    #[cfg(feature = "cli")]
    pub lambda_endpoint_url: Option<String>,
    /// Whether to use the endpoint with FIPS 140 cryptography.
    pub use_fips: bool,
    /// Whether to use the endpoint that supports IPv6 as well as IPv4.
    pub use_dual_stack: bool,
    /// Maximum number of attempts for each call. `None` for three attempts to read, and as many
    /// attempts to create an invalidation as fit into the time limit.
    pub max_attempts: Option<u32>,
    pub(super) credentials: Option<SharedCredentialsProvider>,
    /// The application's name for the user agent.
    pub(super) app_name: Option<AppName>,
    /// Whether to sign with this machine's time even if CloudFront's clock differs.
    pub(super) ignores_clock_skew: bool,
    /// The secrets that errors must not quote.
    pub(super) secrets: Secrets,
}

impl Settings {
    /// Creates settings for a caller with these credentials, in us-east-1.
    #[must_use]
    pub fn new(access_key_id: &str, secret_access_key: &str, session_token: Option<&str>) -> Self {
        let token = session_token.map(str::to_owned);
        let credentials = Credentials::new(access_key_id, secret_access_key, token, None, "environment");
        let settings = Self::with_credentials(Some(SharedCredentialsProvider::new(credentials)));
        settings.secrets.add([secret_access_key, access_key_id].into_iter().chain(session_token));
        settings
    }

    /// Creates settings for an emulator on this machine, which ignores credentials.
    #[must_use]
    pub fn local(endpoint_url: &str) -> Self {
        let endpoint_url = Some(endpoint_url.to_owned());
        Self {
            sqs_endpoint_url: endpoint_url.clone(),
            s3_endpoint_url: endpoint_url.clone(),
            cloudwatch_endpoint_url: endpoint_url.clone(),
            #[cfg(feature = "cli")]
            lambda_endpoint_url: endpoint_url.clone(),
            endpoint_url,
            ..Self::new("local", "local", None)
        }
    }

    /// Creates settings with a credentials provider, in us-east-1.
    pub(super) fn with_credentials(credentials: Option<SharedCredentialsProvider>) -> Self {
        Self {
            region: "us-east-1".to_owned(),
            endpoint_url: None,
            sqs_endpoint_url: None,
            s3_endpoint_url: None,
            cloudwatch_endpoint_url: None,
            #[cfg(feature = "cli")]
            lambda_endpoint_url: None,
            use_fips: false,
            use_dual_stack: false,
            max_attempts: None,
            credentials,
            app_name: None,
            ignores_clock_skew: false,
            secrets: Secrets::default(),
        }
    }
}
