//! Checks whether viewers get what the bucket holds: sends one HEAD request through CloudFront and
//! one to S3, and compares the answers ([`judge`]).

mod verdict;

use std::time::Duration;

use aws_credential_types::{Credentials, provider::ProvideCredentials};
use aws_smithy_runtime_api::{client::orchestrator::HttpRequest, http::Headers};
use aws_smithy_types::body::SdkBody;
use http::{HeaderName, HeaderValue, Method, Uri, header::HOST};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde::Serialize;
use thiserror::Error;

pub use self::verdict::{Verdict, judge};
use crate::{
    cloudfront::{Http, MOST_ELSEWHERE, Profile, Scope, add_signature},
    site::Object,
    text::chain,
};

/// The bytes to percent-encode in a key. S3 encodes the same ones when it checks a signature.
///
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Maximum time to wait for an answer.
const LIMIT: Duration = Duration::from_secs(10);

/// The status and headers that a viewer gets, as far as they concern the cache.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The entity tag, including the quotes.
    pub etag: Option<String>,
    /// The date of the object's last change, in HTTP's format.
    pub last_modified: Option<String>,
    /// The number of seconds for which CloudFront has cached the object.
    pub age: Option<u64>,
    /// The `X-Cache` header, which says how CloudFront answered, such as `Hit from cloudfront`.
    pub x_cache: Option<String>,
    /// The edge location that answered.
    pub pop: Option<String>,
    /// The URL to which the answer redirects the viewer.
    pub location: Option<String>,
}

/// The state of the object that viewers should get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// An object with this entity tag.
    Present(String),
    /// An object that does not exist.
    Absent,
    /// An unknown state, for this reason.
    Unknown(String),
}

/// The reason why there is no answer.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct NoAnswer(String);

impl NoAnswer {
    fn of(why: impl std::fmt::Display) -> Self {
        Self(why.to_string())
    }
}

/// A client that sends requests as a viewer, and looks up objects in S3.
#[derive(Debug)]
pub struct Viewer {
    http: Http,
    /// The host and port that answer for every distribution, without TLS. `None` to resolve each
    /// distribution's name by DNS.
    edge: Option<String>,
    credentials: Option<Credentials>,
    /// The URL of S3. `None` for AWS's own endpoints.
    s3: Option<String>,
    region: Option<String>,
}

impl Viewer {
    /// Creates a viewer for AWS, with the credentials of `profile` if it has any.
    pub async fn new(profile: &Profile) -> Self {
        let config = &profile.config;
        let credentials = match config.credentials_provider() {
            Some(provider) => provider.provide_credentials().await.ok(),
            None => None,
        };
        Self {
            http: profile.http.clone(),
            edge: None,
            credentials,
            s3: profile.endpoint_url("s3"),
            region: config.region().map(ToString::to_string),
        }
    }

    /// Creates a viewer for a local [`Server`](crate::local::Server) at `endpoint_url`.
    #[must_use]
    pub fn local(endpoint_url: &str) -> Self {
        Self {
            http: Http::of(Some(endpoint_url), MOST_ELSEWHERE),
            edge: endpoint_url.split_once("://").map(|(_, host)| host.to_owned()),
            credentials: Some(Credentials::new("local", "local", None, None, "local")),
            s3: Some(endpoint_url.to_owned()),
            region: None,
        }
    }

    /// Sends a HEAD request for `url` with these headers, as a viewer. Does not follow redirects.
    ///
    /// # Errors
    ///
    /// Fails if there is no answer, or if the URL or a header is invalid.
    pub async fn look(&self, url: &Uri, headers: &[(String, String)]) -> Result<Answer, NoAnswer> {
        let mut request = http::Request::new(SdkBody::empty());
        *request.method_mut() = Method::HEAD;
        *request.uri_mut() = url.clone();
        if let (Some(edge), Some(host)) = (&self.edge, url.authority()) {
            let path = url.path_and_query().map_or("/", |path| path.as_str());
            *request.uri_mut() = format!("http://{edge}{path}").parse().map_err(NoAnswer::of)?;
            let host = HeaderValue::from_str(host.as_str()).map_err(NoAnswer::of)?;
            request.headers_mut().insert(HOST, host);
        }
        for (name, value) in headers {
            let name = HeaderName::try_from(name).map_err(NoAnswer::of)?;
            request.headers_mut().append(name, HeaderValue::try_from(value).map_err(NoAnswer::of)?);
        }
        let (status, headers) = self.ask(request).await?;
        let told = |name: &str| headers.get(name).map(str::to_owned);
        Ok(Answer {
            status,
            etag: told("etag"),
            last_modified: told("last-modified"),
            age: headers.get("age").and_then(|age| age.parse().ok()),
            x_cache: told("x-cache"),
            pop: told("x-amz-cf-pop"),
            location: told("location"),
        })
    }

    /// Looks these objects up in S3, in order. Returns the state of the first one that exists or
    /// whose state is unknown, with that object. If S3 has none of them, returns
    /// [`Expected::Absent`] with the first object.
    pub async fn expected<'o>(&self, objects: &'o [Object]) -> (Expected, Option<&'o Object>) {
        for object in objects {
            match self.head(object).await {
                Ok(Expected::Absent) => {}
                Ok(expected) => return (expected, Some(object)),
                Err(NoAnswer(why)) => return (Expected::Unknown(why), Some(object)),
            }
        }
        (Expected::Absent, objects.first())
    }

    async fn head(&self, object: &Object) -> Result<Expected, NoAnswer> {
        let mut region = object.endpoint.region.clone().or_else(|| self.region.clone());
        for last in [false, true] {
            let (status, headers) =
                self.ask(self.signed(object, region.as_deref().unwrap_or("us-east-1"))?).await?;
            return Ok(match (status, headers.get("x-amz-bucket-region")) {
                (200, _) => match headers.get("etag") {
                    Some(etag) => Expected::Present(etag.to_owned()),
                    None => Expected::Unknown("S3 returned no ETag".to_owned()),
                },
                (404, _) => Expected::Absent,
                (300..=400, Some(other)) if !last && region.as_deref() != Some(other) => {
                    region = Some(other.to_owned());
                    continue;
                }
                (403, _) => Expected::Unknown(
                    "S3 denied access: s3:GetObject is not allowed, or the object does not exist, which S3 \
                     reports only if s3:ListBucket is allowed"
                        .to_owned(),
                ),
                (status, _) => Expected::Unknown(format!("S3 answered HTTP {status}")),
            });
        }
        Err(NoAnswer("S3 did not report the bucket's region".to_owned()))
    }

    /// Builds a HEAD request for an object, signed if there are credentials.
    fn signed(&self, object: &Object, region: &str) -> Result<http::Request<SdkBody>, NoAnswer> {
        let Object { endpoint, bucket, key } = object;
        let partition = if region.starts_with("cn-") { "amazonaws.com.cn" } else { endpoint.partition };
        let key = percent_encode(key, ENCODED);
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let url = match &self.s3 {
            Some(url) => format!("{}/{bucket}/{key}", url.trim_end_matches('/')),
            // S3's certificate does not cover host names with further labels, and host names have no
            // case and no underscores, which old buckets may have.
            None if !bucket.bytes().all(fits) => format!("https://s3.{region}.{partition}/{bucket}/{key}"),
            None => format!("https://{bucket}.s3.{region}.{partition}/{key}"),
        };
        let mut request = http::Request::new(SdkBody::empty());
        *request.method_mut() = Method::HEAD;
        *request.uri_mut() = url.parse().map_err(NoAnswer::of)?;
        let Some(credentials) = &self.credentials else { return Ok(request) };
        add_signature(&mut request, &[], credentials, Scope { service: "s3", region })
            .map_err(NoAnswer::of)?;
        Ok(request)
    }

    async fn ask(&self, request: http::Request<SdkBody>) -> Result<(u16, Headers), NoAnswer> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let request = HttpRequest::try_from(request).map_err(NoAnswer::of)?;
        let answer = tokio::time::timeout(LIMIT, self.http.call(request)).await;
        let answer =
            answer.map_err(|_| NoAnswer(format!("{host} does not answer in {} s", LIMIT.as_secs())))?;
        let answer =
            answer.map_err(|error| NoAnswer(format!("{host} does not answer: {}", chain(&error))))?;
        Ok((answer.status().as_u16(), answer.headers().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::Location;

    #[test]
    fn objects_are_requested_at_the_address_of_their_bucket() {
        let http = Http::of(None, MOST_ELSEWHERE);
        let viewer = Viewer { http, edge: None, credentials: None, s3: None, region: None };
        let url = |domain: &str, path: &str| {
            let Location { endpoint, bucket, .. } = Location::of(domain, path).expect("a location");
            let region = endpoint.region.clone().unwrap_or_else(|| "us-east-1".to_owned());
            let object = Object { endpoint, bucket: bucket.expect("a bucket"), key: b"a b".to_vec() };
            viewer.signed(&object, &region).expect("a request").uri().to_string()
        };
        for (domain, path, expected) in [
            ("site.s3.amazonaws.com", "", "https://site.s3.us-east-1.amazonaws.com/a%20b"),
            ("site.s3-accelerate.amazonaws.com", "", "https://site.s3.us-east-1.amazonaws.com/a%20b"),
            ("s3.eu-west-1.amazonaws.com", "/site/v1", "https://site.s3.eu-west-1.amazonaws.com/a%20b"),
            ("s3.eu-west-1.amazonaws.com", "/a.b", "https://s3.eu-west-1.amazonaws.com/a.b/a%20b"),
            ("s3.amazonaws.com", "/Old_Site", "https://s3.us-east-1.amazonaws.com/Old_Site/a%20b"),
            ("s3.cn-north-1.amazonaws.com.cn", "/site", "https://site.s3.cn-north-1.amazonaws.com.cn/a%20b"),
        ] {
            assert_eq!(url(domain, path), expected, "{domain} {path}");
        }
    }
}
