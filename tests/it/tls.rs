//! TLS with a certificate authority of the tests' own, which the benchmark also uses.

#[path = "../../benches/start/peers.rs"]
mod peers;

use std::net::TcpListener;

use crate::support::{Answer, Function, s3};

#[tokio::test]
async fn requests_go_only_to_a_server_with_a_trusted_certificate() {
    let authority = peers::Authority::new();
    let cloudfront = peers::CloudFront::start(Some(&authority), 0, 0);
    let one = [("AWS_MAX_ATTEMPTS", "1")];

    let known = [("SSL_CERT_FILE", authority.bundle())];
    let mut function = Function::start(&cloudfront.url, &[one, known].concat()).await;
    let answer = function.invoke(s3("a", "1").to_string()).await;
    assert!(matches!(answer, Answer::Response(_)), "{answer:?}");
    assert_eq!(cloudfront.calls(), 1);

    // The connection fails with the system's authorities, and if there are none at all.
    for variables in [&[][..], &[("SSL_CERT_FILE", "/nowhere"), ("SSL_CERT_DIR", "/nowhere")]] {
        let mut function = Function::start(&cloudfront.url, &[&one[..], variables].concat()).await;
        let answer = function.invoke(s3("a", "1").to_string()).await;
        assert_eq!(answer.error_type(), "CloudFrontUnreachable");
        assert!(answer.message().contains("UnknownIssuer"), "{}", answer.message());
    }
    assert_eq!(cloudfront.calls(), 1);
}

/// The server accepts TCP connections and then stays silent, as behind some tunnels.
#[tokio::test]
async fn a_handshake_that_hangs_times_out() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("https://{}", silent.local_addr().expect("its address"));
    let mut function = Function::start(&url, &[("AWS_MAX_ATTEMPTS", "1")]).await;
    let answer = function.invoke(s3("a", "1").to_string()).await;
    assert_eq!(answer.error_type(), "CloudFrontUnreachable");
    assert!(answer.message().contains("no connection within 3 s"), "{}", answer.message());
}
