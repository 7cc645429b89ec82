//! Measures how long a function takes to start and to answer, and how much CPU and memory it needs:
//! `make bench`.
//!
//! The benchmark plays Lambda's Runtime API and a CloudFront that answers at once, over HTTP or
//! over TLS, with a certificate authority of its own in addition to the system's. It starts these
//! functions many times, in a different order in each round:
//!
//! - the invalidator
//! - an empty `lambda_runtime` function, and the same function parsing the event
//! - the Python function that people copy from the web, if Python has boto3 and awslambdaric
//!
//! Some scenarios also limit the CPU to the share that Lambda grants at 128 MB after init. They
//! need a machine that allows cgroups.
//!
//! docs/performance.md has the figures and explains them. `cargo bench --bench start -- picture` measures nothing
//! and draws the picture from the table there.

mod lambda;
mod peers;
mod picture;
#[path = "../lambda/share.rs"]
mod share;
#[path = "../picture/svg.rs"]
mod svg;

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    process::Command,
};

use lambda::{Run, run};
use peers::{Authority, CloudFront};
use share::Share;

/// A function to measure.
#[derive(Clone)]
struct Contender {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    /// Whether it calls CloudFront at all.
    calls: bool,
}

fn contenders() -> Vec<Contender> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let measured = target.join("measured");
    let ours = env::var_os("BOOTSTRAP").map_or_else(|| measured.join("invalidator"), PathBuf::from);
    let rust = |name, program: PathBuf, variables: &[(&str, &str)], calls| {
        assert!(program.is_file(), "{} is missing; make bench builds it", program.display());
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Contender { name, program, arguments: Vec::new(), variables: variables.collect(), calls }
    };
    let floor = measured.join("floor");
    let mut all = vec![
        rust("invalidator", ours, &[("INVALIDATOR_DISTRIBUTIONS", "E1EXAMPLE")], true),
        rust("empty", floor.clone(), &[], false),
        rust("parses only", floor, &[("PARSES", "1")], false),
    ];
    let python = env::var_os("PYTHON").map_or_else(|| "python3".into(), PathBuf::from);
    let has_all = Command::new(&python).args(["-c", "import boto3, awslambdaric"]).output();
    if has_all.is_ok_and(|output| output.status.success()) {
        all.push(Contender {
            name: "Python",
            program: python,
            arguments: ["-m", "awslambdaric", "handler.handler"].map(str::to_owned).to_vec(),
            variables: vec![("PYTHONPATH".to_owned(), root.join("benches/start").display().to_string())],
            calls: true,
        });
    } else {
        eprintln!("no Python: {} lacks boto3 or awslambdaric (make bench installs them)", python.display());
    }
    all
}

/// The conditions of a measurement.
struct Scenario {
    name: &'static str,
    event: String,
    tls: bool,
    /// The round-trip time to CloudFront in milliseconds.
    away: u64,
    /// Whether the CPU share is that of 128 MB after init.
    throttled: bool,
    rounds: usize,
    warm: usize,
    /// The names of the functions to leave out.
    without: &'static [&'static str],
    /// The number of distributions among which the function finds the one that serves the bucket.
    /// If 0, the configuration names the distribution.
    distributions: usize,
}

fn record(key: &str, sequencer: usize) -> serde_json::Value {
    let mut event: serde_json::Value =
        serde_json::from_str(include_str!("../../events/put.json")).expect("JSON");
    let mut record = event["Records"][0].take();
    record["s3"]["object"]["key"] = key.into();
    record["s3"]["object"]["sequencer"] = format!("{sequencer:018X}").into();
    record
}

/// Builds a batch of 10,000 messages, Lambda's maximum, within the 6 MB of an event.
fn batch() -> String {
    let message = |n: usize| {
        let key = format!("volume-{}/section-{}/page-{n}.html", n / 1_000, n / 20 % 50);
        let mut record = record(&key, n);
        // With all fields of S3's records, 10,000 messages would not fit.
        for left_out in ["requestParameters", "responseElements", "userIdentity"] {
            record.as_object_mut().expect("a record").remove(left_out);
        }
        let body = serde_json::json!({"Records": [record]}).to_string();
        let id = format!("19dd400b-9c0a-4c3c-8bcb-{n:012}");
        serde_json::json!({"messageId": id, "body": body, "eventSource": "aws:sqs"})
    };
    let batch = serde_json::json!({"Records": (0..10_000).map(message).collect::<Vec<_>>()}).to_string();
    assert!((5_900_000..6 * 1024 * 1024).contains(&batch.len()), "{} bytes", batch.len());
    batch
}

fn scenarios() -> Vec<Scenario> {
    let one = serde_json::json!({"Records": [record("docs/index.html", 1)]}).to_string();
    let deploy = include_str!("../../events/site-deploy.json").to_owned();
    let of = |name, event: &String, tls, away, throttled, rounds, warm, without| Scenario {
        distributions: 0,
        name,
        event: event.clone(),
        tls,
        away,
        throttled,
        rounds,
        warm,
        without,
    };
    let rounds = env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(21);
    let listing = |name, distributions| Scenario {
        name,
        event: one.replace("\"media\"", "\"site\"").replace("\"images\"", "\"site\""),
        tls: true,
        away: 0,
        throttled: true,
        rounds: rounds.min(7),
        warm: 1,
        without: &["parses only", "Python", "empty"],
        distributions,
    };
    vec![
        of("one record, http", &one, false, 0, false, rounds, 50, &["parses only"]),
        of("one record, TLS", &one, true, 0, false, rounds, 50, &["parses only"]),
        of("one record, TLS, at 128 MB", &one, true, 0, true, rounds, 20, &["parses only"]),
        of(
            "one record, TLS, CloudFront 100 ms away",
            &one,
            true,
            100,
            false,
            rounds / 3,
            1,
            &["parses only"],
        ),
        of("60-object deploy, http", &deploy, false, 0, false, rounds, 10, &["parses only", "Python"]),
        of("10,000 messages, http", &batch(), false, 0, false, rounds, 0, &["Python"]),
        listing("listing 1 distribution, TLS, at 128 MB", 1),
        listing("listing 10 distributions, TLS, at 128 MB", 10),
        listing("listing 100 distributions, TLS, at 128 MB", 100),
        listing("listing 500 distributions, TLS, at 128 MB", 500),
    ]
}

fn median(values: Vec<f64>) -> f64 {
    percentile(values, 50)
}

fn percentile(mut values: Vec<f64>, percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values
        .get((values.len() * percent / 100).min(values.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}

fn main() {
    if env::args().any(|argument| argument == "picture") {
        picture::draw();
    } else {
        measure();
    }
}

/// Measures every function in every scenario, and prints the tables.
fn measure() {
    let authority = Authority::new();
    let contenders = contenders();
    let mut order: Vec<usize> = (0..contenders.len()).collect();
    let only = env::var("ONLY").unwrap_or_default();
    for scenario in scenarios().into_iter().filter(|scenario| scenario.name.contains(&only)) {
        let group = if scenario.throttled { Share::of(128) } else { None };
        if scenario.throttled && group.is_none() {
            println!("\n{}: skipped, because this machine allows no cgroup (try as root)", scenario.name);
            continue;
        }
        let cloudfront =
            CloudFront::start(scenario.tls.then_some(&authority), scenario.away, scenario.distributions);
        let mut runs: BTreeMap<usize, Vec<Run>> = BTreeMap::new();
        for round in 0..scenario.rounds {
            // A different order in each round, but the same in every run of the benchmark.
            let turn = round * 7 % order.len().max(1);
            order.rotate_left(turn);
            if round % 2 == 1 {
                order.reverse();
            }
            for &index in &order {
                let contender = &contenders[index];
                if !scenario.without.contains(&contender.name) {
                    let run = run(contender, &scenario, &cloudfront, &authority, group.as_ref());
                    runs.entry(index).or_default().push(run);
                }
            }
        }
        println!("\n{} ({} rounds, medians)\n", scenario.name, scenario.rounds);
        if scenario.distributions > 0 {
            let pages = (0..scenario.distributions).step_by(100);
            let bytes: usize = pages
                .map(|from| peers::list(&format!("Marker=E{from} "), scenario.distributions).len())
                .sum();
            println!("the list has {bytes} bytes\n");
        }
        println!(
            "| function | init ms | first answer ms | both | warm ms | warm p99 | CPU ms of the first | CPU ms in all | peak MB |"
        );
        println!("|---|---|---|---|---|---|---|---|---|");
        for (index, runs) in &runs {
            let of = |value: fn(&Run) -> f64| median(runs.iter().map(value).collect());
            let warm: Vec<f64> = runs.iter().flat_map(|run| run.warm.clone()).collect();
            println!(
                "| {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.1} | {:.1} | {:.1} |",
                contenders[*index].name,
                of(|run| run.init),
                of(|run| run.first),
                of(|run| run.init + run.first),
                median(warm.clone()),
                percentile(warm, 99),
                of(|run| run.cpu_first),
                of(|run| run.cpu),
                of(|run| run.peak),
            );
        }
    }
    println!("\n| binary | bytes | as a zip |\n|---|---|---|");
    for contender in contenders.iter().filter(|one| one.arguments.is_empty() && one.name != "parses only") {
        let bytes = std::fs::read(&contender.program).expect("a binary");
        let mut zipped = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut zipped, &bytes).expect("memory");
        let zipped = zipped.finish().expect("memory").len();
        println!("| {} | {} | {zipped} |", contender.name, bytes.len());
    }
}
