//! Runs `cfadmin wait` for uploads and `cfadmin history` against the local CloudFront.

use std::{
    fs,
    path::Path,
    process::Output,
    time::{Duration, Instant},
};

use cloudfront_invalidator::{
    InvalidationRequest,
    cloudfront::{Client, Settings},
    local::{Options, Server, Upload, Versioning},
};
use serde_json::{Value, json};

use crate::{
    cfadmin::{cfadmin, cfadmin_at},
    function::refusal,
    peers::Peer,
    sites::{DOMAIN, account, plain},
    support::{Function, S3Event, sqs},
    tenant_sites::{self, parent, tenant},
};

const BUCKET: &str = "site";

const SECOND: Duration = Duration::from_secs(1);

/// A bucket behind one distribution, E1, whose clock stands still.
struct Site {
    server: Server,
}

/// The exit code and the output of `cfadmin`.
struct Ran {
    code: i32,
    out: String,
    errors: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("text");
        let code = output.status.code().expect("a code");
        Self { code, out: text(output.stdout), errors: text(output.stderr) }
    }

    /// Returns the only document.
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|why| panic!("{why}: {}{}", self.out, self.errors))
    }

    /// Returns the paths that no invalidation covers.
    #[track_caller]
    fn missing(&self) -> Vec<String> {
        let document = self.json();
        let missing = document["missing"].as_array().expect("a list");
        missing.iter().map(|one| one["path"].as_str().expect("a path").to_owned()).collect()
    }
}

impl Site {
    /// Starts a CloudFront that takes this long to complete an invalidation.
    async fn start(completes_after: Duration) -> Self {
        let account = account(&[plain("E1", DOMAIN)]);
        let options = Options { distributions: Vec::new(), account, completes_after, ..Options::default() };
        let server = Server::start(options).await.expect("a CloudFront");
        server.stop_clock();
        Self { server }
    }

    /// Uploads objects, and lets a second go by.
    fn put(&self, keys: &[&str]) {
        for key in keys {
            self.server.put_object(
                BUCKET,
                key,
                Upload { content: key.as_bytes().to_vec(), ..Upload::default() },
            );
        }
        self.server.advance(SECOND);
    }

    /// Purges these paths.
    async fn purge(&self, paths: &[&str]) -> String {
        let client = Client::new(Settings::local(&self.server.endpoint_url()));
        let request = InvalidationRequest::new("E1".parse().expect("an id")).paths(paths).expect("paths");
        request.send(&client).await.expect("an invalidation").id
    }

    /// Runs `cfadmin` with these variables and this input.
    fn run_with(&self, arguments: &[&str], variables: &[(&str, &str)], input: &str) -> Ran {
        let endpoint = self.server.endpoint_url();
        let place = ["--endpoint-url", &endpoint, "--region", "eu-west-1"];
        let keys = [("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x")];
        let (arguments, variables) = ([arguments, &place].concat(), [&keys, variables].concat());
        Ran::of(tokio::task::block_in_place(|| cfadmin(&arguments, &variables, input)))
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, &[], "")
    }

    /// Looks once whether everything since an hour ago is purged.
    fn look(&self) -> Ran {
        self.run(&["wait", "s3://site", "--since", "1h", "--timeout", "0", "--json"])
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_done_when_a_later_invalidation_covers_every_path() {
    let site = Site::start(Duration::ZERO).await;
    site.purge(&["/*"]).await;
    site.put(&["a.html", "docs/index.html"]);
    let ran = site.look();
    let all = ["/a.html", "/docs/", "/docs/index.html"];
    assert_eq!((ran.code, ran.missing()), (124, all.map(str::to_owned).to_vec()), "the purge was too early");
    let first = site.purge(&["/a.html"]).await;
    assert_eq!(site.look().missing(), all[1..]);
    site.purge(&["/docs/x.html", "/doc"]).await;
    assert_eq!(site.look().missing(), all[1..]);
    let second = site.purge(&["/docs/*"]).await;
    let ran = site.look();
    assert_eq!(ran.code, 0, "{}", ran.errors);
    let document = ran.json();
    assert_eq!(
        (&document["done"], &document["objects"], &document["purged"]),
        (&json!(true), &json!(2), &json!(2))
    );
    let ids: Vec<&Value> =
        document["invalidations"].as_array().expect("a list").iter().map(|one| &one["id"]).collect();
    assert!(ids.len() == 2 && ids.contains(&&json!(first)) && ids.contains(&&json!(second)), "{document}");
    let ran = site.run(&["wait", "s3://site/", "--since", "1h"]);
    assert_eq!((ran.code, &*ran.out), (0, "2 objects: 2 purged by 2 invalidations\n"));

    // Another upload of one object needs another purge.
    site.put(&["a.html"]);
    assert_eq!(site.look().missing(), ["/a.html"]);
    let narrow = ["wait", "s3://site/docs/", "--since", "1h", "--timeout", "0"];
    let ran = site.run(&narrow);
    assert_eq!((ran.code, &*ran.out), (0, "1 object: 1 purged by 1 invalidation\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalidation_in_the_second_of_the_upload_does_not_count() {
    let site = Site::start(Duration::ZERO).await;
    site.server.put(BUCKET, "a.html", Some(b"1"));
    site.server.advance(Duration::from_millis(999));
    site.purge(&["/a.html"]).await;
    assert_eq!(site.look().missing(), ["/a.html"]);
    site.server.advance(Duration::from_millis(1));
    site.purge(&["/a.html"]).await;
    assert_eq!(site.look().code, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalidation_in_progress_is_waited_for() {
    let site = Site::start(Duration::from_secs(3)).await;
    site.put(&["a.html"]);
    let id = site.purge(&["/a.html"]).await;
    let ran = site.look();
    let document = ran.json();
    assert_eq!((ran.code, &document["pending"], &document["missing"]), (124, &json!(1), &json!([])));
    assert_eq!(document["invalidations"][0]["status"], "InProgress");
    let ran = site.run(&["wait", "s3://site", "--since", "1h", "--timeout", "0"]);
    assert_eq!(ran.out, format!("1 object: 1 pending\nin progress:\n  E1  {id}\n"));
    let ran = site.run(&["wait", "s3://site", "--since", "1h"]);
    assert_eq!((ran.code, &*ran.out), (0, "1 object: 1 purged by 1 invalidation\n"));
    let begin =
        "0 of 1 object purged, 1 invalidation in progress, 0 not covered  0 s\n1 of 1 object purged, 0";
    assert!(ran.errors.starts_with(begin), "{}", ran.errors);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_paths_that_no_invalidation_covers_are_listed() {
    let site = Site::start(Duration::ZERO).await;
    site.put(&["a.html", "b.html"]);
    site.purge(&["/b.html"]).await;
    let ran = site.run(&["wait", "s3://site", "--since", "1h", "--timeout", "1"]);
    assert_eq!(ran.code, 124);
    assert_eq!(
        ran.out,
        "2 objects: 1 purged by 1 invalidation, 1 not covered\ncovered by no invalidation:\n  \
         E1  /a.html  s3://site/a.html\n"
    );
    assert!(
        ran.errors.ends_with("not done after 1 s; --or-invalidate purges what is not covered\n"),
        "{}",
        ran.errors
    );
    let keys: Vec<String> = (0..30).map(|number| format!("{number}.txt")).collect();
    site.put(&keys.iter().map(String::as_str).collect::<Vec<_>>());
    let ran = site.run(&["wait", "s3://site", "--since", "1h", "--timeout", "0"]);
    assert_eq!(ran.out.lines().count(), 23);
    assert!(ran.out.ends_with("  … and 11 more paths: see --json\n"), "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_covered_can_be_purged_at_the_timeout() {
    let site = Site::start(SECOND).await;
    site.put(&["a.html", "b.html"]);
    site.purge(&["/b.html"]).await;
    let arguments = ["wait", "s3://site", "--since", "1h", "--timeout", "0", "--or-invalidate"];
    let ran = site.run(&arguments);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.errors);
    assert_eq!(ran.out, "2 objects: 2 purged by 2 invalidations\n");
    let recorded = site.server.recorded();
    assert_eq!((recorded.len(), &*recorded[1].paths), (2, &["/a.html".to_owned()][..]));
    assert!(recorded[1].caller_reference.starts_with("cfadmin-"));
    // The own purge counts even if the upload is of the same second, and folds many paths.
    let keys: Vec<String> = (0..200).map(|number| format!("x/{number}.txt")).collect();
    for key in &keys {
        site.server.put(BUCKET, key, Some(b"1"));
    }
    let ran = site.run(&[&arguments[..], &["--json"]].concat());
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.errors);
    assert_eq!(ran.json()["done"], true);
    assert!(site.server.recorded()[2].paths.len() <= 150);
}

#[test]
fn viewers_are_asked_afterwards() {
    // Of the sample account, one page was not purged after the last deploy.
    let arguments = ["wait", "s3://site/live/", "--since", "1h", "--timeout", "0", "--local", "--verify"];
    assert_eq!(Ran::of(cfadmin(&arguments, &[], "")).code, 124);
    let ran = Ran::of(cfadmin(&[&arguments[..], &["--or-invalidate"]].concat(), &[], ""));
    let expected = "3 objects: 3 purged by 2 invalidations  (simulated)\n\
                    4 paths requested, 4 as they should be  (simulated)\n";
    assert_eq!((ran.code, &*ran.out), (0, expected), "{}", ran.errors);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletions_come_from_the_output_of_the_upload() {
    let site = Site::start(Duration::ZERO).await;
    site.put(&["a.html", "old.html", "other.html"]);
    site.server.put(BUCKET, "old.html", None);
    let output =
        "upload: ./a.html to s3://site/a.html\ndelete: s3://site/old.html\nupload: ./b to s3://blog/b\n";
    let wait = |options: &[&str], input: &str| {
        let arguments = ["wait", "s3://site", "--changed", "-", "--timeout", "0", "--json"];
        site.run_with(&[&arguments[..], options].concat(), &[], input)
    };
    site.purge(&["/*"]).await;
    let ran = wait(&[], output);
    assert_eq!((ran.code, ran.missing()), (124, vec!["/old.html".to_owned()]), "a deletion has no time");
    assert!(ran.errors.contains("ignored 1 object outside of s3://site/\n"), "{}", ran.errors);
    let time = |ago| humantime::format_rfc3339_millis(site.server.now() - ago).to_string();
    let (now, before) = (time(Duration::ZERO), time(SECOND));
    assert_eq!(wait(&["--uploaded", &now], output).code, 124);
    let ran = wait(&["--uploaded", &before], output);
    assert_eq!((ran.code, &ran.json()["purged"]), (0, &json!(2)), "{}", ran.errors);
    site.server.advance(SECOND);
    // Of the new invalidation, wait does not know whether it is later than the deletion.
    site.purge(&["/old.html"]).await;
    assert_eq!(wait(&["--uploaded", "1s"], output).code, 0);
    assert_eq!(wait(&[], output).code, 124);
    // An object that is gone by now was deleted.
    assert_eq!(wait(&[], "s3://site/gone.html\n").missing(), ["/gone.html"]);

    let ran = wait(&[], "(dryrun) delete: s3://site/old.html\n");
    assert_eq!(ran.code, 2, "{}", ran.errors);
    let ran = wait(&[], "upload failed: ./c to s3://site/c An error occurred\n");
    assert_eq!((ran.code, &ran.json()["objects"]), (0, &json!(0)));
    assert!(ran.errors.contains("the upload failed for 1 object: upload failed: ./c"), "{}", ran.errors);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_multipart_upload_counts_from_its_end() {
    let site = Site::start(Duration::ZERO).await;
    let began = site.server.now() - Duration::from_mins(2);
    let upload = Upload { etag: Some("d41d8cd9-2".to_owned()), began: Some(began), ..Upload::default() };
    // This purge is between the beginning and the end of the upload.
    site.purge(&["/film.mp4"]).await;
    site.server.put_object(BUCKET, "film.mp4", upload);
    site.server.advance(SECOND);
    assert_eq!(site.look().missing(), ["/film.mp4"]);
    site.purge(&["/film.mp4"]).await;
    assert_eq!(site.look().missing(), ["/film.mp4"], "wait began later");
    let ended = ["wait", "s3://site", "--since", "1h", "--timeout", "0", "--uploaded", "1s"];
    assert_eq!(site.run(&ended).code, 0);
    let ran = site.run(&["wait", "s3://site", "--since", "1h", "--timeout", "0", "--or-invalidate"]);
    assert_eq!(ran.code, 0, "{}", ran.errors);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_function_ignores_or_skips_needs_nothing() {
    let site = Site::start(Duration::ZERO).await;
    site.server.set_versioning(BUCKET, Versioning::Enabled);
    site.put(&["same.html", "other.html", "twice.html"]);
    site.server.advance(Duration::from_hours(2));
    site.put(&["same.html", "new.html", "a.map"]);
    for (key, contents) in [("other.html", &["x"][..]), ("twice.html", &["x", "x"])] {
        for content in contents {
            site.server.put(BUCKET, key, Some(content.as_bytes()));
            site.server.advance(SECOND);
        }
    }
    let variables = [("INVALIDATOR_SKIP_UNCHANGED_SINCE", "2026-01-01"), ("INVALIDATOR_EXCLUDE", "**/*.map")];
    let look = |variables: &[(&str, &str)]| {
        site.run_with(&["wait", "s3://site", "--since", "1h", "--timeout", "0", "--json"], variables, "")
    };
    // The last upload of twice.html made no difference, but the one before it did.
    assert_eq!(look(&variables).missing(), ["/new.html", "/other.html", "/twice.html"]);
    assert_eq!(look(&variables).json()["needless"], 2);
    assert_eq!(look(&[]).json()["uncovered"], 5);
    site.purge(&["/new.html", "/other.html", "/twice.html"]).await;
    let ran = site.run_with(&["wait", "s3://site", "--since", "1h"], &variables, "");
    assert_eq!((ran.code, &*ran.out), (0, "5 objects: 3 purged by 1 invalidation, 2 need none\n"));
    let changed = ["wait", "s3://site", "--changed", "-"];
    let ran = site.run_with(&changed, &variables, "s3://site/same.html\ns3://site/a.map\n");
    assert_eq!((ran.code, &*ran.out), (0, "2 objects: 2 need none\n"));
    let ran = site.run_with(&["wait", "s3://site", "--since", "0s"], &variables, "");
    assert_eq!((ran.code, &*ran.out), (0, "0 objects: nothing to purge\n"));
    assert!(ran.errors.starts_with("cfadmin: no object at s3://site/ changed since 20"), "{}", ran.errors);
    let ran = site.run_with(&["wait", "s3://site", "--since", "1h"], &[("INVALIDATOR_BUCKETS", "blog")], "");
    assert_eq!((ran.code, &*ran.out), (0, "5 objects: 5 need none\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_function_purges_what_cfadmin_waits_for() {
    let site = Site::start(Duration::ZERO).await;
    let endpoint = site.server.endpoint_url();
    let mut function = Function::start(&endpoint, &[("INVALIDATOR_DISTRIBUTIONS", "")]).await;
    let keys: Vec<String> = (0..300).map(|number| format!("docs/{number}/a b.html")).collect();
    let event = |key: &String| {
        let put = site.server.put_object(BUCKET, key, Upload::default());
        (key.clone(), S3Event::put(BUCKET, key, &put).notification().to_string())
    };
    let messages: Vec<(String, String)> = keys.iter().map(event).collect();
    let batch = sqs(messages.iter().map(|(id, body)| (&**id, body.clone()))).to_string();
    assert_eq!(site.look().json()["uncovered"], 300);
    site.server.advance(SECOND);
    assert_eq!(function.invoke(batch).await.handed_back(), [""; 0]);
    let ran = site.look();
    let document = ran.json();
    assert_eq!((ran.code, &document["purged"]), (0, &json!(300)), "{}", ran.out);
    assert_eq!(document["invalidations"][0]["sender"], "function");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_of_invalidations_is_read() {
    let site = Site::start(Duration::ZERO).await;
    site.put(&["a.html", "b.html"]);
    site.purge(&["/a.html"]).await;
    for number in 0..230 {
        site.purge(&[&format!("/{number}")]).await;
    }
    assert_eq!(site.look().missing(), ["/b.html"]);
    let ran = site.run(&["history", "/a.html"]);
    assert_eq!(ran.out.lines().count(), 1);
    assert!(ran.errors.starts_with("E1: read 100 invalidations, back to 20"), "{}", ran.errors);
    let ran = site.run(&["history", "/a.html", "--max", "231"]);
    assert_eq!(ran.out.lines().count(), 2);
    assert_eq!(ran.errors, "E1: read 231 invalidations, all that CloudFront lists\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_invalidation_is_read_once_and_never_taken_for_completed_too_early() {
    let site = Site::start(SECOND * 3).await;
    site.put(&["a.html", "b.html"]);
    site.purge(&["/b.html"]).await;
    // CloudFront is busy in between. The client itself tries three times.
    for after in [1, 0, 0] {
        site.server.inject_read("ListInvalidations", after, refusal(503, "ServiceUnavailable", "busy"));
    }
    let endpoint = site.server.endpoint_url();
    let running = tokio::task::spawn_blocking(move || {
        let ran = Ran::of(cfadmin_at(&endpoint, &["wait", "s3://site", "--since", "1h", "--timeout", "60"]));
        (Instant::now(), ran)
    });
    tokio::time::sleep(SECOND).await;
    let completed = Instant::now() + SECOND * 3;
    site.purge(&["/x", "/a*"]).await;
    let (ended, ran) = running.await.expect("its output");
    let expected = "2 objects: 2 purged by 2 invalidations\n";
    assert_eq!((ran.code, &*ran.out), (0, expected), "{}", ran.errors);
    assert!(ended >= completed);
    let reads = site.server.reads();
    assert_eq!(reads.iter().filter(|operation| **operation == "GetInvalidation").count(), 2);
    assert!(reads.iter().filter(|operation| **operation == "ListInvalidations").count() >= 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_are_waited_for() {
    let documents = [parent("E1", DOMAIN, "/{{place}}"), tenant("a", Some("one")), tenant("b", Some("two"))];
    let options = Options {
        distributions: Vec::new(),
        account: tenant_sites::account(&documents),
        completes_after: Duration::ZERO,
        ..Options::default()
    };
    let site = Site { server: Server::start(options).await.expect("a CloudFront") };
    site.server.stop_clock();
    site.put(&["one/x.html", "two/x.html"]);
    assert_eq!(site.run(&["invalidate", "dt_a", "/x.html"]).code, 0);
    let ran = site.look();
    assert_eq!((ran.code, ran.missing()), (124, vec!["/x.html".to_owned()]), "{}", ran.errors);
    assert_eq!(ran.json()["missing"][0]["distribution"], "dt_b");
    let ran = site.run(&["wait", "s3://site", "--since", "1h", "--timeout", "0", "--or-invalidate"]);
    assert_eq!((ran.code, &*ran.out), (0, "2 objects: 2 purged by 2 invalidations\n"), "{}", ran.errors);
    let ran = site.run(&["history", "s3://site/two/x.html", "--json"]);
    assert!(ran.out.contains("\"dt_b\"") && ran.out.contains("\"cfadmin\""), "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_say_what_to_do() {
    let site = Site::start(Duration::ZERO).await;
    site.put(&["a.html"]);
    for (arguments, code, expected) in [
        (&["wait", "s3://site"][..], 2, "pass --since 10m or --changed FILE"),
        (&["wait", "E1", "--since", "1h"], 2, "s3://BUCKET/PREFIX"),
        (&["wait", "E1", "I1", "--or-invalidate"], 2, "cannot be used with"),
        (&["wait", "s3://site", "--since", "soon"], 2, "write it as 2026-11-25T09:30:00Z"),
        (&["wait", "s3://site", "--since", "1h", "--changed", "x"], 2, "cannot be used with"),
        (&["wait", "s3://site", "--changed", "no-such-file"], 1, "no-such-file"),
        (&["wait", "s3://none", "--since", "1h"], 1, "NoSuchBucket"),
        (
            &["wait", "s3://site", "--since", "1h", "--function", "x"],
            3,
            "GetFunctionConfiguration of \"x\" failed",
        ),
        (&["history", "docs"], 2, "write it as /docs/a.html"),
        (&["history", "s3://none/a"], 3, "no enabled distribution serves s3://none/a"),
        (&["history", "/a", "--distribution", "blog"], 3, "no distribution matches \"blog\""),
        (&["history", "blog.example.com/a"], 3, "no distribution of this account serves"),
    ] {
        let ran = site.run(arguments);
        assert!(
            ran.code == code && ran.errors.contains(expected),
            "{arguments:?}: {} {}",
            ran.code,
            ran.errors
        );
    }
    site.server.set_denied(BUCKET, true);
    let ran = site.look();
    assert!(ran.code == 1 && ran.errors.contains("; allow s3:ListBucket\n"), "{}", ran.errors);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_of_a_path_shows_who_purged_it() {
    let site = Site::start(Duration::ZERO).await;
    let endpoint = site.server.endpoint_url();
    let mut function = Function::start(&endpoint, &[("INVALIDATOR_DISTRIBUTIONS", "")]).await;
    let put = site.server.put_object(BUCKET, "docs/a b.html", Upload::default());
    let event = S3Event::put(BUCKET, "docs/a b.html", &put).notification().to_string();
    function.invoke(event).await;
    site.server.advance(Duration::from_hours(1));
    site.purge(&["/docs/*", "#news"]).await;
    assert_eq!(site.run(&["invalidate", "E1", "/x", "--caller-reference", "deploy 7"]).code, 0);
    assert_eq!(site.run(&["invalidate", "E1", "/*", "--yes", "--caller-reference", "deploy 8"]).code, 0);
    let rows = |arguments: &[&str]| {
        let ran = site.run(&[&["history", "--json"], arguments].concat());
        assert_eq!(ran.code, 0, "{}", ran.errors);
        let row = |line: &str| {
            let row: Value = serde_json::from_str(line).expect("a document");
            let field = |name: &str| row[name].as_str().expect("text").to_owned();
            format!("{} {} {}", field("item"), field("match"), field("sender"))
        };
        (ran.out.lines().map(row).collect::<Vec<_>>(), ran.errors)
    };
    let all = ["/* wildcard other", "/docs/* wildcard cfadmin", "/docs/a%20b.html exact function"];
    for wanted in ["/docs/a%20b.html", "https://e1.example.com/docs/a%20b.html"] {
        let (shown, note) = rows(&[wanted]);
        assert_eq!(
            (&shown[..], &*note),
            (&all.map(str::to_owned)[..], "E1: read 4 invalidations, all that CloudFront lists\n")
        );
    }
    let (shown, _) = rows(&["s3://site/docs/a b.html"]);
    assert_eq!(shown, [all[0], all[1], all[2], "/docs/a+b.html exact function"]);
    assert_eq!(rows(&["/x", "--distribution", "e1.example.com"]).0, ["/* wildcard other", "/x exact other"]);
    assert_eq!(rows(&["#NEWS"]).0, ["/* wildcard other", "#news tag cfadmin"]);
    let (shown, note) = rows(&["/docs/a%20b.html", "--max", "2"]);
    assert_eq!(shown, all[..1]);
    assert!(
        note.starts_with("E1: read 2 invalidations, back to 20")
            && note.ends_with("; --max reads older ones\n")
    );
    let since = humantime::format_rfc3339_seconds(site.server.now() - SECOND).to_string();
    let (shown, note) = rows(&["/docs/a%20b.html", "--since", &since]);
    assert_eq!(
        (shown, &*note),
        (
            all[..2].iter().map(|row| (*row).to_owned()).collect(),
            "E1: read 3 invalidations, all since then\n"
        )
    );
    let ran = site.run(&["history", "/x"]);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert!(
        lines[0].starts_with("CREATED  ")
            && lines[2].ends_with("  E1            I0000000000003  Completed  /x    exact     other"),
        "{}",
        ran.out
    );
}

/// Waits for a sync of the AWS command line, with the settings of a function, in a server that nobody here wrote.
fn syncs(peer: &Peer, name: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("uploaded-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("pages/docs")).expect("a folder");
    for page in ["pages/a b.html", "pages/docs/c.html", "pages/old.html", "pages/x.map"] {
        fs::write(folder.join(page), page).expect("a page");
    }
    let aws = |command: &str| peer.run(&folder, &[], command);
    let distribution = peer.distribution_of("site.s3.us-east-1.amazonaws.com", "/live").to_string();
    aws("aws s3 mb s3://site");
    aws(
        "aws iam create-role --role-name r --assume-role-policy-document '{\"Version\":\"2012-10-17\",\"Statement\":[\
         {\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"lambda.amazonaws.com\"},\"Action\":\"sts:AssumeRole\"}]}'",
    );
    aws(
        "printf 'def h(e, c): pass' > f.py && python3 -m zipfile -c f.zip f.py && aws lambda create-function \
         --function-name invalidator --runtime python3.12 --handler f.h --zip-file fileb://f.zip \
         --role arn:aws:iam::123456789012:role/r --environment 'Variables={INVALIDATOR_EXCLUDE=**/*.map}'",
    );
    aws("aws s3 sync pages s3://site/live > /dev/null");
    fs::remove_file(folder.join("pages/old.html")).expect("a page");
    fs::write(folder.join("pages/docs/c.html"), "another").expect("a page");
    fs::write(folder.join("pages/x.map"), "another").expect("a page");
    aws("aws s3 sync pages s3://site/live --delete > changed.txt");
    let changed = fs::read_to_string(folder.join("changed.txt")).expect("the output");
    assert!(changed.contains("delete: s3://site/live/old.html"), "{changed}");
    let keys = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];
    let wait = |options: &[&str], function: &str| {
        let arguments = ["wait", "s3://site/live/", "--timeout", "0", "--json", "--function", function];
        let place = ["--endpoint-url", peer.endpoint(), "--region", "us-east-1"];
        Ran::of(cfadmin(&[&arguments[..], options, &place].concat(), &keys, &changed))
    };
    let ran = wait(&["--changed", "-"], "invalidator");
    assert_eq!(
        (ran.code, ran.missing()),
        (124, vec!["/docs/c.html".to_owned(), "/old.html".to_owned()]),
        "{}",
        ran.errors
    );
    let ran = wait(&["--since", "1h"], "invalidator");
    let all = ["/a%20b.html", "/a+b.html", "/docs/c.html"];
    assert_eq!((ran.code, ran.missing()), (124, all.map(str::to_owned).to_vec()), "{}", ran.errors);
    assert_eq!(ran.json()["needless"], 1);
    let ran = wait(&["--since", "1h"], "absent");
    assert!(
        ran.code == 3 && ran.errors.contains("GetFunctionConfiguration of \"absent\" failed"),
        "{}",
        ran.errors
    );
    // The servers cut the times of objects and of invalidations to seconds.
    std::thread::sleep(Duration::from_millis(2_100));
    aws(&format!(
        "aws cloudfront create-invalidation --distribution-id {distribution} --paths '/a*' '/docs/*' /old.html"
    ));
    let ran = wait(&["--since", "1h"], "invalidator");
    assert_eq!(ran.missing(), [""; 0], "{}{}", ran.out, ran.errors);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs moto_server: make test"]
async fn a_sync_to_moto_is_waited_for() {
    tokio::task::block_in_place(|| syncs(&Peer::moto(), "moto"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs ministack: make test"]
async fn a_sync_to_ministack_is_waited_for() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("uploaded");
    fs::create_dir_all(&folder).expect("a folder");
    let ministack = Peer::ministack_with("cloudfront,iam,lambda,s3,sts", &folder);
    tokio::task::block_in_place(|| syncs(&ministack, "ministack"));
}
