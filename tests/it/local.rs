//! The simulated AWS itself, without the function: what it accepts, refuses and records.

use std::time::Duration;

use cloudfront_invalidator::local::{Fault, Options, Rate, SentMessage, Server};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const QUEUE: &str = "https://sqs.eu-central-1.amazonaws.com/123456789012/changes";

/// Returns the header of a request that is signed for a service.
pub(crate) fn signed(service: &str) -> String {
    format!(
        "Authorization: AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20261125/eu-central-1/{service}/aws4_request, \
         SignedHeaders=host, Signature=00\r\n"
    )
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Sends a request with these header lines to a URL. The address is the host, unless a line says
/// otherwise. Returns `None` if the connection closes without an answer.
pub(crate) async fn send(url: &str, start: &str, headers: &str, body: &str) -> Option<Answer> {
    let address = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let host = if headers.contains("Host: ") { String::new() } else { format!("Host: {address}\r\n") };
    let length = body.len();
    let request = format!(
        "{start} HTTP/1.1\r\n{host}Connection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
    Some(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

/// Sends a batch of messages. Returns `None` if the connection closes without an answer.
async fn send_batch(server: &Server, url: &str, entries: Value) -> Option<(u16, Value)> {
    let headers = "X-Amz-Target: AmazonSQS.SendMessageBatch\r\nContent-Type: application/x-amz-json-1.0\r\n";
    let headers = headers.to_owned() + &signed("sqs");
    let body = json!({"QueueUrl": url, "Entries": entries}).to_string();
    let answer = send(&server.endpoint_url(), "POST /", &headers, &body).await?;
    Some((answer.status, serde_json::from_str(&answer.body).expect("JSON")))
}

fn entry(id: &str, body: &str) -> Value {
    json!({"Id": id, "MessageBody": body})
}

async fn start() -> Server {
    Server::start(Options::default()).await.expect("a server")
}

#[tokio::test]
async fn a_queue_keeps_the_messages_of_a_batch_in_order() {
    let server = start().await;
    let entries =
        json!([entry("b", "Grüße \u{1F600}\n"), {"Id": "a", "MessageBody": "x", "DelaySeconds": 900}]);
    let (status, answer) = send_batch(&server, QUEUE, entries).await.expect("an answer");
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["Failed"], Value::Null, "SQS leaves out an empty list");
    let ids: Vec<&Value> =
        answer["Successful"].as_array().expect("a list").iter().map(|sent| &sent["Id"]).collect();
    assert_eq!(ids, ["b", "a"]);
    assert_ne!(answer["Successful"][0]["MessageId"], answer["Successful"][1]["MessageId"]);

    let message = |id: &str, body: &str, seconds| SentMessage {
        id: id.to_owned(),
        queue: "changes".to_owned(),
        body: body.to_owned(),
        delay: Duration::from_secs(seconds),
    };
    let expected = [message("b", "Grüße \u{1F600}\n", 0), message("a", "x", 900)];
    assert_eq!(server.sent(), expected);
    assert_eq!(server.take_sent(), expected);
    assert_eq!(server.sent(), []);
}

#[tokio::test]
async fn a_batch_that_sqs_refuses_sends_nothing() {
    let server = start().await;
    let many: Vec<Value> = (0..11).map(|id| entry(&id.to_string(), "x")).collect();
    let half = "x".repeat(512 * 1024);
    for (url, entries, status, code) in [
        (QUEUE, json!([]), 400, "EmptyBatchRequest"),
        (QUEUE, json!(many), 400, "TooManyEntriesInBatchRequest"),
        (QUEUE, json!([entry("a", "x"), entry("a", "y")]), 400, "BatchEntryIdsNotDistinct"),
        (QUEUE, json!([entry("a/b", "x")]), 400, "InvalidBatchEntryId"),
        (QUEUE, json!([entry(&"a".repeat(81), "x")]), 400, "InvalidBatchEntryId"),
        (QUEUE, json!([entry("a", &half), entry("b", &half), entry("c", "x")]), 400, "BatchRequestTooLong"),
        (QUEUE, json!([{"Id": "a"}]), 400, "SerializationException"),
        (&QUEUE.replace("changes", "others"), json!([entry("a", "x")]), 400, "QueueDoesNotExist"),
        ("https://sqs.eu-central-1.amazonaws.com/changes", json!([entry("a", "x")]), 404, "InvalidAddress"),
    ] {
        let (was, answer) = send_batch(&server, url, entries).await.expect("an answer");
        assert_eq!((was, answer["__type"].as_str()), (status, Some(&*format!("com.amazonaws.sqs#{code}"))));
    }
    assert_eq!(server.sent(), []);

    let exact = json!([entry("a", &half), entry("b", &half)]);
    assert_eq!(send_batch(&server, QUEUE, exact).await.expect("an answer").0, 200);
    assert_eq!(server.take_sent().len(), 2);
}

#[tokio::test]
async fn an_entry_that_sqs_refuses_fails_alone() {
    let server = start().await;
    let late = |seconds| json!({"Id": "a", "MessageBody": "x", "DelaySeconds": seconds});
    for (bad, code) in [
        (late(901), "InvalidParameterValue"),
        (late(-1), "InvalidParameterValue"),
        (entry("a", ""), "InvalidMessageContents"),
        (entry("a", "\u{0}"), "InvalidMessageContents"),
        (entry("a", "\u{1b}[0m"), "InvalidMessageContents"),
        (entry("a", "\u{FFFE}"), "InvalidMessageContents"),
    ] {
        let entries = json!([bad, entry("good", "\t\n\r\u{7f}\u{D7FF}\u{E000}\u{FFFD}\u{10FFFF}")]);
        let (status, answer) = send_batch(&server, QUEUE, entries).await.expect("an answer");
        assert_eq!((status, &answer["Successful"][0]["Id"]), (200, &json!("good")), "{answer}");
        let failed = &answer["Failed"][0];
        assert_eq!((&failed["Id"], &failed["Code"]), (&json!("a"), &json!(code)));
        assert_eq!(failed["SenderFault"], true);
        assert_eq!(server.take_sent().len(), 1);
    }

    server.fail_entry(1);
    let (_, answer) =
        send_batch(&server, QUEUE, json!([entry("a", "x"), entry("b", "x")])).await.expect("an answer");
    let expected = json!([{"Id": "b", "SenderFault": false, "Code": "InternalError",
                           "Message": "The request failed because of an internal error."}]);
    assert_eq!(answer["Failed"], expected);
    let (_, answer) =
        send_batch(&server, QUEUE, json!([entry("a", "x"), entry("b", "x")])).await.expect("an answer");
    assert_eq!(answer["Failed"], Value::Null, "only the next batch");
    assert_eq!(server.sent().len(), 3);
}

#[tokio::test]
async fn a_queue_refuses_calls_that_are_not_signed_for_it() {
    let server = start().await;
    let target = "X-Amz-Target: AmazonSQS.SendMessageBatch\r\n";
    let json_type = "Content-Type: application/x-amz-json-1.0\r\n";
    let body = json!({"QueueUrl": QUEUE, "Entries": [entry("a", "x")]}).to_string();
    let for_sqs = signed("sqs");
    for (headers, status, code) in [
        (target.to_owned() + json_type, 403, "MissingAuthenticationToken"),
        (target.to_owned() + json_type + &signed("cloudfront"), 403, "InvalidSignatureException"),
        (target.to_owned() + &for_sqs, 404, "UnknownOperationException"),
        (target.replace("Batch", "") + json_type + &for_sqs, 404, "UnknownOperationException"),
    ] {
        let answer = send(&server.endpoint_url(), "POST /", &headers, &body).await.expect("an answer");
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.body.contains(&format!("com.amazonaws.sqs#{code}")), "{answer:?}");
        let query_error = format!("x-amzn-query-error: AWS.SimpleQueueService.{code};Sender");
        assert!(answer.head.contains(&query_error), "{answer:?}");
    }
    assert_eq!(server.sent(), []);
}

#[tokio::test]
async fn faults_happen_to_batches_of_messages() {
    let server = start().await;
    let batch = || send_batch(&server, QUEUE, json!([entry("a", "x")]));
    server.inject_send(Fault::Refuse { status: 503, code: "Busy".to_owned(), message: "No.".to_owned() });
    server.inject_send(Fault::Close);
    server.inject_send(Fault::WrongSignature);
    server.inject_send(Fault::Hang);
    server.inject_send(Fault::LoseAnswer);
    let (status, answer) = batch().await.expect("an answer");
    assert_eq!((status, answer), (503, json!({"__type": "com.amazonaws.sqs#Busy", "message": "No."})));
    assert_eq!(batch().await, None);
    assert_eq!(batch().await.expect("an answer").1["__type"], "com.amazonaws.sqs#SignatureDoesNotMatch");
    timeout(Duration::from_millis(50), batch()).await.expect_err("no answer");
    assert_eq!(server.sent(), []);
    assert_eq!(batch().await, None);
    assert_eq!(server.sent().len(), 1, "only the answer was lost");
    assert_eq!(batch().await.expect("an answer").0, 200);
}

/// Calls CreateInvalidation for one path.
async fn invalidate(server: &Server, reference: &str) -> Answer {
    let batch = format!(
        "<InvalidationBatch><Paths><Quantity>1</Quantity><Items><Path>/a</Path></Items></Paths>\
         <CallerReference>{reference}</CallerReference></InvalidationBatch>"
    );
    let start = "POST /2020-05-31/distribution/E1EXAMPLE/invalidation";
    send(&server.endpoint_url(), start, &signed("cloudfront"), &batch).await.expect("an answer")
}

#[tokio::test]
async fn calls_above_the_rate_are_throttled_and_create_nothing() {
    // Time stands still, so no token comes back.
    let options = Options { rate: Some(Rate::CLOUDFRONT), speed: 0, ..Options::default() };
    let server = Server::start(options).await.expect("a server");
    for call in 0..15 {
        assert_eq!(invalidate(&server, &call.to_string()).await.status, 201, "call {call}");
    }
    server.inject(None, Fault::Close);
    let answer = invalidate(&server, "one too many").await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("<Code>Throttling</Code><Message>Rate exceeded</Message>"), "{answer:?}");
    // Not even a reference that exists already.
    assert_eq!(invalidate(&server, "0").await.status, 400);
    assert_eq!((server.throttled(), server.calls(), server.created()), (2, 17, 15));
}

#[tokio::test]
async fn a_throttled_call_succeeds_when_its_token_has_come() {
    let rate = Rate { per_second: 0.5, burst: 1 };
    // A token comes every 400 ms.
    let options = Options { rate: Some(rate), speed: 5, ..Options::default() };
    let server = Server::start(options).await.expect("a server");
    assert_eq!(invalidate(&server, "a").await.status, 201);
    let mut attempts = 0;
    while invalidate(&server, "b").await.status != 201 {
        attempts += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(server.throttled(), attempts);
    assert_eq!(server.created(), 2);

    // However long the pause, no more than the burst come at once.
    tokio::time::sleep(Duration::from_millis(900)).await;
    let mut statuses = Vec::new();
    for reference in ["c", "d"] {
        statuses.push(invalidate(&server, reference).await.status);
    }
    assert_eq!(statuses, [201, 400]);
}

#[tokio::test]
async fn without_a_rate_no_call_is_throttled() {
    let server = start().await;
    for call in 0..40 {
        assert_eq!(invalidate(&server, &call.to_string()).await.status, 201);
    }
    assert_eq!(server.throttled(), 0);
}

/// Calls GetMetricData with this body. Returns the status and the answer.
async fn get_metric_data(server: &Server, body: &Value) -> (u16, Value) {
    let headers = "X-Amz-Target: GraniteServiceVersion20100801.GetMetricData\r\n\
                   Content-Type: application/x-amz-json-1.0\r\n"
        .to_owned()
        + &signed("monitoring");
    let answer = send(&server.endpoint_url(), "POST /", &headers, &body.to_string()).await;
    let answer = answer.expect("an answer");
    (answer.status, serde_json::from_str(&answer.body).expect("JSON"))
}

/// Builds a query of the sum of a metric.
fn sum(id: &str, name: &str, dimensions: &Value, period: u64) -> Value {
    let metric = json!({"Namespace": "N", "MetricName": name, "Dimensions": dimensions});
    json!({"Id": id, "MetricStat": {"Metric": metric, "Period": period, "Stat": "Sum"}})
}

#[tokio::test]
async fn metrics_come_from_log_lines() {
    let server = start().await;
    let metrics = json!([{"Name": "A", "Unit": "Count"}, {"Name": "B"}]);
    let group = json!({"Namespace": "N", "Dimensions": [["F"], [], ["F", "absent"]], "Metrics": metrics});
    for (time, a, b) in
        [(7_199_999, 1, json!(0.5)), (3_600_000, 2, json!([1, 2])), (7_200_000, 4, json!("x"))]
    {
        let about = json!({"Timestamp": time, "CloudWatchMetrics": [group]});
        server.log(&json!({"_aws": about, "F": "f", "A": a, "B": b}).to_string());
    }
    let of_f = json!([{"Name": "F", "Value": "f"}]);
    let of_g = json!([{"Name": "F", "Value": "g"}]);
    let queries = json!([
        sum("a", "A", &json!([]), 3_600),
        sum("f", "A", &of_f, 86_400),
        sum("g", "A", &of_g, 3_600),
        sum("b", "B", &of_f, 3_600),
    ]);
    let body = json!({"StartTime": 3_600, "EndTime": 10_800, "MetricDataQueries": queries});
    let (status, answer) = get_metric_data(&server, &body).await;
    assert_eq!(status, 200, "{answer}");
    let found: Vec<Value> = answer["MetricDataResults"]
        .as_array()
        .expect("results")
        .iter()
        .map(|one| json!([one["Id"], one["Timestamps"], one["Values"]]))
        .collect();
    let expected = [
        json!(["a", [7_200, 3_600], [4.0, 3.0]]),
        json!(["f", [0], [7.0]]),
        json!(["g", [], []]),
        json!(["b", [3_600], [3.5]]),
    ];
    assert_eq!(found, expected);
    let body = json!({"StartTime": 3_600, "EndTime": 7_200, "MetricDataQueries": queries});
    let (_, answer) = get_metric_data(&server, &body).await;
    assert_eq!(answer["MetricDataResults"][0]["Values"], json!([3.0]), "the end does not belong to it");
    assert_eq!(server.reads(), ["GetMetricData"; 2]);
}

#[tokio::test]
async fn calls_that_cloudwatch_refuses_have_its_errors() {
    let server = start().await;
    let with = |change: &dyn Fn(&mut Value)| {
        let queries = json!([sum("a", "A", &json!([]), 3_600)]);
        let mut body = json!({"StartTime": 0, "EndTime": 3_600, "MetricDataQueries": queries});
        change(&mut body);
        body
    };
    let period = |of: u64| with(&|body| body["MetricDataQueries"][0]["MetricStat"]["Period"] = json!(of));
    for (body, code) in [
        (with(&|body| body["StartTime"] = json!(3_600)), "ValidationError"),
        (with(&|body| body["StartTime"] = json!("1970-01-01")), "SerializationException"),
        (with(&|body| body["MetricDataQueries"] = json!([])), "ValidationError"),
        (with(&|body| body["MetricDataQueries"][0]["Id"] = json!("Paths")), "ValidationError"),
        (with(&|body| body["NextToken"] = json!("x")), "InvalidNextToken"),
        // CloudWatch keeps only hours of these times.
        (period(300), "ValidationError"),
        (period(0), "ValidationError"),
    ] {
        let (status, answer) = get_metric_data(&server, &body).await;
        assert_eq!(
            (status, &answer["__type"]),
            (400, &json!(format!("com.amazonaws.cloudwatch#{code}"))),
            "{body}"
        );
    }
    assert_eq!(get_metric_data(&server, &with(&|_| ())).await.0, 200);
    server.set_metrics_denied(true);
    let (status, answer) = get_metric_data(&server, &with(&|_| ())).await;
    assert_eq!((status, &answer["__type"]), (400, &json!("com.amazonaws.cloudwatch#AccessDeniedException")));
    let headers = "X-Amz-Target: GraniteServiceVersion20100801.GetMetricData\r\n".to_owned() + &signed("sqs");
    let answer = send(&server.endpoint_url(), "POST /", &headers, "{}").await.expect("an answer");
    assert!(answer.head.contains("x-amzn-query-error: InvalidSignatureException;Sender"), "{answer:?}");
}
