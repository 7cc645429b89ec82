//! Rules for the source: which modules, crates and words each module may use, and how long a file
//! may be.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use cloudfront_invalidator::config::VARIABLES;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns every source file below `directory`: its path relative to the project, and its content.
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

/// Returns a file's code without its comments.
fn code(source: &str) -> String {
    source.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The library's modules, except `order`, which every module may use.
const MODULES: [&str; 27] = [
    "event",
    "watch",
    "path",
    "site",
    "discover",
    "cover",
    "versions",
    "neighbors",
    "plan",
    "cloudfront",
    "submit",
    "rpc",
    "queue",
    "usage",
    "bucket",
    "narrow",
    "allowance",
    "spending",
    "request",
    "report",
    "config",
    "coverage",
    "lambda",
    "local",
    "verify",
    "text",
    "time",
];

/// Returns those of `modules` that `code` names, as `{parent}module::…` or as `module::…` in a
/// group of imports from there.
fn named<'m>(code: &str, parent: &str, modules: &[&'m str]) -> Vec<&'m str> {
    let names = |module: &&&str| {
        code.match_indices(&format!("{module}::")).any(|(at, _)| {
            let before = &code[..at];
            match before.chars().next_back() {
                Some(':') => before.ends_with(parent),
                Some(c) if c.is_alphanumeric() || c == '_' => false,
                _ => group(before).is_none_or(|group| group.ends_with(parent)),
            }
        })
    };
    modules.iter().filter(names).copied().collect()
}

/// Returns what precedes the innermost group of imports that is open at the end of `code`.
fn group(code: &str) -> Option<&str> {
    let mut closed = 0;
    for (at, c) in code.char_indices().rev() {
        match c {
            ';' => return None,
            '}' => closed += 1,
            '{' if closed > 0 => closed -= 1,
            '{' => return Some(&code[..at]).filter(|before| before.ends_with("::")),
            _ => {}
        }
    }
    None
}

#[test]
fn imported_modules_are_found() {
    let code = "use crate::{event::{Batch}, plan::Plan};\nuse std::path::Path;\nuse sdk::{a::B, config::C};\n\
                fn f() { crate::site::x() }";
    assert_eq!(named(code, "crate::", &MODULES), ["event", "site", "plan"]);
}

/// The modules that a module uses, and the words that its code must not contain.
struct Rule {
    /// The path with which the module's files begin.
    files: &'static str,
    /// The modules that it uses. `None` if it may use any.
    uses: Option<&'static [&'static str]>,
    /// Words that its code must not contain.
    forbidden: &'static [&'static [&'static str]],
}

/// Returns the rules for the library and its binaries.
fn rules() -> Vec<Rule> {
    const SDK: &[&str] = &["aws_sdk_", "aws_smithy", "aws_config"];
    const CLOCK: &[&str] = &["SystemTime", "Instant"];
    const NOW: &[&str] = &["SystemTime::now"];
    const ENVIRONMENT: &[&str] = &["env::", "std::env"];
    const LAMBDA: &[&str] = &["lambda_runtime"];
    let rule = |files, uses, forbidden| Rule { files, uses, forbidden };
    vec![
        rule("src/order", Some(&[]), &[SDK, CLOCK, ENVIRONMENT, LAMBDA, &["serde"]]),
        rule("src/text", Some(&[]), &[SDK, CLOCK, ENVIRONMENT, LAMBDA, &["serde"]]),
        rule("src/time", Some(&[]), &[SDK, NOW, &["Instant"], ENVIRONMENT, LAMBDA, &["serde"]]),
        rule("src/event", Some(&["text", "time"]), &[SDK, NOW, &["Instant"], ENVIRONMENT, LAMBDA]),
        rule("src/path", Some(&["text"]), &[SDK, CLOCK, ENVIRONMENT, LAMBDA, &["serde"]]),
        rule("src/watch", Some(&["event"]), &[SDK, CLOCK, ENVIRONMENT, LAMBDA, &["async", "serde_json"]]),
        rule("src/site", Some(&["path"]), &[SDK, CLOCK, ENVIRONMENT, LAMBDA, &["async", "serde_json"]]),
        rule("src/cover", Some(&["path"]), &[SDK, CLOCK, ENVIRONMENT, LAMBDA, &["serde"]]),
        rule(
            "src/plan",
            Some(&["event", "watch", "path", "site", "cover", "versions", "neighbors", "text"]),
            &[SDK, CLOCK, ENVIRONMENT, LAMBDA, &["async"]],
        ),
        rule(
            "src/versions",
            Some(&["event", "watch", "site", "cloudfront", "bucket"]),
            &[SDK, NOW, ENVIRONMENT, LAMBDA, &["serde_json"]],
        ),
        rule("src/neighbors", Some(&["bucket", "event"]), &[SDK, ENVIRONMENT, LAMBDA, &["serde"]]),
        rule("src/cloudfront", Some(&["site", "text"]), &[ENVIRONMENT, LAMBDA, &["serde_json"]]),
        rule(
            "src/discover",
            Some(&["event", "watch", "site", "cloudfront", "text"]),
            &[SDK, ENVIRONMENT, LAMBDA, NOW, &["serde"]],
        ),
        rule("src/request", Some(&["path", "site", "cloudfront"]), &[SDK, ENVIRONMENT, LAMBDA, &["serde"]]),
        rule(
            "src/submit",
            Some(&["path", "cover", "plan", "cloudfront", "site", "time"]),
            &[SDK, ENVIRONMENT, LAMBDA, &["serde"]],
        ),
        rule("src/rpc", Some(&["cloudfront"]), &[SDK, CLOCK, ENVIRONMENT, LAMBDA]),
        rule("src/queue", Some(&["cloudfront", "rpc"]), &[SDK, ENVIRONMENT, LAMBDA]),
        rule("src/usage", Some(&["cloudfront", "rpc", "time"]), &[SDK, NOW, ENVIRONMENT, LAMBDA]),
        rule("src/bucket", Some(&["cloudfront", "event", "time"]), &[SDK, ENVIRONMENT, LAMBDA, NOW]),
        rule(
            "src/narrow",
            Some(&["event", "site", "cloudfront", "plan", "queue", "submit"]),
            &[SDK, NOW, ENVIRONMENT, LAMBDA, &["serde"]],
        ),
        rule("src/allowance", Some(&["cover"]), &[SDK, CLOCK, ENVIRONMENT, LAMBDA, &["async", "serde"]]),
        rule(
            "src/spending",
            Some(&["allowance", "event", "cloudfront", "cover", "path", "plan", "site", "submit", "usage"]),
            &[SDK, CLOCK, ENVIRONMENT, LAMBDA, &["serde"]],
        ),
        rule(
            "src/report",
            Some(&[
                "event",
                "path",
                "site",
                "discover",
                "cover",
                "plan",
                "cloudfront",
                "bucket",
                "neighbors",
                "submit",
                "narrow",
                "spending",
                "usage",
                "config",
                "usage",
                "versions",
                "text",
            ]),
            &[SDK, NOW, &["Instant"], ENVIRONMENT, LAMBDA],
        ),
        rule(
            "src/config",
            Some(&["watch", "site", "discover", "cover", "plan", "cloudfront", "versions", "time"]),
            &[SDK, CLOCK, ENVIRONMENT, LAMBDA],
        ),
        rule(
            "src/coverage",
            Some(&["path", "site"]),
            &[SDK, CLOCK, ENVIRONMENT, LAMBDA, &["async", "serde"]],
        ),
        rule("src/lambda", Some(&["cloudfront"]), &[SDK, NOW, ENVIRONMENT, LAMBDA]),
        rule("src/local", Some(&[]), &[SDK, ENVIRONMENT, LAMBDA, &["crate::"]]),
        rule("src/verify", Some(&["site", "cloudfront", "bucket"]), &[ENVIRONMENT, LAMBDA, &["serde_json"]]),
        rule("src/lib", None, &[SDK, ENVIRONMENT, LAMBDA]),
        rule("src/main", Some(&["cloudfront", "config", "report"]), &[SDK, &["clap"]]),
        rule("src/bin", None, &[SDK, LAMBDA]),
    ]
}

#[test]
fn modules_use_exactly_what_their_rules_allow() {
    let rules = rules();
    let mut used: BTreeSet<(&str, &str)> = BTreeSet::new();
    for (name, source) in sources("src") {
        let rule = rules.iter().find(|rule| {
            let rest = name.strip_prefix(rule.files);
            rest.is_some_and(|rest| rest.starts_with('/') || rest.starts_with('.'))
        });
        let rule = rule.unwrap_or_else(|| panic!("{name} belongs to no module: add a rule here"));
        let code = code(&source);
        let own = rule.files.trim_start_matches("src/");
        let is_binary = ["src/main", "src/bin"].contains(&rule.files);
        let library = if is_binary { "cloudfront_invalidator::" } else { "crate::" };
        for module in named(&code, library, &MODULES).into_iter().filter(|module| *module != own) {
            used.insert((rule.files, module));
            let is_allowed = rule.uses.is_none_or(|uses| uses.contains(&module));
            assert!(is_allowed, "{name} must not use the module {module}");
        }
        for word in rule.forbidden.iter().copied().flatten() {
            assert!(!code.contains(word), "{name} must not contain {word}");
        }
    }
    for Rule { files, uses, .. } in rules {
        for module in uses.into_iter().flatten() {
            assert!(used.contains(&(files, module)), "{files} does not use {module}: remove the permission");
        }
    }
}

/// Returns the names along a path of arrows that ends in a cycle. `None` if there is no cycle.
fn circle<'a>(arrows: &BTreeSet<(&'a str, &'a str)>) -> Option<Vec<&'a str>> {
    fn from<'a>(trail: &mut Vec<&'a str>, arrows: &BTreeSet<(&'a str, &'a str)>) -> bool {
        let last = trail[trail.len() - 1];
        arrows.iter().filter(|(source, _)| *source == last).any(|(_, target)| {
            let is_closed = trail.contains(target);
            trail.push(target);
            let found = is_closed || from(trail, arrows);
            if !found {
                trail.pop();
            }
            found
        })
    }
    arrows.iter().find_map(|(start, _)| {
        let mut trail = vec![*start];
        from(&mut trail, arrows).then_some(trail)
    })
}

#[test]
fn imports_have_no_cycle() {
    assert_eq!(circle(&[("a", "b"), ("b", "c"), ("a", "c")].into()), None);
    assert!(circle(&[("a", "b"), ("b", "c"), ("c", "b")].into()).is_some());

    let rules = rules();
    let library = rules.iter().filter_map(|rule| Some((rule.files.strip_prefix("src/")?, rule.uses?)));
    let arrows = library.flat_map(|(own, uses)| uses.iter().map(move |module| (own, *module))).collect();
    assert_eq!(circle(&arrows), None, "modules that use each other");

    // The files within a module or a binary must not form a cycle either.
    let mut folders: BTreeMap<PathBuf, Vec<(String, String)>> = BTreeMap::new();
    for (name, source) in sources("src") {
        let path = Path::new(&name);
        let own = path.file_stem().expect("a name").to_str().expect("text").to_owned();
        folders.entry(path.parent().expect("a folder").to_owned()).or_default().push((own, code(&source)));
    }
    folders.remove(Path::new("src"));
    assert!(folders.len() >= 8, "{folders:?}");
    for (folder, files) in &folders {
        let siblings: Vec<&str> = files.iter().map(|(own, _)| &**own).collect();
        let parent = if folder.starts_with("src/bin") { "crate::" } else { "super::" };
        let mut arrows = BTreeSet::new();
        for (own, code) in files.iter().filter(|(own, _)| own != "main") {
            let others = named(code, parent, &siblings).into_iter().filter(|other| other != own);
            arrows.extend(others.map(|other| (&**own, other)));
        }
        assert_eq!(circle(&arrows), None, "files in {} that use each other", folder.display());
    }
}

#[test]
fn files_are_short_and_have_module_docs() {
    for (name, source) in sources("src").into_iter().chain(sources("tests")) {
        assert!(source.lines().count() <= 600, "{name} is too long");
        assert!(source.starts_with("//!"), "{name} has no module doc");
    }
}

/// Returns the crates that the library depends on with these features, as `cargo tree` lists them.
pub(crate) fn tree(features: &str) -> String {
    let arguments = ["tree", "--locked", "--no-default-features", "--features", features];
    let arguments = [&arguments[..], &["--edges", "normal", "--prefix", "none"]].concat();
    let output =
        Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().expect("cargo tree");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_function_depends_on_no_crate_that_it_does_not_need() {
    let tree = tree("function");
    assert!(tree.contains("aws-sdk-cloudfront v"), "{tree}");
    for heavy in [
        "clap",
        "aws-config",
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
fn the_library_depends_on_neither_lambda_nor_clap() {
    let tree = tree("");
    assert!(tree.contains("aws-sdk-cloudfront v"), "{tree}");
    for other in ["lambda", "aws_lambda", "clap", "aws-config", "hyper v0"] {
        let found = tree.lines().find(|line| line.starts_with(other));
        assert_eq!(found, None, "in the library's tree");
    }
}

#[test]
fn every_variable_is_documented_and_in_the_template() {
    let page = fs::read_to_string(root().join("docs/configuration.md")).expect("the page");
    let template = fs::read_to_string(root().join("template.yaml")).expect("the template");
    for name in VARIABLES {
        assert!(page.contains(&format!("`{name}`")), "{name} is not in docs/configuration.md");
        assert!(template.contains(&format!("{name}: ")), "{name} is not in the template");
    }
    let named = |text: &str| {
        let words = text.split(|c: char| !(c.is_ascii_uppercase() || c == '_')).map(str::to_owned);
        words.filter(|word| word.starts_with("INVALIDATOR_") && word.len() > 12).collect::<Vec<_>>()
    };
    for name in [named(&page), named(&template)].concat() {
        assert!(VARIABLES.contains(&&*name), "{name} is documented but unknown");
    }
}
