//! The figures of the month: what the meter reads from CloudWatch, when it asks, and what it assumes if
//! CloudWatch does not answer.

use std::{
    num::NonZeroUsize,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use cloudfront_invalidator::{
    Config, Invalidator,
    cloudfront::{Client, Error, Settings},
    local::{Fault, Options, Server},
    now,
    report::{Invocation, Report},
    usage::{INTERVAL, LAG, Meter, Month, RETRY, Source},
};
use serde_json::{Value, json};

use crate::{
    function::refusal,
    peers::Peer,
    scripted::{Answer, Scripted},
    support::s3,
};

const ENOUGH: Duration = Duration::from_secs(10);

const SECOND: u64 = 1_000;

const DAY: u64 = 24 * 60 * 60 * SECOND;

/// Returns a time in milliseconds since 1970.
fn at(time: &str) -> u64 {
    let time = humantime::parse_rfc3339(time).expect("a time");
    let time = time.duration_since(SystemTime::UNIX_EPOCH).expect("a time since 1970");
    time.as_millis().try_into().expect("a number")
}

/// The middle of a month of 30 days.
fn middle() -> u64 {
    at("2026-11-16T00:00:00Z")
}

fn meter(allowance: usize) -> Meter {
    Meter::new(NonZeroUsize::new(allowance).expect("an allowance"))
}

async fn server() -> Server {
    Server::start(Options::default()).await.expect("a server")
}

fn client(endpoint: &str) -> Client {
    Client::new(Settings::local(endpoint))
}

/// Returns a log line in the embedded metric format.
fn line(time: u64, namespace: &str, dimensions: &Value, paths: usize) -> String {
    let group = json!({"Namespace": namespace, "Dimensions": dimensions, "Metrics": [{"Name": "Paths", "Unit": "Count"}]});
    json!({"_aws": {"Timestamp": time, "CloudWatchMetrics": [group]}, "FunctionName": "f", "Paths": paths})
        .to_string()
}

/// Logs paths that some function sent.
fn log(server: &Server, time: u64, paths: usize) {
    server.log(&line(time, "CloudFrontInvalidator", &json!([[]]), paths));
}

fn asked(server: &Server) -> usize {
    server.reads().iter().filter(|operation| **operation == "GetMetricData").count()
}

async fn read(meter: &Meter, client: &Client, now: u64) -> Month {
    let (month, error) = meter.month(Some(client), ENOUGH, now).await;
    assert_eq!(error, None);
    month
}

/// Asks in vain.
async fn fail(meter: &Meter, client: &Client, now: u64) -> (Month, Error) {
    let (month, error) = meter.month(Some(client), ENOUGH, now).await;
    (month, error.expect("an error"))
}

#[tokio::test]
async fn the_paths_of_the_month_are_those_of_all_functions_in_utc() {
    let server = server().await;
    for (time, paths) in [
        ("2026-10-31T23:59:59.999Z", 1),
        ("2026-11-01T00:00:00Z", 10),
        ("2026-11-15T23:30:00Z", 100),
        ("2026-11-16T00:00:00Z", 1_000),
        ("2026-12-01T00:00:00Z", 10_000),
    ] {
        log(&server, at(time), paths);
    }
    for (namespace, dimensions) in
        [("CloudFrontInvalidator", json!([["FunctionName"]])), ("CloudFrontInvalidators", json!([[]]))]
    {
        server.log(&line(middle(), namespace, &dimensions, 7));
    }
    server.log("no JSON");
    server.log(r#"{"message": "invalidated", "Paths": 9}"#);
    let month = read(&meter(500), &client(&server.endpoint_url()), middle()).await;
    let expected = Month {
        allowance: 500,
        sent: 1_110,
        own: 0,
        source: Source::Read,
        elapsed: 15 * DAY,
        length: 30 * DAY,
    };
    assert_eq!(month, expected);
}

#[tokio::test]
async fn the_first_and_the_last_millisecond_belong_to_the_month() {
    let server = server().await;
    let client = client(&server.endpoint_url());
    for (month, days) in [("2027-02", 28), ("2026-12", 31), ("2028-02", 29)] {
        let begin = at(&format!("{month}-01T00:00:00Z"));
        log(&server, begin, 3);
        assert_eq!(read(&meter(9), &client, begin).await.sent, 3, "{month}");
        let last = begin + days * DAY - 1;
        log(&server, last, 4);
        let end = read(&meter(9), &client, last).await;
        assert_eq!((end.sent, end.elapsed, end.length), (7, days * DAY - 1, days * DAY));
        let next = read(&meter(9), &client, last + 1).await;
        assert_eq!((next.sent, next.elapsed), (0, 0), "a metric without values this month");
    }
}

#[tokio::test]
async fn cloudwatch_is_asked_again_after_five_minutes() {
    let server = server().await;
    let client = client(&server.endpoint_url());
    let (meter, begin) = (meter(1_000), middle() + 20 * 60 * SECOND);
    log(&server, begin, 5);
    for (now, asks, sent) in [
        (begin, 1, 5),
        (begin, 1, 5),
        (begin + INTERVAL, 1, 5),
        (begin + INTERVAL + 1, 2, 6),
        (begin + 2 * INTERVAL, 2, 6),
        // The clock went back.
        (begin - SECOND, 3, 6),
    ] {
        let month = read(&meter, &client, now).await;
        assert_eq!((asked(&server), month.sent, month.source), (asks, sent, Source::Read), "{now}");
        if asks == 1 {
            log(&server, begin, usize::from(now == begin + INTERVAL));
        }
    }
}

#[tokio::test]
async fn two_invocations_at_once_ask_once() {
    let server = server().await;
    let client = client(&server.endpoint_url());
    log(&server, middle(), 5);
    let meter = meter(1_000);
    let (one, other) = tokio::join!(read(&meter, &client, middle()), read(&meter, &client, middle()));
    assert_eq!((one.sent, one.source), (5, Source::Read));
    assert_eq!(other.source, Source::Guessed);
    assert_eq!(asked(&server), 1);
}

#[tokio::test]
async fn paths_that_the_metric_does_not_have_yet_are_counted() {
    let server = server().await;
    let client = client(&server.endpoint_url());
    let (meter, begin) = (meter(1_000), middle());
    meter.sent(100, begin - LAG - 40 * SECOND);
    meter.sent(20, begin - LAG);
    meter.sent(3, begin);
    log(&server, begin - LAG - 40 * SECOND, 100);
    let month = read(&meter, &client, begin).await;
    assert_eq!((month.sent, month.own), (123, 23), "the metric lacks the last two minutes");
    // Until the next reading, everything counts.
    for number in 1..=5 {
        meter.sent(1, begin + number * 60 * SECOND - 10 * SECOND);
    }
    let month = read(&meter, &client, begin + INTERVAL).await;
    assert_eq!((month.sent, month.own), (128, 28));
    log(&server, begin, 28);
    let month = read(&meter, &client, begin + INTERVAL + SECOND).await;
    assert_eq!((month.sent, month.own), (128 + 2, 2), "twice rather than never");
    let month = read(&meter, &client, begin + 2 * INTERVAL + 2 * SECOND).await;
    assert_eq!((month.sent, month.own), (128, 0));
}

#[tokio::test]
async fn a_new_month_starts_anew() {
    let server = server().await;
    let client = client(&server.endpoint_url());
    let begin = at("2026-12-01T00:00:00Z");
    log(&server, begin - DAY, 50);
    for is_denied in [false, true] {
        let meter = meter(3_100);
        meter.sent(7, begin - SECOND);
        assert_eq!(read(&meter, &client, begin - SECOND).await.sent, 57);
        server.set_metrics_denied(is_denied);
        let (month, error) = meter.month(Some(&client), ENOUGH, begin + DAY).await;
        let expected = if is_denied { (100, Source::Guessed) } else { (0, Source::Read) };
        assert_eq!((month.sent, month.source), expected, "{error:?}");
        assert_eq!((month.own, month.elapsed, month.length), (0, DAY, 31 * DAY));
        assert_eq!(error.is_some(), is_denied);
    }
    assert_eq!(asked(&server), 4);
    // A meter that has not been asked this month forgets as well.
    let meter = meter(3_100);
    meter.sent(7, begin - SECOND);
    meter.sent(2, begin);
    assert_eq!(meter.month(None, ENOUGH, begin).await.0.sent, 2);
}

#[tokio::test]
async fn without_a_reading_the_allowance_counts_as_spent_evenly() {
    let meter = meter(1_000);
    meter.sent(4, middle());
    let (month, error) = meter.month(None, ENOUGH, middle()).await;
    assert_eq!((month.sent, month.own, month.source, error), (504, 4, Source::Guessed, None));
    let server = server().await;
    let client = client(&server.endpoint_url());
    let (month, error) = meter.month(Some(&client), Duration::ZERO, middle()).await;
    assert_eq!((month.source, error, asked(&server)), (Source::Guessed, None, 0), "there is no time to ask");
    assert_eq!(read(&meter, &client, middle()).await.source, Source::Read);
}

#[tokio::test]
async fn the_last_reading_serves_while_cloudwatch_fails() {
    let server = server().await;
    let client = client(&server.endpoint_url());
    let (meter, begin) = (meter(1_000), middle());
    server.set_metrics_denied(true);
    let (month, error) = fail(&meter, &client, begin).await;
    assert_eq!((month.sent, month.source), (500, Source::Guessed));
    let text = error.to_string();
    assert!(text.starts_with("CloudWatch answered AccessDeniedException (HTTP 400): User is not"), "{text}");
    assert_eq!(error.operation(), Some("GetMetricData"));
    // It is not asked again at once.
    assert_eq!(read(&meter, &client, begin + RETRY - 1).await.source, Source::Guessed);
    assert_eq!(asked(&server), 1);
    server.set_metrics_denied(false);
    log(&server, begin, 9);
    let later = begin + RETRY;
    assert_eq!(read(&meter, &client, later).await.source, Source::Read);
    server.set_metrics_denied(true);
    meter.sent(1, later + INTERVAL);
    assert_eq!(read(&meter, &client, later + INTERVAL).await.source, Source::Read);
    let (month, _) = fail(&meter, &client, later + INTERVAL + 1).await;
    assert_eq!((month.sent, month.own, month.source), (10, 1, Source::Old));
    assert_eq!(read(&meter, &client, later + INTERVAL + 2).await.source, Source::Old);
    let (month, _) = fail(&meter, &client, begin + DAY).await;
    assert_eq!((month.sent, month.source), (10, Source::Old));
    assert_eq!(asked(&server), 4);
}

#[tokio::test]
async fn a_busy_cloudwatch_is_asked_twice() {
    let busy = || refusal(503, "ServiceUnavailable", "busy");
    let throttled = || refusal(400, "ThrottlingException", "Rate exceeded");
    let wrong = || refusal(400, "ValidationError", "no");
    for (faults, time, calls, error) in [
        (vec![busy()], ENOUGH, 2, None),
        (vec![throttled()], ENOUGH, 2, None),
        (
            vec![throttled(), busy()],
            ENOUGH,
            2,
            Some("CloudWatch answered ServiceUnavailable (HTTP 503): busy"),
        ),
        (vec![wrong()], ENOUGH, 1, Some("CloudWatch answered ValidationError (HTTP 400): no")),
        // The second attempt would come too late.
        (
            vec![busy()],
            Duration::from_millis(150),
            1,
            Some("CloudWatch answered ServiceUnavailable (HTTP 503)"),
        ),
    ] {
        let server = server().await;
        for fault in faults {
            server.inject_read("GetMetricData", 0, fault);
        }
        let (month, failure) =
            meter(1_000).month(Some(&client(&server.endpoint_url())), time, middle()).await;
        let text = failure.map(|failure| failure.to_string()).unwrap_or_default();
        assert!(text.starts_with(error.unwrap_or_default()), "{text}");
        assert_eq!(text.is_empty(), error.is_none(), "{text}");
        assert_eq!(month.source == Source::Read, error.is_none());
        assert_eq!(asked(&server), calls, "{text}");
    }
}

#[tokio::test]
async fn a_cloudwatch_that_does_not_answer_costs_little_time() {
    let server = server().await;
    let client = client(&server.endpoint_url());
    for (fault, time, least, most) in [
        (Fault::Hang, Duration::from_millis(50), 50, 1_000),
        (Fault::Hang, ENOUGH, 2_000, 4_000),
        (Fault::Close, ENOUGH, 0, 1_000),
        (Fault::LoseAnswer, ENOUGH, 0, 1_000),
    ] {
        server.inject_read("GetMetricData", 0, fault.clone());
        let begun = Instant::now();
        let (month, error) = meter(1_000).month(Some(&client), time, middle()).await;
        let took = begun.elapsed().as_millis();
        assert!((least..=most).contains(&took), "{fault:?}: {took} ms");
        let error = error.expect("an error");
        assert!(error.is_unreachable() && error.to_string().starts_with("no answer from CloudWatch: "));
        assert_eq!((month.sent, month.source), (500, Source::Guessed));
    }
}

/// Starts a server that gives these bodies with status 200 in order, and the last one to all further requests.
async fn answering(bodies: Vec<String>) -> Scripted {
    Scripted::start(bodies.into_iter().map(|body| Answer::Full("200 OK", &[], body)).collect()).await
}

/// Returns an answer of GetMetricData.
fn answer(values: &[f64], status: &str, next: Option<&str>) -> String {
    let timestamps: Vec<u64> =
        (0..).take(values.len()).map(|number| 1_795_000_000 + 3_600 * number).collect();
    let result = json!({"Id": "paths", "Label": "Paths", "Timestamps": timestamps, "Values": values, "StatusCode": status});
    json!({"MetricDataResults": [result], "Messages": [], "NextToken": next}).to_string()
}

#[tokio::test]
async fn invalid_answers_are_no_readings() {
    let partial = answer(&[1.0], "PartialData", None);
    for (body, expected) in [
        (String::new(), "unreadable answer from CloudWatch: EOF while parsing"),
        ("<html>".to_owned(), "unreadable answer from CloudWatch: expected value"),
        ("{}".to_owned(), "unreadable answer from CloudWatch: missing field `MetricDataResults`"),
        (answer(&[], "", None).replace("[]", "[\"x\"]"), "unreadable answer from CloudWatch: invalid type"),
        (format!("[{}", "0,".repeat(2_000_000)), "no answer from CloudWatch: length limit exceeded"),
        (partial, "CloudWatch answered without all values: the status is \"PartialData\""),
        (
            answer(&[1.0], "InternalError", Some("x")),
            "CloudWatch answered without all values: the status is \"InternalError\"",
        ),
        (answer(&[1.0], "PartialData", Some("x")), "CloudWatch's answer has more than 4 pages"),
    ] {
        let scripted = answering(vec![body]).await;
        let (month, error) = fail(&meter(1_000), &client(&scripted.endpoint), middle()).await;
        let text = error.to_string();
        assert!(text.starts_with(expected), "{text} instead of {expected}");
        assert_eq!((month.sent, month.source), (500, Source::Guessed), "{text}");
    }
}

#[tokio::test]
async fn odd_sums_are_numbers_of_paths() {
    for (values, expected) in [
        (vec![], 0),
        (vec![1.0, 2.0, 0.0], 3),
        (vec![0.1; 30], 3),
        (vec![-5.0], 0),
        (vec![1e300, 1e300], usize::MAX),
        (vec![4e15, 1.0], 4_000_000_000_000_001),
    ] {
        let scripted = answering(vec![answer(&values, "Complete", None)]).await;
        let meter = meter(1_000);
        meter.sent(1, middle());
        let month = read(&meter, &client(&scripted.endpoint), middle()).await;
        assert_eq!(month.sent, expected.saturating_add(1_usize), "{values:?}");
        assert!(month.forecast() >= month.sent);
    }
    let none = r#"{"MetricDataResults": []}"#.to_owned();
    let scripted = answering(vec![none]).await;
    assert_eq!(read(&meter(1), &client(&scripted.endpoint), middle()).await.sent, 0);
}

#[tokio::test]
async fn pages_are_added_up() {
    let token = "a\"b\\c/+=";
    let pages = vec![
        answer(&[1.0, 2.0], "PartialData", Some(token)),
        answer(&[30.0], "PartialData", Some("d")),
        answer(&[400.0], "Complete", Some("")),
    ];
    let scripted = answering(pages).await;
    let mut settings = Settings::new("AKIDEXAMPLE", "secret", Some("a-session-token"));
    settings.cloudwatch_endpoint_url = Some(format!("{}/", scripted.endpoint));
    "eu-central-1".clone_into(&mut settings.region);
    let now = at("2026-11-16T10:59:59.999Z");
    assert_eq!(read(&meter(1_000), &Client::new(settings), now).await.sent, 433);

    let requests = scripted.requests.lock().expect("requests").clone();
    let bodies: Vec<Value> = requests
        .iter()
        .map(|request| {
            let (head, body) = request.split_once("\r\n\r\n").expect("a body");
            assert!(head.starts_with("POST / HTTP/1.1\r\n"), "{head}");
            for part in [
                "content-type: application/x-amz-json-1.0\r\n",
                "x-amz-target: GraniteServiceVersion20100801.GetMetricData\r\n",
                "x-amz-security-token: a-session-token",
                "/eu-central-1/monitoring/aws4_request, ",
            ] {
                assert!(head.contains(part), "{part} is not in {head}");
            }
            serde_json::from_str(body).expect("JSON")
        })
        .collect();
    let metric = json!({"Namespace": "CloudFrontInvalidator", "MetricName": "Paths"});
    let query = json!({"Id": "paths", "MetricStat": {"Metric": metric, "Period": 3_600, "Stat": "Sum"}});
    let begin = at("2026-11-01T00:00:00Z") / SECOND;
    let end = at("2026-11-16T11:00:00Z") / SECOND;
    let mut expected = json!({"StartTime": begin, "EndTime": end, "MetricDataQueries": [query]});
    assert_eq!(bodies[0], expected);
    for (body, token) in bodies[1..].iter().zip([token, "d"]) {
        expected["NextToken"] = json!(token);
        assert_eq!(*body, expected);
    }
    assert_eq!(bodies.len(), 3);
}

#[tokio::test]
async fn errors_show_no_secrets() {
    let scripted = answering(vec![answer(&[], "a-session-token", None)]).await;
    let mut settings = Settings::new("AKIDEXAMPLE", "secret", Some("a-session-token"));
    settings.endpoint_url = Some(scripted.endpoint.clone());
    settings.cloudwatch_endpoint_url = Some(scripted.endpoint.clone());
    let (_, error) = fail(&meter(1), &Client::new(settings), middle()).await;
    assert!(!error.to_string().contains("a-session-token"), "{error}");
}

#[test]
fn a_count_from_elsewhere_is_a_reading() {
    let expected = Month {
        allowance: 1_000,
        sent: 7,
        own: 0,
        source: Source::Read,
        elapsed: 15 * DAY,
        length: 30 * DAY,
    };
    assert_eq!(Month::new(1_000, 7, middle()), expected);
    let names = [Source::Read, Source::Old, Source::Guessed].map(|source| json!(source));
    assert_eq!(names, ["read", "old", "guessed"]);
}

#[test]
fn the_forecast_is_linear_and_assumes_at_least_five_days() {
    let month = |sent, elapsed| Month {
        allowance: 1_000,
        sent,
        own: 0,
        source: Source::Read,
        elapsed,
        length: 30 * DAY,
    };
    for (sent, elapsed, expected, days_left) in [
        (0, 0, 0, 30.0),
        (10, 0, 60, 30.0),
        (10, DAY / 2, 60, 29.5),
        (10, 5 * DAY, 60, 25.0),
        (500, 15 * DAY, 1_000, 15.0),
        (500, 10 * DAY, 1_500, 20.0),
        (7, 30 * DAY - 1, 7, 0.0),
        (usize::MAX, DAY, usize::MAX, 29.0),
    ] {
        let month = month(sent, elapsed);
        assert_eq!(month.forecast(), expected, "{month:?}");
        assert!((month.days_left() - days_left).abs() < 1e-6, "{month:?}: {}", month.days_left());
    }
}

/// Purges an object through the server, and returns the report.
async fn report(server: &Server) -> Report {
    let config = Config::read([("INVALIDATOR_DISTRIBUTIONS", "E1EXAMPLE")]).expect("a configuration");
    let invalidator = Invalidator::new(config, Some(client(&server.endpoint_url())));
    invalidator.run(s3("docs/index.html", "1").to_string(), "id", Instant::now() + ENOUGH).await
}

#[tokio::test]
async fn the_log_line_has_the_figures_of_the_month() {
    let server = server().await;
    let report = report(&server).await;
    let invocation = Invocation { request_id: "r", function_name: "f" };
    let line = |report: &Report| report.metrics(&invocation);
    let without: Value = serde_json::from_str(&line(&report)).expect("JSON");
    assert_eq!(without["_aws"]["CloudWatchMetrics"].as_array().map(Vec::len), Some(1));
    assert!(without.get("PathsThisMonth").is_none() && without.get("PathsForecast").is_none());
    assert_eq!(line(&report.clone().with_month(None)), line(&report));

    let month =
        |source| Month { allowance: 1_000, sent: 500, own: 2, source, elapsed: 10 * DAY, length: 30 * DAY };
    for source in [Source::Read, Source::Old, Source::Guessed] {
        let text = line(&report.clone().with_month(Some(month(source))));
        let mut with: Value = serde_json::from_str(&text).expect("JSON");
        let groups = with["_aws"]["CloudWatchMetrics"].as_array_mut().expect("groups");
        let shared = groups.pop().expect("a second group");
        let paths = json!({"Name": "Paths", "Unit": "Count"});
        let expected = json!({"Namespace": "CloudFrontInvalidator", "Dimensions": [[]], "Metrics": [paths]});
        assert_eq!(shared, expected);
        if source != Source::Guessed {
            let metrics = groups[0]["Metrics"].as_array_mut().expect("metrics");
            for name in ["PathsThisMonth", "PathsForecast"] {
                let definition = json!({"Name": name, "Unit": "Count"});
                let at = metrics.iter().position(|one| *one == definition).expect("the metric");
                metrics.remove(at);
            }
            let fields = with.as_object_mut().expect("fields");
            assert_eq!(fields.remove("PathsThisMonth"), Some(json!(500)));
            assert_eq!(fields.remove("PathsForecast"), Some(json!(1_500)));
        }
        assert_eq!(with, without, "{source:?}: the rest is as without a month");
    }
}

#[tokio::test]
async fn the_meter_reads_what_the_log_line_says() {
    let server = server().await;
    let report = report(&server).await;
    let month = meter(1_000).month(None, ENOUGH, now()).await.0;
    let invocation = Invocation { request_id: "r", function_name: "f" };
    // Without a month, the metric has only the function's dimension.
    server.log(&report.metrics(&invocation));
    let (client, time) = (client(&server.endpoint_url()), report.ended);
    assert_eq!(read(&meter(1_000), &client, time).await.sent, 0);
    let with = report.with_month(Some(month));
    assert_eq!(with.billed_paths(), 2);
    for function_name in ["f", "g"] {
        server.log(&with.metrics(&Invocation { function_name, ..invocation }));
    }
    assert_eq!(read(&meter(1_000), &client, time).await.sent, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs moto_server and ministack: make test"]
async fn the_meter_reads_the_metrics_of_moto_and_of_ministack() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("usage");
    std::fs::create_dir_all(&folder).expect("a folder");
    for peer in [Peer::moto(), Peer::ministack_with("monitoring", &folder)] {
        let time = now();
        let client = client(peer.endpoint());
        assert_eq!(read(&meter(1_000), &client, time).await.sent, 0, "{}", peer.endpoint());
        let data = |name: &str, value: u64| json!({"MetricName": name, "Value": value, "Unit": "Count"});
        // Both would also count metrics that have dimensions, which CloudWatch does not.
        let all = json!([data("Paths", 3), data("Paths", 40), data("Wildcards", 500)]);
        std::fs::write(folder.join("data.json"), all.to_string()).expect("a file");
        peer.run(
            &folder,
            &[],
            "aws cloudwatch put-metric-data --namespace CloudFrontInvalidator --metric-data file://data.json",
        );
        let month = read(&meter(1_000), &client, time).await;
        assert_eq!((month.sent, month.source), (43, Source::Read), "{}", peer.endpoint());
    }
}
