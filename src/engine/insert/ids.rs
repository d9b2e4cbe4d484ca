//! Insert ids: which numbers rows bring along, and what the reply and `LAST_INSERT_ID()` say of them.
//!
//! The reply's number is the first that was generated, or else the last that a row brought along. `LAST_INSERT_ID()` is
//! only about generated ones. <https://dev.mysql.com/doc/c-api/9.0/en/mysql-insert-id.html>

use super::rows::{asks_for_number, literal};
use super::{InsertBatch, InsertSource};
use crate::engine::execute::Run;
use crate::engine::seam::WriteOutcome;
use crate::error::Result;
use crate::sql::{InsertRows, InsertValueKind, LexFlags};

/// What the rows of an INSERT have for the column that gets a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowIds {
    /// Rows that ask for a number.
    pub asking: bool,
    /// Rows that bring theirs along.
    pub given: bool,
    /// Rows of which only a server can tell.
    pub unknown: bool,
}

/// Looks at one value of each row of `VALUES`.
///
/// # Errors
/// Rows that cannot be read.
pub fn row_ids(position: usize, run: &Run<'_>, source: &InsertSource<'_>) -> Result<RowIds> {
    let mut ids = RowIds::default();
    let Some(mut reader) = InsertRows::new(run.text, source.lexed, source.options)? else {
        return Ok(RowIds { unknown: true, ..ids });
    };
    let mut values = Vec::new();
    while reader.next_row(&mut values)?.is_some() {
        match values.get(position).map(|value| (value.span, value.kind)) {
            None | Some((_, InsertValueKind::Default | InsertValueKind::Null)) => ids.asking = true,
            Some((_, InsertValueKind::Expression)) => ids.unknown = true,
            Some((span, InsertValueKind::Literal(kind))) => {
                match asks_for_number(Some(&literal(span, kind, run, source)?), source) {
                    true => ids.asking = true,
                    false => ids.given = true,
                }
            }
        }
    }
    Ok(ids)
}

impl InsertBatch<'_> {
    /// The number that the reply tells: `told` is what the servers say.
    pub(super) fn insert_id(&self, outcome: &WriteOutcome, told: u64) -> u64 {
        if outcome.affected_rows == 0 || self.is_assigned(outcome, told) {
            return told;
        }
        // The number is the one of the row that was changed.
        let is_changed = self.plan.updated.is_some() && self.rows.len() == 1 && outcome.affected_rows == 2;
        if is_changed && self.first_number.is_some() && told != 0 {
            return told;
        }
        self.first_number.or(self.last_explicit).unwrap_or(told)
    }

    /// Does `LAST_INSERT_ID()` become the number of the reply?
    pub fn is_remembered(&self, outcome: &WriteOutcome) -> bool {
        if self.is_assigned(outcome, outcome.last_insert_id) {
            return true;
        }
        let is_upsert = self.plan.updated.is_some();
        let has_new = match is_upsert {
            true => outcome.affected_rows > 2 * duplicates(&outcome.info) && !self.is_only_changed(outcome),
            false => outcome.affected_rows > 0,
        };
        self.has_numbers() && has_new
    }

    /// The outcome, and whether its number [`Self::is_remembered`].
    pub fn with_memory(&self, outcome: WriteOutcome) -> (WriteOutcome, bool) {
        let is_remembered = self.is_remembered(&outcome);
        (outcome, is_remembered)
    }

    fn is_only_changed(&self, outcome: &WriteOutcome) -> bool {
        self.rows.len() == 1 && outcome.affected_rows != 1
    }

    /// Has `LAST_INSERT_ID(expression)` behind ON DUPLICATE KEY UPDATE said what the number is?
    fn is_assigned(&self, outcome: &WriteOutcome, told: u64) -> bool {
        self.plan.updated.is_some()
            && self.source.lexed.flags.contains(LexFlags::HAS_ASSIGNMENT)
            && told != 0
            && !(self.rows.len() == 1 && outcome.affected_rows == 1)
    }
}

/// The number in `Records: 3  Duplicates: 1  Warnings: 0`; single rows have no such text.
fn duplicates(info: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(info);
    let after = text.split_once("Duplicates: ").map_or("", |(_, after)| after);
    after.split(' ').next().and_then(|digits| digits.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_are_read_from_the_text() {
        let check = |info: &str, expected: u64| assert_eq!(duplicates(info.as_bytes()), expected, "{info}");
        check("Records: 3  Duplicates: 12  Warnings: 0", 12);
        check("", 0);
    }
}
