//! Signs requests to other AWS services than CloudFront and sends them over the client's connections.
//!
//! The SDKs of these services would make the function a fifth larger.

use std::time::{Duration, SystemTime};

use aws_credential_types::{Credentials, provider::ProvideCredentials};
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    },
    sign::v4,
};
use aws_smithy_runtime_api::{box_error::BoxError, client::orchestrator::HttpRequest, http::Headers};
use aws_smithy_types::body::SdkBody;
use http::Request;
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::{Client, Error, Http, http::MOST_IN_FUNCTION};
use crate::text::chain;

/// A service in a region, as signatures name them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'a> {
    pub(crate) service: &'a str,
    pub(crate) region: &'a str,
}

/// The service whose requests need no signature: it also serves objects that everyone may read.
const S3: &str = "s3";

/// A complete answer, whatever its status.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
}

impl Client {
    /// Signs a request, sends it, and returns the answer. Sends a request to S3 without a signature if
    /// there are no credentials.
    ///
    /// # Errors
    ///
    /// Fails if there are no credentials, the request cannot be signed, or no complete answer comes
    /// within `limit`.
    pub(crate) async fn send(
        &self,
        scope: Scope<'_>,
        mut request: Request<String>,
        limit: Duration,
    ) -> Result<Received, Error> {
        let other = |error: BoxError| Error::other(chain(&*error)).presentable(&self.settings.secrets);
        match self.credentials().await {
            Ok(credentials) => add_signature(&mut request, &credentials, scope).map_err(other)?,
            Err(_) if scope.service == S3 => {}
            Err(error) => return Err(other(error)),
        }
        let http = self.http_for(request.uri().scheme_str() == Some("http"));
        let request = HttpRequest::try_from(request.map(SdkBody::from));
        let call = http.call(request.map_err(|error| other(error.into()))?);
        let answer = async {
            let mut answer = call.await.map_err(|error| Error::unreachable(chain(&error)))?;
            let body = answer.take_body().collect().await.map_err(|error| Error::incomplete(&*error))?;
            let status = answer.status().as_u16();
            Ok(Received { status, headers: answer.headers().clone(), body: body.to_bytes().to_vec() })
        };
        let late = || Err(Error::unreachable(format!("no complete answer within {} ms", limit.as_millis())));
        let answer: Result<_, Error> = timeout(limit, answer).await.unwrap_or_else(|_| late());
        answer.map_err(|error| error.presentable(&self.settings.secrets))
    }

    /// Prepares a text from a service for display: redacts the secrets, puts it on one line, and limits
    /// its length.
    pub(crate) fn presentable(&self, text: String) -> String {
        Error::other(text).presentable(&self.settings.secrets).to_string()
    }

    async fn credentials(&self) -> Result<Credentials, BoxError> {
        let provider = self.settings.credentials.as_ref().ok_or("no credentials")?;
        Ok(provider.provide_credentials().await?)
    }

    /// Returns an HTTP client that can send requests with TLS, or without if `is_plain`.
    fn http_for(&self, is_plain: bool) -> &Http {
        // The client for an endpoint without TLS trusts no certificate authority.
        let endpoint_url = self.settings.endpoint_url.as_deref();
        if !is_plain && endpoint_url.is_some_and(|url| url.starts_with("http://")) {
            return self.with_authorities.get_or_init(|| Http::of(None, MOST_IN_FUNCTION));
        }
        &self.http
    }
}

/// Signs a request.
///
/// # Errors
///
/// Fails if the request cannot be signed as it is.
fn add_signature(
    request: &mut Request<String>,
    credentials: &Credentials,
    scope: Scope<'_>,
) -> Result<(), BoxError> {
    let mut settings = SigningSettings::default();
    // S3 signs keys as they are, and wants a header with the hash of the body.
    if scope.service == S3 {
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    }
    let identity = credentials.clone().into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(scope.region)
        .name(scope.service)
        .time(SystemTime::now())
        .settings(settings)
        .build()?
        .into();
    let url = request.uri().to_string();
    let headers = request.headers().iter();
    let headers = headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let body = SignableBody::Bytes(request.body().as_bytes());
    let signable = SignableRequest::new(request.method().as_str(), url, headers, body)?;
    let (instructions, _) = sign(signable, &parameters)?.into_parts();
    instructions.apply_to_request_http1x(request);
    Ok(())
}
