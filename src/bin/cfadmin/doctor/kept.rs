//! Judges whether a bucket keeps the versions that the settings need.

use cloudfront_invalidator::bucket::{Readiness, Versioning};

use super::{
    Check,
    chain::Reading,
    checks::{note, ok, unknown, wrong},
};

/// Checks whether the bucket keeps the versions that the settings need.
pub(super) fn checked(reading: &Reading, readiness: Option<&Readiness>) -> Vec<Check> {
    const PART: &str = "versions";
    let needed = readiness.filter(|_| reading.needs_versions());
    let Some(Readiness { versioning, uses_kms, unknown: errors, .. }) = needed else { return Vec::new() };
    let mut checks: Vec<Check> = errors.iter().map(|error| unknown(PART, error.to_string())).collect();
    match versioning {
        Some(Versioning::Enabled) => checks.push(ok(PART, "the bucket keeps them")),
        Some(Versioning::Suspended | Versioning::Off) => checks.push(wrong(
            PART,
            "the bucket keeps no versions, so unchanged and new objects are purged, too",
            "run the command in the stack's output TurnOnVersions",
        )),
        None => {}
    }
    if *uses_kms == Some(true) {
        let text = "KMS encrypts the objects, so unchanged ones are purged, too: their entity tags differ";
        checks.push(note(PART, text));
    }
    checks
}
