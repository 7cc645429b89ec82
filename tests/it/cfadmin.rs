//! Runs `cfadmin` as a process, and checks its output and its exit codes.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use cloudfront_invalidator::local::{Options, Server};
use serde_json::{Value, json};

use crate::{
    function::refusal,
    sites::{self, plain},
    support::{cloudfront, s3, s3_record, sqs},
};

/// Runs `cfadmin` in the project's folder with this standard input. The environment contains only
/// these variables.
pub(crate) fn cfadmin(arguments: &[&str], variables: &[(&str, &str)], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_cfadmin"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("cfadmin");
    // `cfadmin` may end without reading its input, and that is not an error.
    let _ = child.stdin.take().expect("its input").write_all(input.as_bytes());
    child.wait_with_output().expect("its output")
}

/// Runs `cfadmin` against this AWS endpoint.
pub(crate) fn cfadmin_at(endpoint: &str, arguments: &[&str]) -> Output {
    let keys = [("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x")];
    let place = ["--endpoint-url", endpoint, "--region", "eu-west-1"];
    cfadmin(&[arguments, &place].concat(), &keys, "")
}

/// Returns the documents that `--json` prints.
#[track_caller]
pub(crate) fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("a document")).collect()
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

#[test]
fn a_plan_contacts_nothing_and_has_the_documented_shape() {
    let endpoint = [("AWS_ENDPOINT_URL", "http://127.0.0.1:1")];
    let output = cfadmin(&["plan", "--json", "events/poisoned-batch.json"], &endpoint, "");
    assert_eq!(output.status.code(), Some(1), "two messages are unreadable");
    let [document] = &lines(&output)[..] else { panic!("one event, one document") };
    let fields: Vec<&String> = document.as_object().expect("an object").keys().collect();
    assert_eq!(fields, ["billed_paths", "ignored", "invalidations", "unreadable"]);
    assert_eq!(document["invalidations"][0]["distribution"], "E1EXAMPLE");
    assert_eq!(document["invalidations"][0]["paths"], json!(["/", "/a.css", "/b.css", "/index.html"]));
    assert_eq!(document["invalidations"][0]["caller_reference"].as_str().map(str::len), Some(64));
    assert_eq!(document["invalidations"][0].as_object().map(serde_json::Map::len), Some(3));
    assert_eq!(document["ignored"], json!([]));
    assert_eq!(document["unreadable"].as_array().map(Vec::len), Some(2));
    assert_eq!(document["billed_paths"], 4);
}

#[test]
fn json_output_has_one_document_for_each_event() {
    let arguments = ["invoke", "--local", "--json", "events/put.json", "-", "events/eventbridge.json"];
    let output = cfadmin(&arguments, &[], &s3("from stdin", "1").to_string());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let paths: Vec<Value> =
        lines(&output).iter().map(|line| line["invalidations"][0]["paths"].clone()).collect();
    assert_eq!(
        paths,
        [
            json!(["/images/logo.svg"]),
            json!(["/from%20stdin", "/from+stdin"]),
            json!(["/docs/a%2Bb%20c.html", "/docs/a%2Bb+c.html", "/docs/a+b%20c.html"]),
        ]
    );
    let first = &lines(&output)[0]["invalidations"][0];
    assert_eq!((&first["id"], &first["status"]), (&json!("I0000000000001"), &json!("InProgress")));
}

#[test]
fn plan_reads_the_same_configuration_as_the_function() {
    let variables = [
        ("INVALIDATOR_DISTRIBUTIONS", "E2,E1"),
        ("INVALIDATOR_CLEAN_URLS", "true"),
        ("INVALIDATOR_BUCKETS", "site"),
    ];
    let output = cfadmin(&["plan", "--json", "-"], &variables, &s3("about.html", "1").to_string());
    let documents = lines(&output);
    let shown = documents[0]["invalidations"].as_array().expect("invalidations");
    let distributions: Vec<&Value> = shown.iter().map(|one| &one["distribution"]).collect();
    assert_eq!(distributions, ["E1", "E2"]);
    assert_eq!(shown[0]["paths"], json!(["/about", "/about.html"]));
}

#[test]
fn invoking_a_manual_event_twice_makes_two_invalidations_but_its_plan_stays_the_same() {
    let event = json!({"paths": ["/a"]}).to_string();
    let references = |arguments: &[&str]| {
        let output = cfadmin(arguments, &[], &event);
        lines(&output)[0]["invalidations"][0]["caller_reference"].clone()
    };
    assert_ne!(
        references(&["invoke", "--local", "--json", "-"]),
        references(&["invoke", "--local", "--json", "-"])
    );
    assert_eq!(references(&["plan", "--json", "-"]), references(&["plan", "--json", "-"]));
}

#[test]
fn a_folded_item_is_shown_with_the_changes_it_covers() {
    let records: Vec<Value> = (0..9).map(|n| s3_record(&format!("f{n}.css"), &n.to_string())).collect();
    let event = json!({"Records": records}).to_string();
    let variables = [("INVALIDATOR_MAX_PATHS", "8")];
    let output = cfadmin(&["plan", "-"], &variables, &event);
    let shown = text(&output.stdout);
    assert!(shown.contains("  folded   /f*  9 paths\n"), "{shown}");
    assert!(shown.contains("/f0.css  s3://site/f0.css ObjectCreated:Put\n"), "{shown}");
    assert!(shown.contains("… and 6 more\n"), "{shown}");
    let output = cfadmin(&["plan", "--all", "-"], &variables, &event);
    assert!(text(&output.stdout).contains("s3://site/f8.css"));
}

#[test]
fn the_plan_shows_that_a_typed_path_is_widened() {
    let output = cfadmin(&["plan", "-"], &[], &json!({"paths": ["/~joe/a.html"]}).to_string());
    assert!(
        text(&output.stdout).contains("  widened  /*  requested as \"/~joe/a.html\"\n"),
        "{}",
        text(&output.stdout)
    );
}

#[test]
fn a_dry_run_and_a_failure_bill_nothing() {
    let output = cfadmin(&["invoke", "--local", "events/put.json"], &[("INVALIDATOR_DRY_RUN", "true")], "");
    assert!(text(&output.stdout).starts_with("dry run: nothing was sent  (simulated)\n"));
    let elsewhere = json!({"paths": ["/a"], "distribution": "E404"}).to_string();
    let output = cfadmin(&["invoke", "--local", "-"], &[], &elsewhere);
    assert!(text(&output.stdout).contains("0 invalidations from 1 change, 1 failed, 0 paths billed: $0.000"));
}

#[test]
fn failures_are_reported_and_exit_with_1() {
    let elsewhere = json!({"paths": ["/a"], "distribution": "E404"}).to_string();
    let output = cfadmin(&["invoke", "--local", "-"], &[], &elsewhere);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stdout).contains("E404  FAILED  NoSuchDistribution: NoSuchDistribution (HTTP 404): ")
    );

    let output = cfadmin(&["plan", "no-such-file.json"], &[], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("cfadmin: no-such-file.json: "), "{}", text(&output.stderr));

    let unreachable = [
        ("INVALIDATOR_DISTRIBUTIONS", "E1EXAMPLE"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("AWS_ACCESS_KEY_ID", "x"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("AWS_MAX_ATTEMPTS", "1"),
    ];
    let output = cfadmin(&["invoke", "--json", "events/put.json"], &unreachable, "");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(lines(&output)[0]["invalidations"][0]["error_type"], "CloudFrontUnreachable");
}

#[test]
fn wrong_usage_exits_with_2() {
    for arguments in [&[][..], &["plan"], &["plan", "--nope", "x"], &["purge"]] {
        assert_eq!(cfadmin(arguments, &[], "").status.code(), Some(2), "{arguments:?}");
    }
    let output = cfadmin(
        &["plan", "events/put.json"],
        &[("INVALIDATOR_DRYRUN", "true"), ("INVALIDATOR_MAX_PATHS", "x")],
        "",
    );
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.contains("INVALIDATOR_DRYRUN") && said.contains("INVALIDATOR_MAX_PATHS"), "{said}");
    let output = cfadmin(&["plan", "-", "-"], &[], "{}");
    assert_eq!(output.status.code(), Some(2), "standard input twice");
    for attempts in ["0", "abc"] {
        let output = cfadmin(&["invoke", "events/put.json"], &[("AWS_MAX_ATTEMPTS", attempts)], "");
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    }
}

/// Options that read the sample distribution from files, instead of the account's distributions.
const EXAMPLE: [&str; 4] =
    ["--distributions", "samples/E1EXAMPLE.json", "--distributions", "samples/policies.json"];

#[test]
fn sites_shows_the_distributions_that_serve_a_bucket() {
    let output = cfadmin(&[&["sites", "s3://site"][..], &EXAMPLE].concat(), &[], "");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let expected = "\
E1EXAMPLE  www.example.com, example.com, de1example.cloudfront.net  Deployed  (simulated)
  origin    pages  site.s3.eu-central-1.amazonaws.com  bucket site  below /live
  origin    images  site.s3.eu-central-1.amazonaws.com  bucket site  below /media
  origin    api  api.example.com  not a bucket
  behavior  /images/*  from images  query strings cached
  behavior  search*  from api, then pages (group pages or api)  query strings cached
  behavior  api/*  from api
  behavior  * (default)  from pages
            viewer-request arn:aws:cloudfront::123456789012:function/append-index: paths may be missing
  root      index.html
  error     403 shows /errors/gone.html, kept for 300 s, or longer if the origin says so
            a change of /errors/gone.html purges everything: set the error's minimum TTL (ErrorCachingMinTTL) below 60 s to avoid that
  error     500 shows /errors/sorry.html, kept for 10 s, or longer if the origin says so
s3://site  eu-central-1  (simulated)
  settings  BucketNames=site
";
    assert_eq!(text(&output.stdout), expected);
    let output = cfadmin(&[&["sites", "--json"][..], &EXAMPLE].concat(), &[], "");
    let [document] = &lines(&output)[..] else { panic!("one distribution") };
    assert_eq!(
        (&document["id"], &document["default_root_object"]),
        (&json!("E1EXAMPLE"), &json!("index.html"))
    );
    let output = cfadmin(&[&["sites", "logs"][..], &EXAMPLE].concat(), &[], "");
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(text(&output.stderr), "cfadmin: no distribution has the bucket \"logs\" as an origin\n");
}

#[test]
fn explain_shows_the_paths_of_an_object() {
    let explain = |object: &str, variables: &[(&str, &str)]| {
        let output = cfadmin(&[&["explain", object][..], &EXAMPLE].concat(), variables, "");
        let shown = text(&output.stdout).to_owned();
        let expected = if shown.contains("nothing: ") { 3 } else { 0 };
        assert_eq!(output.status.code(), Some(expected), "{}", text(&output.stderr));
        shown
    };
    let root = explain("s3://site/live/index.html", &[]);
    let shown: Vec<&str> = root.lines().take(3).collect();
    assert_eq!(
        shown,
        [
            "E1EXAMPLE  www.example.com  (simulated)",
            "  /index.html  object s3://site/live/index.html",
            "  /            default root object: s3://site/live/index.html",
        ]
    );
    assert!(explain("s3://site/other/a", &[]).contains("nothing: outside the origin path"));
    assert!(explain("s3://site/media/a.jpg", &[]).contains("nothing: no behavior serves its path"));
    assert!(explain("s3://logs/a", &[]).contains("nothing: no enabled distribution has the bucket \"logs\""));
    let excluded = [("INVALIDATOR_EXCLUDE", "**/*.map")];
    assert!(explain("s3://site/live/a.map", &excluded).starts_with("nothing: left out by"));
    let given = [("INVALIDATOR_DISTRIBUTIONS", "E7,E8")];
    assert_eq!(explain("s3://site/a b", &given).matches("/a%20b  object").count(), 2);
    for wrong in ["site/a", "s3://site", "s3:///a"] {
        let output = cfadmin(&["explain", wrong], &[], "");
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("write it as s3://"), "{}", text(&output.stderr));
    }
}

#[test]
fn distributions_in_files_replace_those_of_the_account() {
    let event = s3("live/docs/index.html", "1").to_string();
    for command in ["plan", "invoke"] {
        let output = cfadmin(&[&[command, "--json", "-"][..], &EXAMPLE].concat(), &[], &event);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let [document] = &lines(&output)[..] else { panic!("one event, one document") };
        assert_eq!(document["invalidations"][0]["distribution"], "E1EXAMPLE");
        assert_eq!(document["invalidations"][0]["paths"], json!(["/docs/", "/docs/index.html"]));
    }
    let output = cfadmin(&["sites", "--distributions", "events/put.json"], &[], "");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("is no distribution: give what"), "{}", text(&output.stderr));
}

#[test]
fn control_characters_are_escaped_on_the_terminal() {
    let event = sqs([("m\u{1b}[2J", "{\u{1b}".to_owned()), ("n", s3("a\u{1b}[2Jb\nc", "1").to_string())]);
    let output = cfadmin(&["plan", "-"], &[], &event.to_string());
    assert!(!text(&output.stdout).contains('\u{1b}'), "{:?}", text(&output.stdout));
    assert!(text(&output.stdout).contains("s3://site/a\\u{1b}[2Jb\\nc"));
    for event in [json!({"Type": "\u{1b}[31mConfirmation"}), json!({"paths": ["/a"], "\u{1b}[31m\nE1": 1})] {
        let output = cfadmin(&["plan", "-"], &[], &event.to_string());
        assert!(!text(&output.stdout).contains('\u{1b}'), "{:?}", text(&output.stdout));
    }
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_cfadmin"))
        .args(["plan", "events/site-deploy.json"])
        .current_dir(manifest)
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("cfadmin");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("its end");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn paths_come_from_arguments_files_and_standard_input() {
    let dry = |arguments: &[&str], input: &str| {
        let output = cfadmin(
            &[&["invalidate", "E1EXAMPLE", "--dry-run", "--json", "--local"], arguments].concat(),
            &[],
            input,
        );
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        lines(&output).into_iter().map(|document| document["paths"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(dry(&[], "/b\r\n\n  \na\n/b\n"), [json!(["/a", "/b"])]);
    assert_eq!(dry(&["-0", "--file", "-"], "/a\nb\0c\0"), [json!(["/a%0Ab", "/c"])]);
    assert_eq!(dry(&["--keys", "--file", "events/put.json"], "").len(), 1);
    assert_eq!(
        dry(&["/a", "/b", "/c", "--max-paths", "2", "--split"], ""),
        [json!(["/a", "/b"]), json!(["/c"])]
    );
    assert_eq!(dry(&["/d/a", "/d/b", "/c", "--max-paths", "2", "--fold"], ""), [json!(["/c", "/d/*"])]);
    assert_eq!(dry(&["/*"], ""), [json!(["/*"])]);
    for (arguments, said) in [
        (&["--max-paths", "1", "/a", "/b"][..], "2 paths exceed the maximum of 1 in one request"),
        (&["/a", "https://example.com/b"], "is a URL"),
        (&["--file", "nowhere"], "nowhere: No such file"),
        (&[], "no paths given"),
    ] {
        let output = cfadmin(&[&["invalidate", "E1EXAMPLE", "--local"], arguments].concat(), &[], "");
        assert!(!output.status.success());
        assert!(text(&output.stderr).contains(said), "{}", text(&output.stderr));
    }
}

#[test]
fn invalidate_and_wait_follow_an_invalidation() {
    let output = cfadmin(&["invalidate", "s3://site", "/a", "--wait", "--json", "--local"], &[], "");
    let [document] = &lines(&output)[..] else { panic!("one invalidation") };
    assert_eq!((&document["distribution"], &document["status"]), (&json!("E1EXAMPLE"), &json!("Completed")));
    assert_eq!(document["paths"], json!(["/a"]));
    let output = cfadmin(&["wait", "E1EXAMPLE", "I0000000000001", "--timeout", "1", "--local"], &[], "");
    assert_eq!(output.status.code(), Some(124));
    let missing = cfadmin(&["wait", "E1EXAMPLE", "I404", "--timeout", "1", "--local"], &[], "");
    assert_eq!(missing.status.code(), Some(3), "a missing invalidation is not a timeout");
    assert!(
        text(&output.stderr).contains("cfadmin wait E1EXAMPLE I0000000000001"),
        "{}",
        text(&output.stderr)
    );
    let output = cfadmin(&["listinvalidations", "example.com", "--json", "--paths", "--local"], &[], "");
    assert_eq!(lines(&output)[0]["paths"], json!(["/css/site.css", "/index.html"]));
    let output = cfadmin(&["invalidate", "E404", "/a", "--local"], &[], "");
    assert_eq!(output.status.code(), Some(3));
    let same = [
        "invalidate",
        "E1EXAMPLE",
        "/css/site.css",
        "/index.html",
        "--caller-reference",
        "sample",
        "--local",
    ];
    let output = cfadmin(&same, &[], "");
    assert!(text(&output.stdout).starts_with("E1EXAMPLE  I0000000000001"), "{}", text(&output.stdout));
    let output = cfadmin(&["invalidate", "E1EXAMPLE", "/a", "--quiet", "--local"], &[], "");
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty());
}

#[test]
fn output_is_colored_only_on_a_terminal_or_if_forced() {
    let ls = |variables: &[(&str, &str)]| cfadmin(&["ls", "--local"], variables, "").stdout.contains(&0x1b);
    assert!(!ls(&[]), "standard output is not a terminal");
    assert!(ls(&[("CLICOLOR_FORCE", "1")]));
    assert!(!ls(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
}

#[test]
fn a_timeout_prints_the_command_that_resumes_waiting() {
    let arguments = ["invalidate", "E1EXAMPLE", "/a", "--wait", "--timeout", "0", "--json", "--local"];
    let output = cfadmin(&arguments, &[], "");
    assert_eq!(output.status.code(), Some(124));
    let [document] = &lines(&output)[..] else { panic!("one invalidation") };
    assert_eq!(document["status"], "InProgress");
    let again = format!("cfadmin wait E1EXAMPLE {}", document["id"].as_str().expect("an id"));
    assert!(text(&output.stderr).contains(&again), "{}", text(&output.stderr));
}

/// Checks the precedence that the AWS CLI has: the endpoint of one service overrides that of all.
#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_can_be_set_in_a_profile() {
    let cloudfront = cloudfront(&["E1EXAMPLE"]).await;
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("profiles");
    let profiles = format!(
        "[profile site]\nregion = us-east-1\naws_access_key_id = x\naws_secret_access_key = x\n\
         endpoint_url = http://127.0.0.1:1\nservices = own\n\
         [services own]\ncloudfront =\n  endpoint_url = {}\n",
        cloudfront.endpoint_url()
    );
    fs::write(&file, profiles).expect("a file");
    let variables = [("AWS_CONFIG_FILE", file.to_str().expect("text")), ("AWS_MAX_ATTEMPTS", "1")];
    let run = |more: &[&str]| {
        let arguments = [&["invalidate", "E1EXAMPLE", "/a", "--profile", "site", "--quiet"], more].concat();
        tokio::task::block_in_place(|| cfadmin(&arguments, &variables, ""))
    };
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(cloudfront.created(), 1);
    // The command-line option overrides both.
    let output = run(&["--endpoint-url", "http://127.0.0.1:1"]);
    assert_eq!((output.status.code(), cloudfront.created()), (Some(1), 1));
}

#[test]
fn cost_man_completions_and_help_print_their_output() {
    let output = cfadmin(&["cost", "--json", "--month", "2020-01", "--local"], &[], "");
    let [document] = &lines(&output)[..] else { panic!("one month") };
    assert_eq!((&document["paths"], &document["dollars"]), (&json!(0), &json!("0.000")));
    assert_eq!((&document["left"], &document["forecast"]), (&json!(1000), &Value::Null));
    assert_eq!(cfadmin(&["cost", "--month", "May", "--local"], &[], "").status.code(), Some(2));
    let output = cfadmin(&["man", "invalidate"], &[], "");
    assert!(text(&output.stdout).contains("max\\-paths"));
    for shell in ["bash", "zsh", "fish"] {
        let output = cfadmin(&["completions", shell], &[], "");
        assert!(text(&output.stdout).contains("listinvalidations"), "{shell}");
    }
    assert!(text(&cfadmin(&["help", "invalidate"], &[], "").stdout).contains("--caller-reference"));
}

#[test]
fn a_month_that_does_not_exist_is_refused() {
    for month in ["2026-13", "2026-00", "2026-1", "26-01", "2026-0a"] {
        let output = cfadmin(&["cost", "--local", "--month", month], &[], "");
        assert_eq!(output.status.code(), Some(2), "{month}");
        assert!(text(&output.stderr).contains("write a month as 2026-11"), "{month}");
    }
    let output = cfadmin(&["cost", "--local", "--month", "2026-12"], &[], "");
    assert_eq!(output.status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_for_a_distribution_that_reads_none_is_refused() {
    let account = sites::account(&[plain("E1", "site.s3.eu-central-1.amazonaws.com")]);
    let options = Options { distributions: vec!["E2".to_owned()], account, ..Options::default() };
    let cloudfront = Server::start(options).await.expect("a CloudFront");
    let run = |arguments: &[&str]| {
        let output = tokio::task::block_in_place(|| cfadmin_at(&cloudfront.endpoint_url(), arguments));
        (output.status.code(), text(&output.stderr).to_owned())
    };
    let (code, said) = run(&["invalidate", "E1", "/a", "#release:1"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("E1 reads no cache tags") && said.contains("CacheTagConfig"), "{said}");
    assert_eq!(cloudfront.calls(), 0);
    // Paths alone do not need the configuration.
    assert_eq!(run(&["invalidate", "E1", "/a"]).0, Some(0));
    assert_eq!(cloudfront.reads(), ["GetDistributionConfig"]);
    // If the configuration cannot be read, the tag is sent, with a warning.
    cloudfront.inject_read("GetDistributionConfig", 0, refusal(403, "AccessDenied", "no"));
    let (code, said) = run(&["invalidate", "E1", "#release:1"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("cannot check whether E1 reads cache tags"), "{said}");
}
