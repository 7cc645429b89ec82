//! The function answers any event that Lambda can deliver, with little memory and in little time.
//!
//! The tests check the peak memory and the CPU time of the real binary, as the kernel counts them.
//! Neither depends on how busy the machine is.

use std::{
    env,
    fmt::Write as _,
    fs,
    io::{Read, Write as _},
    net::TcpListener,
    sync::Arc,
    time::{Duration, Instant},
};

use cloudfront_invalidator::{
    Invalidator,
    cloudfront::{Client, Settings},
    config::Config,
    discover::Found,
    event,
    local::{Account, Fault, Options, Server},
    path::Item,
    plan::{Pace, Planner, plan},
    report::{Ended, Log, Report},
    site::{Behavior, Distribution, Origin, QueryStrings, Site, Sites},
    submit::submit,
};
use serde_json::{Value, json};

use crate::{
    function::refusal,
    sites::{DOMAIN, account, changed, puts, with},
    support::{Answer, Function, cloudfront, s3, s3_record, sqs},
};

/// Maximum size of an event that Lambda delivers.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
const MOST_BYTES: usize = 6 * 1024 * 1024;

/// Maximum peak memory in KiB: half of the 128 MB that the function has.
const MOST_MEMORY: u64 = 64 * 1024;

/// Maximum CPU time in milliseconds. The CPU share of a function with 128 MB allows more than this
/// before the timeout.
const MOST_CPU: u64 = 1_500;

/// Returns an event with S3 records of these buckets and keys, as many as fit. The JSON is the
/// shortest that the function accepts.
fn records(objects: impl Iterator<Item = (String, String)>) -> String {
    let mut event = String::from("{\"Records\":[");
    for (number, (bucket, key)) in objects.enumerate() {
        let before = event.len();
        let comma = if number == 0 { "" } else { "," };
        write!(
            event,
            "{comma}{{\"eventSource\":\"aws:s3\",\"eventName\":\"ObjectCreated:Put\",\
             \"s3\":{{\"bucket\":{{\"name\":\"{bucket}\"}},\"object\":{{\"key\":\"{key}\"}}}}}}"
        )
        .expect("text");
        if event.len() + 2 > MOST_BYTES {
            event.truncate(before);
            break;
        }
    }
    event + "]}"
}

/// Returns such an event with these keys of one bucket.
fn keys(keys: impl Iterator<Item = String>) -> String {
    records(keys.map(|key| ("site".to_owned(), key)))
}

/// Returns an SQS batch of messages with these bodies: as many as fit, and at most 10,000, the
/// limit of a batch. The JSON is the shortest that the function accepts.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html>
fn messages(body: impl Fn(usize) -> String) -> String {
    let mut event = String::from("{\"Records\":[");
    for number in 0..10_000 {
        let comma = if number == 0 { "" } else { "," };
        let (body, before) = (json!(body(number)), event.len());
        write!(event, "{comma}{{\"eventSource\":\"aws:sqs\",\"messageId\":\"{number}\",\"body\":{body}}}")
            .expect("text");
        if event.len() + 2 > MOST_BYTES {
            event.truncate(before);
            break;
        }
    }
    event + "]}"
}

/// Scrambles a number, so that the results look random.
fn mixed(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(31).wrapping_mul(0xBF58_476D_1CE4_E5B9)
}

fn ordinary() -> impl Iterator<Item = String> {
    (1..=5).map(|number| format!("ordinary-{number}.html"))
}

/// Returns events of six megabytes, with their names, that anyone who can upload objects or send
/// manual events could cause.
fn events() -> Vec<(&'static str, String)> {
    let slashes = "/".repeat(1_015);
    let bits =
        |number: u64| (0..300).map(move |at| if mixed(number) >> (at % 64) & 1 == 1 { "a/" } else { "b/" });
    let nested = (0..8).fold("x".repeat(5_900_000), |body, _| sqs([("m", body)]).to_string());
    let many = 0..100_000_u64;
    vec![
        ("slashes", keys((0..2_870).map(|n| format!("{n}{slashes}")).chain(ordinary()))),
        ("slashes below", keys((0..2_870).map(|n| format!("uploads/{n}{slashes}")).chain(ordinary()))),
        ("deep", keys(many.clone().map(|n| format!("{n}{}", "/a".repeat(505))))),
        ("deep ends", keys(many.clone().map(|n| format!("{}{n}", "a/".repeat(505))))),
        ("branching", keys(many.clone().map(|n| bits(n).collect()))),
        ("escapes", keys(many.clone().map(|n| format!("{n}{}", "%ff".repeat(1_018))))),
        ("long names", keys(many.clone().map(|n| format!("{}{n}", "x".repeat(1_018))))),
        ("short names", keys(many.clone().map(|n| n.to_string()))),
        ("random names", keys(many.clone().map(|n| format!("{:x}", mixed(n))))),
        (
            "random directories",
            keys(many.clone().map(|n| format!("{:x}/{:x}/{n:x}", n % 13, mixed(n) & 1_023))),
        ),
        ("index documents", keys(many.clone().map(|n| format!("{n}/index.html")))),
        ("the same", keys(many.clone().map(|_| "a".to_owned()))),
        ("buckets", records(many.clone().map(|n| (format!("bucket-{n}"), n.to_string())))),
        ("nobody's events", keys(many.map(|n| n.to_string())).replace("ObjectCreated", "ObjectTagging")),
        ("typed", json!({"paths": (0..600_000).map(|n| n.to_string()).collect::<Vec<_>>()}).to_string()),
        ("typed in messages", messages(|n| json!({"paths": vec![n.to_string(); 60]}).to_string())),
        ("much typed in messages", messages(|n| json!({"paths": vec![n.to_string(); 1_000]}).to_string())),
        ("nonsense", messages(|_| String::new())),
        ("nested", nested),
    ]
}

/// The variables that make the most paths from a key.
const FORMS: [(&str, &str); 2] =
    [("INVALIDATOR_BARE_DIRECTORIES", "true"), ("INVALIDATOR_CLEAN_URLS", "true")];

#[tokio::test]
async fn hostile_events_take_little_memory_and_time() {
    let many = ("INVALIDATOR_MAX_PATHS", "3000");
    let settings = [&[][..], &[FORMS[0], FORMS[1], many, ("INVALIDATOR_MAX_WILDCARDS", "100")]];
    for (name, event) in events() {
        for variables in settings {
            let options = Options { wildcards_in_progress: 100, ..Options::default() };
            let cloudfront = Server::start(options).await.expect("a CloudFront");
            let mut function = Function::start(&cloudfront.endpoint_url(), variables).await;
            let answer = function.invoke(event.clone()).await;
            let (memory, cpu) = (function.peak_memory(), function.cpu());
            assert!(memory <= MOST_MEMORY, "{name} with {variables:?}: {memory} KiB");
            // Only a release build is fast enough.
            let is_release = env::var_os("BOOTSTRAP").is_some();
            assert!(!is_release || cpu <= MOST_CPU, "{name} with {variables:?}: {cpu} ms");
            if name.starts_with("slashes") {
                assert!(matches!(answer, Answer::Response(_)), "{name}: {answer:?}");
                let sent = cloudfront.recorded();
                for key in ordinary() {
                    let item = Item::from_key(key.as_bytes());
                    let covers = |path: &String| path.parse::<Item>().expect("an item").covers(&item);
                    assert!(sent[0].paths.iter().any(covers), "{name}: {item}");
                }
            }
        }
    }
}

/// Creates a distribution that serves the bucket `site`, except that paths that match `patterns` go
/// to another origin.
fn distribution(number: usize, path: &str, patterns: &[&str]) -> Distribution {
    let origin = |id: &str, domain: &str, path: &str| Origin {
        id: id.to_owned(),
        domain_name: domain.to_owned(),
        path: path.to_owned(),
    };
    let behavior = |pattern: Option<&str>, target: &str| Behavior {
        pattern: pattern.map(str::to_owned),
        target: target.to_owned(),
        query_strings: QueryStrings::Known(false),
        edge_functions: Vec::new(),
        has_lambda: false,
    };
    let elsewhere = patterns.iter().map(|pattern| behavior(Some(pattern), "api"));
    Distribution {
        id: format!("E{number}").parse().expect("an id"),
        domain_name: format!("d{number}.cloudfront.net"),
        aliases: vec![format!("www{number}.example.com")],
        status: "Deployed".to_owned(),
        enabled: true,
        staging: false,
        multi_tenant: false,
        origins: vec![origin("site", DOMAIN, path), origin("api", &format!("api{number}.example.com"), "")],
        origin_groups: Vec::new(),
        behaviors: elsewhere.chain([behavior(None, "site")]).collect(),
        error_pages: Vec::new(),
        default_root_object: "index.html".to_owned(),
        has_cache_tags: None,
        etag: None,
        modified: None,
    }
}

fn config(variables: &[(&str, &str)]) -> Config {
    Config::read(variables.iter().copied()).expect("a configuration")
}

fn sites(distributions: &[Distribution]) -> Sites {
    let site = |one: &Distribution| Arc::new(Site::of(one, &[], config(&[]).search.forms));
    Sites { list: distributions.iter().map(site).collect(), ..Sites::default() }
}

/// Returns the CPU time that this thread has used so far, in nanoseconds.
fn cpu() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").expect("its time");
    stat.split(' ').next().and_then(|time| time.parse().ok()).expect("a number")
}

fn directories() -> String {
    let names = (0..2_995_u64).map(|n| format!("a/b/c/{:x}/index.html", mixed(n) & 0xf_ffff));
    keys(names)
}

#[test]
fn planning_for_fifty_distributions_costs_less_than_twice_as_much_as_for_one() {
    let batch = event::read(directories().as_bytes(), "invocation");
    let policy = config(&[]).policy;
    let costs = |sites: &Sites| {
        let begun = cpu();
        let plan = plan(&batch, &policy, sites);
        (cpu() - begun, plan)
    };
    let many: Vec<Distribution> = (0..50).map(|number| distribution(number, "", &["api/*"])).collect();
    let (one, alone) = costs(&sites(&many[..1]));
    let (fifty, plan) = costs(&sites(&many));
    assert_eq!(plan.invalidations.len(), 50);
    assert!(fifty < 2 * one, "{fifty} ns instead of {one}");
    assert_eq!(plan.invalidations[0], alone.invalidations[0], "other distributions do not affect it");
    let references: std::collections::BTreeSet<_> =
        plan.invalidations.iter().map(|one| &one.caller_reference).collect();
    assert_eq!(references.len(), 50);
}

#[test]
fn distributions_with_equal_paths_share_one_cover() {
    let batch = event::read(directories().as_bytes(), "invocation");
    let patterns: Vec<String> = (0..20).map(|number| format!("elsewhere-{number}/*")).collect();
    let each = (0..20).map(|number| distribution(number, "", &[&patterns[number]]));
    let plan = plan(&batch, &config(&[]).policy, &sites(&each.collect::<Vec<_>>()));
    let first = &plan.invalidations[0].purge.items;
    assert!(first.iter().any(|one| one.folded));
    assert!(plan.invalidations.iter().all(|one| Arc::ptr_eq(&one.purge.items, first)));
}

#[tokio::test]
async fn many_distributions_with_long_paths_fit_into_memory() {
    let long = "x".repeat(900);
    let distributions: Vec<Value> = (0..200)
        .map(|number| {
            changed(&format!("E{number}"), DOMAIN, |config| {
                config["Origins"]["Items"][0]["OriginPath"] =
                    format!("/{}", number % 3).replace("/2", "").into();
                config["DefaultRootObject"] = format!("root-{number}").into();
            })
        })
        .collect();
    let (cloudfront, mut function) = with(account(&distributions), &[]).await;
    // Every site has about 150 paths of 2,700 characters: 80 MB in all.
    let of = |directory: usize| (0..150).map(move |n| (directory, n));
    let event = keys((0..2).flat_map(of).map(|(directory, n)| {
        format!("{directory}/{n}{}", long.replace('x', "%c3%a4").chars().take(5_394).collect::<String>())
    }));
    let answer = function.invoke(event).await;
    assert!(matches!(answer, Answer::Response(_)), "{answer:?}");
    assert_eq!(cloudfront.created(), 200);
    let memory = function.peak_memory();
    assert!(memory <= MOST_MEMORY, "{memory} KiB");
    // The answer counts all paths, but shows only some.
    let Answer::Response(answer) = answer else { return };
    assert_eq!(
        answer["billed_paths"],
        json!(cloudfront.recorded().iter().map(|one| one.paths.len()).sum::<usize>())
    );
    assert!(answer.to_string().len() < 2 * 1024 * 1024);
    assert!(function.log().iter().map(String::len).sum::<usize>() < 4 * 1024 * 1024);
}

#[tokio::test]
async fn at_most_eight_calls_are_in_flight() {
    let ids: Vec<String> = (0..20).map(|number| format!("E{number}")).collect();
    let cloudfront = cloudfront(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let variables = [("INVALIDATOR_DISTRIBUTIONS", &*ids.join(","))];
    let mut function = Function::start(&cloudfront.endpoint_url(), &variables).await;
    (0..20).for_each(|_| cloudfront.inject(None, Fault::Hang));
    let event = sqs([("m", s3("a", "1").to_string())]).to_string();
    let answer = function.invoke_within(Duration::from_secs(2), event).await;
    assert_eq!(answer.handed_back(), [""; 0]);
    assert_eq!(cloudfront.calls(), 8);
}

/// A plan that takes long does not delay the invalidation that was planned before it.
#[tokio::test(flavor = "current_thread")]
async fn each_invalidation_is_sent_as_soon_as_it_is_planned() {
    let cloudfront = cloudfront(&["E1", "E2"]).await;
    let client = Client::new(Settings::local(&cloudfront.endpoint_url()));
    let config = config(&[("INVALIDATOR_DISTRIBUTIONS", "E1,E2")]);
    let batch = event::read(s3("a", "1").to_string().as_bytes(), "invocation");
    let given = config.search.given();
    let mut planner = Planner::new(&batch, &config.policy, &given);
    let mut sent_before = Vec::new();
    let next = || {
        sent_before.push(cloudfront.created());
        // A large plan may take this long.
        std::thread::sleep(Duration::from_millis(200));
        planner.next(&|| Pace::Thorough)
    };
    submit(&client, next, Instant::now() + Duration::from_secs(5), |_, _| ()).await;
    assert_eq!(sent_before, [0, 1, 2]);
}

#[test]
fn less_time_makes_wider_plans_and_the_log_says_so() {
    let names = (0..2_000_u64).map(|n| format!("{:x}/{:x}/{n}", mixed(n) & 15, mixed(n) >> 4 & 0xff));
    let batch = event::read(keys(names).as_bytes(), "invocation");
    let config = config(&[("INVALIDATOR_DISTRIBUTIONS", "E1,E2"), ("INVALIDATOR_MAX_WILDCARDS", "100")]);
    let given = config.search.given();
    let hastes = [Pace::Thorough, Pace::Hasty, Pace::Everything].map(|pace| {
        let mut planner = Planner::new(&batch, &config.policy, &given);
        let mut ended = Ended::new(true);
        while let Some(invalidation) = planner.next(&|| pace) {
            ended.planned(invalidation);
        }
        let (invalidations, results) = ended.in_order();
        let plan = planner.finish(invalidations);
        assert_eq!((plan.invalidations.len(), plan.ignored.len()), (2, 0));
        let purge = &plan.invalidations[0].purge;
        assert!(purge.items.len() <= 150 && purge.wildcard_count <= 100);
        for change in &batch.changes {
            let item = Item::from_key(change.key.as_bytes());
            assert!(purge.items.iter().any(|one| one.item.covers(&item)), "{pace:?}: {item}");
        }
        let is_hasty = purge.is_hasty;
        assert_eq!(pace == Pace::Everything, *purge.items[0].item.as_str() == *"/*");
        let report =
            Report::new(batch.clone(), Found { sites: given.clone(), ..Found::default() }, plan, results, 0);
        let lines = Log::default().lines(&report, "request").concat();
        assert_eq!(lines.contains("planning ran out of time"), is_hasty, "{pace:?}");
        is_hasty
    });
    assert!(!hastes[0] && hastes[2]);
}

/// The plan of a batch does not depend on the time that is left, as long as there is enough.
#[tokio::test]
async fn the_deadline_does_not_affect_the_plan() {
    let event = directories();
    let cloudfront = cloudfront(&["E1EXAMPLE"]).await;
    let client = Client::new(Settings::local(&cloudfront.endpoint_url()));
    let invalidator = Invalidator::new(config(&[("INVALIDATOR_DISTRIBUTIONS", "E1EXAMPLE")]), Some(client));
    let mut sent = Vec::new();
    for seconds in [30, 60] {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        let report = invalidator.run(&event, "invocation", deadline).await;
        assert!(report.is_done());
        sent.push(report.plan.invalidations[0].paths().map(str::to_owned).collect::<Vec<_>>());
    }
    assert_eq!(sent[0], sent[1]);
    assert_eq!(cloudfront.created(), 1);
}

#[tokio::test]
async fn a_refused_path_among_thousands_takes_little_memory_and_time() {
    let options = Options { refuses: vec!["@".to_owned()], ..Options::default() };
    let cloudfront = Server::start(options).await.expect("a CloudFront");
    let mut function =
        Function::start(&cloudfront.endpoint_url(), &[("INVALIDATOR_MAX_PATHS", "3000")]).await;
    let names = (0..2_900).map(|n| format!("d{}/page-{n}.html", n % 50)).chain(["img/a@2x.png".to_owned()]);
    let messages: Vec<(String, String)> = names
        .enumerate()
        .map(|(n, key)| {
            (format!("m{n}"), json!({"Records": [s3_record(&key.replace('@', "%40"), "1")]}).to_string())
        })
        .collect();
    let event = sqs(messages.iter().map(|(id, body)| (&**id, body.clone()))).to_string();
    assert_eq!(function.invoke(event).await.handed_back(), [""; 0]);
    let line = function.logged(|line| line["error_type"] == "PathRejected").await;
    assert_eq!(line["path"], "/img/a@2x.png");
    let (memory, cpu) = (function.peak_memory(), function.cpu());
    assert!(memory <= MOST_MEMORY, "{memory} KiB");
    assert!(env::var_os("BOOTSTRAP").is_none() || cpu <= MOST_CPU, "{cpu} ms");
}

/// Starts a CloudFront whose answers start with `begin` and never end. Returns its endpoint.
fn endless(begin: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("its address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            std::thread::spawn(move || {
                let _ = stream.read(&mut vec![0; 65_536]);
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nConnection: close\r\n\r\n";
                let _ = stream.write_all(format!("{head}{begin}").as_bytes());
                let more = "<Comment>and so on</Comment>".repeat(10_000);
                while stream.write_all(more.as_bytes()).is_ok() {}
            });
        }
    });
    endpoint
}

#[tokio::test]
async fn an_endless_answer_is_read_up_to_a_limit() {
    for (begin, distributions) in [
        ("<Invalidation xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\">", "E1EXAMPLE"),
        ("<ErrorResponse><Error><Message>", "E1EXAMPLE"),
        ("<DistributionList xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\">", ""),
    ] {
        let mut function =
            Function::start(&endless(begin), &[("INVALIDATOR_DISTRIBUTIONS", distributions)]).await;
        let answer = function.invoke(puts("site", &["a"], "1")).await;
        assert_eq!(answer.handed_back(), ["m0"], "{begin}");
        let line = function.logged(|line| line["level"] == "ERROR").await;
        assert_eq!(line["error_type"], "AnswerTooLong", "{begin}: {line}");
        let memory = function.peak_memory();
        assert!(memory <= MOST_MEMORY, "{begin}: {memory} KiB");
    }
}

#[tokio::test]
async fn a_list_that_is_too_long_is_read_in_smaller_pages() {
    let large = |number: usize| {
        changed(&format!("E{number}"), DOMAIN, |config| {
            let behaviors: Vec<Value> = (0..75)
                .map(|index| {
                    json!({"PathPattern": format!("{index}{}", "p".repeat(250)), "TargetOriginId": "o",
                    "CachePolicyId": "658327ea-f89d-4fab-a63d-7e88639e58f6", "Comment": "c".repeat(200)})
                })
                .collect();
            config["CacheBehaviors"] = json!({"Quantity": 75, "Items": behaviors});
        })
    };
    let distributions: Vec<Value> = (0..110).map(large).collect();
    let mut account = Account::default();
    account.add(json!(distributions).to_string().as_bytes(), None).expect("distributions");
    let (cloudfront, mut function) = with(account, &[]).await;
    assert_eq!(function.invoke(puts("site", &["a"], "1")).await.handed_back(), [""; 0]);
    assert_eq!(cloudfront.created(), 110);
    let lists = cloudfront.reads().into_iter().filter(|read| *read == "ListDistributions").count();
    assert_eq!(lists, 6, "one page that is too long, and five of 25 distributions");
    let memory = function.peak_memory();
    assert!(memory <= MOST_MEMORY, "{memory} KiB");
    // A deleted distribution discards this list, too.
    cloudfront.inject(None, refusal(404, "NoSuchDistribution", "gone"));
    assert_eq!(function.invoke(puts("site", &["b"], "2")).await.handed_back(), [""; 0]);
    assert_eq!(cloudfront.sent().len(), 1);
}
