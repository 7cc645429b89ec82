//! Environment variables to a configuration: defaults, limits and errors.

use std::num::NonZeroUsize;

use cloudfront_invalidator::config::{Config, VARIABLES};

fn read(variables: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    Config::read(variables.iter().copied()).map_err(|problems| problems.0)
}

#[track_caller]
fn refused(variables: &[(&str, &str)]) -> Vec<String> {
    read(&[variables, &[("INVALIDATOR_DISTRIBUTIONS", "E1EXAMPLE")]].concat()).expect_err("problems")
}

#[test]
fn unset_variables_have_defaults() {
    let config =
        read(&[("INVALIDATOR_DISTRIBUTIONS", "E1EXAMPLE"), ("PATH", "/bin")]).expect("a configuration");
    assert!(!config.dry_run);
    assert_eq!((config.policy.budget.items, config.policy.budget.wildcards), (150, 15));
    let [site] = &config.search.given().list[..] else { panic!("one site") };
    assert_eq!(site.distribution.as_str(), "E1EXAMPLE");
    assert!(!config.search.needs_lookup());
    let forms = config.search.forms;
    assert_eq!((&*forms.index_document, forms.query_strings), ("index.html", None));
    assert!(!(forms.bare_directories || forms.clean_urls));
}

#[test]
fn an_empty_variable_counts_as_unset_except_for_the_index_document() {
    let empty: Vec<(&str, &str)> = VARIABLES.iter().skip(1).map(|name| (*name, "")).collect();
    let config = read(&[&empty[..], &[("INVALIDATOR_DISTRIBUTIONS", " E1EXAMPLE , E2,E1EXAMPLE,")]].concat())
        .expect("a configuration");
    assert_eq!(config.search.given().list.len(), 2, "each distribution once");
    assert_eq!(config.search.forms.index_document, "");
    assert_eq!(config.policy.budget.items, 150);
}

#[test]
fn a_retired_variable_is_accepted_and_has_no_effect() {
    let config = read(&[("INVALIDATOR_SITES_TTL", "no number")]).expect("a configuration");
    assert_eq!(config.retired, ["INVALIDATOR_SITES_TTL"]);
    assert_eq!(read(&[]).expect("a configuration").retired, [""; 0]);
}

#[test]
fn all_problems_are_reported_at_once() {
    let problems = read(&[
        ("INVALIDATOR_DISTRIBUTIONS", "e1example"),
        ("INVALIDATOR_ORIGIN_PATH", "site/"),
        ("INVALIDATOR_INCLUDE", "a,[b"),
        ("INVALIDATOR_INDEX_DOCUMENT", "docs/index.html"),
        ("INVALIDATOR_CLEAN_URLS", "yes"),
        ("INVALIDATOR_MAX_PATHS", "0"),
        ("INVALIDATOR_MAX_WILDCARDS", "many"),
        ("INVALIDATOR_BUCKET_ALIASES", "site,=site"),
        ("INVALIDATOR_DISTRIBUTION", "E1EXAMPLE"),
    ])
    .expect_err("problems");
    let expected = [
        "unknown variable INVALIDATOR_DISTRIBUTION; known variables are INVALIDATOR_DISTRIBUTIONS, ",
        "INVALIDATOR_DISTRIBUTIONS: \"e1example\" is not a distribution: give its id",
        "INVALIDATOR_ORIGIN_PATH: \"site/\" is not an origin path",
        "INVALIDATOR_INDEX_DOCUMENT=\"docs/index.html\" is not a document's name",
        "INVALIDATOR_CLEAN_URLS=\"yes\" is neither \"true\" nor \"false\"",
        "INVALIDATOR_MAX_PATHS=\"0\" is not a whole number from 1 to 3000",
        "INVALIDATOR_MAX_WILDCARDS=\"many\" is not a whole number from 1 to 3000",
        "INVALIDATOR_INCLUDE: \"[b\" has a \"[\" that no",
        "INVALIDATOR_BUCKET_ALIASES: \"site\" is not a bucket alias",
        "INVALIDATOR_BUCKET_ALIASES: \"=site\" is not a bucket alias",
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (problem, expected) in problems.iter().zip(expected) {
        assert!(problem.starts_with(expected), "{problem}");
    }
}

#[test]
fn values_that_could_never_match_are_refused() {
    for bucket in ["s3://site", "arn:aws:s3:::site", "a b c"] {
        assert!(refused(&[("INVALIDATOR_BUCKETS", bucket)])[0].contains("give the name alone"), "{bucket}");
    }
    assert!(refused(&[("INVALIDATOR_INCLUDE", "/docs/**")])[0].contains("keys have no leading \"/\""));
    for url in ["http://", "http://[::1", "ftp://x", "http:///x"] {
        let variables = [
            ("INVALIDATOR_DISTRIBUTIONS", "E1"),
            ("AWS_ACCESS_KEY_ID", "x"),
            ("AWS_SECRET_ACCESS_KEY", "x"),
            ("AWS_ENDPOINT_URL", url),
        ];
        assert!(Config::of_function(variables).is_err(), "{url}");
    }
}

#[test]
fn distributions_without_ids_need_a_lookup() {
    for none in [&[][..], &[("INVALIDATOR_DISTRIBUTIONS", "")], &[("INVALIDATOR_DISTRIBUTIONS", " , ")]] {
        let search = read(none).expect("a configuration").search;
        assert!(search.needs_lookup() && search.distributions.is_empty());
    }
    let contradiction = read(&[("INVALIDATOR_ORIGIN_PATH", "/site")]).expect_err("a problem");
    assert!(contradiction[0].contains("the distributions' own origin paths apply"), "{contradiction:?}");
    let named = read(&[("INVALIDATOR_DISTRIBUTIONS", "E1, WWW.example.com")]).expect("a configuration");
    assert!(named.search.needs_lookup());
    assert_eq!(named.search.given().list.len(), 1);
    assert!(Config::of_function([("INVALIDATOR_DRY_RUN", "true")]).is_err(), "a lookup needs credentials");
}

#[test]
fn numbers_outside_their_limits_are_refused() {
    assert_eq!(refused(&[("INVALIDATOR_MAX_PATHS", "3001")]).len(), 1);
    assert_eq!(refused(&[("INVALIDATOR_MAX_PATHS", "-1")]).len(), 1);
    assert_eq!(refused(&[("INVALIDATOR_MAX_PATHS", "1e3")]).len(), 1);
}

#[test]
fn a_limit_of_paths_a_month_needs_metrics() {
    let limit = |value: &str| {
        let config = read(&[("INVALIDATOR_MONTHLY_PATHS", value)]).expect("a configuration");
        config.monthly_paths.map(NonZeroUsize::get)
    };
    for (value, expected) in [
        ("", None),
        ("0", None),
        ("1", Some(1)),
        (" 1000 ", Some(1_000)),
        ("1000000000", Some(1_000_000_000)),
    ] {
        assert_eq!(limit(value), expected, "{value}");
    }
    for value in ["1000000001", "-1", "1e3", "many"] {
        let problem =
            format!("INVALIDATOR_MONTHLY_PATHS={value:?} is not a whole number from 0 to 1000000000");
        assert_eq!(refused(&[("INVALIDATOR_MONTHLY_PATHS", value)]), [problem]);
    }
    let without = |limit: &str| {
        read(&[("INVALIDATOR_METRICS", "false"), ("INVALIDATOR_MONTHLY_PATHS", limit)])
            .map(|config| config.monthly_paths)
    };
    let problem = "INVALIDATOR_MONTHLY_PATHS needs metrics, which count the paths of the month: remove \
                   INVALIDATOR_METRICS=false, or set INVALIDATOR_MONTHLY_PATHS=0 for no limit";
    assert_eq!(without("1000"), Err(vec![problem.to_owned()]));
    assert_eq!(without("0"), Ok(None));
}

#[test]
fn the_function_needs_credentials_unless_it_is_a_dry_run() {
    let variables = |extra: &[(&'static str, &'static str)]| {
        [&[("INVALIDATOR_DISTRIBUTIONS", "E1EXAMPLE")], extra].concat()
    };
    let Err(problems) = Config::of_function(variables(&[("AWS_ENDPOINT_URL", "localhost:1")])) else {
        panic!("no problem")
    };
    assert_eq!(
        problems.0,
        [
            "AWS_ENDPOINT_URL=\"localhost:1\" is not a URL: one looks like https://cloudfront.amazonaws.com",
            "AWS_ACCESS_KEY_ID is not set: Lambda sets it; elsewhere, set it yourself",
            "AWS_SECRET_ACCESS_KEY is not set: Lambda sets it; elsewhere, set it yourself",
        ]
    );
    let Ok((config, None)) = Config::of_function(variables(&[("INVALIDATOR_DRY_RUN", "true")])) else {
        panic!("a dry run needs no AWS settings")
    };
    assert!(config.dry_run);

    let set = [
        ("AWS_ACCESS_KEY_ID", "AKIA"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_DEFAULT_REGION", "eu-west-1"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("AWS_ENDPOINT_URL_CLOUDFRONT", "http://127.0.0.1:2"),
    ];
    let Ok((_, Some(aws))) = Config::of_function(variables(&set)) else { panic!("settings") };
    assert_eq!((&*aws.region, aws.endpoint_url.as_deref()), ("eu-west-1", Some("http://127.0.0.1:2")));
    assert_eq!(aws.s3_endpoint_url.as_deref(), Some("http://127.0.0.1:1"), "the one of all services");
    assert_eq!(aws.cloudwatch_endpoint_url.as_deref(), Some("http://127.0.0.1:1"));
    let with_cloudwatch = [&set[..], &[("AWS_ENDPOINT_URL_CLOUDWATCH", "http://127.0.0.1:4")]].concat();
    let Ok((_, Some(aws))) = Config::of_function(variables(&with_cloudwatch)) else { panic!("settings") };
    assert_eq!(aws.cloudwatch_endpoint_url.as_deref(), Some("http://127.0.0.1:4"));
    let with_s3 = [&set[..], &[("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:3")]].concat();
    let Ok((_, Some(aws))) = Config::of_function(variables(&with_s3)) else { panic!("settings") };
    assert_eq!(aws.s3_endpoint_url.as_deref(), Some("http://127.0.0.1:3"));
    let ignored = [&set[..], &[("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")]].concat();
    let Ok((_, Some(aws))) = Config::of_function(variables(&ignored)) else { panic!("settings") };
    let endpoints =
        [aws.endpoint_url, aws.sqs_endpoint_url, aws.s3_endpoint_url, aws.cloudwatch_endpoint_url];
    assert_eq!(endpoints, [const { None }; 4]);
}
