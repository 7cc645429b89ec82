//! The GitHub Action and the page about pipelines: the action's script, with `cfadmin` and with a
//! program that records how it is called, and the commands on the page.

use std::{
    collections::BTreeSet,
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use cloudfront_invalidator::local::{Options, Server, Upload};
use serde_json::Value;

use crate::{
    peers::Peer,
    sites::{DOMAIN, account, plain},
};

const SCRIPT: &str = include_str!("../../scripts/action.sh");

const PAGE: &str = include_str!("../../docs/ci.md");

/// Returns the content of action.yml.
fn action() -> Value {
    yaml_serde::from_str(include_str!("../../action.yml")).expect("YAML")
}

/// Returns the names of the action's inputs, with their defaults.
fn inputs() -> Vec<(String, String)> {
    let action = action();
    let inputs = action["inputs"].as_object().expect("inputs");
    let default = |about: &Value| about["default"].as_str().unwrap_or_default().to_owned();
    inputs.iter().map(|(name, about)| (name.clone(), default(about))).collect()
}

/// Returns the name of the variable that holds an input.
fn variable(input: &str) -> String {
    format!("INPUT_{}", input.to_uppercase().replace('-', "_"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Creates an empty folder with this name.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// Runs the action's script in `folder` with these inputs and variables, as GitHub does. Returns its exit code and its
/// output.
fn run(folder: &Path, given: &[(&str, &str)], variables: &[(&str, &str)]) -> (i32, String) {
    run_script(&root().join("scripts/action.sh"), folder, given, variables)
}

/// Runs a copy of the script, as `run` does.
fn run_script(
    script: &Path,
    folder: &Path,
    given: &[(&str, &str)],
    variables: &[(&str, &str)],
) -> (i32, String) {
    let known = inputs();
    for (name, _) in given {
        assert!(known.iter().any(|(input, _)| input == name), "there is no input {name}");
    }
    let value = |(name, default): &(String, String)| {
        let given = given.iter().find(|(input, _)| input == name);
        (variable(name), given.map_or_else(|| default.clone(), |(_, value)| (*value).to_owned()))
    };
    let output = Command::new("sh")
        .arg(script)
        .current_dir(folder)
        .env_clear()
        .env("PATH", env::var_os("PATH").expect("programs"))
        .envs(known.iter().map(value))
        .envs(variables.iter().copied())
        .output()
        .expect("a shell");
    code_and_text(&output)
}

/// Returns the exit code and the output of a program.
fn code_and_text(output: &Output) -> (i32, String) {
    let text = [&output.stdout[..], &output.stderr].concat();
    (output.status.code().expect("a code"), String::from_utf8(text).expect("text"))
}

/// Returns the lines in which the recorder shows the arguments that the script makes of these inputs.
#[track_caller]
fn recorded(folder: &Path, given: &[(&str, &str)]) -> String {
    let recorder = root().join("tests/it/data/recorder.sh");
    let given = [given, &[("cfadmin", recorder.to_str().expect("text"))]].concat();
    let (code, text) = run(folder, &given, &[]);
    assert_eq!(code, 0, "{text}");
    text
}

#[test]
fn the_script_passes_inputs_as_arguments_whatever_they_contain() {
    let folder = folder("action-arguments");
    assert_eq!(
        recorded(&folder, &[("target", "s3://site/live/"), ("since", "10m")]),
        "<wait>\n<--timeout=900>\n<--since=10m>\n<-->\n<s3://site/live/>\n"
    );
    let all = [
        ("target", "s3://site"),
        ("changed", "a"),
        ("uploaded", "b"),
        ("function", "c"),
        ("or-invalidate", "true"),
        ("timeout", "5"),
    ];
    assert_eq!(
        recorded(&folder, &all),
        "<wait>\n<--timeout=5>\n<--changed=a>\n<--uploaded=b>\n<--function=c>\n<--or-invalidate>\n<-->\n<s3://site>\n"
    );
    let hostile = "$(touch owned) `touch owned`; touch owned\n--yes \"'";
    let purge = [("command", "invalidate"), ("target", "--local"), ("changed", hostile), ("all", "true")];
    assert_eq!(
        recorded(&folder, &purge),
        format!(
            "<invalidate>\n<--wait>\n<--yes>\n<--timeout=900>\n<--changed={hostile}>\n<--all>\n<-->\n<--local>\n"
        )
    );
    let purge = [("command", "invalidate"), ("target", hostile), ("paths", hostile)];
    assert_eq!(
        recorded(&folder, &purge),
        format!("<invalidate>\n<--wait>\n<--yes>\n<--timeout=900>\n<--file=->\n<-->\n<{hostile}>\n{hostile}")
    );
    assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 0, "an input was run as a command");
}

#[test]
fn the_script_builds_cfadmin_if_it_gets_no_path() {
    let folder = folder("action-builds");
    for made in ["scripts", "bin", "target/release"] {
        fs::create_dir_all(folder.join(made)).expect("a folder");
    }
    let script = folder.join("scripts/action.sh");
    fs::write(&script, SCRIPT).expect("a copy");
    for program in ["bin/cargo", "target/release/cfadmin"] {
        symlink(root().join("tests/it/data/recorder.sh"), folder.join(program)).expect("a link");
    }
    let path = format!("{}:{}", folder.join("bin").display(), env::var("PATH").expect("programs"));
    let given = [("target", "s3://site"), ("since", "1h")];
    let expected = "<build>\n<--locked>\n<--release>\n<--bin>\n<cfadmin>\n<--no-default-features>\n<--features>\n\
                    <cli>\n<--target-dir>\n<target>\n\
                    <wait>\n<--timeout=900>\n<--since=1h>\n<-->\n<s3://site>\n";
    assert_eq!(run_script(&script, root(), &given, &[("PATH", &path)]), (0, expected.to_owned()));
}

#[test]
fn the_script_refuses_values_that_it_does_not_know() {
    let folder = folder("action-refused");
    for (given, expected) in [
        (("command", "wait; true"), "action: unknown command; use wait or invalidate\n"),
        (("or-invalidate", "yes"), "action: or-invalidate is neither true nor false\n"),
        (("all", "1"), "action: all is neither true nor false\n"),
    ] {
        assert_eq!(run(&folder, &[given], &[]), (2, expected.to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_script_waits_for_an_upload_and_purges_it() {
    let options =
        Options { distributions: Vec::new(), account: account(&[plain("E1", DOMAIN)]), ..Options::default() };
    let server = Server::start(options).await.expect("a CloudFront");
    server.put_object("site", "docs/a.html", Upload::default());
    let folder = folder("action-purges");
    fs::write(folder.join("changed.txt"), "upload: docs/a.html to s3://site/docs/a.html\n").expect("a file");
    let endpoint = server.endpoint_url();
    let variables = [
        ("AWS_ENDPOINT_URL", &*endpoint),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "x"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
    ];
    let cfadmin = ("cfadmin", env!("CARGO_BIN_EXE_cfadmin"));
    let act = |given: &[(&str, &str)]| {
        let given = [given, &[cfadmin]].concat();
        tokio::task::block_in_place(|| run(&folder, &given, &variables))
    };
    let upload = [("target", "s3://site/docs/"), ("changed", "changed.txt"), ("timeout", "0")];
    let (code, text) = act(&upload);
    assert!(code == 124 && text.contains("/docs/a.html"), "{code} {text}");
    let (code, text) = act(&[&upload[..], &[("or-invalidate", "true")]].concat());
    assert!(code == 0 && text.contains("1 purged by 1 invalidation"), "{code} {text}");
    let purge = [("command", "invalidate"), ("target", "s3://site"), ("timeout", "60")];
    let (code, text) = act(&[&purge[..], &[("changed", "changed.txt")]].concat());
    assert!(code == 0 && text.contains("Completed"), "{code} {text}");
    let (code, text) = act(&[&purge[..], &[("paths", "/b c.html\n/*\n")]].concat());
    assert!(code == 0 && text.contains("Completed"), "{code} {text}");
    let paths: Vec<Vec<String>> = server.recorded().into_iter().map(|one| one.paths).collect();
    assert_eq!(paths, [vec!["/docs/a.html"], vec!["/docs/a.html"], vec!["/*"]]);
    let (code, text) = act(&[&purge[..], &[("since", "1h")]].concat());
    assert!(code == 2 && text.contains("unexpected argument '--since'"), "{code} {text}");
}

#[test]
fn the_action_passes_every_input_to_the_script_as_a_variable() {
    let action = action();
    let [step] = &action["runs"]["steps"].as_array().expect("steps")[..] else { panic!("one step") };
    assert_eq!(step["run"], "sh \"$GITHUB_ACTION_PATH/scripts/action.sh\"");
    let passed: BTreeSet<(String, String)> = step["env"]
        .as_object()
        .expect("variables")
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().expect("text").to_owned()))
        .collect();
    let expected: BTreeSet<(String, String)> = inputs()
        .into_iter()
        .map(|(input, _)| (variable(&input), format!("${{{{ inputs.{input} }}}}")))
        .collect();
    assert_eq!(passed, expected);
    let words = SCRIPT.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
    let read: BTreeSet<&str> = words.filter(|word| word.starts_with("INPUT_")).collect();
    assert_eq!(read, passed.iter().map(|(name, _)| &**name).collect());
}

/// Returns the blocks of the page in this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let start = format!("```{language}\n");
    PAGE.split(&*start).skip(1).map(|block| block.split("```").next().expect("the end of a block")).collect()
}

#[test]
fn the_page_uses_the_actions_inputs_and_the_same_commands_everywhere() {
    let pages: Vec<Value> =
        blocks("yaml").iter().map(|block| yaml_serde::from_str(block).expect("YAML")).collect();
    let [workflow, steps, gitlab] = &pages[..] else { panic!("three blocks of YAML") };
    let known = inputs();
    let own =
        |step: &&Value| step["uses"].as_str().is_some_and(|uses| uses.contains("/cloudfront-invalidator@v"));
    let steps: Vec<&Value> = [&workflow["jobs"]["deploy"]["steps"], steps]
        .into_iter()
        .flat_map(|steps| steps.as_array().expect("steps"))
        .filter(own)
        .collect();
    assert_eq!(steps.len(), 2);
    for step in steps {
        assert!(
            step["uses"].as_str().is_some_and(|uses| uses.ends_with(env!("CARGO_PKG_VERSION"))),
            "{step}"
        );
        for (name, _) in step["with"].as_object().expect("inputs") {
            assert!(known.iter().any(|(input, _)| input == name), "{name}");
        }
        assert!(step["with"]["target"].is_string());
    }
    let script = gitlab["deploy"]["script"].as_array().expect("a script");
    // A command of its own for each line, since GitLab looks at the last exit code of each.
    let script: Vec<&str> = script.iter().skip(1).filter_map(Value::as_str).collect();
    assert_eq!(script.join("\n"), blocks("sh")[1].trim_end());
}

#[test]
#[ignore = "needs ministack: make test"]
fn the_commands_of_the_page_upload_and_purge() {
    let folder = folder("action-page");
    let ministack = Peer::ministack_with("cloudfront,iam,lambda,s3,sts", &folder);
    ministack.distribution_of("my-bucket.s3.us-east-1.amazonaws.com", "/live");
    let programs = Path::new(env!("CARGO_BIN_EXE_cfadmin")).parent().expect("a folder").display();
    let run = |command: &str| {
        ministack.run(&folder, &[("FUNCTION", "invalidator")], &format!("PATH={programs}:$PATH\n{command}"))
    };
    run("aws s3 mb s3://my-bucket && mkdir -p public/docs && echo a > public/docs/a.html");
    run(
        "printf 'def h(e, c): pass' > f.py && python3 -m zipfile -c f.zip f.py && aws lambda create-function \
         --function-name invalidator --runtime python3.12 --handler f.h --zip-file fileb://f.zip \
         --role arn:aws:iam::123456789012:role/r",
    );
    let [_name, wait, purge] = &blocks("sh")[..] else { panic!("three blocks of commands") };
    let limited = wait.replace("--timeout 900", "--timeout 0");
    assert_ne!(*wait, limited);
    // Nobody purges here, so the wait must fail.
    run(&format!("({}) && exit 1 || [ $? = 124 ]", limited.trim_end()));
    run("echo b > public/docs/b.html");
    run(purge);
    run("cfadmin history /docs/b.html | grep /docs/b.html");
    run("! cfadmin history /docs/a.html | grep /docs/a.html");
}
