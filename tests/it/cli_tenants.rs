//! Runs `cfadmin` as a process against accounts with multi-tenant distributions.

use std::fs;

use cloudfront_invalidator::local::{Account, Fault, Options, Server};
use serde_json::{Value, json};

use crate::{
    cfadmin::{cfadmin, cfadmin_at},
    function::refusal,
    sites::{DOMAIN, plain, puts, with},
    support::s3,
    tenant_sites::{account, disabled, parent, purged, tenant},
};

/// Runs `cfadmin` against a CloudFront, and returns its exit code and what it printed.
fn admin(cloudfront: &Server, arguments: &[&str]) -> (i32, String) {
    let output = tokio::task::block_in_place(|| cfadmin_at(&cloudfront.endpoint_url(), arguments));
    let printed = [output.stdout, output.stderr].concat();
    (output.status.code().expect("a code"), String::from_utf8(printed).expect("text"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_of_a_tenant_get_the_new_object() {
    let mut viewed = tenant("a", Some("one"));
    viewed["DistributionTenant"]["Domains"] = json!([{"Domain": "localhost", "Status": "active"}]);
    let documents = [parent("E1", "site-{{place}}.s3.eu-central-1.amazonaws.com", "/v1"), viewed];
    let (cloudfront, mut function) = with(account(&documents), &[]).await;
    let port = cloudfront.endpoint_url().rsplit(':').next().expect("a port").to_owned();
    let url = format!("http://localhost:{port}/x");
    let verify = || admin(&cloudfront, &["verify", "--json", &url]);
    cloudfront.put("site-one", "v1/x", Some(b"first"));
    let (code, printed) = verify();
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("s3://site-one/v1/x") && printed.contains("\"dt_a\""), "{printed}");
    cloudfront.put("site-one", "v1/x", Some(b"second"));
    assert_eq!(verify().0, 1, "stale");
    assert_eq!(function.invoke(puts("site-one", &["v1/x"], "1")).await.handed_back(), [""; 0]);
    assert_eq!(verify().0, 0, "current again");
}

/// Starts a CloudFront with these distributions and tenants.
async fn serving(account: Account) -> Server {
    let options = Options { distributions: Vec::new(), account, ..Options::default() };
    Server::start(options).await.expect("a CloudFront")
}

/// Starts a CloudFront with a multi-tenant distribution, E1, whose third tenant is disabled, and with a
/// plain one, E2.
async fn shops() -> Server {
    serving(account(&[
        parent("E1", DOMAIN, "/{{place}}"),
        plain("E2", "api.example.com"),
        tenant("a", Some("one")),
        tenant("b", Some("two")),
        disabled("c"),
    ]))
    .await
}

/// Starts a CloudFront with a distribution for many tenants.
async fn crowd(count: usize) -> Server {
    let tenants = (100..100 + count).map(|number| tenant(&number.to_string(), None));
    serving(account(&[parent("E1", DOMAIN, "")].into_iter().chain(tenants).collect::<Vec<_>>())).await
}

fn denied() -> Fault {
    refusal(403, "AccessDenied", "no")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_is_found_by_its_id_its_name_and_its_domain() {
    for name in ["dt_a", "tenant-a", "a.example.org", "A.EXAMPLE.org"] {
        let cloudfront = shops().await;
        let (code, printed) = admin(&cloudfront, &["invalidate", name, "/x"]);
        let expected = "dt_a  I0000000000001  InProgress  1 path\n1 path costs $0.005, ";
        assert!(code == 0 && printed.starts_with(expected), "{name}: {printed}");
        let (code, printed) = admin(&cloudfront, &["listinvalidations", name]);
        assert_eq!((code, printed.matches("I0000000000001").count()), (0, 1), "{name}: {printed}");
        let (code, printed) = admin(&cloudfront, &["status", name, "I0000000000001"]);
        assert_eq!((code, &*printed), (0, "dt_a  I0000000000001  InProgress  1 path\n  /x\n"), "{name}");
        let (code, _) = admin(&cloudfront, &["wait", name, "I0000000000001", "--timeout", "0"]);
        assert_eq!(code, 124, "{name}");
    }
    // A disabled tenant that is named is meant.
    let cloudfront = shops().await;
    for name in ["dt_c", "tenant-c", "c.example.org"] {
        assert_eq!(admin(&cloudfront, &["invalidate", name, "/x"]).0, 0, "{name}");
    }
    assert_eq!(purged(&cloudfront), ["dt_c /x"; 3]);
    for name in ["tenant-d", "d.example.org", "d e", ""] {
        let (code, printed) = admin(&cloudfront, &["invalidate", name, "/x"]);
        assert_eq!(code, 3, "{name}");
        let expected = format!("no distribution or tenant matches {name:?}; there are\n  E1  e1.example.com");
        assert!(printed.contains(&expected), "{printed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_multi_tenant_distribution_stands_for_its_enabled_tenants() {
    for many in ["E1", "e1.example.com", DOMAIN, "s3://site"] {
        let cloudfront = shops().await;
        let (code, printed) = admin(&cloudfront, &["invalidate", many, "/x"]);
        assert_eq!(code, 2, "{printed}");
        let expected = format!(
            "several tenants match {many:?}; name one by its id or pass --all; there are\n  \
             dt_a  tenant-a, a.example.org\n  dt_b  tenant-b, b.example.org\n"
        );
        assert!(printed.contains(&expected), "{printed}");
        assert_eq!(purged(&cloudfront), [""; 0]);
        assert_eq!(admin(&cloudfront, &["invalidate", many, "/x", "--all"]).0, 0, "{many}");
        assert_eq!(purged(&cloudfront), ["dt_a /x", "dt_b /x"]);
        for wanted in [&["status", many, "I1"][..], &["listinvalidations", many], &["wait", many, "I1"]] {
            let (code, printed) = admin(&cloudfront, wanted);
            assert!(code == 2 || code == 3, "{code}");
            assert!(printed.contains("name one by its id; there are\n  dt_a"), "{printed}");
        }
    }
    // Without enabled tenants, there is nothing to purge.
    let cloudfront = serving(account(&[parent("E1", DOMAIN, ""), disabled("a")])).await;
    for none in ["E1", "e1.example.com", "s3://site"] {
        let (code, printed) = admin(&cloudfront, &["invalidate", none, "/x", "--all"]);
        assert_eq!(code, 3, "{printed}");
        assert!(printed.contains(&format!("{none:?} matches no enabled tenant of E1")), "{printed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_an_id_that_cloudfront_does_not_find_costs_another_call() {
    let cloudfront = shops().await;
    assert_eq!(admin(&cloudfront, &["invalidate", "E2", "/x"]).0, 0);
    assert_eq!(cloudfront.reads(), [""; 0]);
    let (code, printed) = admin(&cloudfront, &["invalidate", "E3", "/x"]);
    assert_eq!(code, 3);
    assert!(printed.starts_with("cfadmin: no distribution has the id E3; there are\n  E1  "), "{printed}");
    assert_eq!(cloudfront.reads(), ["ListDistributionTenants", "ListDistributions"]);
    cloudfront.inject_read("ListDistributionTenants", 0, denied());
    let (code, printed) = admin(&cloudfront, &["invalidate", "E1", "/x"]);
    assert_eq!(code, 3);
    let hint = "If E1 is multi-tenant, name one of its tenants by its id, name or domain";
    assert!(printed.contains("NoSuchDistribution") && printed.contains(hint), "{printed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_stands_for_the_tenants_that_have_it() {
    let any = "site-{{place}}.s3.eu-central-1.amazonaws.com";
    let tenants = [tenant("a", Some("one")), tenant("b", Some("two")), tenant("c", None)];
    let shared = plain("E2", "site-two.s3.eu-central-1.amazonaws.com");
    let cloudfront = serving(account(&[&[parent("E1", any, ""), shared], &tenants[..]].concat())).await;
    assert_eq!(admin(&cloudfront, &["invalidate", "s3://site-one", "/x"]).0, 0);
    assert_eq!(admin(&cloudfront, &["invalidate", "s3://site-common", "/x"]).0, 0);
    assert_eq!(purged(&cloudfront), ["dt_a /x", "dt_c /x"]);
    let (code, printed) = admin(&cloudfront, &["invalidate", "s3://site-two", "/x"]);
    assert_eq!(code, 2);
    let expected = "several distributions and tenants match \"s3://site-two\"; name one by its id or pass \
                    --all; there are\n  E2  e2.example.com, e2.cloudfront.net\n  dt_b  tenant-b, b.example.org\n";
    assert!(printed.contains(expected), "{printed}");
    assert_eq!(admin(&cloudfront, &["invalidate", "s3://site-none", "/x"]).0, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tags_are_checked_once_for_all_tenants_of_a_distribution() {
    let cloudfront = shops().await;
    for many in ["E1", "e1.example.com"] {
        let before = cloudfront.reads().len();
        let (code, printed) = admin(&cloudfront, &["invalidate", many, "#tag", "--all"]);
        assert_eq!(code, 2);
        assert!(printed.contains("E1 reads no cache tags"), "{printed}");
        let reads = cloudfront.reads();
        let details = reads[before..].iter().filter(|one| **one == "GetDistributionConfig");
        assert_eq!(details.count(), 1, "{many}");
    }
    let (code, printed) = admin(&cloudfront, &["invalidate", "dt_a", "#tag"]);
    assert_eq!(code, 2);
    assert!(printed.contains("dt_a reads no cache tags"), "{printed}");
    assert_eq!(purged(&cloudfront), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ls_counts_the_tenants_of_each_distribution_and_lists_them_on_demand() {
    let cloudfront = shops().await;
    let (code, printed) = admin(&cloudfront, &["ls"]);
    assert_eq!(code, 0);
    assert!(
        printed.contains("/{{place}}\n  tenants: 3, 1 of them disabled (list them with --tenants)\nE2 "),
        "{printed}"
    );
    let lists = cloudfront.reads().into_iter().filter(|one| *one == "ListDistributionTenants").count();
    assert_eq!(lists, 1, "the plain distribution has none");
    let (_, printed) = admin(&cloudfront, &["ls", "--tenants"]);
    assert_eq!(printed.lines().count(), 4);
    assert!(printed.contains("dt_c  Disabled  tenant-c  c.example.org  E1\n"), "{printed}");
    let documents = |arguments: &[&str]| -> Vec<Value> {
        let (_, printed) = admin(&cloudfront, &[arguments, &["--json"]].concat());
        let documents = printed.lines().filter(|line| line.starts_with('{'));
        documents.map(|line| serde_json::from_str(line).expect("a document")).collect()
    };
    let listed = documents(&["ls"]);
    assert_eq!((&listed[0]["tenants"], &listed[1]["tenants"]), (&json!(3), &Value::Null));
    let tenants = documents(&["ls", "--tenants"]);
    let expected = json!({
        "id": "dt_b", "name": "tenant-b", "domains": ["b.example.org"], "status": "Deployed", "enabled": true,
        "distribution": "E1",
    });
    assert_eq!(tenants[1], expected);
    let (_, printed) = admin(&cloudfront, &["sites"]);
    let origin = format!("  origin    o  {DOMAIN}/{{{{place}}}}  depends on the tenant\n");
    assert!(printed.contains(&format!("  tenants   3, 1 of them disabled\n{origin}")), "{printed}");
    // Without the permission, the distributions are still listed.
    cloudfront.inject_read("ListDistributionTenants", 0, denied());
    let (code, printed) = admin(&cloudfront, &["ls"]);
    assert_eq!(code, 0);
    assert!(
        printed.contains("E1 ") && printed.contains("cannot list the tenants of E1: AccessDenied"),
        "{printed}"
    );
    cloudfront.inject_read("ListDistributionTenants", 0, denied());
    assert_eq!(documents(&["ls"])[0]["tenants"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_name_the_call_that_is_denied() {
    let cloudfront = shops().await;
    let cases: [(&str, &[&str]); 8] = [
        ("ListDistributions", &["explain", "s3://site/one/x"]),
        ("ListDistributionTenants", &["explain", "s3://site/one/x"]),
        ("GetDistributionTenant", &["explain", "s3://site/one/x"]),
        ("GetDistributionConfig", &["explain", "s3://site/one/x"]),
        ("ListDistributionTenants", &["ls", "--tenants"]),
        ("ListDistributionTenants", &["invalidate", "e1.example.com", "/x"]),
        ("GetDistributionTenant", &["invalidate", "tenant-a", "/x"]),
        ("ListDistributionTenants", &["cost"]),
    ];
    for (operation, arguments) in cases {
        cloudfront.inject_read(operation, 0, denied());
        let (code, printed) = admin(&cloudfront, arguments);
        assert_eq!(code, 1, "{operation} {arguments:?}: {printed}");
        assert!(printed.contains(&format!("cfadmin: cloudfront:{operation} is not allowed")), "{printed}");
    }
    cloudfront.inject(Some("dt_a"), denied());
    let (code, printed) = admin(&cloudfront, &["invalidate", "dt_a", "/x"]);
    assert_eq!(code, 1);
    let call = "cloudfront:CreateInvalidationForDistributionTenant is not allowed";
    assert!(printed.contains(call), "{printed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_shows_the_tenants_of_an_object_and_of_a_url() {
    let cloudfront = shops().await;
    let explain = |object: &str| admin(&cloudfront, &["explain", object]);
    let (code, printed) = explain("s3://site/two/x");
    let served = "dt_b  b.example.org  tenant of E1\n  /x  object s3://site/two/x\n";
    let other = "dt_a  a.example.org  tenant of E1\n  nothing: outside the origin path\n";
    assert_eq!((code, printed), (0, [served, other].concat()), "those that serve it come first");
    for url in ["https://b.example.org/x?q", "b.example.org/x"] {
        assert_eq!(explain(url), (0, served.to_owned()), "{url}");
    }
    let (code, printed) = explain("https://c.example.org/x");
    assert_eq!((code, &*printed), (3, "nothing: dt_c is disabled, or not in INVALIDATOR_DISTRIBUTIONS\n"));
    let (code, printed) = explain("https://d.example.org/x");
    assert_eq!(code, 3);
    assert!(printed.contains("no distribution of this account serves \"d.example.org\""), "{printed}");
    let (code, printed) = explain("https://e2.example.com/x");
    assert_eq!(code, 3);
    assert!(printed.contains("has an origin that is not a bucket"), "{printed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tenants_are_not_all_shown() {
    let note = "serve the same objects: each gets one path";
    for (count, is_crowd) in [(100, false), (101, true)] {
        let cloudfront = crowd(count).await;
        let (code, printed) = admin(&cloudfront, &["explain", "s3://site/x"]);
        assert_eq!((code, printed.matches("tenant of E1").count()), (0, 20));
        let more = count - 20;
        assert!(printed.contains(&format!("… and {more} more tenants that serve the object\n")), "{printed}");
        assert_eq!(printed.contains(&format!("{count} tenants {note}")), is_crowd, "{printed}");
        let (code, printed) = admin(&cloudfront, &["invalidate", "E1", "/x"]);
        assert_eq!((code, printed.matches("tenant-").count()), (2, 20));
        assert!(printed.contains(&format!("… and {more} more: see cfadmin ls --tenants")), "{printed}");
        assert_eq!(admin(&cloudfront, &["invalidate", "E1", "/x", "--all"]).0, 0);
        assert_eq!(purged(&cloudfront).len(), count);
        let (code, printed) = admin(&cloudfront, &["cost"]);
        assert_eq!((code, printed.matches("1 invalidation, 1 path\n").count()), (0, 20));
        let sum = format!("E1  {count} invalidations, {count} paths in {count} tenants\n");
        assert!(
            printed.starts_with(&sum) && printed.contains(&format!("  … and {more} more\n")),
            "{printed}"
        );
    }
}

#[test]
fn plans_show_some_of_many_tenants_unless_all_are_wanted() {
    let tenants = (100..201).map(|number| tenant(&number.to_string(), None));
    let documents: Vec<Value> =
        [parent("E1", DOMAIN, ""), plain("E2", DOMAIN)].into_iter().chain(tenants).collect();
    let file = format!("{}/many-tenants.json", env!("CARGO_TARGET_TMPDIR"));
    fs::write(&file, json!(documents).to_string()).expect("a file");
    let show = |command: &str, more: &[&str]| {
        let arguments = [&[command, "-", "--distributions", &file], more].concat();
        let output = cfadmin(&arguments, &[], &s3("x", "1").to_string());
        assert!(output.status.success());
        String::from_utf8(output.stdout).expect("text")
    };
    for command in ["plan", "invoke"] {
        let shown = show(command, &[]);
        assert_eq!(shown.matches("\ndt_").count(), 20, "{shown}");
        assert!(shown.starts_with("E2  ") && shown.contains("… and 81 more tenants of E1"), "{shown}");
        let note =
            "101 tenants of E1 serve the same objects: each gets one path, since they are more than 100";
        assert!(shown.contains(note), "{shown}");
        assert!(shown.contains("\n102 invalidations from 1 change"), "{shown}");
    }
    let all = show("plan", &["--all"]);
    assert_eq!(all.matches("\ndt_").count(), 101);
    assert!(!all.contains("more tenants"));
    let document: Value = serde_json::from_str(&show("plan", &["--json"])).expect("a document");
    assert_eq!(document["invalidations"].as_array().map(Vec::len), Some(102));
}
