//! A session's diagnostics area: what `SHOW WARNINGS` and `SHOW ERRORS` answer.
//!
//! See <https://dev.mysql.com/doc/refman/9.0/en/show-warnings.html>. Messages of servers are collected from
//! the connection that ran the statement before it goes back to its pool; the router adds its own notes.

use crate::error::Error;
use crate::limits::WARNINGS_PER_SESSION_MAX;

/// Severity of one entry, as `SHOW WARNINGS` words it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Error,
    Note,
    Warning,
}

impl Level {
    /// The word in the `Level` column.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Error => "Error",
            Level::Note => "Note",
            Level::Warning => "Warning",
        }
    }

    /// Reads the `Level` column of a server's answer; unknown words count as warnings.
    pub fn parse(text: &[u8]) -> Self {
        match text {
            b"Error" => Level::Error,
            b"Note" => Level::Note,
            _ => Level::Warning,
        }
    }
}

/// One entry of the diagnostics area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub level: Level,
    /// MySQL error number.
    pub code: u16,
    /// Text in the session's character set.
    pub message: Vec<u8>,
}

/// The entries of the last statement that was not itself diagnostic.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    entries: Vec<Diagnostic>,
    /// Number of warnings as servers counted them; may exceed what is kept.
    count: u32,
}

impl Diagnostics {
    /// Empties the area: every statement that is not diagnostic begins so.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.count = 0;
    }

    /// Adds one entry; beyond the limit it is counted but not kept, as in MySQL.
    pub fn push(&mut self, entry: Diagnostic) {
        self.count = self.count.saturating_add(1);
        if self.entries.len() < WARNINGS_PER_SESSION_MAX {
            self.entries.push(entry);
        }
    }

    /// Adds what another area has, and what it has only counted.
    pub fn absorb(&mut self, other: Self) {
        let unkept = other.count.saturating_sub(u32::try_from(other.entries.len()).unwrap_or(u32::MAX));
        other.entries.into_iter().for_each(|entry| self.push(entry));
        self.count = self.count.saturating_add(unkept);
    }

    /// Keeps the first entries only.
    pub fn truncate(&mut self, count: u32) {
        self.entries.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        self.count = self.count.min(count);
    }

    /// Records the error that a statement ended with.
    pub fn push_error(&mut self, error: &Error) {
        self.push(Diagnostic { level: Level::Error, code: error.errno(), message: error.message().to_vec() });
    }

    /// Entries in the order they arose.
    pub fn entries(&self) -> &[Diagnostic] {
        &self.entries
    }

    /// `@@warning_count`: everything, notes and errors included.
    pub fn warning_count(&self) -> u32 {
        self.count
    }

    /// `@@error_count`.
    pub fn error_count(&self) -> usize {
        self.entries.iter().filter(|entry| entry.level == Level::Error).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warning(code: u16) -> Diagnostic {
        Diagnostic { level: Level::Warning, code, message: b"w".to_vec() }
    }

    #[test]
    fn keeps_up_to_the_limit_and_counts_beyond() {
        let mut area = Diagnostics::default();
        for _ in 0..=WARNINGS_PER_SESSION_MAX {
            area.push(warning(1265));
        }
        assert_eq!(area.entries().len(), WARNINGS_PER_SESSION_MAX);
        assert_eq!(area.warning_count() as usize, WARNINGS_PER_SESSION_MAX + 1);
        area.clear();
        assert_eq!((area.entries().len(), area.warning_count()), (0, 0));
    }

    #[test]
    fn errors_are_told_apart() {
        let mut area = Diagnostics::default();
        area.push(warning(1));
        area.push_error(&Error::unsupported("x"));
        assert_eq!((area.error_count(), area.warning_count()), (1, 2));
    }
}
