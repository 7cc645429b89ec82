//! The files of a release: those in the folder `DIST`, which `make release` has built, or else those
//! that its script makes from this build.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;

use super::{
    deployed::Account,
    stack::{parsed, template},
};
use crate::{
    peers::{Peer, SERVICES},
    support::binary,
};

/// The name of this machine's architecture in the names of files.
pub(super) const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };

/// Runs a command in `folder`, with the programs of the virtual environment. Returns its output.
#[track_caller]
pub(super) fn run(folder: &Path, command: &str) -> String {
    let path = format!("{}:{}", Peer::programs().display(), env::var("PATH").unwrap_or_default());
    let output = Command::new("sh")
        .args(["-c", command])
        .current_dir(folder)
        .env("PATH", path)
        .env("SAM_CLI_TELEMETRY", "0")
        .output()
        .expect("a shell");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Makes the files of a release in a folder with this name, from these binaries.
pub(super) fn made(name: &str, function: &Path, cfadmin: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    let command = format!(
        "python3 scripts/release.py --output '{}' --function '{}' --cfadmin '{cfadmin}' function cfadmin checksums",
        folder.display(),
        function.display(),
    );
    run(Path::new(env!("CARGO_MANIFEST_DIR")), &command);
    folder
}

/// Returns the folder with the files of a release.
fn dist(name: &str) -> PathBuf {
    let make = || made(name, &binary(), env!("CARGO_BIN_EXE_cfadmin"));
    env::var_os("DIST").map_or_else(make, PathBuf::from)
}

/// Returns the names of the files in a folder that begin with `prefix`, sorted.
fn names(folder: &Path, prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().expect("text")).collect();
    names.retain(|name| name.starts_with(prefix));
    names.sort_unstable();
    names
}

#[test]
#[ignore = "needs Python: make test"]
fn the_archives_hold_programs_and_the_checksums_are_right() {
    let dist = dist("release");
    run(&dist, "sha256sum --check --strict SHA256SUMS");
    let sums = fs::read_to_string(dist.join("SHA256SUMS")).expect("checksums");
    let mut summed: Vec<&str> = sums.lines().filter_map(|line| line.split("  ").nth(1)).collect();
    summed.push("SHA256SUMS");
    summed.sort_unstable();
    assert_eq!(names(&dist, ""), summed);

    let functions = names(&dist, "invalidator-");
    assert!(!functions.is_empty());
    for function in functions {
        let list = "import sys, zipfile; [print(oct(one.external_attr >> 16), one.filename) \
                    for one in zipfile.ZipFile(sys.argv[1]).infolist()]";
        let listed = run(&dist, &format!("python3 -c '{list}' {function}"));
        assert_eq!(listed, "0o100755 bootstrap\n0o100644 LICENSE-APACHE\n0o100644 LICENSE-MIT\n");
    }
    let [archive] = &names(&dist, "cfadmin-")[..] else { panic!("cfadmin for this machine") };
    let unpacked = Path::new(env!("CARGO_TARGET_TMPDIR")).join("unpacked");
    let _ = fs::remove_dir_all(&unpacked);
    fs::create_dir_all(&unpacked).expect("a folder");
    run(&unpacked, &format!("tar -xzf '{}'", dist.join(archive).display()));
    let folder = unpacked.join(archive.trim_end_matches(".tar.gz"));
    assert_eq!(names(&folder, ""), ["LICENSE-APACHE", "LICENSE-MIT", "cfadmin"]);
    assert_eq!(run(&folder, "./cfadmin --version"), concat!("cfadmin ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
#[ignore = "needs Python: make test"]
fn the_same_binaries_make_the_same_release() {
    let license = Path::new(env!("CARGO_MANIFEST_DIR")).join("LICENSE-MIT");
    let sums = |name| {
        let folder = made(name, &license, "LICENSE-APACHE");
        fs::read_to_string(folder.join("SHA256SUMS")).expect("checksums")
    };
    assert_eq!(sums("release-again"), sums("release-once"));
}

#[test]
#[ignore = "needs the SAM CLI: make test"]
fn the_packaged_templates_differ_from_the_template_only_in_what_is_built() {
    let dist = dist("release-templates");
    let templates = names(&dist, "template-");
    assert_eq!(templates.len(), names(&dist, "invalidator-").len());
    for name in templates {
        let text = fs::read_to_string(dist.join(&name)).expect("a template");
        let architecture = name.trim_start_matches("template-").trim_end_matches(".yaml");
        let mut expected = template();
        let parameter = &mut expected["Parameters"]["Architecture"];
        parameter["AllowedValues"] = json!([architecture]);
        parameter["Default"] = json!(architecture);
        parameter["Description"] =
            json!("The function's processor architecture. This template has a function for no other");
        let function = expected["Resources"]["Function"].as_object_mut().expect("the function");
        function.remove("Metadata");
        function["Properties"]["CodeUri"] = json!(format!("invalidator-{architecture}.zip"));
        assert_eq!(parsed(&text), expected);
        run(&dist, &format!("sam validate --lint --template {name}"));
    }
    let forwarding = fs::read_to_string(dist.join("forward-events.yaml")).expect("a template");
    assert_eq!(forwarding, include_str!("../../../templates/forward-events.yaml"));
}

#[test]
#[ignore = "needs ministack: make test"]
fn a_packaged_template_deploys_without_a_build() {
    let dist = dist("release-deployed");
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("release-copied");
    fs::create_dir_all(&copy).expect("a folder");
    for name in names(&dist, "") {
        fs::copy(dist.join(&name), copy.join(&name)).expect("a copy");
    }
    let template = copy.join(format!("template-{ARCHITECTURE}.yaml"));
    // ministack knows no Fn::Join in conditions, and has the list as text.
    let text = fs::read_to_string(&template).expect("a template");
    let known = text.replace(
        "!Equals [!Join [\"\", !Ref DistributionIds], \"\"]",
        "!Equals [!Ref DistributionIds, \"\"]",
    );
    assert_ne!(known, text);
    fs::write(&template, known).expect("a template");
    let account = Account::new("released");
    account.run(&format!(
        "SAM_CLI_TELEMETRY=0 sam deploy --template '{}' --no-confirm-changeset \
         --parameter-overrides BucketNames=site CreateBucket=true Trigger=Notifications BatchingWindow=1 \
         PathsPerMonth=100000",
        template.display()
    ));
    account.purges_changes();
}

#[test]
#[ignore = "needs ministack: make test"]
fn the_aws_command_line_deploys_a_packaged_template_as_documented() {
    let page = include_str!("../../../docs/deploy.md");
    let blocks = page.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap_or_default());
    let mut blocks = blocks.filter(|block| block.contains("aws cloudformation package"));
    let commands = blocks.next().expect("the commands").replace("arm64", ARCHITECTURE);
    let license = Path::new(env!("CARGO_MANIFEST_DIR")).join("LICENSE-MIT");
    let dist = made("release-cli", &license, "LICENSE-MIT");
    let account = Account::new("released-cli");
    account.run("aws s3 mb s3://my-artifacts && aws s3 mb s3://my-bucket");
    account.run(&format!("ln -sfn '{}' dist\n{commands}", dist.display()));
    let outputs = account
        .run("aws cloudformation describe-stacks --query 'Stacks[0].Outputs[].OutputKey' --output json");
    assert!(outputs.as_array().is_some_and(|names| names.contains(&json!("TurnOnEvents"))), "{outputs}");
}

#[test]
#[ignore = "needs ministack: make test"]
fn the_trial_without_an_account_ends_with_a_purge() {
    let page = include_str!("../../../docs/deploy.md");
    let section = page.split("## Try it without an AWS account").nth(1).expect("the section");
    let commands =
        section.split("```sh\n").nth(2).and_then(|rest| rest.split("```").next()).expect("commands");
    let dist = made("release-trial", &binary(), "LICENSE-MIT");
    let folder = dist.parent().expect("a folder").join("trial");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("README.md"), "content").expect("a file");
    let ministack = Peer::ministack_with(SERVICES, &folder);
    // The function is built already, and the emulator has another port.
    let build = "sam build --parameter-overrides Architecture=x86_64\n";
    assert!(commands.contains(build), "{commands}");
    let commands = commands
        .replace(build, "")
        .replace("x86_64", ARCHITECTURE)
        .replace("http://127.0.0.1:4566", ministack.endpoint())
        .replace(
            "sam deploy",
            &format!("sam deploy --template '{}/template-{ARCHITECTURE}.yaml'", dist.display()),
        );
    let cfadmin = Path::new(env!("CARGO_BIN_EXE_cfadmin")).parent().expect("a folder");
    let shown = run(&folder, &format!("set -e; PATH='{}':\"$PATH\"\n{commands}", cfadmin.display()));
    let history = shown.lines().last().expect("a line");
    assert!(history.ends_with("  /docs/README.md  exact  function"), "{shown}");
}
