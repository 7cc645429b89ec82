//! Runs `cfadmin` as a process where things go wrong or are easy to get wrong: errors of credentials
//! and connections, targets, standard input, terminals.

use std::{fs, path::Path, process::Output};

use cloudfront_invalidator::local::Server;

use crate::{
    cfadmin::{cfadmin, cfadmin_at},
    function::refusal,
    support::cloudfront,
};

/// Returns what a command wrote to standard output and then to standard error.
fn printed(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].concat().iter().map(|byte| char::from(*byte)).collect()
}

/// The AWS configuration of a person with several broken profiles.
const PROFILES: &str = "\
[default]
region = eu-west-1
[profile sso]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = Admin
region = eu-west-1
[sso-session corp]
sso_region = eu-west-1
sso_start_url = https://example.awsapps.com/start
[profile proc]
credential_process = /bin/false
[profile role]
role_arn = arn:aws:iam::123456789012:role/x
source_profile = nobody
[profile elsewhere]
role_arn = arn:aws:iam::123456789012:role/x
source_profile = keys
[profile keys]
aws_access_key_id = AKIDEXAMPLEEXAMPLE12
aws_secret_access_key = secretsecretsecretsecret
";

/// Runs `cfadmin` with these profiles, without any other credentials.
fn with_profiles(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("edges");
    fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("config");
    fs::write(&file, PROFILES).expect("a file");
    let own = [
        ("HOME", folder.to_str().expect("text")),
        ("AWS_CONFIG_FILE", file.to_str().expect("text")),
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
