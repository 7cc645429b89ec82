//! `cfadmin invalidate` for the objects of an upload.

use std::fs;

use cloudfront_invalidator::local::{Options, Server};
use serde_json::{Value, json};

use crate::{
    cfadmin::{cfadmin, cfadmin_at},
    peers::Peer,
    sites::{self, plain},
};

/// Returns the documents of a dry run in the sample account: distribution and paths.
fn planned(arguments: &[&str], input: &str) -> (Vec<Value>, String, Option<i32>) {
    let always = ["invalidate", "s3://site", "--local", "--dry-run", "--json"];
    let output = cfadmin(&[&always, arguments].concat(), &[], input);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let (out, error) = (text(output.stdout), text(output.stderr));
    let documents = out.lines().map(|line| serde_json::from_str(line).expect("a document"));
    let paths = |document: Value| json!([document["distribution"], document["paths"]]);
    (documents.map(paths).collect(), error, output.status.code())
}

#[test]
fn the_output_of_aws_s3_sync_becomes_paths() {
    let upload = "Completed 1.2 KiB/2.4 KiB (1 KiB/s) with 1 file(s) remaining\r\
                  upload: ./a b.html to s3://site/live/a b.html         \n\
                  delete: s3://site/live/docs/index.html\n\
                  upload: ./x to s3://other/x\n\
                  upload: ./y to s3://site/elsewhere/y\n\
                  upload failed: ./z to s3://site/live/z An error occurred (AccessDenied)\n";
    let (paths, error, code) = planned(&["--changed", "-"], upload);
    assert_eq!(paths, [json!(["E1EXAMPLE", ["/a%20b.html", "/a+b.html", "/docs/", "/docs/index.html"]])]);
    assert_eq!(code, Some(0));
    for said in [
        "1 object not in \"site\" ignored",
        "not purged: s3://site/elsewhere/y: ",
        "not purged: upload failed: ./z to s3://site/live/z An error occurred (AccessDenied)",
    ] {
        assert!(error.contains(said), "{said}: {error}");
    }
    let (paths, error, code) = planned(&["--changed", "-"], "");
    assert_eq!((paths.len(), code, &*error), (0, Some(0), "nothing to purge\n"));
    let (_, error, code) = planned(&["--changed", "-"], "upload: ./a to b\n");
    assert_eq!(code, Some(2));
    assert!(error.contains("\"upload: ./a to b\" is no line of \"aws s3 sync\""), "{error}");
}

#[test]
fn a_dry_run_of_the_upload_purges_nothing() {
    let upload = "(dryrun) upload: ./a.html to s3://site/live/a.html\n";
    let (paths, _, code) = planned(&["--changed", "-"], upload);
    assert_eq!((paths, code), (vec![json!(["E1EXAMPLE", ["/a.html"]])], Some(0)));
    let output = cfadmin(&["invalidate", "s3://site", "--local", "--changed", "-"], &[], upload);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
}

#[test]
fn many_objects_are_folded() {
    let line = |number: usize| format!("upload: ./{number} to s3://site/live/docs/{number}.png\n");
    let upload = (0..30).map(line).collect::<Vec<_>>().concat();
    let (paths, _, code) = planned(&["--changed", "-", "--max-paths", "3"], &upload);
    assert_eq!((paths, code), (vec![json!(["E1EXAMPLE", ["/docs/*"]])], Some(0)));
    let (paths, _, _) = planned(&["--changed", "-", "--max-paths", "20", "--split"], &upload);
    assert_eq!(paths.len(), 2);
}

#[test]
fn keys_with_a_bucket_are_objects_and_others_are_paths() {
    let (paths, error, code) = planned(&["--keys"], "live/shop/index.html  \nlive/it's.html\r\nnone.txt\n");
    assert_eq!(paths, [json!(["E1EXAMPLE", ["/it*", "/shop/", "/shop/index.html"]])]);
    assert!(error.contains("not purged: s3://site/none.txt: "), "{error}");
    assert_eq!(code, Some(0));
    // A key that ends in a blank.
    let (paths, _, _) = planned(&["--keys", "--null"], "live/a ");
    assert_eq!(paths, [json!(["E1EXAMPLE", ["/a%20", "/a+"]])]);
    let always =
        ["invalidate", "E1EXAMPLE", "--local", "--dry-run", "--json", "--keys", "live/shop/index.html"];
    let output = cfadmin(&always, &[], "");
    let document: Value = serde_json::from_slice(&output.stdout).expect("a document");
    assert_eq!(document["paths"], json!(["/live/shop/index.html"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_distribution_gets_its_own_paths() {
    let origin = "site.s3.eu-central-1.amazonaws.com";
    let mut shop = plain("E2", origin);
    shop["Distribution"]["DistributionConfig"]["Origins"]["Items"][0]["OriginPath"] = json!("/shop");
    let account = sites::account(&[plain("E1", origin), shop]);
    let options = Options { distributions: Vec::new(), account, ..Options::default() };
    let cloudfront = Server::start(options).await.expect("a CloudFront");
    let file = format!("{}/upload.txt", env!("CARGO_TARGET_TMPDIR"));
    fs::write(&file, "upload: ./a to s3://site/shop/a.html\nupload: ./b to s3://site/b.html\n")
        .expect("a file");
    let run = |arguments: &[&str]| {
        let arguments = [arguments, &["--changed", &file]].concat();
        tokio::task::block_in_place(|| cfadmin_at(&cloudfront.endpoint_url(), &arguments)).status.code()
    };
    // The bucket stands for two distributions.
    assert_eq!(run(&["invalidate", "s3://site"]), Some(2));
    assert_eq!(run(&["invalidate", "s3://site", "--all"]), Some(0));
    assert_eq!(run(&["invalidate", "E2"]), Some(0));
    let mut sent: Vec<String> = cloudfront
        .recorded()
        .into_iter()
        .map(|one| format!("{} {}", one.distribution, one.paths.join(" ")))
        .collect();
    sent.sort();
    assert_eq!(sent, ["E1 /b.html /shop/a.html", "E2 /a.html", "E2 /a.html"]);
}

#[test]
#[ignore = "needs the AWS command line and moto_server: make test"]
fn what_aws_s3_sync_prints_is_understood() {
    let folder = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("sync-output");
    fs::create_dir_all(folder.join("checkout/docs")).expect("a folder");
    let moto = Peer::moto();
    let run = |command: &str| moto.run(&folder, &[], command);
    run("aws s3api create-bucket --bucket site");
    for name in ["a b.html", "docs/index.html", "docs/c++.html"] {
        fs::write(folder.join("checkout").join(name), "content").expect("a file");
    }
    run("aws s3 sync checkout s3://site/live > first.txt");
    fs::remove_file(folder.join("checkout/a b.html")).expect("a file to remove");
    run("aws s3 sync --size-only --delete checkout s3://site/live > second.txt");
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect("an output");
    let (paths, error, code) = planned(&["--changed", "-"], &read("first.txt"));
    let all = ["/a%20b.html", "/a+b.html", "/docs/", "/docs/c%2B%2B.html", "/docs/index.html"];
    assert_eq!((paths, code), (vec![json!(["E1EXAMPLE", all])], Some(0)), "{error}");
    let (paths, error, code) = planned(&["--changed", "-"], &read("second.txt"));
    assert_eq!((paths, code), (vec![json!(["E1EXAMPLE", ["/a%20b.html", "/a+b.html"]])], Some(0)), "{error}");
}
