//! Runs `cfadmin` as a process where things go wrong or are easy to get wrong: errors of credentials
//! and connections, targets, standard input, terminals.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use cloudfront_invalidator::local::{Options, Server};
use serde_json::{Value, json};

use crate::{
    cfadmin::{cfadmin, cfadmin_at},
    function::refusal,
    sites::plain,
    support::cloudfront,
    tenant_sites::account as account_of,
};

/// Returns what a command wrote to standard output and then to standard error.
fn printed(output: &Output) -> String {
    String::from_utf8([&output.stdout[..], &output.stderr].concat()).expect("text")
}

/// Runs `cfadmin` with the profiles of a file, without any other credentials.
fn with_profiles(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let own = [
        ("HOME", env!("CARGO_TARGET_TMPDIR")),
        ("AWS_CONFIG_FILE", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/data/aws-config")),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_MAX_ATTEMPTS", "1"),
    ];
    cfadmin(arguments, &[&own, variables].concat(), "")
}

#[test]
fn errors_of_credentials_and_connections_are_one_line_with_the_next_step() {
    let nowhere = ["--endpoint-url", "http://127.0.0.1:1"];
    for (profile, expected) in [
        ("nope", "profile \"nope\" is not in the AWS configuration; aws configure list-profiles shows"),
        ("role", "profile \"nobody\" is not in the AWS configuration, and profile role refers to it"),
        (
            "sso",
            "the SSO session of profile sso is over, or there is none; log in with aws sso login --profile sso",
        ),
        (
            "proc",
            "the credentials of profile proc cannot be loaded: Error retrieving credentials: external process",
        ),
        ("elsewhere", "no region; pass --region, set AWS_REGION, or run aws configure set region"),
        ("default", "no credentials; run aws configure or aws sso login, or name a profile"),
        ("keys", "cannot connect to http://127.0.0.1:1: Connection refused"),
    ] {
        let output = with_profiles(&[&["ls", "--profile", profile][..], &nowhere].concat(), &[]);
        let said = printed(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with(&format!("cfadmin: {expected}")), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let said = printed(&with_profiles(&["ls", "-p", "keys"], &[("AWS_ENDPOINT_URL", "localhost:1")]));
    assert!(
        said.starts_with("cfadmin: invalid endpoint \"localhost:1\"; write it with its scheme"),
        "{said}"
    );
    let output = with_profiles(&["ls", "-p", "keys", "--endpoint-url", "localhost:1"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(printed(&output).contains("write it as http://localhost:1"), "{}", printed(&output));
    let said = printed(&with_profiles(&["ls", "-p", "keys", "--region", "a%b"], &[]));
    assert_eq!(said, "cfadmin: invalid region; write it as eu-central-1\n");
    // The function's report has the same words.
    let given = [("INVALIDATOR_DISTRIBUTIONS", "E1")];
    let said = printed(&with_profiles(&["invoke", "events/put.json"], &given));
    assert!(said.starts_with("E1  FAILED  CloudFrontFailed: no credentials; run aws configure"), "{said}");
}

#[test]
fn the_chain_of_causes_is_shown_with_debug() {
    let said = printed(&with_profiles(&["--debug", "ls"], &[]));
    let [first, second] = &said.lines().collect::<Vec<_>>()[..] else { panic!("two lines: {said}") };
    assert!(first.starts_with("cfadmin: no credentials; "), "{said}");
    assert!(second.contains("Attempted: Environment"), "{said}");
}

/// Runs `cfadmin` against a CloudFront.
fn at(cloudfront: &Server, arguments: &[&str]) -> (i32, String) {
    let output = tokio::task::block_in_place(|| cfadmin_at(&cloudfront.endpoint_url(), arguments));
    (output.status.code().expect("a code"), printed(&output))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_about_keys_are_not_about_permissions() {
    for (code, message, expected) in [
        (
            "ExpiredToken",
            "The security token included in the request is expired",
            "have expired (ExpiredToken)",
        ),
        (
            "SignatureDoesNotMatch",
            "The request signature we calculated",
            "the secret access key of the default",
        ),
        (
            "SignatureDoesNotMatch",
            "Signature expired: 2026",
            "the clocks of this machine and of CloudFront differ",
        ),
        ("InvalidClientTokenId", "The security token is invalid", "AWS does not know the access key"),
    ] {
        let cloudfront = cloudfront(&["E1EXAMPLE"]).await;
        // The client itself retries a wrong signature.
        for _ in 0..3 {
            cloudfront.inject_read("ListDistributions", 0, refusal(403, code, message));
        }
        let (exit, said) = at(&cloudfront, &["ls"]);
        assert_eq!(exit, 1, "{said}");
        assert!(said.contains(expected) && !said.contains("not allowed"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_stand_before_and_after_the_command_and_in_hints() {
    let cloudfront = cloudfront(&["E1EXAMPLE"]).await;
    let url = cloudfront.endpoint_url();
    let keys = [("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x")];
    let options = ["--endpoint-url", &url, "--region", "eu-west-1"];
    let command = ["invalidate", "E1EXAMPLE", "/a", "--wait", "--timeout", "0"];
    for arguments in [[&options[..], &command].concat(), [&command[..], &options].concat()] {
        let output = tokio::task::block_in_place(|| cfadmin(&arguments, &keys, ""));
        let said = printed(&output);
        assert_eq!(output.status.code(), Some(124), "{said}");
        assert!(!said.contains("simulated"), "{said}");
        let expected = format!(" --region eu-west-1 --endpoint-url {url}\n");
        assert!(said.contains("to wait on: cfadmin wait E1EXAMPLE I") && said.contains(&expected), "{said}");
    }
    let (code, said) = at(&cloudfront, &["listinvalidations", "E1EXAMPLE", "--limit", "1", "--paths"]);
    let [heading, row, path] = &said.lines().collect::<Vec<_>>()[..] else { panic!("{said}") };
    assert!(code == 0 && heading.ends_with("PATHS") && row.ends_with("Z  1"), "{said}");
    assert_eq!((row.split(' ').next(), *path), (Some("I0000000000002"), "  /a"));
}

#[test]
fn manual_pages_have_the_usual_sections_and_help_has_a_width() {
    for command in [&["man"][..], &["man", "invalidate"]] {
        let page = printed(&cfadmin(command, &[], ""));
        for section in ["EXAMPLES", "ENVIRONMENT", "FILES", "\"EXIT STATUS\""] {
            assert!(page.contains(&format!(".SH {section}\n")), "{section} in {page}");
        }
        assert!(page.contains(".TP\n124\nnot completed in time\n"), "{page}");
    }
    for columns in ["60", "100"] {
        let help = printed(&cfadmin(&["help", "invalidate"], &[("COLUMNS", columns)], ""));
        let longest = help.lines().take_while(|line| *line != "Examples:").map(str::len).max();
        let columns: usize = columns.parse().expect("a number");
        assert!(longest.is_some_and(|longest| longest <= columns && longest > columns - 20), "{help}");
    }
}

/// Runs a command in the sample account, with this standard input.
fn sample(arguments: &[&str], input: &str) -> (i32, String) {
    let output = cfadmin(&[arguments, &["--local"]].concat(), &[], input);
    (output.status.code().expect("a code"), printed(&output))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_may_be_an_arn_a_url_a_bucket_or_a_host_below_a_wildcard() {
    for target in [
        "arn:aws:cloudfront::123456789012:distribution/E1EXAMPLE",
        "https://www.example.com",
        "https://www.example.com/",
        "site",
        "arn:aws:s3:::site",
    ] {
        let (code, said) = sample(&["invalidate", target, "/a"], "");
        assert!(
            code == 0 && said.starts_with("E1EXAMPLE  I0000000000002  InProgress  1 path"),
            "{target}: {said}"
        );
    }
    let (_, said) = sample(&["invalidate", "https://www.example.com/a/b?c=1#d", "/a", "-n"], "");
    assert!(said.contains("would purge 2 paths  (simulated)\n  /a\n  /a/b?c=1\n"), "{said}");
    let (_, said) = sample(&["invalidate", "https://www.example.com/", "-n"], "");
    assert!(said.contains("would purge 1 path  (simulated)\n  /\n"), "{said}");

    let mut wildcard = plain("E1", "site.s3.eu-central-1.amazonaws.com");
    wildcard["Distribution"]["DistributionConfig"]["Aliases"] =
        json!({"Quantity": 1, "Items": ["*.shop.example.com"]});
    let account = account_of(&[wildcard, plain("E2", "other.s3.eu-central-1.amazonaws.com")]);
    let options = Options { distributions: Vec::new(), account, ..Options::default() };
    let cloudfront = Server::start(options).await.expect("a CloudFront");
    for target in ["de.shop.example.com", "*.shop.example.com", "https://FR.shop.example.com/x"] {
        let (code, said) = at(&cloudfront, &["invalidate", target, "/a"]);
        assert!(code == 0 && said.starts_with("E1  "), "{target}: {said}");
    }
    assert_eq!(at(&cloudfront, &["invalidate", "shop.example.com", "/a"]).0, 3);

    // An origin without a bucket in its name serves every bucket, but is not meant by every name.
    let account = account_of(&[plain("E1", "s3.eu-central-1.amazonaws.com")]);
    let options = Options { distributions: Vec::new(), account, ..Options::default() };
    let cloudfront = Server::start(options).await.expect("a CloudFront");
    assert_eq!(at(&cloudfront, &["invalidate", "s3://any", "/a"]).0, 0);
    assert_eq!(at(&cloudfront, &["invalidate", "any", "/a"]).0, 3);
}

#[test]
fn an_unknown_id_lists_the_distributions() {
    for command in
        [&["invalidate", "E404", "/a"][..], &["status", "E404", "I1"], &["listinvalidations", "E404"]]
    {
        let (code, said) = sample(command, "");
        assert_eq!(code, 3);
        assert!(
            said.starts_with("cfadmin: no distribution has the id E404; there is\n  E1EXAMPLE  www.ex"),
            "{said}"
        );
    }
    let (code, said) = sample(&["status", "E1EXAMPLE", "I404"], "");
    assert!(code == 3 && said.contains("NoSuchInvalidation"), "{said}");
}

#[test]
fn what_becomes_of_paths_is_shown() {
    let (code, said) = sample(&["invalidate", "E1EXAMPLE", "/it's", "/docs/a", "/docs/*"], "");
    assert_eq!(code, 0);
    for expected in [
        "E1EXAMPLE  I0000000000002  InProgress  2 paths  (simulated)\n",
        "\"/it's\" is purged as /it*: CloudFront may not match \"'\"\n",
        "/docs/a is left out: /docs/* covers it\n",
        "2 paths cost $0.010, unless among the first 1,000 of the month  (simulated)\n",
    ] {
        assert!(said.contains(expected), "{said}");
    }
    let (_, said) = sample(&["invalidate", "E1EXAMPLE", "/it's", "--dry-run"], "");
    assert!(said.contains("1 path would cost $0.005"), "{said}");
}

#[test]
fn purging_everything_without_a_terminal_needs_yes() {
    for (arguments, why) in [
        (&["/*"][..], ""),
        (&["~joe"], " (\"~joe\" is purged as /*: CloudFront cannot match \"~\")"),
        (&["/a/b", "/b/c", "--fold", "--max-paths", "1"], " (--fold makes it of 2 paths)"),
    ] {
        let (code, said) = sample(&[&["invalidate", "www.example.com"][..], arguments].concat(), "y\n");
        let expected =
            format!("cfadmin: /* purges everything of E1EXAMPLE (www.example.com){why}; pass --yes");
        assert!(code == 2 && said.starts_with(&expected), "{said}");
        for option in ["--yes", "--dry-run"] {
            let (code, said) =
                sample(&[&["invalidate", "www.example.com", option][..], arguments].concat(), "");
            assert_eq!((code, said.contains("CloudFront cannot match")), (0, why.contains('~')), "{said}");
        }
    }
}

#[test]
fn a_hyphen_is_standard_input_once() {
    let (_, said) = sample(&["invalidate", "E1EXAMPLE", "-", "/b", "-n"], "/a\n");
    assert!(said.contains("  /a\n  /b\n"), "{said}");
    let (code, said) = sample(&["verify", "-"], "www.example.com\n\nhttps://www.example.com/index.html\n");
    assert!(code == 0 && said.matches("current").count() == 2, "{said}");
    let (code, said) = sample(&["verify", "-"], "ftp://x\n");
    assert!(code == 2 && said.contains("\"ftp://x\": invalid URL"), "{said}");
    let file = include_str!("../../samples/E1EXAMPLE.json");
    let output = cfadmin(&["ls", "--distributions", "-", "--id", "E1EXAMPLE"], &[], file);
    assert!(output.status.success() && printed(&output).contains("E1EXAMPLE"), "{}", printed(&output));
    let output = cfadmin(&["plan", "-", "--distributions", "-", "--id", "E1"], &[], file);
    assert!(
        printed(&output).contains("standard input (\"-\") can be read only once"),
        "{}",
        printed(&output)
    );
}

#[test]
fn a_configuration_needs_an_id() {
    let nameless = ["sites", "--distributions", "-"];
    let config = include_str!("../../samples/E1EXAMPLE.json");
    let output = cfadmin(&nameless, &[], config);
    assert_eq!(output.status.code(), Some(2));
    assert!(printed(&output).contains("does not contain its id; pass it with --id"), "{}", printed(&output));
    let bare =
        serde_json::from_str::<Value>(config).expect("a configuration")["DistributionConfig"].to_string();
    for config in [config, &bare] {
        let output = cfadmin(&[&["--id", "E7"], &nameless[..]].concat(), &[], config);
        assert!(printed(&output).starts_with("E7  www.example.com"), "{}", printed(&output));
    }
    assert_eq!(cfadmin(&["ls", "--local", "--id", "E7"], &[], "").status.code(), Some(2));
}

/// Runs `cfadmin` on a terminal of 60 columns, in the sample account. `None` if there is no `script`, which
/// makes the terminal.
fn on_terminal(arguments: &str, typed: &str) -> Option<String> {
    let command = format!("stty cols 60 rows 20; {} {arguments} --local", env!("CARGO_BIN_EXE_cfadmin"));
    let mut child = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let _ = child.stdin.take().expect("its input").write_all(typed.as_bytes());
    Some(printed(&child.wait_with_output().expect("its output")))
}

#[test]
fn a_terminal_gets_questions_notices_and_tables_that_fit() {
    let Some(said) = on_terminal("invalidate E1EXAMPLE '~joe'", "n\n") else { return };
    let why = "\"~joe\" is purged as /*: CloudFront cannot match \"~\"";
    let question = format!("purge everything of E1EXAMPLE (www.example.com) ({why})? [y/N] ");
    assert!(said.contains(&question) && said.contains("nothing was purged"), "{said}");
    let said = on_terminal("invalidate E1EXAMPLE '/*'", "y\n").expect("a terminal");
    assert!(said.contains("InProgress  1 path  (simulated)"), "{said}");
    let said = on_terminal("invalidate E1EXAMPLE", "/a\n\u{4}").expect("a terminal");
    let notice = "reading paths, one on each line, from the terminal; end with Ctrl-D";
    assert!(said.contains(notice) && said.contains("1 path  (simulated)"), "{said}");
    let said = on_terminal("ls", "").expect("a terminal");
    let row = said.lines().find_map(|line| line.get(line.find("E1EXAMPLE")?..)).expect("a row");
    assert!(row.contains('…') && row.trim_end().ends_with("(simulated)"), "{said}");
    assert!(row.trim_end().chars().count() <= 60, "{said}");
}
