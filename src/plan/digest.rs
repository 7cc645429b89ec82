//! Hashes what a caller reference depends on.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::Cause;
use crate::cover::Covering;

/// Hashes the items and the identities of their causes, independently of the order of the causes.
pub(super) fn digest(items: &[Covering], causes: &[Cause<'_>]) -> [u8; 32] {
    let mut identities: Vec<_> = causes.iter().map(Cause::identity).collect();
    identities.sort_unstable();
    identities.dedup();
    let mut hash = Fields::default();
    hash.add(&(items.len() as u64).to_le_bytes());
    for covering in items {
        hash.add(covering.item.as_str().as_bytes());
    }
    for field in identities.into_iter().flatten() {
        hash.add(field);
    }
    hash.bytes()
}

/// A SHA-256 over fields. The length of each field precedes it, so that no two lists of fields hash
/// the same bytes.
#[derive(Default)]
pub(super) struct Fields(Sha256);

impl Fields {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    pub(super) fn bytes(self) -> [u8; 32] {
        self.0.finalize().into()
    }

    pub(super) fn hex(self) -> String {
        self.bytes().iter().fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}
