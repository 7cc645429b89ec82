//! Plays a CloudFront that answers at once, and the certificate authority that it needs.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

/// The files in which systems keep the authorities that they trust.
const SYSTEM: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// A certificate authority, and a TLS server with a certificate from it.
pub(crate) struct Authority {
    server: Arc<ServerConfig>,
    bundle: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // With the default name for both, the server's certificate would look self-signed.
        parameters.distinguished_name.push(DnType::CommonName, "the benchmark's authority");
        let key = KeyPair::generate().expect("a key");
        let own = parameters.self_signed(&key).expect("a certificate");
        let issuer = Issuer::new(parameters, key);
        let server_key = KeyPair::generate().expect("a key");
        let server = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        let server = server.signed_by(&server_key, &issuer).expect("a certificate");
        let chain = vec![server.der().clone(), own.der().clone()];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(server_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a server");
        // Include the system's authorities, so that the time to read them is measured too.
        let system = SYSTEM.iter().find_map(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        let bundle = std::env::temp_dir().join(format!("invalidator-bench-{}.pem", std::process::id()));
        fs::write(&bundle, format!("{system}\n{}", own.pem())).expect("a file");
        Self { server: Arc::new(server), bundle }
    }

    /// Returns the path of the file with all authorities.
    pub(crate) fn bundle(&self) -> &str {
        self.bundle.to_str().expect("a path that is text")
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.bundle);
    }
}

/// Number of connections to serve at a time. Their threads start beforehand, so that no client
/// waits for one.
const CONNECTIONS: usize = 8;

/// A CloudFront that accepts every invalidation. It may have distributions; the first one serves
/// the bucket `site`.
pub(crate) struct CloudFront {
    pub(crate) url: String,
    calls: Arc<AtomicUsize>,
}

/// Number of distributions on a page, as in CloudFront.
const PAGE: usize = 100;

/// Returns the page of the list of distributions that a request line asks for.
pub(crate) fn list(request: &str, distributions: usize) -> String {
    let parameter = |name: &str| {
        let (_, rest) = request.split_once(&format!("{name}="))?;
        rest.split(['&', ' ']).next()
    };
    let begin =
        parameter("Marker").and_then(|marker| marker.trim_start_matches('E').parse().ok()).unwrap_or(0);
    let end = distributions.min(begin + PAGE);
    let items: String = (begin..end).map(summary).collect();
    let next = if end < distributions { format!("<NextMarker>E{end}</NextMarker>") } else { String::new() };
    format!(
        "<?xml version=\"1.0\"?>\n<DistributionList xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\">\
         <Marker></Marker>{next}<MaxItems>{PAGE}</MaxItems><IsTruncated>{}</IsTruncated><Quantity>{}</Quantity>\
         <Items>{items}</Items></DistributionList>",
        end < distributions,
        end - begin
    )
}

/// Returns a distribution in the list, with all fields that CloudFront returns for one with a
/// bucket, an API and two behaviors.
fn summary(number: usize) -> String {
    let bucket = if number == 0 { "site".to_owned() } else { format!("site-{number}") };
    let behavior = |target: &str| {
        format!(
            "<TargetOriginId>{target}</TargetOriginId><TrustedSigners><Enabled>false</Enabled><Quantity>0</Quantity>\
             </TrustedSigners><TrustedKeyGroups><Enabled>false</Enabled><Quantity>0</Quantity></TrustedKeyGroups>\
             <ViewerProtocolPolicy>redirect-to-https</ViewerProtocolPolicy><AllowedMethods><Quantity>2</Quantity>\
             <Items><Method>HEAD</Method><Method>GET</Method></Items><CachedMethods><Quantity>2</Quantity><Items>\
             <Method>HEAD</Method><Method>GET</Method></Items></CachedMethods></AllowedMethods>\
             <SmoothStreaming>false</SmoothStreaming><Compress>true</Compress><LambdaFunctionAssociations>\
             <Quantity>0</Quantity></LambdaFunctionAssociations><FunctionAssociations><Quantity>1</Quantity><Items>\
             <FunctionAssociation><FunctionARN>arn:aws:cloudfront::123456789012:function/append-index</FunctionARN>\
             <EventType>viewer-request</EventType></FunctionAssociation></Items></FunctionAssociations>\
             <FieldLevelEncryptionId></FieldLevelEncryptionId>\
             <CachePolicyId>658327ea-f89d-4fab-a63d-7e88639e58f6</CachePolicyId>"
        )
    };
    let origin = |id: &str, domain: &str| {
        format!(
            "<Origin><Id>{id}</Id><DomainName>{domain}</DomainName><OriginPath></OriginPath><CustomHeaders>\
             <Quantity>0</Quantity></CustomHeaders><S3OriginConfig><OriginAccessIdentity></OriginAccessIdentity>\
             </S3OriginConfig><ConnectionAttempts>3</ConnectionAttempts><ConnectionTimeout>10</ConnectionTimeout>\
             <OriginShield><Enabled>false</Enabled></OriginShield>\
             <OriginAccessControlId>E2QWRUHAPOMQZL</OriginAccessControlId></Origin>"
        )
    };
    format!(
        "<DistributionSummary><Id>E{number}</Id>\
         <ARN>arn:aws:cloudfront::123456789012:distribution/E{number}</ARN><ETag>E13V1IB3VIYZZ{number}</ETag>\
         <Status>Deployed</Status><LastModifiedTime>2026-11-22T00:00:00.000Z</LastModifiedTime>\
         <DomainName>d{number}.cloudfront.net</DomainName><Aliases><Quantity>1</Quantity><Items>\
         <CNAME>www{number}.example.com</CNAME></Items></Aliases><Origins><Quantity>2</Quantity><Items>{}{}</Items>\
         </Origins><OriginGroups><Quantity>0</Quantity></OriginGroups><DefaultCacheBehavior>{}\
         </DefaultCacheBehavior><CacheBehaviors><Quantity>1</Quantity><Items><CacheBehavior>\
         <PathPattern>/api/*</PathPattern>{}</CacheBehavior></Items></CacheBehaviors><CustomErrorResponses>\
         <Quantity>1</Quantity><Items><CustomErrorResponse><ErrorCode>404</ErrorCode>\
         <ResponsePagePath>/404.html</ResponsePagePath><ResponseCode>404</ResponseCode>\
         <ErrorCachingMinTTL>10</ErrorCachingMinTTL></CustomErrorResponse></Items></CustomErrorResponses>\
         <Comment>{bucket}</Comment><PriceClass>PriceClass_All</PriceClass><Enabled>true</Enabled><ViewerCertificate>\
         <CloudFrontDefaultCertificate>true</CloudFrontDefaultCertificate><SSLSupportMethod>vip</SSLSupportMethod>\
         <MinimumProtocolVersion>TLSv1</MinimumProtocolVersion><CertificateSource>cloudfront</CertificateSource>\
         </ViewerCertificate><Restrictions><GeoRestriction><RestrictionType>none</RestrictionType>\
         <Quantity>0</Quantity></GeoRestriction></Restrictions><WebACLId></WebACLId><HttpVersion>http2</HttpVersion>\
         <IsIPV6Enabled>true</IsIPV6Enabled><Staging>false</Staging></DistributionSummary>",
        origin("site", &format!("{bucket}.s3.eu-central-1.amazonaws.com")),
        origin("api", "api.example.com"),
        behavior("site"),
        behavior("api"),
    )
}

/// The configuration of every distribution. The function reads only the root object from it.
const CONFIG: &str = "<?xml version=\"1.0\"?>\n\
    <DistributionConfig xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\"><CallerReference>x\
    </CallerReference><DefaultRootObject>index.html</DefaultRootObject><Origins><Quantity>0</Quantity></Origins>\
    <DefaultCacheBehavior><TargetOriginId>site</TargetOriginId><ViewerProtocolPolicy>allow-all\
    </ViewerProtocolPolicy></DefaultCacheBehavior><Comment></Comment><Enabled>true</Enabled></DistributionConfig>";

/// Returns the answer to CreateInvalidation.
fn created(body: &[u8]) -> String {
    let body = String::from_utf8_lossy(body);
    let reference = body.split_once("<CallerReference>").and_then(|(_, rest)| rest.split_once('<'));
    let reference = reference.map_or("", |(reference, _)| reference);
    format!(
        "<?xml version=\"1.0\"?>\n\
         <Invalidation xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\"><Id>I1</Id>\
         <Status>InProgress</Status><CreateTime>2026-11-22T00:00:00Z</CreateTime><InvalidationBatch><Paths>\
         <Quantity>1</Quantity><Items><Path>/docs/index.html</Path></Items></Paths>\
         <CallerReference>{reference}</CallerReference></InvalidationBatch></Invalidation>"
    )
}

impl CloudFront {
    /// Starts a CloudFront with this many distributions and a round-trip time of `away`
    /// milliseconds.
    pub(crate) fn start(authority: Option<&Authority>, away: u64, distributions: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let calls = Arc::new(AtomicUsize::new(0));
        let tls = authority.map(|authority| Arc::clone(&authority.server));
        for _ in 0..CONNECTIONS {
            let (tls, calls) = (tls.clone(), Arc::clone(&calls));
            let listener = listener.try_clone().expect("a listener");
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    connection(stream, tls.clone(), away, distributions, &calls);
                }
            });
        }
        let url = if authority.is_some() {
            format!("https://localhost:{port}")
        } else {
            // An address, because the empty function does not resolve a name either.
            format!("http://127.0.0.1:{port}")
        };
        Self { url, calls }
    }

    /// Returns the number of invalidations that it accepted.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

fn connection(
    stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    away: u64,
    distributions: usize,
    calls: &AtomicUsize,
) {
    let _ = stream.set_nodelay(true);
    // One round trip for TCP and, below, one for the TLS handshake.
    let distance = Duration::from_millis(away);
    std::thread::sleep(distance);
    match tls {
        Some(config) => {
            std::thread::sleep(distance);
            let Ok(session) = ServerConnection::new(config) else { return };
            answer(StreamOwned::new(session, stream), distance, distributions, calls);
        }
        None => answer(stream, distance, distributions, calls),
    }
}

fn answer(stream: impl Read + Write, distance: Duration, distributions: usize, calls: &AtomicUsize) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    loop {
        line.clear();
        if !reader.read_line(&mut line).is_ok_and(|read| read > 0) {
            return;
        }
        let creates = line.starts_with("POST ");
        let mut body = vec![0; head(&mut reader)];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        std::thread::sleep(distance);
        let (status, answer) = if creates {
            calls.fetch_add(1, Ordering::Relaxed);
            ("201 Created", created(&body))
        } else if distributions > 0 && line.starts_with("GET /2020-05-31/distribution/") {
            ("200 OK", CONFIG.to_owned())
        } else if distributions > 0 && line.starts_with("GET /2020-05-31/distribution") {
            ("200 OK", list(&line, distributions))
        } else {
            ("403 Forbidden", String::new())
        };
        let length = answer.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/xml\r\nContent-Length: {length}\r\n\r\n{answer}"
        );
        if reader.get_mut().write_all(answer.as_bytes()).and_then(|()| reader.get_mut().flush()).is_err() {
            return;
        }
    }
}

/// Reads headers to their end. Returns the length of the body.
pub(crate) fn head(reader: &mut impl BufRead) -> usize {
    let mut length = 0;
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).is_ok_and(|read| read == 0) || line.trim().is_empty() {
            return length;
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
}
