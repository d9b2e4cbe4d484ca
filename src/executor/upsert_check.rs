//! What a server says of a row that ON DUPLICATE KEY UPDATE does not insert: servers make the row before they look for others
//! that have its keys, so a value that does not fit is an error, or a warning, there as well.
//!
//! The row's shard is asked, with an INSERT that changes nothing if the shard has such a row, and is taken back if not.

use super::Executor;
use super::job::Job;
use super::row_numbers::in_order;
use super::upsert::Row;
use super::write::of_client;
use crate::engine::ShardQuery;
use crate::error::Result;
use crate::gateway::Target;
use crate::schema::Column;
use crate::session::diagnostics::{Diagnostic, Diagnostics};
use crate::sql::ident::quoted;

impl Executor {
    /// Has the row's shard check its values; what it warns of is given back.
    pub(super) async fn check_values(&self, job: &mut Job<'_>, upsert: &Row<'_, '_>) -> Result<Diagnostics> {
        let queries = upsert.batch.queries(&|index| index == upsert.row)?;
        let columns = upsert.insert.upsert.as_ref().map_or(&[][..], |upsert| upsert.columns.as_slice());
        let (Some(query), Some(column)) = (queries.into_iter().next(), columns.first()) else {
            return Ok(Diagnostics::default());
        };
        let ShardQuery { shard, mut text, rows } = query;
        let column = quoted(column);
        text.extend_from_slice(format!(" on duplicate key update {column} = {column}").as_bytes());
        let target = Target::primary(upsert.insert.keyspace.clone(), shard);
        let needs = job.needs();
        let before = std::mem::take(&mut job.session.diagnostics);
        let outcome = self.step_with_savepoint(job.session, &needs, &target, &text).await;
        let said = std::mem::replace(&mut job.session.diagnostics, before);
        let outcome = outcome.map_err(|error| of_client(error, &rows))?;
        if outcome.affected_rows > 0 {
            self.take_back_step(job.session, &target).await?;
        }
        Ok(said)
    }
}

/// Servers compare the bytes of the changed row with those that they have read. Those under a NULL are the column's default
/// before and nothing after, so that the row counts as touched although it stays as it is. Is the column such a one?
pub(super) fn has_bytes_under_null(column: &Column) -> bool {
    let default = column.default.as_deref().unwrap_or_default();
    let literal = default.trim_matches('\'');
    let is_nothing = literal.bytes().all(|byte| matches!(byte, b'0' | b'.' | b'-' | b':' | b' '));
    let is_expression =
        literal.contains('(') || literal.to_ascii_lowercase().starts_with("current_timestamp");
    column.is_nullable && !is_nothing && !is_expression && !default.eq_ignore_ascii_case("null")
}

/// The warnings about a row: those of its values, and those of the change that are not about the same values once more.
/// `row` is its number for the client.
pub(super) fn joined(of_values: &Diagnostics, of_change: &Diagnostics, row: u64) -> Vec<Diagnostic> {
    let mut known = of_values.entries().to_vec();
    let mut all = of_values.clone();
    for entry in of_change.entries() {
        let is_same = |other: &Diagnostic| other.code == entry.code && other.message == entry.message;
        match known.iter().position(is_same) {
            Some(at) => drop(known.swap_remove(at)),
            None => all.push(entry.clone()),
        }
    }
    in_order(std::iter::once((&all, &[row][..])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::diagnostics::Level;

    #[test]
    fn what_is_wrong_with_a_value_is_said_once() {
        let check = |of_values: &[&str], of_change: &[&str], expected: &[&str]| {
            let of = |messages: &[&str]| {
                let mut diagnostics = Diagnostics::default();
                for message in messages {
                    let message = message.as_bytes().to_vec();
                    diagnostics.push(Diagnostic { level: Level::Warning, code: 1265, message });
                }
                diagnostics
            };
            let all = joined(&of(of_values), &of(of_change), 3);
            let all: Vec<_> =
                all.iter().map(|entry| String::from_utf8_lossy(&entry.message).into_owned()).collect();
            assert_eq!(all, expected);
        };
        check(&["a at row 1"], &["a at row 1"], &["a at row 3"]);
        check(&["a at row 1"], &["a at row 1", "a at row 1", "b"], &["a at row 3", "a at row 3", "b"]);
        check(&[], &["b at row 1"], &["b at row 3"]);
    }
}
