//! Checks whether viewers get what the bucket holds: sends one HEAD request through CloudFront and
//! one to S3, and compares the answers ([`judge`]).

mod verdict;

use std::time::{Duration, Instant};

use aws_smithy_runtime_api::{client::orchestrator::HttpRequest, http::Headers};
use aws_smithy_types::body::SdkBody;
use http::{HeaderName, HeaderValue, Method, Uri, header::HOST};
use serde::Serialize;
use thiserror::Error;

pub use self::verdict::{Verdict, judge};
use crate::{
    bucket::S3,
    cloudfront::{Client, Http, MOST_ELSEWHERE, Profile, Settings},
    site::Object,
};

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
    /// The client whose credentials look up objects.
    client: Client,
}

impl Viewer {
    /// Creates a viewer for AWS, with the credentials of `profile` if it has any.
    #[must_use]
    pub fn new(profile: &Profile) -> Self {
        Self { http: profile.http.clone(), edge: None, client: Client::of_profile(profile) }
    }

    /// Creates a viewer for a local [`Server`](crate::local::Server) at `endpoint_url`.
    #[must_use]
    pub fn local(endpoint_url: &str) -> Self {
        Self {
            http: Http::of(Some(endpoint_url), MOST_ELSEWHERE),
            edge: endpoint_url.split_once("://").map(|(_, host)| host.to_owned()),
            client: Client::new(Settings::local(endpoint_url)),
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
                Expected::Absent => {}
                expected => return (expected, Some(object)),
            }
        }
        (Expected::Absent, objects.first())
    }

    async fn head(&self, object: &Object) -> Expected {
        let Object { endpoint, bucket, key } = object;
        let bucket = S3::of(&self.client).bucket(bucket, endpoint.region.as_deref());
        match bucket.head(key, None, Instant::now() + LIMIT).await {
            Ok(Some(head)) => Expected::Present(format!("\"{}\"", head.etag)),
            Ok(None) => Expected::Absent,
            Err(error) if error.is_denied() => Expected::Unknown(
                "S3 denied access: s3:GetObject is not allowed, or the object does not exist, which S3 \
                 reports only if s3:ListBucket is allowed"
                    .to_owned(),
            ),
            Err(error) => Expected::Unknown(error.to_string()),
        }
    }

    async fn ask(&self, request: http::Request<SdkBody>) -> Result<(u16, Headers), NoAnswer> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let request = HttpRequest::try_from(request).map_err(NoAnswer::of)?;
        let answer = tokio::time::timeout(LIMIT, self.http.call(request)).await;
        let answer =
            answer.map_err(|_| NoAnswer(format!("{host} does not answer in {} s", LIMIT.as_secs())))?;
        let answer =
            answer.map_err(|error| NoAnswer(format!("{host} does not answer: {}", cause(&error))))?;
        Ok((answer.status().as_u16(), answer.headers().clone()))
    }
}

/// Returns the first cause of an error. The errors above it only name the layers of the HTTP client.
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source()).last().unwrap_or(error).to_string()
}
