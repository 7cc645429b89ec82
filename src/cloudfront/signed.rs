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
use aws_smithy_runtime_api::{box_error::BoxError, client::orchestrator::HttpRequest};
use aws_smithy_types::body::SdkBody;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
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

impl Client {
    /// Signs a POST request with these headers, sends it, and returns the status and the body of the
    /// answer.
    ///
    /// # Errors
    ///
    /// Fails if there are no credentials, the request cannot be built, or no complete answer comes
    /// within `limit`.
    pub(crate) async fn post(
        &self,
        scope: Scope<'_>,
        url: &str,
        headers: &[(&'static str, &'static str)],
        body: String,
        limit: Duration,
    ) -> Result<(u16, Vec<u8>), Error> {
        let other = |error: BoxError| Error::other(chain(&*error)).presentable(&self.settings.secrets);
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.parse::<Uri>().map_err(|error| other(error.into()))?;
        for (name, value) in headers {
            let header = HeaderValue::from_static(value);
            request.headers_mut().insert(HeaderName::from_static(name), header);
        }
        let provider = self.settings.credentials.as_ref().ok_or_else(|| other("no credentials".into()))?;
        let credentials = provider.provide_credentials().await.map_err(|error| other(error.into()))?;
        add_signature(&mut request, body.as_bytes(), &credentials, scope).map_err(other)?;
        let request = HttpRequest::try_from(request.map(|()| SdkBody::from(body)));
        let call = self.http_for(url).call(request.map_err(|error| other(error.into()))?);
        let answer = async {
            let answer = call.await.map_err(|error| Error::unreachable(chain(&error)))?;
            let status = answer.status().as_u16();
            let body = answer.into_body().collect().await;
            let body = body.map_err(|error| Error::unreachable(error.to_string()))?;
            Ok((status, body.to_bytes().to_vec()))
        };
        let answer: Result<_, Error> =
            timeout(limit, answer).await.unwrap_or_else(|_| Err(Error::too_late()));
        answer.map_err(|error| error.presentable(&self.settings.secrets))
    }

    /// Returns an HTTP client that can send requests to `url`.
    fn http_for(&self, url: &str) -> &Http {
        let is_plain = |url: &str| url.starts_with("http://");
        // The client for an endpoint without TLS trusts no certificate authority.
        if !is_plain(url) && self.settings.endpoint_url.as_deref().is_some_and(is_plain) {
            return self.with_authorities.get_or_init(|| Http::of(None, MOST_IN_FUNCTION));
        }
        &self.http
    }
}

/// Signs a request with this body.
///
/// # Errors
///
/// Fails if the request cannot be signed as it is.
pub(crate) fn add_signature<B>(
    request: &mut Request<B>,
    body: &[u8],
    credentials: &Credentials,
    scope: Scope<'_>,
) -> Result<(), BoxError> {
    let mut settings = SigningSettings::default();
    // S3 signs keys as they are, and wants a header with the hash of the body.
    if scope.service == "s3" {
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
    let signable = SignableRequest::new(request.method().as_str(), url, headers, SignableBody::Bytes(body))?;
    let (instructions, _) = sign(signable, &parameters)?.into_parts();
    instructions.apply_to_request_http1x(request);
    Ok(())
}
