//! A session's prepared statements of SQL, as `PREPARE` made them, by name.
//!
//! See <https://dev.mysql.com/doc/refman/9.0/en/sql-prepared-statements.html>. They share the limit of those of the
//! binary protocol, but no names: those have numbers.

use std::collections::HashMap;
use std::sync::Arc;

use super::prepared::too_many;
use super::target::SessionTarget;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::PREPARED_STATEMENTS_PER_SESSION_MAX;
use crate::sql::statement::Parameters;

/// One statement of a `PREPARE`.
#[derive(Debug)]
pub struct PreparedText {
    /// The text.
    pub text: Box<[u8]>,
    /// Its `?`.
    pub parameters: Parameters,
    /// Where the session was when it was prepared: there its names are looked up.
    pub target: SessionTarget,
}

/// All of them of one session.
#[derive(Debug, Default)]
pub struct PreparedTexts(HashMap<Box<str>, Arc<PreparedText>>);

impl PreparedTexts {
    /// Keeps a statement.
    pub fn insert(&mut self, name: &str, statement: PreparedText) -> Result<()> {
        if self.0.len() >= PREPARED_STATEMENTS_PER_SESSION_MAX {
            return Err(too_many());
        }
        self.0.insert(name.into(), Arc::new(statement));
        Ok(())
    }

    /// The statement of that name; `command` is the word that MySQL's error text mentions.
    pub fn get(&self, name: &str, command: &str) -> Result<Arc<PreparedText>> {
        self.0.get(name).cloned().ok_or_else(|| {
            let text = format!("Unknown prepared statement handler ({name}) given to {command}");
            Error::new(ErrorKind::UnknownStatement, text)
        })
    }

    /// Forgets one; says whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}
