//! Topology stores: where topology and VSchema come from, and how their changes are noticed.
//!
//! A store makes [`Snapshot`]s and swaps them into [`Snapshots`], which the rest of the router reads. What is
//! stored is checked by [`crate::topology`] and [`crate::vschema`]; a store only fetches.

mod assemble;
pub mod file;
mod snapshots;

use std::fmt;
use std::path::PathBuf;

pub use assemble::assemble;
pub use snapshots::Snapshots;

#[cfg(doc)]
use crate::topology::Snapshot;

/// Why a change was not taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError {
    /// The file, or the key in etcd.
    pub file: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.reason)
    }
}

impl std::error::Error for StoreError {}
