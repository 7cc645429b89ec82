//! Runs the function's binary between a Runtime API and a CloudFront, and builds events for it.

use std::{
    collections::VecDeque,
    env,
    ffi::OsStr,
    fs,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use cloudfront_invalidator::local::{DeleteResult, Deleted, Options, PutResult, Server};
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    process::{Child, Command},
    sync::{Notify, mpsc},
    time::timeout,
};

/// Time limit for each step. It is far longer than any step takes, so only a hang reaches it.
const HANG: Duration = Duration::from_mins(1);

/// The answer to an invocation, as the function posts it to the Runtime API.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Response(Value),
    Error { error_type: String, message: String },
}

impl Answer {
    /// Returns the ids of the messages that return to the queue.
    #[track_caller]
    pub(crate) fn handed_back(&self) -> Vec<&str> {
        let Self::Response(response) = self else { panic!("not a response: {self:?}") };
        assert_eq!(response.as_object().map(serde_json::Map::len), Some(1), "{response}");
        let failures = response["batchItemFailures"].as_array().expect("a list of failures");
        failures.iter().map(|failure| failure["itemIdentifier"].as_str().expect("an id")).collect()
    }

    #[track_caller]
    pub(crate) fn error_type(&self) -> &str {
        match self {
            Self::Error { error_type, .. } => error_type,
            Self::Response(response) => panic!("not an error: {response}"),
        }
    }

    #[track_caller]
    pub(crate) fn message(&self) -> &str {
        match self {
            Self::Error { message, .. } => message,
            Self::Response(response) => panic!("not an error: {response}"),
        }
    }
}

/// Returns the path of the function's binary: `BOOTSTRAP` if it is set, otherwise that of this
/// build.
pub(crate) fn binary() -> PathBuf {
    env::var_os("BOOTSTRAP").map_or_else(|| env!("CARGO_BIN_EXE_invalidator").into(), PathBuf::from)
}

/// A process of the real binary that waits for events.
pub(crate) struct Function {
    child: Child,
    api: Arc<Api>,
    answers: mpsc::UnboundedReceiver<Answer>,
    log: Arc<Mutex<Vec<String>>>,
    invocations: usize,
}

struct Api {
    pending: Mutex<VecDeque<(String, Duration, Bytes)>>,
    arrived: Notify,
    answers: mpsc::UnboundedSender<Answer>,
}

impl Function {
    /// Starts the binary with this CloudFront endpoint. `variables` add to those that Lambda sets,
    /// and override them.
    pub(crate) async fn start(cloudfront: &str, variables: &[(&str, &str)]) -> Self {
        Self::start_under(&[], cloudfront, variables).await
    }

    /// Starts the binary as the last argument of the command `words`, such as a profiler.
    pub(crate) async fn start_under(words: &[&str], cloudfront: &str, variables: &[(&str, &str)]) -> Self {
        let binary = binary();
        let words = words.iter().map(|word| OsStr::new(*word)).chain([binary.as_os_str()]);
        Self::start_command(words, cloudfront, variables).await
    }

    /// Starts the command `words` as a function.
    pub(crate) async fn start_command(
        words: impl IntoIterator<Item = &OsStr>,
        cloudfront: &str,
        variables: &[(&str, &str)],
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let (sender, answers) = mpsc::unbounded_channel();
        let api = Arc::new(Api { pending: Mutex::default(), arrived: Notify::new(), answers: sender });
        tokio::spawn(serve(listener, Arc::clone(&api)));

        let mut words = words.into_iter();
        let mut child = Command::new(words.next().expect("a program"))
            .args(words)
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .envs([
                ("AWS_LAMBDA_RUNTIME_API", &*address),
                ("AWS_LAMBDA_FUNCTION_NAME", "cloudfront-invalidator"),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
                ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
                ("AWS_REGION", "eu-central-1"),
                ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
                ("AWS_SECRET_ACCESS_KEY", "a secret that no log may show"),
                ("AWS_SESSION_TOKEN", "a token that no log may show"),
                ("AWS_ENDPOINT_URL_CLOUDFRONT", cloudfront),
                ("AWS_ENDPOINT_URL_SQS", cloudfront),
                ("AWS_ENDPOINT_URL_S3", cloudfront),
                ("AWS_ENDPOINT_URL_CLOUDWATCH", cloudfront),
                ("INVALIDATOR_DISTRIBUTIONS", "E1EXAMPLE"),
            ])
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the function's binary");
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let kept = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                kept.lock().expect("the log").push(line);
            }
        });
        Self { child, api, answers, log, invocations: 0 }
    }

    /// Sends an event and waits for the answer.
    pub(crate) async fn invoke(&mut self, event: impl Into<Bytes>) -> Answer {
        self.invoke_within(Duration::from_secs(30), event).await
    }

    /// Sends an event and waits for the answer. Lambda would end the invocation after `left`.
    pub(crate) async fn invoke_within(&mut self, left: Duration, event: impl Into<Bytes>) -> Answer {
        self.invocations += 1;
        let id = format!("8476a536-e9f4-11e8-9739-{:012}", self.invocations);
        self.invoke_as(&id, left, event).await
    }

    /// Sends an event as the invocation `id` and waits for the answer. Lambda would end the
    /// invocation after `left`.
    pub(crate) async fn invoke_as(&mut self, id: &str, left: Duration, event: impl Into<Bytes>) -> Answer {
        let invocation = (id.to_owned(), left, event.into());
        self.api.pending.lock().expect("the queue").push_back(invocation);
        self.api.arrived.notify_one();
        timeout(HANG, self.answers.recv()).await.expect("an answer in time").expect("an answer")
    }

    /// Sends an event, and kills the process after `later`, whatever it is doing.
    pub(crate) async fn invoke_and_kill(mut self, later: Duration, event: impl Into<Bytes>) {
        let invocation = ("killed".to_owned(), Duration::from_secs(30), event.into());
        self.api.pending.lock().expect("the queue").push_back(invocation);
        self.api.arrived.notify_one();
        tokio::time::sleep(later).await;
        self.child.kill().await.expect("a kill");
    }

    /// Sends SIGTERM to the process, and waits until it has ended.
    pub(crate) async fn terminate(&mut self) {
        let id = self.child.id().expect("a process").to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status().await.expect("kill");
        assert!(asked.success());
        timeout(HANG, self.child.wait()).await.expect("an end").expect("a status");
    }

    /// Waits until the process has ended, and returns its exit status and log.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String) {
        let status = timeout(HANG, self.child.wait()).await.expect("an end").expect("a status");
        // Its last lines may still be in the pipe.
        while !timeout(HANG, self.log_closed()).await.expect("the end of the log") {}
        (status, self.log().join("\n"))
    }

    /// Returns the peak memory of the process so far, in KiB.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("its status");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak.and_then(|peak| peak.trim_end_matches("kB").trim().parse().ok()).expect("a peak")
    }

    /// Returns the CPU time that the process has used so far, in milliseconds.
    pub(crate) fn cpu(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).expect("its times");
        // The process name may contain spaces and parentheses, so skip it. User and system time
        // follow in ticks of 10 ms.
        let fields = stat.rsplit_once(')').expect("a name").1.split_whitespace();
        let ticks = fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("ticks"));
        ticks.sum::<u64>() * 10
    }

    fn id(&self) -> u32 {
        self.child.id().expect("a process")
    }

    async fn log_closed(&self) -> bool {
        tokio::task::yield_now().await;
        Arc::strong_count(&self.log) == 1
    }

    /// Returns the lines that the process has logged so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().expect("the log").clone()
    }

    /// Waits for a log line that `wanted` accepts, and returns the line as JSON.
    pub(crate) async fn logged(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let look = async {
            loop {
                let lines = self.log();
                let parsed = lines.iter().map(|line| serde_json::from_str(line).expect("lines of JSON"));
                if let Some(line) = parsed.into_iter().find(&wanted) {
                    return line;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(HANG, look).await.expect("that line in the log")
    }
}

async fn serve(listener: TcpListener, api: Arc<Api>) {
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let api = Arc::clone(&api);
        tokio::spawn(async move {
            let service = service_fn(|request| runtime_api(request, Arc::clone(&api)));
            // An error here means that the function's process has ended.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// Answers a request to the Runtime API.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>
async fn runtime_api(
    request: Request<Incoming>,
    api: Arc<Api>,
) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
    let path = request.uri().path().to_owned();
    let body =
        request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    if path.ends_with("/invocation/next") {
        let (id, left, event) = loop {
            let next = api.pending.lock().expect("the queue").pop_front();
            match next {
                Some(next) => break next,
                None => api.arrived.notified().await,
            }
        };
        let killed = SystemTime::now() + left;
        let deadline = killed.duration_since(SystemTime::UNIX_EPOCH).expect("a time").as_millis();
        return Response::builder()
            .header("Lambda-Runtime-Aws-Request-Id", id)
            .header("Lambda-Runtime-Deadline-Ms", deadline.to_string())
            .header(
                "Lambda-Runtime-Invoked-Function-Arn",
                "arn:aws:lambda:eu-central-1:123456789012:function:x",
            )
            .body(Full::new(event));
    }
    let value: Value = serde_json::from_slice(&body).expect("an answer in JSON");
    let answer = if path.ends_with("/error") {
        let text = |name: &str| value[name].as_str().expect("an error's field").to_owned();
        Answer::Error { error_type: text("errorType"), message: text("errorMessage") }
    } else {
        Answer::Response(value)
    };
    let _ = api.answers.send(answer);
    Response::builder().status(202).body(Full::default())
}

/// Starts a CloudFront with these distributions.
pub(crate) async fn cloudfront(distributions: &[&str]) -> Server {
    let distributions = distributions.iter().map(|id| (*id).to_owned()).collect();
    Server::start(Options { distributions, ..Options::default() }).await.expect("a CloudFront")
}

/// Encodes a key as S3 does in a notification.
pub(crate) fn form_encoded(key: &[u8]) -> String {
    const ENCODED: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b'/');
    percent_encode(key, ENCODED).to_string().replace("%20", "+")
}

/// Creates a record of an S3 notification. `notification_key` is the key as S3 encodes it.
pub(crate) fn s3_record(notification_key: &str, sequencer: &str) -> Value {
    json!({
        "eventVersion": "2.6",
        "eventSource": "aws:s3",
        "awsRegion": "eu-central-1",
        "eventTime": "2026-11-22T14:00:00.000Z",
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "AWS:AIDAEXAMPLE"},
        "requestParameters": {"sourceIPAddress": "203.0.113.7"},
        "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810", "x-amz-id-2": "x"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "invalidate",
            "bucket": {"name": "site", "arn": "arn:aws:s3:::site"},
            "object": {"key": notification_key, "size": 1, "eTag": "x", "sequencer": sequencer},
        },
    })
}

/// Creates an S3 notification about one object.
pub(crate) fn s3(key: &str, sequencer: &str) -> Value {
    json!({"Records": [s3_record(&form_encoded(key.as_bytes()), sequencer)]})
}

/// Creates an EventBridge event about one object.
pub(crate) fn eventbridge(key: &str, sequencer: &str) -> Value {
    json!({
        "version": "0",
        "id": format!("eb-{sequencer}"),
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "123456789012",
        "time": "2026-11-22T14:00:00Z",
        "region": "eu-central-1",
        "resources": ["arn:aws:s3:::site"],
        "detail": {
            "version": "0",
            "bucket": {"name": "site"},
            "object": {"key": key, "size": 1, "etag": "x", "sequencer": sequencer},
            "request-id": "C3D13FE58DE4C810",
            "reason": "PutObject",
        },
    })
}

/// A change to an object, of which S3 sends events.
#[derive(Clone, Debug)]
pub(crate) struct S3Event {
    bucket: String,
    key: String,
    /// The event's name, without `s3:`.
    name: String,
    version_id: Option<String>,
    /// The entity tag and size. `None` for an object that is gone for good.
    content: Option<(String, u64)>,
    time: SystemTime,
    sequencer: String,
}

impl S3Event {
    /// Creates the event of an object that was put into a bucket.
    pub(crate) fn put(bucket: &str, key: &str, put: &PutResult) -> Self {
        Self {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            name: "ObjectCreated:Put".to_owned(),
            version_id: put.version_id.clone(),
            content: Some((put.etag.clone(), put.size)),
            time: put.time,
            sequencer: put.sequencer.clone(),
        }
    }

    /// Creates the event of an object or version that was deleted. `None` if there was none.
    pub(crate) fn deleted(bucket: &str, key: &str, result: &DeleteResult) -> Option<Self> {
        let (name, version_id, content) = match &result.deleted {
            Deleted::Nothing => return None,
            Deleted::Permanently { version_id } => ("ObjectRemoved:Delete", version_id.clone(), None),
            Deleted::Marker { version_id } => {
                // The MD5 digest of nothing.
                let etag = "d41d8cd98f00b204e9800998ecf8427e".to_owned();
                ("ObjectRemoved:DeleteMarkerCreated", Some(version_id.clone()), Some((etag, 0)))
            }
        };
        Some(Self {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            name: name.to_owned(),
            version_id,
            content,
            time: result.time,
            sequencer: result.sequencer.clone(),
        })
    }

    /// Replaces the event's name, such as with `LifecycleExpiration:Delete`.
    pub(crate) fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// Creates the record of the event in a notification.
    pub(crate) fn record(&self) -> Value {
        let mut record = s3_record(&form_encoded(self.key.as_bytes()), &self.sequencer);
        record["eventName"] = json!(self.name);
        record["eventTime"] = json!(humantime::format_rfc3339_millis(self.time).to_string());
        let bucket = &self.bucket;
        record["s3"]["bucket"] = json!({"name": bucket, "arn": format!("arn:aws:s3:::{bucket}")});
        self.describe(&mut record["s3"]["object"], ["eTag", "versionId"]);
        record
    }

    /// Creates the notification with the event.
    pub(crate) fn notification(&self) -> Value {
        json!({"Records": [self.record()]})
    }

    /// Creates the event as EventBridge delivers it.
    pub(crate) fn eventbridge(&self) -> Value {
        let mut event = eventbridge(&self.key, &self.sequencer);
        event["time"] = json!(humantime::format_rfc3339_seconds(self.time).to_string());
        event["resources"] = json!([format!("arn:aws:s3:::{}", self.bucket)]);
        let detail = &mut event["detail"];
        detail["bucket"]["name"] = json!(self.bucket);
        self.describe(&mut detail["object"], ["etag", "version-id"]);
        if !self.name.starts_with("ObjectCreated:") {
            let is_lifecycle = self.name.starts_with("LifecycleExpiration:");
            detail["reason"] = json!(if is_lifecycle { "Lifecycle Expiration" } else { "DeleteObject" });
            let is_marker = self.name.ends_with(":DeleteMarkerCreated");
            let deletion = if is_marker { "Delete Marker Created" } else { "Permanently Deleted" };
            detail["deletion-type"] = json!(deletion);
            event["detail-type"] = json!("Object Deleted");
        }
        event
    }

    /// Sets the fields of an object, whose entity tag and version have different names in different
    /// events.
    fn describe(&self, object: &mut Value, [etag, version]: [&str; 2]) {
        let fields = object.as_object_mut().expect("an object");
        fields.retain(|name, _| name == "key" || name == "sequencer");
        if let Some((tag, size)) = &self.content {
            fields.extend([(etag.to_owned(), json!(tag)), ("size".to_owned(), json!(size))]);
        }
        if let Some(id) = &self.version_id {
            fields.insert(version.to_owned(), json!(id));
        }
    }
}

/// Creates an SNS notification as it appears in the body of an SQS message.
pub(crate) fn sns(message: &Value) -> Value {
    json!({
        "Type": "Notification",
        "MessageId": "82833b5c-8d5d-56d0-b0e1-7511f8253eb8",
        "TopicArn": "arn:aws:sns:eu-central-1:123456789012:changes",
        "Message": message.to_string(),
        "Timestamp": "2026-11-22T14:00:00.000Z",
    })
}

/// Creates the event with which SNS itself invokes a function.
pub(crate) fn sns_straight(message: &Value) -> Value {
    json!({"Records": [{
        "EventSource": "aws:sns",
        "EventVersion": "1.0",
        "EventSubscriptionArn": "arn:aws:sns:eu-central-1:123456789012:changes:x",
        "Sns": sns(message),
    }]})
}

/// Creates an SQS batch of messages with these ids and bodies.
pub(crate) fn sqs<'a>(messages: impl IntoIterator<Item = (&'a str, String)>) -> Value {
    let record = |(id, body): (&str, String)| {
        json!({
            "messageId": id,
            "receiptHandle": "AQEB",
            "body": body,
            "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1795358400000"},
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:changes",
            "awsRegion": "eu-central-1",
        })
    };
    json!({"Records": messages.into_iter().map(record).collect::<Vec<_>>()})
}

/// Creates the batch with which the queue delivers the messages that the function sent to it.
pub(crate) fn narrowed(cloudfront: &Server) -> String {
    let sent = cloudfront.take_sent();
    sqs(sent.iter().map(|message| (&*message.id, message.body.clone()))).to_string()
}

/// Creates the test event that S3 sends when notifications are configured.
pub(crate) fn test_event() -> Value {
    json!({
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": "2026-11-22T14:00:00.000Z",
        "Bucket": "site",
        "RequestId": "5582815E1AEA5ADF",
        "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR",
    })
}
