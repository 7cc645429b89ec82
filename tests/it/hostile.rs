//! Hostile input: the inputs that the fuzzer found, and some that are written by hand.
//!
//! The fuzz targets check the results: see `fuzz/src/lib.rs`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::support::{eventbridge, s3, sns, sqs};

#[expect(unreachable_pub, reason = "the fuzzer's crate exports them")]
#[path = "../../fuzz/src/lib.rs"]
mod targets;

/// The name of a fuzz target, and the function that checks an input.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 5] = [
    ("event", targets::event),
    ("key", targets::key),
    ("typed", targets::typed),
    ("cover", targets::cover),
    ("site", targets::site),
];

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(directory).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn inputs_that_the_fuzzer_found_are_handled() {
    for (name, target) in TARGETS {
        // A corpus is one file with an input on each line, in hexadecimal.
        let found = fs::read_to_string(root().join(format!("fuzz/corpus/{name}.txt"))).expect("a corpus");
        assert!(found.lines().count() > 20, "{name}");
        for line in found.lines() {
            let byte = |digits: &[u8]| {
                u8::from_str_radix(std::str::from_utf8(digits).expect("digits"), 16).expect("hexadecimal")
            };
            let data: Vec<u8> = line.as_bytes().chunks(2).map(byte).collect();
            target(&data);
        }
    }
}

/// Returns copies of `value` in which one place holds a wrong value: one of another type, an empty
/// one, an extreme number or control characters.
fn mutations(value: &Value) -> Vec<String> {
    let wrong = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1e300),
        json!(""),
        json!("\u{0}\u{1b}[2J\n"),
        json!([]),
        json!({}),
    ];
    let mut pointers = vec![String::new()];
    collect(value, "", &mut pointers);
    let mut mutations = Vec::new();
    for pointer in &pointers {
        for wrong in &wrong {
            let mut mutated = value.clone();
            *mutated.pointer_mut(pointer).expect("a place") = wrong.clone();
            mutations.push(mutated.to_string());
        }
    }
    mutations
}

fn collect(value: &Value, at: &str, pointers: &mut Vec<String>) {
    let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (escaped(name), value)).collect(),
        Value::Array(values) => {
            values.iter().take(3).enumerate().map(|(n, value)| (n.to_string(), value)).collect()
        }
        _ => Vec::new(),
    };
    for (name, child) in children {
        let pointer = format!("{at}/{name}");
        collect(child, &pointer, pointers);
        pointers.push(pointer);
    }
}

#[test]
fn a_wrong_value_in_any_field_is_handled() {
    for file in files(&root().join("events")) {
        let event: Value = serde_json::from_slice(&fs::read(&file).expect("an event")).expect("JSON");
        for mutated in mutations(&event) {
            targets::event(mutated.as_bytes());
        }
    }
    for body in [s3("a", "1"), eventbridge("a", "1"), sns(&s3("a", "1")), json!({"paths": ["/a"]})] {
        for mutated in mutations(&body) {
            targets::event(sqs([("m", mutated)]).to_string().as_bytes());
        }
    }
}

#[test]
fn large_deep_and_malformed_events_are_handled() {
    let put = s3("a", "1").to_string();
    let megabytes = "x".repeat(6 << 20);
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(100_000), close.repeat(100_000));
    let mut nested = s3("a", "1");
    for _ in 0..12 {
        nested = sns(&nested);
    }
    let events: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"\xef\xbb\xbf{}".to_vec(),
        b"\xff\xfe".to_vec(),
        vec![0; 1_000],
        deep("[", "]").into_bytes(),
        deep("{\"Records\":[", "]}").into_bytes(),
        format!(
            "{{\"Records\":[{{\"eventSource\":\"aws:sqs\",\"messageId\":\"m\",\"body\":{}}}]}}",
            json!(deep("[", "]"))
        )
        .into_bytes(),
        nested.to_string().into_bytes(),
        sqs([("m", nested.to_string())]).to_string().into_bytes(),
        s3(&megabytes, "1").to_string().into_bytes(),
        sqs([("m", megabytes.clone())]).to_string().into_bytes(),
        json!({"paths": [megabytes]}).to_string().into_bytes(),
        json!({"Records": vec![s3("k", "1")["Records"][0].clone(); 5_000]}).to_string().into_bytes(),
        sqs((0..10_000).map(|_| ("m", put.clone()))).to_string().into_bytes(),
        put.replace("\"key\":\"a\"", r#""key":"\ud800""#).into_bytes(),
        put.replace("\"key\":\"a\"", r#""key":"a\u0000b\u001b[2J\n""#).into_bytes(),
        put.replace("\"key\":\"a\"", r#""key":"%00%1B%0A%ff%""#).into_bytes(),
        put.replace("\"key\":\"a\"", r#""key":"a","key":"b""#).into_bytes(),
        put.replace("\"Records\"", r#""Records":[],"Records""#).into_bytes(),
    ];
    for event in events {
        targets::event(&event);
    }
}
