//! A local CloudFront for tests and experiments. It listens on loopback, speaks the real REST-XML
//! protocol for invalidations, and is as strict as the original.
//!
//! It has:
//!
//! - CreateInvalidation, GetInvalidation and ListInvalidations.
//! - ListDistributions, GetDistribution, GetDistributionConfig and ListCachePolicies, from the
//!   output of the AWS command line ([`Account`]).
//! - ListDistributionTenants, GetDistributionTenant, and invalidations of distribution tenants.
//! - The rules for paths and tags: one invalid item fails the whole request, and the error does not
//!   name it.
//! - Idempotent caller references.
//! - Quotas on the invalidations in progress, which complete after a while.
//! - A rate of calls that create invalidations, above which calls are throttled.
//! - Faults on demand.
//! - Buckets of Amazon S3 that keep versions, headers and delete markers: ListObjectVersions,
//!   ListObjectsV2, HeadObject, GetBucketVersioning, GetBucketLifecycleConfiguration,
//!   GetBucketEncryption, and the calls that read and replace the notification configuration.
//! - Answers to viewers with the objects of these buckets, which stay in the cache until they are
//!   purged.
//! - Queues of Amazon SQS, which accept SendMessageBatch and keep the messages: GetQueueAttributes.
//! - Descriptions of AWS Lambda's functions ([`Function`]).
//! - Metrics of Amazon CloudWatch, which come from the function's log lines: GetMetricData.
//!
//! Where AWS documents nothing, it does what AWS was seen to do. It shares no code with the
//! modules that are tested against it, so that a mistake in one shows in the other.
//!
//! <https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_CreateInvalidation.html>

mod account;
mod clock;
mod edge;
mod functions;
mod json;
mod metrics;
mod objects;
mod rate;
mod rules;
mod s3;
mod sqs;
mod store;
mod tenant;
mod wire;
mod xml;

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
    header::{AGE, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, DATE, ETAG, HOST, HeaderName, LOCATION},
    http::request::Parts,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

pub use self::{
    account::{Account, NotAnAccount},
    functions::Function,
    rate::Rate,
    s3::{DeleteResult, Deleted, Encryption, Object, PutResult, StorageClass, Upload, Versioning},
    sqs::SentMessage,
    store::Recorded,
};
use self::{
    edge::Viewed,
    store::{Store, Target},
    wire::Refusal,
};

/// Maximum number of bytes of a request: 3,000 paths of 4,000 characters, and some more.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// The contents of the account, and the behavior of the server.
#[derive(Clone, Debug)]
pub struct Options {
    /// The ids of distributions without a configuration. They accept invalidations, but are not
    /// listed.
    pub distributions: Vec<String>,
    /// The other distributions, and the cache policies.
    pub account: Account,
    /// Texts that no item may contain, in addition to the documented rules.
    pub refuses: Vec<String>,
    /// The time for which an invalidation is in progress.
    pub completes_after: Duration,
    /// Maximum number of exact paths and tags in progress in one distribution.
    pub paths_in_progress: usize,
    /// Maximum number of wildcards in progress in one distribution.
    pub wildcards_in_progress: usize,
    /// The rate of all calls that create invalidations. Calls above it are throttled. `None` for no
    /// limit.
    pub rate: Option<Rate>,
    /// The number of seconds that pass for `rate` in a second of the clock.
    pub speed: u32,
    /// The names of the queues.
    pub queues: Vec<String>,
    /// Whether errors stay in the cache only for CloudFront's error caching minimum TTL. Otherwise,
    /// they stay until they are purged, so that no stale one is missed.
    pub errors_expire: bool,
}

impl Default for Options {
    /// Returns one distribution, `E1EXAMPLE`, and the queues `changes` and `dead-letters`, with CloudFront's default
    /// quotas, and without a limit on the rate:
    /// <https://docs.aws.amazon.com/general/latest/gr/cf_region.html>.
    fn default() -> Self {
        Self {
            distributions: vec!["E1EXAMPLE".to_owned()],
            account: Account::default(),
            refuses: Vec::new(),
            completes_after: Duration::from_secs(5),
            paths_in_progress: 3_000,
            wildcards_in_progress: 15,
            rate: None,
            speed: 1,
            queues: ["changes", "dead-letters"].map(str::to_owned).to_vec(),
            errors_expire: false,
        }
    }
}

/// A fault that happens to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An error answer. Nothing is created or sent.
    Refuse {
        /// The HTTP status.
        status: u16,
        /// AWS's code for the error.
        code: String,
        /// The error message.
        message: String,
    },
    /// A connection that stays open without an answer. Nothing is created or sent.
    Hang,
    /// A connection that closes without an answer. Nothing is created or sent.
    Close,
    /// A connection that closes without an answer after the invalidation is created, or the messages
    /// are sent.
    LoseAnswer,
    /// AWS's error for a wrong signature, which quotes the request, including its session token.
    /// Nothing is created or sent.
    WrongSignature,
}

/// A running CloudFront. Dropping it stops it at once, even in the middle of an answer.
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
    /// Starts a server on a free port, in the caller's tokio runtime.
    ///
    /// # Errors
    ///
    /// Fails if no port is free.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let store = Arc::new(Mutex::new(Store::new(options)));
        let task = tokio::spawn(serve(listener, Arc::clone(&store)));
        Ok(Self { address, store, task })
    }

    /// Returns the URL for `AWS_ENDPOINT_URL_CLOUDFRONT`.
    #[must_use]
    pub fn endpoint_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes `fault` happen to the next CreateInvalidation that is not throttled and has no fault
    /// yet: of the distribution or tenant `distribution`, or of any if that is `None`.
    pub fn inject(&self, distribution: Option<&str>, fault: Fault) {
        lock(&self.store).faults.push((distribution.map(str::to_owned), fault));
    }

    /// Makes `fault` happen to a call of `operation`: ListDistributions, GetDistribution,
    /// GetDistributionConfig, ListDistributionTenants, GetDistributionTenant, ListCachePolicies,
    /// ListInvalidations, GetInvalidation, GetMetricData, GetQueueAttributes, or one of those of S3 or Lambda. The next `after` calls come before it.
    pub fn inject_read(&self, operation: &'static str, after: usize, fault: Fault) {
        lock(&self.store).read_faults.push((operation, after, fault));
    }

    /// Makes `fault` happen to the next SendMessageBatch that has no fault yet.
    pub fn inject_send(&self, fault: Fault) {
        lock(&self.store).queues.faults.push_back(fault);
    }

    /// Makes the entry at `index` fail in the next batch of messages that has no such failure yet and is
    /// not refused as a whole.
    pub fn fail_entry(&self, index: usize) {
        lock(&self.store).queues.failing.push_back(index);
    }

    /// Returns every message that was sent and not taken, oldest first.
    #[must_use]
    pub fn sent(&self) -> Vec<SentMessage> {
        lock(&self.store).queues.sent.clone()
    }

    /// Takes every message that was sent, oldest first.
    #[must_use]
    pub fn take_sent(&self) -> Vec<SentMessage> {
        std::mem::take(&mut lock(&self.store).queues.sent)
    }

    /// Returns the operation of every call that read distributions, tenants, cache policies, invalidations,
    /// buckets or metrics, oldest first.
    #[must_use]
    pub fn reads(&self) -> Vec<&'static str> {
        lock(&self.store).reads.clone()
    }

    /// Replaces the account.
    pub fn change(&self, account: Account) {
        lock(&self.store).options.account = account;
    }

    /// Returns every invalidation that was created, oldest first.
    #[must_use]
    pub fn recorded(&self) -> Vec<Recorded> {
        lock(&self.store).recorded()
    }

    /// Returns the number of invalidations that were created.
    #[must_use]
    pub fn created(&self) -> usize {
        lock(&self.store).created()
    }

    /// Returns the number of CreateInvalidation calls that arrived, whatever their result.
    #[must_use]
    pub fn calls(&self) -> usize {
        lock(&self.store).calls
    }

    /// Returns the number of CreateInvalidation calls that were throttled.
    #[must_use]
    pub fn throttled(&self) -> usize {
        lock(&self.store).throttled
    }
}

/// Locks the store, even after a panic elsewhere: no code panics halfway through a change to it.
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
    // An error here means that the client went away, or that a fault closed the connection.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// The error that makes hyper close the connection without an answer.
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
    if let Some(viewed) = view(&store, &parts) {
        return Ok(viewed);
    }
    if parts.headers.contains_key("x-amz-target") {
        return json::answer(&store, &parts, body).await;
    }
    if let Some(answered) = functions::answer(&store, &parts).await {
        return answered;
    }
    if !parts.uri.path().starts_with("/2020-05-31/") {
        return call_s3(&store, &parts, body).await;
    }
    let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
    let route: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let reply = match (&parts.method, route.as_slice()) {
        _ if !signed => {
            Err(Refusal::new(403, "MissingAuthenticationToken", "Request is missing Authentication Token"))
        }
        (_, ["2020-05-31", "distribution", id, "invalidation", rest @ ..]) => {
            invalidations(&store, Target::Distribution(id), rest, &parts, body).await?
        }
        (_, ["2020-05-31", "distribution-tenant", id, "invalidation", rest @ ..]) => {
            invalidations(&store, Target::Tenant(id), rest, &parts, body).await?
        }
        (&Method::POST, ["2020-05-31", "distribution-tenants"]) => {
            let body = whole(body).await?;
            let list = |store: &Store| wire::parse(&body).and_then(|request| store.tenants(&request));
            read(&store, "ListDistributionTenants", list).await?
        }
        (&Method::GET, ["2020-05-31", "distribution-tenant", identifier]) => {
            let identifier = percent_decode_str(identifier).decode_utf8_lossy();
            let describe = |store: &Store| {
                let tenant = store.options.account.identified(&identifier)?;
                Ok(Answer { header: Some((ETAG, tenant.etag())), ..Answer::from(tenant.answer()) })
            };
            read(&store, "GetDistributionTenant", describe).await?
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
        _ => Err(Refusal::unknown_operation()),
    };
    let Answer { status, header, body } = reply.unwrap_or_else(Into::into);
    let mut response = Response::builder().status(status).header(CONTENT_TYPE, "text/xml");
    if let Some((name, value)) = header {
        response = response.header(name, value);
    }
    response.body(Full::new(Bytes::from(body))).map_err(|_| Closed)
}

/// Reads a body. Closes the connection if the body is too long.
async fn whole(body: Incoming) -> Result<Bytes, Closed> {
    let body = Limited::new(body, MOST_BYTES).collect().await.map_err(|_| Closed)?;
    Ok(body.to_bytes())
}

/// Answers a viewer who sends a distribution's name as the host. Returns `None` for any other request.
fn view(store: &Mutex<Store>, request: &Parts) -> Option<Response<Full<Bytes>>> {
    let mut store = lock(store);
    let Store { options, edge, buckets, clock, .. } = &mut *store;
    let host = request.headers.get(HOST)?.to_str().ok()?;
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    let (id, config) = options.account.reached(host)?;
    let Viewed { answer, x_cache, age } = edge.view((id, &config), &request.uri, buckets, clock.now());
    let mut response = Response::builder()
        .status(answer.status)
        .header(CONTENT_LENGTH, answer.body.len())
        .header("x-cache", x_cache)
        .header("x-amz-cf-pop", "LOCAL1-C1");
    if let Some(age) = age {
        response = response.header(AGE, age);
    }
    for (name, value) in answer.headers {
        response = response.header(name, value.into_bytes());
    }
    let body = if request.method == Method::GET { answer.body } else { Bytes::new() };
    response.body(Full::new(body)).ok()
}

/// Answers a call of S3, after any fault that happens to it.
async fn call_s3(
    store: &Mutex<Store>,
    request: &Parts,
    body: Incoming,
) -> Result<Response<Full<Bytes>>, Closed> {
    let body = whole(body).await?;
    let reply = match s3::Call::of(request) {
        Ok(call) => {
            let fault = lock(store).next_read_fault(call.operation());
            let refused = match &fault {
                Some(Fault::WrongSignature) => Err(wrong_signature(request)),
                fault => happen(fault.as_ref()).await?,
            };
            match refused {
                Err(Refusal { status, code, message }) => Err(s3::Error::new(status, &code, &message)),
                Ok(()) if fault == Some(Fault::LoseAnswer) => return Err(Closed),
                Ok(()) => lock(store).buckets.answer(&call, &body),
            }
        }
        Err(error) => Err(error),
    };
    let answer = reply.unwrap_or_else(Into::into);
    let date = s3::http_date(lock(store).clock.now());
    let mut response = Response::builder().status(answer.status).header(DATE, date);
    for (name, value) in answer.headers {
        response = response.header(name, value.into_bytes());
    }
    let body = if request.method == Method::HEAD { Bytes::new() } else { answer.body };
    response.body(Full::new(body)).map_err(|_| Closed)
}

/// An answer to a call.
struct Answer {
    status: u16,
    /// The header that the operation adds.
    header: Option<(HeaderName, String)>,
    body: String,
}

impl From<String> for Answer {
    fn from(body: String) -> Self {
        Self { status: 200, header: None, body }
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self { status: refusal.status, header: None, body: refusal.body() }
    }
}

type Reply = Result<Answer, Refusal>;

/// Answers a call that only reads, after any fault that happens to it.
async fn read<A: Into<Answer>>(
    store: &Mutex<Store>,
    operation: &'static str,
    answer: impl FnOnce(&Store) -> Result<A, Refusal>,
) -> Result<Reply, Closed> {
    let fault = lock(store).next_read_fault(operation);
    if let Err(refusal) = happen(fault.as_ref()).await? {
        return Ok(Err(refusal));
    }
    let answered = answer(&lock(store)).map(Into::into);
    if fault == Some(Fault::LoseAnswer) { Err(Closed) } else { Ok(answered) }
}

/// Carries out a fault that comes before the call itself. Leaves the other faults to the caller.
async fn happen(fault: Option<&Fault>) -> Result<Result<(), Refusal>, Closed> {
    match fault {
        Some(Fault::Hang) => match std::future::pending::<Infallible>().await {},
        Some(Fault::Close) => Err(Closed),
        Some(Fault::Refuse { status, code, message }) => Ok(Err(Refusal::new(*status, code, message))),
        Some(Fault::LoseAnswer | Fault::WrongSignature) | None => Ok(Ok(())),
    }
}

/// Answers a call about invalidations. `rest` is the part of the path below the target's list.
async fn invalidations(
    store: &Mutex<Store>,
    target: Target<'_>,
    rest: &[&str],
    request: &Parts,
    body: Incoming,
) -> Result<Reply, Closed> {
    let query = request.uri.query().unwrap_or_default();
    match (&request.method, rest) {
        (&Method::POST, []) => create(store, target, request, &whole(body).await?).await,
        (&Method::GET, []) => read(store, "ListInvalidations", |store| store.list(target, query)).await,
        (&Method::GET, [id]) => {
            read(store, "GetInvalidation", |store| store.get(target, id).map(|found| found.answer())).await
        }
        _ => Ok(Err(Refusal::unknown_operation())),
    }
}

async fn create(
    store: &Mutex<Store>,
    target: Target<'_>,
    request: &Parts,
    body: &[u8],
) -> Result<Reply, Closed> {
    if let Err(throttled) = lock(store).admit() {
        return Ok(Err(throttled));
    }
    let fault = lock(store).next_fault(target.id());
    if fault == Some(Fault::WrongSignature) {
        return Ok(Err(wrong_signature(request)));
    }
    if let Err(refusal) = happen(fault.as_ref()).await? {
        return Ok(Err(refusal));
    }
    let created = wire::parse(body).and_then(|batch| lock(store).create(target, batch));
    if fault == Some(Fault::LoseAnswer) {
        return Err(Closed);
    }
    Ok(created.map(|created| {
        let location = format!("{}/{}", request.uri.path(), created.id);
        Answer { status: 201, header: Some((LOCATION, location)), body: created.answer() }
    }))
}

/// Builds AWS's answer to a request with a wrong signature.
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
