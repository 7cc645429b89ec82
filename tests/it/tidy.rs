//! The rules of the house: who may know what.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use cloudfront_invalidator::config::VARIABLES;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file below `directory`, by name relative to the project.
fn sources(directory: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut left: Vec<PathBuf> = vec![root().join(directory)];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(path).expect("a folder").map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root()).expect("a file of the project").display().to_string();
            found.push((name, fs::read_to_string(path).expect("a source")));
        }
    }
    found.sort();
    found
}

/// A file's code, without comments.
fn code(source: &str) -> String {
    source.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The rooms of the library.
const ROOMS: [&str; 14] = [
    "event",
    "path",
    "site",
    "discover",
    "cover",
    "plan",
    "cloudfront",
    "submit",
    "request",
    "report",
    "config",
    "local",
    "view",
    "text",
];

/// The rooms that `code` names, in whatever way: `crate::room::…`, or `room::…` in a
/// group that is imported.
fn rooms_named(code: &str) -> Vec<&'static str> {
    let names = |room: &&&str| {
        code.match_indices(&format!("{room}::")).any(|(at, _)| {
            let before = &code[..at];
            let within = before.ends_with(':') && !before.ends_with("crate::");
            !within && !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
        })
    };
    ROOMS.iter().filter(names).copied().collect()
}

#[test]
fn the_rooms_named_are_found() {
    let code =
        "use crate::{\n    event::{Batch},\n    plan::Plan,\n};\nuse std::path::Path;\ncrate::site::x()";
    assert_eq!(rooms_named(code), ["event", "site", "plan"]);
}

#[test]
fn rooms_do_not_know_what_they_need_not() {
    const SDK: &[&str] = &["aws_sdk_", "aws_smithy", "aws_config"];
    const CLOCK: &[&str] = &["SystemTime", "Instant"];
    const ENVIRONMENT: &[&str] = &["env::", "std::env"];
    const LAMBDA: &[&str] = &["lambda_runtime"];
    /// A room, the rooms that it may know, and the words that it may not.
    type Rule = (&'static str, &'static [&'static str], &'static [&'static [&'static str]]);
    let rules: &[Rule] = &[
        ("src/text", &[], &[SDK, CLOCK, ENVIRONMENT, LAMBDA, &["serde"]]),
        ("src/event", &["text"], &[SDK, CLOCK, ENVIRONMENT, LAMBDA]),
        ("src/path", &["text"], &[SDK, CLOCK, ENVIRONMENT, LAMBDA, &["serde"]]),
        ("src/site", &["event", "path"], &[SDK, CLOCK, ENVIRONMENT, LAMBDA, &["async", "serde_json"]]),
        ("src/cover", &["path"], &[SDK, CLOCK, ENVIRONMENT, LAMBDA, &["serde"]]),
        (
            "src/plan",
            &["event", "path", "site", "cover", "text"],
            &[SDK, CLOCK, ENVIRONMENT, LAMBDA, &["async"]],
        ),
        ("src/cloudfront", &["config", "site"], &[ENVIRONMENT, LAMBDA, &["serde_json"]]),
        (
            "src/discover",
            &["event", "site", "cloudfront", "text"],
            &[SDK, ENVIRONMENT, LAMBDA, &["serde", "SystemTime::now"]],
        ),
        (
            "src/request",
            &["path", "site", "cloudfront", "config", "local"],
            &[SDK, ENVIRONMENT, LAMBDA, &["serde"]],
        ),
        ("src/submit", &["path", "cover", "plan", "cloudfront"], &[SDK, ENVIRONMENT, LAMBDA, &["serde"]]),
        (
            "src/report",
            &["event", "path", "site", "discover", "cover", "plan", "cloudfront", "submit", "config", "text"],
            // It formats times that it is given.
            &[SDK, &["SystemTime::now", "Instant"], ENVIRONMENT, LAMBDA],
        ),
        ("src/config", &["site", "discover", "cover", "plan"], &[SDK, CLOCK, ENVIRONMENT, LAMBDA]),
        ("src/local", &[], &[SDK, ENVIRONMENT, LAMBDA, &["crate::"]]),
        ("src/view", &["site", "cloudfront", "local"], &[ENVIRONMENT, LAMBDA, &["serde_json"]]),
        ("src/lib", &ROOMS, &[SDK, ENVIRONMENT, LAMBDA]),
        ("src/main", &["cloudfront", "config", "report"], &[SDK, &["clap"]]),
        ("src/bin", &ROOMS, &[SDK, LAMBDA]),
    ];
    for (name, source) in sources("src") {
        let rule = rules.iter().find(|(room, ..)| {
            let rest = name.strip_prefix(room);
            rest.is_some_and(|rest| rest.starts_with('/') || rest.starts_with('.'))
        });
        let (room, may, words) = rule.unwrap_or_else(|| panic!("{name} is in no room: give it one here"));
        let code = code(&source);
        let own = room.trim_start_matches("src/");
        for named in rooms_named(&code) {
            assert!(named == own || may.contains(&named), "{name} may not know {named}");
        }
        for word in words.iter().copied().flatten() {
            assert!(!code.contains(word), "{name} may not know {word}");
        }
    }
}

#[test]
fn files_hold_one_idea() {
    for (name, source) in sources("src").into_iter().chain(sources("tests")) {
        assert!(source.lines().count() <= 600, "{name} is too long");
        assert!(source.starts_with("//!"), "{name} does not say what it is");
    }
}

/// The crates that the library is built of with these features.
pub(crate) fn tree(features: &str) -> String {
    let arguments = ["tree", "--locked", "--no-default-features", "--features", features];
    let arguments = [&arguments[..], &["--edges", "normal", "--prefix", "none"]].concat();
    let output =
        Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().expect("cargo tree");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_function_carries_nothing_that_it_does_not_need() {
    let tree = tree("function");
    assert!(tree.contains("aws-sdk-cloudfront v"), "{tree}");
    for heavy in [
        "clap",
        "aws-config",
        "quick-xml",
        "aws-lc",
        "h2 v",
        "hyper v0",
        "rustls v0.21",
        "openssl-sys",
        "tracing-subscriber",
    ] {
        let found = tree.lines().find(|line| line.starts_with(heavy));
        assert_eq!(found, None, "in the function's tree");
    }
}

#[test]
fn the_library_alone_has_neither_lambda_nor_a_command_line() {
    let tree = tree("");
    assert!(tree.contains("aws-sdk-cloudfront v"), "{tree}");
    for other in ["lambda", "aws_lambda", "clap", "aws-config", "hyper v0", "quick-xml"] {
        let found = tree.lines().find(|line| line.starts_with(other));
        assert_eq!(found, None, "in the library's tree");
    }
}

#[test]
fn every_variable_is_documented_and_in_the_template() {
    let readme = fs::read_to_string(root().join("README.md")).expect("the README");
    let template = fs::read_to_string(root().join("template.yaml")).expect("the template");
    for name in VARIABLES {
        assert!(readme.contains(&format!("`{name}`")), "{name} is not in the README");
        assert!(template.contains(&format!("{name}: ")), "{name} is not in the template");
    }
    let named = |text: &str| {
        let words = text.split(|c: char| !(c.is_ascii_uppercase() || c == '_')).map(str::to_owned);
        words.filter(|word| word.starts_with("INVALIDATOR_") && word.len() > 12).collect::<Vec<_>>()
    };
    for name in [named(&readme), named(&template)].concat() {
        assert!(VARIABLES.contains(&&*name), "{name} is documented but unknown");
    }
}
