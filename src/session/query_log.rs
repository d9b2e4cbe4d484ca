//! What a statement sends to which shard, noted for `VEXPLAIN`.

use std::sync::{Arc, Mutex, PoisonError};

use crate::gateway::Target;
use crate::limits::LOGGED_QUERIES_MAX;

/// One text at one shard.
#[derive(Clone, Debug)]
pub struct LoggedQuery {
    pub target: Target,
    pub text: Vec<u8>,
}

/// The texts of one statement, in the order in which they were sent.
#[derive(Clone, Debug, Default)]
pub struct QueryLog {
    queries: Arc<Mutex<Vec<LoggedQuery>>>,
    row_counts: Arc<Mutex<Vec<u64>>>,
}

impl QueryLog {
    /// Notes a text; beyond the limit they are left out.
    pub fn push(&self, target: &Target, text: &[u8]) {
        let mut queries = self.queries.lock().unwrap_or_else(PoisonError::into_inner);
        if queries.len() < LOGGED_QUERIES_MAX {
            queries.push(LoggedQuery { target: target.clone(), text: text.to_vec() });
        }
    }

    /// All so far.
    pub fn take(&self) -> Vec<LoggedQuery> {
        std::mem::take(&mut *self.queries.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Rows that each operator of a combining tree has given, from the leaf up.
    pub fn row_counts(&self) -> &Arc<Mutex<Vec<u64>>> {
        &self.row_counts
    }
}
