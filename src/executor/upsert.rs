//! ON DUPLICATE KEY UPDATE where a row in the way may be on any shard, or moves, or has rows in lookup tables.
//!
//! Row by row: the first unique key that has the row's values names the row that is changed, by an UPDATE of the router's
//! own; if no key has them, the row is inserted. <https://dev.mysql.com/doc/refman/9.0/en/insert-on-duplicate.html>

use super::Executor;
use super::foreign_keys::parent_is_missing;
use super::inner::Inner;
use super::job::Job;
use super::lookup::{OwnedLookup, Owners, used_by};
use super::new_rows::NewRows;
use super::scatter::SequenceAccess;
use super::upsert_check::{has_bytes_under_null, joined};
use crate::engine::{InsertBatch, LookupEntry, ShardExecutor, WriteOutcome, write_condition};
use crate::error::{ERRNO_DEADLOCK, ERRNO_DUPLICATE_ENTRY, Error, Result};
use crate::plan::primitive::{Insert, InsertLookup, InsertRows, InsertVindex};
use crate::session::diagnostics::{Diagnostic, Diagnostics, Level};
use crate::sql::ident::{name_of, quoted};
use crate::sql::{LexOptions, Span, Token, TokenKind, Tokenizer};
use crate::value::Value;
use crate::vschema::{ColumnType, Table};

impl Executor {
    /// The plan with the table's unique keys, if its rows must be taken one by one; `None`: each row's shard does all.
    /// `is_followed`: the router keeps foreign keys of the table.
    pub(super) async fn with_keys_to_update(
        &self,
        job: &Job<'_>,
        insert: &Insert,
        is_followed: bool,
    ) -> Result<Option<Insert>> {
        let (Some(upsert), Some(primary)) = (&insert.upsert, insert.vindexes.first()) else {
            return Ok(None);
        };
        let has_owned = insert.lookups.iter().any(|lookup| lookup.is_owned);
        let is_set = matches!(insert.rows, InsertRows::Set { .. });
        if !is_followed && upsert.changed.is_empty() && (!has_owned || insert.is_ignore || is_set) {
            return Ok(None);
        }
        let tablet_type = job.session.target.tablet_type;
        let found = job.snapshot.vschema.find_table(Some(&insert.keyspace), &insert.table, tablet_type)?;
        let shape = self.table_shape(job, &found.table).await?;
        if primary.vindex.0.is_lookup() {
            return Err(Error::unsupported(
                "ON DUPLICATE KEY UPDATE of vindex columns of a table whose primary vindex is a lookup",
            ));
        }
        let mut insert = insert.clone();
        let position = |name: &str| {
            let at = upsert.columns.iter().position(|column| column.eq_ignore_ascii_case(name));
            at.and_then(|at| u32::try_from(at).ok())
        };
        for key in self.unique_in_order(job, &found.table, &shape).await? {
            let is_computed = |name: &str| shape.column(name).is_some_and(|column| column.is_generated);
            if key.columns.iter().any(|column| column.is_empty() || is_computed(column)) {
                let text = format!(
                    "ON DUPLICATE KEY UPDATE with the unique key {}, a part of which is no column",
                    key.name
                );
                return Err(Error::unsupported(text));
            }
            let positions = key.columns.iter().map(|name| position(name)).collect();
            let vindex =
                InsertVindex { vindex: primary.vindex.clone(), columns: key.columns.clone(), positions };
            insert.lookups.push(InsertLookup { vindex, is_owned: false });
        }
        if let Some(upsert) = &mut insert.upsert {
            upsert.keys = shape.unique.len();
        }
        Ok(Some(insert))
    }

    /// Inserts rows or changes those in their way, one after the other. Gives the outcome, and whether a number was used.
    pub(super) async fn upsert_rows(
        &self,
        job: &mut Job<'_>,
        insert: &Insert,
        batch: &mut InsertBatch<'_>,
        new: Option<&NewRows<'_>>,
    ) -> Result<WriteOutcome> {
        let (snapshot, needs) = (job.snapshot.clone(), job.needs());
        let tablet_type = job.session.target.tablet_type;
        let found = snapshot.vschema.find_table(Some(&insert.keyspace), &insert.table, tablet_type)?;
        let keys = insert.keys_over_shards();
        let mut inner = Inner::new(self, &mut *job.session, &snapshot, needs);
        inner.fill_in(insert, batch).await?;
        let mut sequences = SequenceAccess { executor: self, snapshot: &snapshot };
        batch.number(&mut sequences).await?;
        batch.place(&[])?;
        for lookup in &insert.lookups[..insert.lookups.len() - keys.len()] {
            if !lookup.is_owned {
                inner.check_unowned(insert, lookup, batch).await?;
            }
        }
        let tail = batch.drop_tail();
        let options = inner.session.settings.lex_options();
        let updates = Updates::read(&tail, &options)?;
        let no_backslash_escapes = inner.no_backslash_escapes();
        let mut conditions: Vec<Vec<Vec<u8>>> = vec![Vec::new(); batch.row_count()];
        for key in keys {
            let columns: Vec<String> = key.vindex.columns.iter().map(|column| quoted(column)).collect();
            for (row, entry) in batch.entries(key)? {
                if !entry.values.contains(&Value::Null) {
                    let mut condition = Vec::new();
                    write_condition(&columns, &[&entry.values], false, no_backslash_escapes, &mut condition)?;
                    conditions[row].push(condition);
                }
            }
        }
        let told = new.map(|new| new.told(insert, batch)).transpose()?;
        let mut outcomes = Vec::new();
        let mut diagnostics = Diagnostics::default();
        for (row, conditions) in conditions.iter().enumerate() {
            let upsert = Row { insert, table: &found.table, batch, updates: &updates, row };
            let lacking = match (new, &told) {
                (Some(new), Some(told)) => self.lacks_parent(job, new.links(), told, row).await?,
                _ => None,
            };
            if let Some(link) = lacking
                && self.keeps_keys_above_storage(job.session).await?
            {
                return Err(parent_is_missing(job, link));
            }
            let mut outcome = None;
            for condition in conditions {
                outcome = self.update_in_the_way(job, &upsert, condition, new.is_some()).await?;
                if outcome.is_some() {
                    break;
                }
            }
            let outcome = match outcome {
                Some(outcome) => outcome,
                None => {
                    let mut inner = Inner::new(self, &mut *job.session, &snapshot, needs);
                    let outcome = inner.insert_new(&upsert).await?;
                    if let Some(link) = lacking {
                        return Err(parent_is_missing(job, link));
                    }
                    outcome
                }
            };
            let said = std::mem::take(&mut job.session.diagnostics);
            said.entries().iter().for_each(|entry| diagnostics.push(entry.clone()));
            outcomes.push(outcome);
        }
        job.session.diagnostics = diagnostics;
        Ok(batch.outcome(outcomes))
    }

    /// MariaDB does not say that UPDATE IGNORE has met a duplicate, but ON DUPLICATE KEY UPDATE does. Without IGNORE it
    /// would be an error.
    async fn warn_of_duplicate(&self, job: &mut Job<'_>, text: &[u8]) -> Result<()> {
        let said = std::mem::take(&mut job.session.diagnostics);
        let compound = self.begin_compound(job.session).await?;
        let outcome = match self.captured(job, text, None).await {
            Ok(mut results) => results.pop().and_then(|result| result.error).map_or(Ok(()), Err),
            Err(error) => Err(error),
        };
        let outcome = self.end_compound(job.session, compound, outcome).await;
        job.session.diagnostics = said;
        match outcome {
            Err(error) if error.kind().is_none() && error.errno() == ERRNO_DUPLICATE_ENTRY => {
                let (code, message) = (error.errno(), error.message().to_vec());
                job.session.diagnostics.push(Diagnostic { level: Level::Warning, code, message });
                Ok(())
            }
            // What else IGNORE has made of it was no error.
            Err(error) if error.kind().is_some() || error.errno() == ERRNO_DEADLOCK => Err(error),
            _ => Ok(()),
        }
    }

    /// Changes the row that has the key; `None` if there is none.
    async fn update_in_the_way(
        &self,
        job: &mut Job<'_>,
        upsert: &Row<'_, '_>,
        condition: &[u8],
        is_followed: bool,
    ) -> Result<Option<WriteOutcome>> {
        let assignments = upsert.assignments()?;
        let mut text = b"select 1".to_vec();
        for assignment in &assignments {
            text.extend_from_slice(b", ");
            match assignment.given.as_ref().filter(|_| upsert.is_key(&assignment.column)) {
                Some(given) => {
                    // As bytes: another spelling of the same word may belong to another shard.
                    let column = quoted(&assignment.column);
                    text.extend_from_slice(format!("cast({column} as binary) <=> cast((").as_bytes());
                    text.extend_from_slice(given);
                    text.extend_from_slice(b") as binary)");
                }
                None => text.extend_from_slice(b"0"),
            }
        }
        let relation = job.snapshot.schemas.relation(&upsert.insert.keyspace, &upsert.insert.table);
        let columns = assignments.iter().filter_map(|assignment| relation?.column(&assignment.column));
        let nulls: Vec<String> = columns
            .filter(|column| has_bytes_under_null(column))
            .map(|column| format!(" or {} is null", quoted(column.name.as_str())))
            .collect();
        text.extend_from_slice(format!(", 0{}", nulls.concat()).as_bytes());
        let table = format!("{}.{}", quoted(&upsert.insert.keyspace), quoted(&upsert.insert.table));
        text.extend_from_slice(format!(" from {table} where ").as_bytes());
        text.extend_from_slice(condition);
        text.extend_from_slice(b" for update");
        let held = self.held_rows(job, &text).await?;
        let Some(known) = held.rows.first() else { return Ok(None) };
        let of_values = self.check_values(job, upsert).await?;
        let stays = |index: usize| known.get(index + 1).and_then(Option::as_deref) == Some(b"1");
        let changes = assignments.iter().enumerate().filter(|(index, _)| !stays(*index));
        let changes: Vec<&[u8]> = changes.map(|(_, assignment)| assignment.text.as_slice()).collect();
        let counts_found = job.flavor().found_rows;
        let is_touched = !upsert.insert.is_ignore && stays(assignments.len());
        let affected_rows = u64::from(counts_found) + u64::from(is_touched);
        let unchanged = WriteOutcome { affected_rows, ..WriteOutcome::default() };
        if changes.is_empty() {
            let warnings = upsert.say(job, &of_values);
            return Ok(Some(WriteOutcome { warnings, ..unchanged }));
        }
        let ignore = if upsert.insert.is_ignore { "ignore " } else { "" };
        let mut text = format!("update {ignore}{table} set ").into_bytes();
        text.extend_from_slice(&changes.join(&b", "[..]));
        text.extend_from_slice(b" where ");
        text.extend_from_slice(condition);
        let result = match is_followed {
            true => self.followed_change(job, &text).await?,
            false => self.captured(job, &text, None).await?.pop().unwrap_or_default(),
        };
        if let Some(error) = result.error {
            return Err(error);
        }
        let has_warnings = result.warnings > 0;
        let is_changed = String::from_utf8_lossy(&result.info).contains("Changed: 1");
        if upsert.insert.is_ignore && !is_changed && !has_warnings {
            let head = format!("update {table} set ").into_bytes();
            let text = [head, changes.join(&b", "[..]), b" where ".to_vec(), condition.to_vec()].concat();
            self.warn_of_duplicate(job, &text).await?;
        }
        let warnings = upsert.say(job, &of_values);
        let affected_rows = if is_changed { 2 } else { unchanged.affected_rows };
        Ok(Some(WriteOutcome { affected_rows, warnings, ..unchanged }))
    }
}

impl Inner<'_> {
    /// A row that nothing is in the way of.
    async fn insert_new(&mut self, upsert: &Row<'_, '_>) -> Result<WriteOutcome> {
        for lookup in upsert.insert.lookups.iter().filter(|lookup| lookup.is_owned) {
            let owned = OwnedLookup { owner: upsert.table, used: used_by(upsert.table, lookup)? };
            let entries: Vec<LookupEntry> = upsert
                .batch
                .entries(lookup)?
                .into_iter()
                .filter(|(row, _)| *row == upsert.row)
                .map(|(_, entry)| entry)
                .collect();
            self.add_entries(owned, entries, Owners::Follow).await?;
        }
        let queries = upsert.batch.queries(&|index| index == upsert.row)?;
        let has_place = !queries.is_empty();
        let outcomes = self.access().write(&upsert.insert.keyspace, queries).await?;
        let outcome = outcomes.into_iter().next().unwrap_or_default();
        if upsert.insert.is_ignore && has_place && outcome.affected_rows == 0 {
            // Another row has its key all the same, and should have been changed.
            return Err(Error::unsupported(
                "INSERT IGNORE … ON DUPLICATE KEY UPDATE over several shards of a key that is not stored as it is written",
            ));
        }
        Ok(outcome)
    }
}

/// One row and what becomes of it.
pub(super) struct Row<'a, 'b> {
    pub(super) insert: &'a Insert,
    table: &'a Table,
    pub(super) batch: &'a InsertBatch<'b>,
    updates: &'a Updates<'a>,
    pub(super) row: usize,
}

/// An assignment with the row's values in it.
struct Assignment {
    column: String,
    text: Vec<u8>,
    /// The row's value of the same column, if that is all that it gets.
    given: Option<Vec<u8>>,
}

impl Row<'_, '_> {
    /// Puts warnings about the row's values before those of what was done with it; tells how many there are now.
    fn say(&self, job: &mut Job<'_>, of_values: &Diagnostics) -> u32 {
        let of_change = std::mem::take(&mut job.session.diagnostics);
        let all = joined(of_values, &of_change, self.row as u64 + 1);
        let count = u32::try_from(all.len()).unwrap_or(u32::MAX);
        all.into_iter().for_each(|entry| job.session.diagnostics.push(entry));
        count
    }

    /// Does the column decide where the row is, or which row it is?
    fn is_key(&self, column: &str) -> bool {
        let in_vindex =
            self.table.column_vindexes.iter().any(|used| used.columns.iter().any(|c| *c == *column));
        let keys = self.insert.keys_over_shards().iter();
        in_vindex || keys.flat_map(|key| &key.vindex.columns).any(|known| known.eq_ignore_ascii_case(column))
    }

    fn assignments(&self) -> Result<Vec<Assignment>> {
        let source = self.updates.text;
        let mut all = Vec::with_capacity(self.updates.assignments.len());
        for update in &self.updates.assignments {
            let mut text = Vec::new();
            let mut given = None;
            let mut position = update.span.start;
            for (span, column) in &update.values {
                let is_direct = *span == update.value && column.eq_ignore_ascii_case(&update.column);
                let value = self.value_of(column, is_direct)?;
                text.extend_from_slice(Span { start: position, end: span.start }.of(source));
                text.push(b'(');
                text.extend_from_slice(&value);
                text.push(b')');
                position = span.end;
                given = is_direct.then_some(value);
            }
            text.extend_from_slice(Span { start: position, end: update.span.end }.of(source));
            all.push(Assignment { column: update.column.clone(), text, given });
        }
        Ok(all)
    }

    /// What `VALUES(column)` is. `is_direct`: the column itself gets it, so that the server makes of it what it would
    /// have made of it in the row.
    fn value_of(&self, column: &str, is_direct: bool) -> Result<Vec<u8>> {
        let default = || format!("default({})", quoted(column)).into_bytes();
        let columns = self.insert.upsert.as_ref().map_or(&[][..], |upsert| upsert.columns.as_slice());
        let Some(position) = columns.iter().position(|known| known.eq_ignore_ascii_case(column)) else {
            return Ok(default());
        };
        let Some((text, is_literal)) = self.batch.value_text(self.row, position)? else {
            return Ok(default());
        };
        if is_direct || is_literal && self.is_exact(column, &text) {
            return Ok(text);
        }
        Err(Error::unsupported(format!(
            "VALUES({column}) in an expression of ON DUPLICATE KEY UPDATE over several shards, where the value has \
             another type than the column"
        )))
    }

    /// Is the column's value of this literal what the literal says?
    fn is_exact(&self, column: &str, text: &[u8]) -> bool {
        if text.eq_ignore_ascii_case(b"null") {
            return true;
        }
        let is_integer =
            text.iter().enumerate().all(|(at, byte)| byte.is_ascii_digit() || at == 0 && *byte == b'-');
        let is_string = text.first() == Some(&b'\'');
        let known = self.table.columns.iter().find(|known| known.name == *column);
        known.is_some_and(|known| match known.column_type {
            ColumnType::Text | ColumnType::VarChar => {
                is_string && (known.size == 0 || text.len() <= known.size as usize)
            }
            kind => kind.is_integral() && is_integer,
        })
    }
}

/// The assignments behind ON DUPLICATE KEY UPDATE.
struct Updates<'a> {
    text: &'a [u8],
    assignments: Vec<Update>,
}

struct Update {
    column: String,
    /// The whole assignment, and what is assigned.
    span: Span,
    value: Span,
    /// Where values of the new row are asked for, and of which column.
    values: Vec<(Span, String)>,
}

impl<'a> Updates<'a> {
    /// Reads `[AS new] ON DUPLICATE KEY UPDATE …`.
    fn read(text: &'a [u8], options: &LexOptions) -> Result<Self> {
        let not_read = || Error::unsupported("this form of ON DUPLICATE KEY UPDATE over several shards");
        let mut tokenizer = Tokenizer::new(text, 0, options);
        let mut tokens: Vec<Token> = Vec::new();
        loop {
            let token = tokenizer.next_token().map_err(|_| not_read())?;
            if matches!(token.kind, TokenKind::End | TokenKind::Semicolon) {
                break;
            }
            tokens.push(token);
        }
        let is = |index: usize, word: &str| tokens.get(index).is_some_and(|token| token.is_word(text, word));
        let mut start = 0;
        let mut alias = None;
        if is(0, "as") {
            alias = tokens.get(1).map(|token| name_of(token.span.of(text)).into_owned());
            start = 2;
        }
        if !["on", "duplicate", "key", "update"].iter().enumerate().all(|(at, word)| is(start + at, word)) {
            return Err(not_read());
        }
        let mut assignments = Vec::new();
        for part in split_at_commas(&tokens[start + 4..]) {
            assignments.push(Update::read(part, text, alias.as_deref()).ok_or_else(not_read)?);
        }
        Ok(Self { text, assignments })
    }
}

impl Update {
    fn read(tokens: &[Token], text: &[u8], alias: Option<&str>) -> Option<Self> {
        let is_assign = |token: &Token| matches!(token.kind, TokenKind::Eq | TokenKind::Assign);
        let at = tokens.iter().position(is_assign)?;
        let name = |token: &Token| name_of(token.span.of(text)).into_owned();
        let column = name(tokens[..at].last()?);
        let value = Span { start: tokens.get(at + 1)?.span.start, end: tokens.last()?.span.end };
        let span = Span { start: tokens.first()?.span.start, end: value.end };
        let mut values = Vec::new();
        let mut index = at + 1;
        while let Some(token) = tokens.get(index) {
            let kind = |offset: usize| tokens.get(index + offset).map(|token| token.kind);
            let is_function = (token.is_word(text, "values") || token.is_word(text, "value"))
                && kind(1) == Some(TokenKind::LParen);
            let length = if is_function {
                (2..)
                    .take_while(|offset| kind(*offset).is_some_and(|kind| kind != TokenKind::RParen))
                    .last()?
                    + 2
            } else if token.kind.is_name()
                && kind(1) == Some(TokenKind::Dot)
                && alias.is_some_and(|alias| alias.eq_ignore_ascii_case(&name(token)))
            {
                3
            } else {
                index += 1;
                continue;
            };
            let last = tokens.get(index + length - 1)?;
            let of = if is_function { tokens.get(index + length - 2)? } else { last };
            values.push((Span { start: token.span.start, end: last.span.end }, name(of)));
            index += length;
        }
        Some(Self { column, span, value, values })
    }
}

pub(super) fn split_at_commas(tokens: &[Token]) -> Vec<&[Token]> {
    let mut depth = 0_usize;
    let mut parts = Vec::new();
    let mut start = 0;
    for (index, token) in tokens.iter().enumerate() {
        match token.kind {
            TokenKind::LParen => depth += 1,
            TokenKind::RParen => depth = depth.saturating_sub(1),
            TokenKind::Comma if depth == 0 => {
                parts.push(&tokens[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&tokens[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_new_row_are_found() {
        /// Column, value, and what of the new row is in it.
        type Known<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);
        let check = |text: &str, expected: &[Known<'_>]| {
            let updates = Updates::read(text.as_bytes(), &LexOptions::default()).unwrap();
            let found = updates.assignments.iter().map(|update| {
                let values = update.values.iter().map(|(span, name)| (&text[span.range()], name.as_str()));
                format!("{} {} {:?}", update.column, &text[update.value.range()], values.collect::<Vec<_>>())
            });
            let found: Vec<String> = found.collect();
            let expected: Vec<String> = expected
                .iter()
                .map(|(column, value, values)| format!("{column} {value} {values:?}"))
                .collect();
            assert_eq!(found, expected, "{text}");
        };
        check(
            "on duplicate key update a = values(a), t.b = greatest(b, values(t.`c`)) + 1",
            &[
                ("a", "values(a)", &[("values(a)", "a")]),
                ("b", "greatest(b, values(t.`c`)) + 1", &[("values(t.`c`)", "c")]),
            ],
        );
        check(
            "as new ON DUPLICATE KEY UPDATE a = New.a + old.a",
            &[("a", "New.a + old.a", &[("New.a", "a")])],
        );
        assert!(Updates::read(b"as new(x) on duplicate key update a = x", &LexOptions::default()).is_err());
    }
}
