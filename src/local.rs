//! A CloudFront on loopback that speaks the real REST-XML protocol, as far as
//! invalidations go, and is as strict: for trying things out and for tests.
//!
//! CreateInvalidation, GetInvalidation and ListInvalidations; ListDistributions,
//! GetDistribution, GetDistributionConfig and ListCachePolicies from what the AWS command
//! line prints ([`Account`]); the rules for paths
//! and tags, where one bad item sinks the whole request without being named;
//! idempotent caller references; quotas on what is in progress; completion after a
//! while; faults on demand; and what viewers get of objects, kept until it is purged. What AWS does not document follows what was seen in
//! the field. It shares no code with the rooms that it is a witness for.
//!
//! <https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_CreateInvalidation.html>

mod account;
mod edge;
mod rules;
mod store;
mod wire;

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response,
    body::{Bytes, Incoming},
    header::{AGE, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HOST, LOCATION},
    http::request::Parts,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

pub use self::{
    account::{Account, NotAnAccount},
    store::Recorded,
};
use self::{edge::Viewed, store::Store, wire::Refusal};

/// How large a request may be: 3,000 paths of 4,000 characters, and a little.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// What the account looks like and how it behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Distributions of which only the id is known: they take invalidations, and are
    /// not listed.
    pub distributions: Vec<String>,
    /// The others, and their cache policies.
    pub account: Account,
    /// What it refuses in a path besides what the documentation says.
    pub refuses: Vec<String>,
    /// How long an invalidation is in progress.
    pub completes_after: Duration,
    /// How many exact paths and tags may be in progress in one distribution.
    pub paths_in_progress: usize,
    /// How many wildcards may be in progress in one distribution.
    pub wildcards_in_progress: usize,
}

impl Default for Options {
    /// One distribution, `E1EXAMPLE`, under the quotas of
    /// <https://docs.aws.amazon.com/general/latest/gr/cf_region.html>.
    fn default() -> Self {
        Self {
            distributions: vec!["E1EXAMPLE".to_owned()],
            account: Account::default(),
            refuses: Vec::new(),
            completes_after: Duration::from_secs(5),
            paths_in_progress: 3_000,
            wildcards_in_progress: 15,
        }
    }
}

/// What goes wrong with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An error is answered and nothing created.
    Refuse {
        /// The HTTP status.
        status: u16,
        /// CloudFront's code for the error.
        code: String,
        /// What it says.
        message: String,
    },
    /// No answer ever comes, and nothing is created.
    Hang,
    /// The connection closes without an answer, and nothing is created.
    Close,
    /// The invalidation is created, and then the connection closes without an
    /// answer.
    LoseAnswer,
    /// The signature is said to be wrong, in the words of AWS: they quote the request, session
    /// token included. Nothing is created.
    WrongSignature,
}

/// A running CloudFront. Ends, in the middle of whatever it does, when dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    store: Arc<Mutex<Store>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Starts one on a free port, in the tokio runtime of the caller.
    ///
    /// # Errors
    ///
    /// Where no port can be had.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let store = Arc::new(Mutex::new(Store::new(options)));
        let task = tokio::spawn(serve(listener, Arc::clone(&store)));
        Ok(Self { address, store, task })
    }

    /// What `AWS_ENDPOINT_URL_CLOUDFRONT` should be.
    #[must_use]
    pub fn endpoint_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets `fault` happen to the next CreateInvalidation that has none yet, of
    /// this distribution or, without one, of any.
    pub fn inject(&self, distribution: Option<&str>, fault: Fault) {
        lock(&self.store).faults.push((distribution.map(str::to_owned), fault));
    }

    /// Lets `fault` happen to a call of `operation`, which is ListDistributions,
    /// GetDistribution, GetDistributionConfig or ListCachePolicies: the next one after as
    /// many as `after`.
    pub fn inject_read(&self, operation: &'static str, after: usize, fault: Fault) {
        lock(&self.store).read_faults.push((operation, after, fault));
    }

    /// Puts an object into a bucket, or takes it away where there is no content. Viewers
    /// get it from the distributions whose configuration says so: whoever asks with their
    /// name as the host. What was answered once is kept until it is purged.
    pub fn put(&self, bucket: &str, key: &str, content: Option<&[u8]>) {
        lock(&self.store).edge.put(bucket, key, content.map(<[u8]>::to_vec));
    }

    /// Every call that only reads distributions and cache policies, oldest first.
    #[must_use]
    pub fn reads(&self) -> Vec<&'static str> {
        lock(&self.store).reads.clone()
    }

    /// Another account from now on.
    pub fn change(&self, account: Account) {
        lock(&self.store).options.account = account;
    }

    /// Every invalidation that was created, oldest first.
    #[must_use]
    pub fn recorded(&self) -> Vec<Recorded> {
        lock(&self.store).recorded()
    }

    /// How many invalidations were created.
    #[must_use]
    pub fn created(&self) -> usize {
        lock(&self.store).created()
    }

    /// How many calls of CreateInvalidation came, whatever became of them.
    #[must_use]
    pub fn calls(&self) -> usize {
        lock(&self.store).calls
    }
}

/// A panic elsewhere leaves the store whole: nothing is half done while it is held.
fn lock(store: &Mutex<Store>) -> MutexGuard<'_, Store> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: TcpListener, store: Arc<Mutex<Store>>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        connections.spawn(connection(stream, Arc::clone(&store)));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, store: Arc<Mutex<Store>>) {
    let service = service_fn(|request| answer(request, Arc::clone(&store)));
    // An error here is a client that went away, or a fault that closes.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// The connection is to close without an answer.
#[derive(Debug, thiserror::Error)]
#[error("closed on demand")]
struct Closed;

async fn answer(
    request: Request<Incoming>,
    store: Arc<Mutex<Store>>,
) -> Result<Response<Full<Bytes>>, Closed> {
    let signed = request
        .headers()
        .get(AUTHORIZATION)
        .is_some_and(|value| value.as_bytes().starts_with(b"AWS4-HMAC-SHA256 "));
    let (parts, body) = request.into_parts();
    if let Some(viewed) = view(&store, &parts, signed) {
        return Ok(viewed);
    }
    let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
    let route: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let reply = match (&parts.method, route.as_slice()) {
        _ if !signed => {
            Err(Refusal::new(403, "MissingAuthenticationToken", "Request is missing Authentication Token"))
        }
        (&Method::POST, ["2020-05-31", "distribution", distribution, "invalidation"]) => {
            let body = Limited::new(body, MOST_BYTES).collect().await.map_err(|_| Closed)?;
            create(&store, distribution, &parts, &body.to_bytes()).await?
        }
        (&Method::GET, ["2020-05-31", "distribution", distribution, "invalidation"]) => {
            lock(&store).list(distribution, query).map(|body| (200, None, body))
        }
        (&Method::GET, ["2020-05-31", "distribution", distribution, "invalidation", id]) => {
            lock(&store).get(distribution, id).map(|found| (200, None, found.answer()))
        }
        (&Method::GET, ["2020-05-31", "distribution"]) => {
            read(&store, "ListDistributions", |store| Ok(store.distributions(query))).await?
        }
        (&Method::GET, ["2020-05-31", "distribution", id]) => {
            read(&store, "GetDistribution", |store| store.distribution(id)).await?
        }
        (&Method::GET, ["2020-05-31", "distribution", id, "config"]) => {
            read(&store, "GetDistributionConfig", |store| store.options.account.config(id)).await?
        }
        (&Method::GET, ["2020-05-31", "cache-policy"]) => {
            read(&store, "ListCachePolicies", |store| Ok(store.cache_policies(query))).await?
        }
        _ => Err(Refusal::new(404, "UnknownOperationException", "No such operation here")),
    };
    let (status, location, body) = reply.unwrap_or_else(|refusal| (refusal.status, None, refusal.body()));
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status.try_into().unwrap_or_default();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("text/xml"));
    if let Some(location) = location.and_then(|location| location.try_into().ok()) {
        headers.insert(LOCATION, location);
    }
    Ok(response)
}

/// What viewers get who ask for a distribution by its name, and what S3 answers.
fn view(store: &Mutex<Store>, request: &Parts, signed: bool) -> Option<Response<Full<Bytes>>> {
    let mut store = lock(store);
    let Store { options, edge, .. } = &mut *store;
    let host = request.headers.get(HOST)?.to_str().ok()?;
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    let reached = options.account.reached(host);
    let (object, cache) = match reached {
        Some((id, config)) => {
            let Viewed { object, x_cache, age } = edge.view(id, config, &request.uri);
            (object, Some((x_cache, age)))
        }
        None if signed && request.method == Method::HEAD => (edge.object(request.uri.path()).cloned(), None),
        None => return None,
    };
    let mut response = Response::builder().status(if object.is_some() { 200 } else { 404 });
    if let Some(object) = &object {
        response = response.header(ETAG, edge::etag(object)).header(CONTENT_LENGTH, object.len());
    }
    if let Some((x_cache, age)) = cache {
        response = response.header("x-cache", x_cache).header("x-amz-cf-pop", "LOCAL1-C1");
        if let Some(age) = age {
            response = response.header(AGE, age);
        }
    }
    let content = object.filter(|_| request.method == Method::GET).unwrap_or_default();
    response.body(Full::new(Bytes::from(content))).ok()
}

/// Status, location and body of an answer.
type Reply = Result<(u16, Option<String>, String), Refusal>;

/// Answers a call that changes nothing, unless a fault is to happen to it.
async fn read(
    store: &Mutex<Store>,
    operation: &'static str,
    answer: impl FnOnce(&Store) -> Result<String, Refusal>,
) -> Result<Reply, Closed> {
    let fault = lock(store).next_read_fault(operation);
    if let Err(refusal) = happen(fault.as_ref()).await? {
        return Ok(Err(refusal));
    }
    let answered = answer(&lock(store)).map(|body| (200, None, body));
    if fault == Some(Fault::LoseAnswer) { Err(Closed) } else { Ok(answered) }
}

/// Lets happen what goes wrong with a call before it is done.
async fn happen(fault: Option<&Fault>) -> Result<Result<(), Refusal>, Closed> {
    match fault {
        Some(Fault::Hang) => match std::future::pending::<Infallible>().await {},
        Some(Fault::Close) => Err(Closed),
        Some(Fault::Refuse { status, code, message }) => Ok(Err(Refusal::new(*status, code, message))),
        Some(Fault::LoseAnswer | Fault::WrongSignature) | None => Ok(Ok(())),
    }
}

async fn create(
    store: &Mutex<Store>,
    distribution: &str,
    request: &Parts,
    body: &[u8],
) -> Result<Reply, Closed> {
    let fault = lock(store).next_fault(distribution);
    if fault == Some(Fault::WrongSignature) {
        return Ok(Err(wrong_signature(request)));
    }
    if let Err(refusal) = happen(fault.as_ref()).await? {
        return Ok(Err(refusal));
    }
    let created = wire::batch(body).and_then(|batch| lock(store).create(distribution, batch));
    if fault == Some(Fault::LoseAnswer) {
        return Err(Closed);
    }
    Ok(created.map(|created| {
        let location = format!("/2020-05-31/distribution/{distribution}/invalidation/{}", created.id);
        (201, Some(location), created.answer())
    }))
}

/// Makes what AWS answers to a request whose signature is wrong.
fn wrong_signature(request: &Parts) -> Refusal {
    let header = |name: &str| {
        let value = request.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
        format!("{name}:{}", value.unwrap_or_default())
    };
    let names = ["host", "x-amz-date", "x-amz-security-token", "authorization"];
    let headers = names.map(header).join("\n");
    let canonical = format!("{}\n{}\n\n{headers}\n\n{}", request.method, request.uri, names.join(";"));
    let message = format!(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
         Access Key and signing method. Consult the service documentation for details.\n\nThe Canonical String \
         for this request should have been\n'{canonical}'\n\nThe String-to-Sign should have been\n\
         'AWS4-HMAC-SHA256'\n"
    );
    Refusal::new(403, "SignatureDoesNotMatch", &message)
}
