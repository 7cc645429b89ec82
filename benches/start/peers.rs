//! A CloudFront that answers at once, and the authority that vouches for it.

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

/// Where systems keep the authorities that they trust.
const SYSTEM: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// An authority, and a server that it vouches for.
pub(crate) struct Authority {
    server: Arc<ServerConfig>,
    bundle: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Of the same name, the server's certificate would look as if it vouched for itself.
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
        // Beside those of the system, which have to be read, too.
        let system = SYSTEM.iter().find_map(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        let bundle = std::env::temp_dir().join(format!("invalidator-bench-{}.pem", std::process::id()));
        fs::write(&bundle, format!("{system}\n{}", own.pem())).expect("a file");
        Self { server: Arc::new(server), bundle }
    }

    /// The file with the authorities.
    pub(crate) fn bundle(&self) -> &str {
        self.bundle.to_str().expect("a path that is text")
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.bundle);
    }
}

/// How many connections it serves at a time. Who connects need not wait for a thread to start.
const CONNECTIONS: usize = 8;

/// It takes every invalidation.
pub(crate) struct CloudFront {
    pub(crate) url: String,
    calls: Arc<AtomicUsize>,
}

const ANSWER: &str = "<?xml version=\"1.0\"?>\n\
<Invalidation xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\"><Id>I1</Id><Status>InProgress</Status>\
<CreateTime>2026-11-22T00:00:00Z</CreateTime><InvalidationBatch><Paths><Quantity>1</Quantity><Items>\
<Path>/docs/index.html</Path></Items></Paths><CallerReference>x</CallerReference></InvalidationBatch></Invalidation>";

impl CloudFront {
    /// One this many milliseconds away, there and back.
    pub(crate) fn start(authority: Option<&Authority>, away: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let calls = Arc::new(AtomicUsize::new(0));
        let tls = authority.map(|authority| Arc::clone(&authority.server));
        for _ in 0..CONNECTIONS {
            let (tls, calls) = (tls.clone(), Arc::clone(&calls));
            let listener = listener.try_clone().expect("a listener");
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    connection(stream, tls.clone(), away, &calls);
                }
            });
        }
        let url = if authority.is_some() {
            format!("https://localhost:{port}")
        } else {
            // The empty function looks up no names either.
            format!("http://127.0.0.1:{port}")
        };
        Self { url, calls }
    }

    /// How many invalidations it took.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

fn connection(stream: TcpStream, tls: Option<Arc<ServerConfig>>, away: u64, calls: &AtomicUsize) {
    let _ = stream.set_nodelay(true);
    // What TCP would take, and with TLS its handshake.
    let distance = Duration::from_millis(away);
    std::thread::sleep(distance);
    match tls {
        Some(config) => {
            std::thread::sleep(distance);
            let Ok(session) = ServerConnection::new(config) else { return };
            answer(StreamOwned::new(session, stream), distance, calls);
        }
        None => answer(stream, distance, calls),
    }
}

fn answer(stream: impl Read + Write, distance: Duration, calls: &AtomicUsize) {
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
        let answer = if creates {
            calls.fetch_add(1, Ordering::Relaxed);
            let length = ANSWER.len();
            format!(
                "HTTP/1.1 201 Created\r\nContent-Type: text/xml\r\nContent-Length: {length}\r\n\r\n{ANSWER}"
            )
        } else {
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_owned()
        };
        if reader.get_mut().write_all(answer.as_bytes()).and_then(|()| reader.get_mut().flush()).is_err() {
            return;
        }
    }
}

/// Reads headers to their end, and tells how long the body is.
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
