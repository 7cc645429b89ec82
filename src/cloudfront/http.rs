//! The HTTP client for all requests: hyper over rustls, without HTTP/2, which is not needed here.
//!
//! The function creates it once, before the first event, while Lambda does not throttle the CPU.
//! The SDK's own client would set up TLS again at the first request.

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

/// Time limit for opening a connection, from the DNS lookup to the end of the TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// An HTTP client that keeps its connections open for reuse.
#[derive(Clone, Debug)]
pub(crate) struct Http(SharedHttpConnector);

/// Maximum number of bytes of an answer in the function, which has little memory. The parts of the
/// request that the answer repeats do not count. If a page of a list is longer, the client requests
/// it in parts.
pub(super) const MOST_IN_FUNCTION: usize = 2 * 1024 * 1024;

/// Maximum number of bytes of an answer elsewhere: more than 3,000 paths of 4,000 characters.
#[cfg(feature = "cli")]
pub(crate) const MOST_ELSEWHERE: usize = 64 * 1024 * 1024;

impl Http {
    /// Creates a client for this endpoint, or for any endpoint if it is `None`. Does not load
    /// certificate authorities if the endpoint's URL has no TLS.
    ///
    /// Limits an answer to `most_bytes` plus twice the size of the request.
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

    /// Sends a request. Does not follow redirects.
    pub(crate) fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        self.0.call(request)
    }

    /// Returns this client in the SDK's type. It shares the connections.
    pub(super) fn client(&self) -> SharedHttpClient {
        let connector = self.0.clone();
        http_client_fn(move |_: &HttpConnectorSettings, _: &RuntimeComponents| connector.clone())
    }
}

/// Creates the TLS configuration. With `authorities`, reads and trusts the system's certificate
/// authorities, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`. Without, trusts none.
fn tls(authorities: bool) -> ClientConfig {
    // ring rather than aws-lc, which spends 45 ms on gathering entropy at the first handshake.
    let builder = || {
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring supports TLS 1.2 and 1.3")
    };
    let known = authorities.then(|| builder().with_native_roots().ok()).flatten();
    // If there are no authorities, each connection fails because its authority is unknown.
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
            let late = || format!("no connection within {} s", CONNECT_TIMEOUT.as_secs());
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
            // Any failure to get an answer may be temporary, so report all as I/O errors.
            let answer = answer.await.map_err(|error| ConnectorError::io(error.into()))?;
            let answer = answer.map(|body| SdkBody::from_body_1_x(Limited::new(body, most_bytes)));
            HttpResponse::try_from(answer).map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}
