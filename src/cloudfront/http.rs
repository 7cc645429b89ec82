//! The one connector that everything goes through.
//!
//! The SDK's own client makes a connector to check that it can, throws it away, and makes
//! another at the first request, reading the system's authorities each time. Here it is
//! made once, where Lambda does not throttle the CPU: before the first event.

use std::time::Duration;

use aws_sdk_cloudfront::config::SharedHttpClient;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::{
    Connector,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector, http_client_fn},
    orchestrator::HttpRequest,
    runtime_components::RuntimeComponents,
};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Connections, kept for as long as they may be used.
#[derive(Clone, Debug)]
pub(crate) struct Http(SharedHttpConnector);

impl Http {
    /// One for whatever the URLs say: with TLS, which takes reading the authorities.
    pub(crate) fn new() -> Self {
        // On ring: aws-lc gathers 45 ms of entropy at the first handshake.
        let provider = Provider::Rustls(CryptoMode::Ring);
        Self(SharedHttpConnector::new(builder().tls_provider(provider).build()))
    }

    /// One for this endpoint, where it is known, which needs no TLS if it has none.
    pub(crate) fn of(endpoint_url: Option<&str>) -> Self {
        match endpoint_url {
            Some(url) if url.starts_with("http://") => Self(SharedHttpConnector::new(builder().build_http())),
            _ => Self::new(),
        }
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

fn builder() -> aws_smithy_http_client::ConnectorBuilder {
    let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).build();
    Connector::builder().connector_settings(settings).sleep_impl(TokioSleep::new())
}
