//! Runs one function from start to end, as Lambda would, and measures it.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, Sender, channel},
    time::{Duration, Instant, SystemTime},
};

use crate::{
    Contender, Scenario,
    peers::{Authority, CloudFront, head},
    share::Share,
};

/// The measurements of one run, in milliseconds and megabytes.
pub(crate) struct Run {
    /// The time from the start of the process until it requests an event.
    pub(crate) init: f64,
    /// The time from the first event until the answer to it.
    pub(crate) first: f64,
    pub(crate) warm: Vec<f64>,
    pub(crate) cpu_first: f64,
    pub(crate) cpu: f64,
    pub(crate) peak: f64,
}

/// A request that the function made to the Runtime API, and the stream on which it waits for the
/// answer.
struct Asked {
    at: Instant,
    is_next: bool,
    stream: TcpStream,
}

/// Maximum time to wait for a request: far longer than any takes.
const HANG: Duration = Duration::from_mins(1);

pub(crate) fn run(
    contender: &Contender,
    scenario: &Scenario,
    cloudfront: &CloudFront,
    authority: &Authority,
    share: Option<&Share>,
) -> Run {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let (sender, asked) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(stream), sender) = (stream, sender.clone()) else { return };
            std::thread::spawn(move || requests(&stream, &sender));
        }
    });
    let begun = Instant::now();
    let mut child = Command::new(&contender.program)
        .args(&contender.arguments)
        .env_clear()
        .envs([
            ("AWS_LAMBDA_RUNTIME_API", &*address),
            ("AWS_LAMBDA_FUNCTION_NAME", "measured"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_ENDPOINT_URL", &cloudfront.url),
            ("SSL_CERT_FILE", authority.bundle()),
            ("AWS_CA_BUNDLE", authority.bundle()),
            ("PATH", "/usr/bin:/bin"),
        ])
        .envs(contender.variables.iter().map(|(name, value)| (name, value)))
        .envs((scenario.distributions > 0).then_some(("INVALIDATOR_DISTRIBUTIONS", "")))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the function");
    let mut next = ask(&asked, &mut child, contender.name);
    assert!(next.is_next, "the function requests an event first");
    let init = next.at - begun;
    if let Some(share) = share {
        share.add(child.id());
        // Wait for more than one period of the group, so that the limit is in force before the
        // event, as it is on Lambda after init.
        std::thread::sleep(Duration::from_millis(25));
    }
    let before = cpu(child.id());
    let calls = cloudfront.calls();
    let mut times = Vec::new();
    let mut cpu_first = 0.0;
    for number in 0..=scenario.warm {
        let begun = send(&mut next.stream, number, &scenario.event);
        let answer = ask(&asked, &mut child, contender.name);
        times.push(milliseconds(answer.at - begun));
        assert!(!answer.is_next, "the function answers before it requests the next event");
        let mut stream = answer.stream;
        let _ = stream.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
        next = ask(&asked, &mut child, contender.name);
        if number == 0 {
            cpu_first = cpu(child.id()) - before;
            assert!(!contender.calls || cloudfront.calls() > calls, "{} calls CloudFront", contender.name);
        }
    }
    let all = cpu(child.id());
    let peak = peak(child.id());
    let _ = child.kill();
    let _ = child.wait();
    let first = times.remove(0);
    Run { init: milliseconds(init), first, warm: times, cpu_first, cpu: all, peak }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

fn ask(asked: &Receiver<Asked>, child: &mut Child, name: &str) -> Asked {
    asked.recv_timeout(HANG).unwrap_or_else(|_| panic!("no request from {name}: {:?}", child.try_wait()))
}

/// Reads the requests of one connection. Each gets its answer before the next one comes.
fn requests(stream: &TcpStream, sender: &Sender<Asked>) {
    let _ = stream.set_nodelay(true);
    let mut reader = BufReader::with_capacity(1 << 16, stream);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).is_ok_and(|read| read == 0) || line.is_empty() {
            return;
        }
        let is_next = line.starts_with("GET ");
        let length = head(&mut reader);
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let Ok(stream) = stream.try_clone() else { return };
        if sender.send(Asked { at: Instant::now(), is_next, stream }).is_err() {
            return;
        }
    }
}

fn send(stream: &mut TcpStream, number: usize, event: &str) -> Instant {
    let deadline = SystemTime::now() + Duration::from_secs(30);
    let deadline = deadline.duration_since(SystemTime::UNIX_EPOCH).expect("a time").as_millis();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: {number:08}-0000\r\n\
         Lambda-Runtime-Deadline-Ms: {deadline}\r\nLambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:1:function:f\r\n\
         Content-Length: {}\r\n\r\n",
        event.len()
    );
    let begun = Instant::now();
    stream.write_all([head.as_bytes(), event.as_bytes()].concat().as_slice()).expect("an event");
    begun
}

/// Returns the milliseconds of CPU that a process has used in all its threads.
fn cpu(process: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let used = |thread: fs::DirEntry| -> Option<f64> {
        let told = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        told.split(' ').next()?.parse::<f64>().ok()
    };
    threads.filter_map(used).sum::<f64>() / 1e6
}

/// Returns the peak memory of a process in MB.
fn peak(process: u32) -> f64 {
    let told = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = told.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kilobytes.unwrap_or(f64::NAN) / 1024.0
}
