//! What the function may weigh: figures that do not depend on how busy a machine is. A
//! ceiling that is met is raised only with a reason, and docs/performance.md tells how to
//! find out what grew.
//!
//! The binary's are looked at where the tests run with that of a release: `make package`.

use std::{collections::BTreeSet, env, fs, path::PathBuf, process::Command, time::Duration};

use crate::{
    support::{Function, binary, cloudfront, s3},
    tidy::tree,
};

/// Maximum bytes of the stripped binary, as `sam build` makes it for `x86_64`: about 20 kB more than
/// cargo alone makes. Collecting into a `BTreeMap` or `BTreeSet` adds a copy of the stable sort for
/// each type of item (6 kB); `extend` does not.
const MOST_BYTES: u64 = 3_500_000;

/// Crates in the function's tree.
const MOST_CRATES: usize = 135;

/// Instructions from the start to the answer to a first event.
const MOST_INSTRUCTIONS: u64 = 1_700_000;

#[test]
fn the_function_is_made_of_no_more_crates() {
    let tree = tree("function");
    let crates: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(crates.len() <= MOST_CRATES, "{} crates: cargo tree -e normal tells which", crates.len());
}

/// The binary of a release, if the tests run with one.
fn released() -> Option<PathBuf> {
    env::var_os("BOOTSTRAP").map(|_| binary())
}

#[test]
fn the_binary_is_no_larger() {
    let Some(binary) = released() else { return };
    let bytes = fs::metadata(&binary).expect("the binary").len();
    assert!(bytes <= MOST_BYTES, "{bytes} bytes: cargo bloat --release --crates tells of what");
}

#[tokio::test]
async fn a_start_takes_no_more_instructions() {
    let has_valgrind = Command::new("valgrind").arg("--version").output().is_ok();
    let (Some(_), true) = (released(), has_valgrind) else { return };
    let counts = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("callgrind.out");
    let _ = fs::remove_file(&counts);
    let cloudfront = cloudfront(&["E1EXAMPLE"]).await;
    let out = format!("--callgrind-out-file={}", counts.display());
    let under = ["valgrind", "--quiet", "--tool=callgrind", &*out];
    let mut function = Function::start_under(&under, &cloudfront.endpoint_url(), &[]).await;
    function.invoke_within(Duration::from_mins(1), s3("a", "1").to_string()).await;
    function.terminate().await;
    let counted = fs::read_to_string(&counts).expect("what callgrind counted");
    let total =
        counted.lines().find_map(|line| line.strip_prefix("summary: ").or(line.strip_prefix("totals: ")));
    let instructions: u64 = total.and_then(|total| total.trim().parse().ok()).expect("a number");
    assert!(
        instructions <= MOST_INSTRUCTIONS,
        "{instructions} instructions: callgrind_annotate {} tells where",
        counts.display()
    );
}
