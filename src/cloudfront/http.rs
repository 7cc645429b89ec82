//! The one client that everything goes through: hyper's, over rustls, without HTTP/2, which is
//! not needed here.
//!
//! It is made once, where Lambda does not throttle the CPU: before the first event. The SDK's
//! own makes what it needs for TLS again at the first request.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use ::http::Uri;
use aws_sdk_cloudfront::config::SharedHttpClient;
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        http::{
            HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector, http_client_fn,
        },
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::body::SdkBody;
use http_body_util::Limited;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector as Tcp},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tokio::time::timeout;
use tower_service::Service;

/// How long a connection may take to be made, from looking up the name to the end of TLS's
/// handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Connections, kept for as long as they may be used.
#[derive(Clone, Debug)]
pub(crate) struct Http(SharedHttpConnector);

/// Maximum number of bytes of an answer in the function, which has little memory, besides what the
/// answer repeats of the request. A page of a list that is longer is asked for in parts.
pub(super) const MOST_IN_FUNCTION: usize = 2 * 1024 * 1024;

/// Maximum number of bytes of an answer elsewhere: more than 3,000 paths of 4,000 characters.
#[cfg(feature = "cli")]
pub(crate) const MOST_ELSEWHERE: usize = 64 * 1024 * 1024;

impl Http {
    /// Makes one for this endpoint, which needs no authorities if its URL has no TLS, or for any
    /// endpoint. Answers have at most `most_bytes`, and twice as many as the request besides.
    pub(crate) fn of(endpoint_url: Option<&str>, most_bytes: usize) -> Self {
        let authorities = !endpoint_url.is_some_and(|url| url.starts_with("http://"));
        let mut tcp = Tcp::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let https = HttpsConnectorBuilder::new().with_tls_config(tls(authorities)).https_or_http();
        let connector = InTime(https.enable_http1().wrap_connector(tcp));
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        Self(SharedHttpConnector::new(Hyper { client, most_bytes }))
    }

    /// Sends a request. Redirects are not followed.
    pub(crate) fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        self.0.call(request)
    }

    /// The same for the SDK.
    pub(super) fn client(&self) -> SharedHttpClient {
        let connector = self.0.clone();
        http_client_fn(move |_: &HttpConnectorSettings, _: &RuntimeComponents| connector.clone())
    }
}

/// Whom to believe: the system's authorities or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`, which
/// have to be read, or nobody.
fn tls(authorities: bool) -> ClientConfig {
    // On ring: aws-lc gathers 45 ms of entropy at the first handshake.
    let builder = || {
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has the suites of TLS 1.2 and 1.3")
    };
    let known = authorities.then(|| builder().with_native_roots().ok()).flatten();
    // Where there are none, each connection will tell that its authority is not known.
    known.unwrap_or_else(|| builder().with_root_certificates(RootCertStore::empty())).with_no_client_auth()
}

/// A connector that gives up after [`CONNECT_TIMEOUT`].
#[derive(Clone, Debug)]
struct InTime<C>(C);

impl<C> Service<Uri> for InTime<C>
where
    C: Service<Uri, Error = BoxError>,
    C::Future: Send + 'static,
    C::Response: 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connection = timeout(CONNECT_TIMEOUT, self.0.call(uri));
        Box::pin(async {
            let late = || format!("not within {} s", CONNECT_TIMEOUT.as_secs());
            connection.await.unwrap_or_else(|_| Err(late().into()))
        })
    }
}

#[derive(Debug)]
struct Hyper {
    client: Client<InTime<HttpsConnector<Tcp>>, SdkBody>,
    most_bytes: usize,
}

impl HttpConnector for Hyper {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let sent = request.body().content_length().and_then(|sent| usize::try_from(sent).ok());
        let most_bytes = self.most_bytes.saturating_add(sent.unwrap_or_default().saturating_mul(2));
        let request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(error) => return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into()))),
        };
        let answer = self.client.request(request);
        HttpConnectorFuture::new(async move {
            // Whatever keeps a request from being answered may pass.
            let answer = answer.await.map_err(|error| ConnectorError::io(error.into()))?;
            let answer = answer.map(|body| SdkBody::from_body_1_x(Limited::new(body, most_bytes)));
            HttpResponse::try_from(answer).map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}
