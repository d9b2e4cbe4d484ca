//! What comments say about who sends a statement and how urgent it is: `WORKLOAD_NAME` is counted by name, `PRIORITY`
//! is checked and otherwise passed on in the comment.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::Executor;
use super::job::Job;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{WORKLOAD_NAME_BYTES_MAX, WORKLOADS_MAX};

/// Statements by the name of their workload.
#[derive(Debug, Default)]
pub(super) struct Workloads(Mutex<BTreeMap<String, u64>>);

/// Stands for the names that are too many or too long.
const OTHERS: &str = "other";

impl Workloads {
    fn count(&self, name: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_kept = name.len() <= WORKLOAD_NAME_BYTES_MAX
            && (counts.len() < WORKLOADS_MAX || counts.contains_key(name));
        let name = if is_kept { name } else { OTHERS };
        match counts.get_mut(name) {
            Some(count) => *count += 1,
            None => drop(counts.insert(name.to_owned(), 1)),
        }
    }

    /// Names and numbers of statements.
    pub(super) fn load(&self) -> Vec<(String, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(name, count)| (name.clone(), *count)).collect()
    }
}

impl Executor {
    /// Counts a statement whose comment names its workload.
    pub(super) fn note_workload(&self, job: &Job<'_>) -> Result<()> {
        let Some(directives) = &job.session.directives else { return Ok(()) };
        if directives.has_invalid_priority {
            return Err(Error::new(ErrorKind::Other, "Invalid priority value specified in query"));
        }
        if let Some(name) = &directives.workload_name {
            self.workloads.count(name);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_limited() {
        let workloads = Workloads::default();
        workloads.count("a");
        workloads.count("a");
        workloads.count(&"x".repeat(WORKLOAD_NAME_BYTES_MAX + 1));
        assert_eq!(workloads.load(), [("a".to_owned(), 2), (OTHERS.to_owned(), 1)]);
        (0..2 * WORKLOADS_MAX).for_each(|number| workloads.count(&number.to_string()));
        assert_eq!(workloads.load().len(), WORKLOADS_MAX);
        workloads.count("a");
        assert_eq!(workloads.load().iter().find(|(name, _)| name == "a").map(|(_, count)| *count), Some(3));
    }
}
