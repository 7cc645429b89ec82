//! Ceilings for the weight of the function. The figures do not depend on how busy the machine is.
//!
//! Raise a ceiling only with a reason; docs/performance.md explains how to find out what grew. The
//! ceilings for the binary apply only to a release build: run `make package`.

use std::{collections::BTreeSet, env, fs, path::PathBuf, process::Command, time::Duration};

use crate::{
    support::{Function, binary, cloudfront, s3},
    tidy::tree,
};

/// Maximum size of the stripped binary in bytes, as `sam build` makes it for `x86_64`.
///
/// Collecting into a `BTreeMap` or `BTreeSet` adds a copy of the stable sort for each type of item
/// (6 kB); `extend` does not.
const MOST_BYTES: u64 = 3_800_000;

/// Maximum number of crates that the function depends on, itself included.
const MOST_CRATES: usize = 135;

/// Maximum number of instructions from the start to the answer to the first event.
const MOST_INSTRUCTIONS: u64 = 1_700_000;

#[test]
fn the_function_stays_below_its_ceiling_for_crates() {
    let tree = tree("function");
    let crates: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(crates.len() <= MOST_CRATES, "{} crates; run cargo tree -e normal", crates.len());
}

/// Returns the path of the release binary. `None` if the tests run with another build.
fn released() -> Option<PathBuf> {
    env::var_os("BOOTSTRAP").map(|_| binary())
}

#[test]
fn the_binary_stays_below_its_ceiling_for_size() {
    let Some(binary) = released() else { return };
    let bytes = fs::metadata(&binary).expect("the binary").len();
    assert!(bytes <= MOST_BYTES, "{bytes} bytes; run cargo bloat --release --crates");
}

#[tokio::test]
async fn a_start_stays_below_its_ceiling_for_instructions() {
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
    let counted = fs::read_to_string(&counts).expect("the counts of callgrind");
    let total =
        counted.lines().find_map(|line| line.strip_prefix("summary: ").or(line.strip_prefix("totals: ")));
    let instructions: u64 = total.and_then(|total| total.trim().parse().ok()).expect("a number");
    assert!(
        instructions <= MOST_INSTRUCTIONS,
        "{instructions} instructions; run callgrind_annotate {}",
        counts.display()
    );
}
