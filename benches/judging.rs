//! Measures how many uploaded objects a batch can judge in the time that the function gives S3: half of
//! its 30 seconds. docs/performance.md shows the resulting table.
//!
//! ```sh
//! cargo build --locked --release --no-default-features --features function --bin invalidator
//! BOOTSTRAP=target/release/invalidator cargo bench --bench judging
//! ```
//!
//! Every object was uploaded again without a change, which is the most to ask: a list and two HEADs. Each
//! call of S3 takes 20 ms, over http. The CPU share is that of the memory, by way of a cgroup (as root).
//! `ONLY=128` measures only this memory.

#[path = "lambda/share.rs"]
mod share;

use std::{
    env, fs,
    path::PathBuf,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use cloudfront_invalidator::local::{Options, PutResult, Server, Upload, Versioning};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    process::{Child, Command},
};

use share::{ONE_CPU, PERIOD, Share};

const BUCKET: &str = "site";

/// The time that S3 takes for each call.
const DELAY: Duration = Duration::from_millis(20);

/// The function's timeout.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The results of one invocation.
struct Judged {
    unchanged: u64,
    unjudged: u64,
    seconds: f64,
    peak: f64,
}

/// Passes connections on to the server with a delay for each request. Returns the URL.
async fn delayed(server: &Server) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let address: Arc<str> = server.endpoint_url().trim_start_matches("http://").into();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let address = Arc::clone(&address);
            tokio::spawn(async move {
                let Ok(server) = TcpStream::connect(&*address).await else { return };
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let (requests, answers) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(pass_on(from_server, answers, Duration::ZERO));
                pass_on(requests, to_server, DELAY).await;
            });
        }
    });
    url
}

/// Passes on what one side sends. A request arrives at once, so it is delayed once.
async fn pass_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

/// Uploads a site that did not change this many times, and returns the results of the last upload.
fn upload(server: &Server, objects: usize, versions: usize) -> Vec<(String, PutResult)> {
    let key = |n: usize| format!("volume-{}/section-{}/page-{n}.html", n / 1_000, n / 20 % 50);
    let put = |n: usize| {
        let upload = || Upload { content: n.to_string().into_bytes(), ..Upload::default() };
        (1..versions).for_each(|_| drop(server.put_object(BUCKET, &key(n), upload())));
        (key(n), server.put_object(BUCKET, &key(n), upload()))
    };
    (0..objects).map(put).collect()
}

/// Builds the batch with an event of each upload.
fn batch(uploads: &[(String, PutResult)]) -> String {
    let now = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    let message = |(n, (key, put)): (usize, &(String, PutResult))| {
        let body = json!({"Records": [{
            "eventSource": "aws:s3",
            "awsRegion": "eu-central-1",
            "eventTime": now,
            "eventName": "ObjectCreated:Put",
            "s3": {
                "bucket": {"name": BUCKET},
                "object": {"key": key, "size": put.size, "eTag": put.etag, "versionId": put.version_id,
                    "sequencer": put.sequencer},
            },
        }]});
        let id = format!("19dd400b-9c0a-4c3c-8bcb-{n:012}");
        json!({"messageId": id, "body": body.to_string(), "eventSource": "aws:sqs"})
    };
    json!({"Records": uploads.iter().enumerate().map(message).collect::<Vec<_>>()}).to_string()
}

/// Starts the function with S3 at this URL.
fn start(runtime: &str, cloudfront: &str, s3: &str, memory: u64) -> Child {
    let binary = env::var_os("BOOTSTRAP")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_invalidator")), PathBuf::from);
    let memory = memory.to_string();
    Command::new(binary)
        .env_clear()
        .envs([
            ("AWS_LAMBDA_RUNTIME_API", runtime),
            ("AWS_LAMBDA_FUNCTION_NAME", "judging"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &*memory),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_ENDPOINT_URL_CLOUDFRONT", cloudfront),
            ("AWS_ENDPOINT_URL_S3", s3),
            ("INVALIDATOR_DISTRIBUTIONS", "E1EXAMPLE"),
            ("INVALIDATOR_SKIP_UNCHANGED_SINCE", "2026-01-01"),
        ])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the function's binary")
}

/// Reads a request of the Runtime API.
async fn request(stream: &mut BufReader<TcpStream>) {
    let (mut line, mut length) = (String::new(), 0);
    while stream.read_line(&mut line).await.expect("a line") > 2 {
        let (name, value) = line.split_once(':').unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().expect("a length");
        }
        line.clear();
    }
    stream.read_exact(&mut vec![0; length]).await.expect("a body");
}

/// Invokes the function with an event at the CPU share of this memory.
async fn invoke(server: &Server, s3: &str, memory: u64, share: &Share, event: &str) -> Judged {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let mut child = start(&address, &server.endpoint_url(), s3, memory);
    let id = child.id().expect("a process");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut stream = BufReader::new(listener.accept().await.expect("a connection").0);
    request(&mut stream).await;
    share.add(id);
    // The limit is in force after a period.
    tokio::time::sleep(Duration::from_micros(PERIOD)).await;
    let deadline = (SystemTime::now() + TIMEOUT).duration_since(SystemTime::UNIX_EPOCH).expect("a time");
    let head = format!(
        "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: judging\r\nLambda-Runtime-Deadline-Ms: {}\r\n\
         Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:eu-central-1:1:function:f\r\n\
         Content-Length: {}\r\n\r\n",
        deadline.as_millis(),
        event.len()
    );
    let begun = Instant::now();
    stream.write_all([head.as_bytes(), event.as_bytes()].concat().as_slice()).await.expect("an event");
    request(&mut stream).await;
    let seconds = begun.elapsed().as_secs_f64();
    let status = fs::read_to_string(format!("/proc/{id}/status")).expect("its status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak: f64 = peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse().ok()).expect("a peak");
    let metrics = loop {
        let line = lines.next_line().await.expect("text").expect("a line of metrics");
        let line: Value = serde_json::from_str(&line).expect("JSON");
        if line["_aws"].is_object() {
            break line;
        }
    };
    let count = |name: &str| metrics[name].as_u64().unwrap_or(0);
    Judged { unchanged: count("Unchanged"), unjudged: count("Unjudged"), seconds, peak: peak / 1_024.0 }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    println!(
        "| memory, MB | versions | objects | judged | unjudged | lists | HEADs | seconds | peak, MB |\n\
         |---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    );
    let only = env::var("ONLY").unwrap_or_default();
    for memory in [128, ONE_CPU].into_iter().filter(|memory| memory.to_string().starts_with(&only)) {
        let Some(share) = Share::of(memory) else {
            println!("this machine allows no cgroup (try as root)");
            return;
        };
        for versions in [2, 30] {
            for objects in [1_000, 3_000, 10_000] {
                let server = Server::start(Options::default()).await.expect("a CloudFront");
                server.set_versioning(BUCKET, Versioning::Enabled);
                let event = batch(&upload(&server, objects, versions));
                let s3 = delayed(&server).await;
                let judged = invoke(&server, &s3, memory, &share, &event).await;
                let reads = server.reads();
                let calls = |name| reads.iter().filter(|one| **one == name).count();
                println!(
                    "| {memory} | {versions} | {objects} | {} | {} | {} | {} | {:.1} | {:.1} |",
                    judged.unchanged,
                    judged.unjudged,
                    calls("ListObjectVersions"),
                    calls("HeadObject"),
                    judged.seconds,
                    judged.peak,
                );
            }
        }
    }
}
