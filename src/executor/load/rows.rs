//! LOAD DATA LOCAL over shards: the client's file is cut into rows, and each shard gets those that belong to it as a
//! file of its own, batch by batch, in one transaction.

use std::ops::Range;

use super::batch::Batch;
use super::{begin, request};
use crate::backend::LoadReply;
use crate::engine::{self, FieldValue, FileRows, InsertBatch, InsertSource, NextRow, Run, WriteOutcome};
use crate::error::{Error, ErrorKind, Result};
use crate::executor::Executor;
use crate::executor::arguments::{Arguments, Placeholders};
use crate::executor::foreign_keys::NewRowLinks;
use crate::executor::inner::Inner;
use crate::executor::job::Job;
use crate::executor::new_rows::NewRows;
use crate::executor::place;
use crate::executor::session_values::SessionValues;
use crate::gateway::Target;
use crate::limits::{LOAD_BATCH_BYTES, LOAD_BATCH_ROWS};
use crate::plan::primitive::{Load, LoadRows, LookedAt, Takes};
use crate::session::diagnostics::Diagnostics;
use crate::sql::SqlMode;
use crate::topology::Keyspace;
use crate::value::Value;

impl Executor {
    /// Runs the statement and replies. `followed`: what the router keeps of the foreign keys of its rows.
    pub(super) async fn load_rows(
        &self,
        job: &mut Job<'_>,
        plan: &Load,
        rows: &LoadRows,
        followed: Option<&NewRowLinks>,
    ) -> Result<()> {
        let text = self.load_text(job, &plan.query)?;
        let last_insert_id = job.session.last_insert_id;
        let new = followed.map(NewRows::new);
        let steps = self.begin_steps(job.session).await?;
        let outcome = self.load_batches(job, rows, &text, new.as_ref()).await;
        let loaded = self.end_compound(job.session, steps, outcome).await?;
        // What was generated is remembered, but not told.
        job.session.last_insert_id = loaded.first_number.unwrap_or(last_insert_id);
        self.send_outcome(job, &loaded.outcome);
        Ok(())
    }

    async fn load_batches(
        &self,
        job: &mut Job<'_>,
        rows: &LoadRows,
        text: &[u8],
        new: Option<&NewRows<'_>>,
    ) -> Result<Loaded> {
        let charset = self.file_charset(job, rows).await?;
        // One server's words about the statement, and about files of clients, before the client sends its own.
        let target = place::any_shard(&job.snapshot, &rows.insert.keyspace, job.session)?;
        let (name, first) = self.try_load(job, &target, text).await?;
        request(job.client, &name).await?;
        let wanted: Vec<usize> = rows.looked_at.iter().map(|field| field.position).collect();
        let mut file = FileRows::new(&rows.format, rows.field_count, &wanted, rows.skipped_lines);
        let mut loaded = Loaded { outcomes: vec![first], ..Loaded::default() };
        // A row may be in the way of the next, or be its parent.
        let is_one_by_one =
            !rows.insert.keys_over_shards().is_empty() || new.is_some_and(NewRows::refer_to_themselves);
        let rows_max = if is_one_by_one { 1 } else { LOAD_BATCH_ROWS };
        let mut has_ended = false;
        while !has_ended {
            let mut batch = Batch::new(rows, loaded.row_count);
            while batch.bytes() < LOAD_BATCH_BYTES && batch.row_count() < rows_max {
                match file.next_row()? {
                    NextRow::End => {
                        has_ended = true;
                        break;
                    }
                    NextRow::NeedsMore => match job.client.next_file_part().await? {
                        Some(part) => file.push(&part),
                        None => file.end(),
                    },
                    NextRow::Row(row) => {
                        let number = batch.next_number();
                        let values = row.values.into_iter().zip(&rows.looked_at);
                        let values = values.map(|(value, field)| charset.value_of(value, field, number));
                        batch.push(row.bytes, values.collect::<Result<_>>()?);
                    }
                }
            }
            loaded.row_count += batch.row_count() as u64;
            self.load_batch(job, (rows, new), text, &batch, &mut loaded).await?;
        }
        job.session.diagnostics = std::mem::take(&mut loaded.diagnostics);
        loaded.outcome = engine::sum(std::mem::take(&mut loaded.outcomes));
        Ok(loaded)
    }

    /// The statement with an empty file; gives the file's name.
    async fn try_load(
        &self,
        job: &mut Job<'_>,
        target: &Target,
        text: &[u8],
    ) -> Result<(Box<[u8]>, WriteOutcome)> {
        let needs = job.needs();
        let mut lease = self.lease(job.session, target, &needs).await?;
        let connection = lease.connection(&mut job.session.transaction);
        let outcome = match begin(connection, text).await {
            Ok(LoadReply::FileWanted(name)) => connection.end_file().await.map(|summary| (name, summary)),
            Ok(LoadReply::Done(_)) => Err(Error::bug("LOAD DATA LOCAL without a request for a file")),
            Err(error) => Err(error),
        };
        drop(lease);
        self.drop_lost_shards(job.session);
        outcome.map(|(name, summary)| (name, crate::executor::write::outcome_of(&summary)))
    }

    /// One batch: rows get their numbers and places, lookup tables their rows, shards their files.
    async fn load_batch(
        &self,
        job: &mut Job<'_>,
        (rows, new): (&LoadRows, Option<&NewRows<'_>>),
        text: &[u8],
        batch: &Batch<'_>,
        loaded: &mut Loaded,
    ) -> Result<()> {
        if batch.row_count() == 0 {
            return Ok(());
        }
        let (snapshot, needs) = (job.snapshot.clone(), job.needs());
        let options = job.session.settings.lex_options();
        let (arguments, values) = (Arguments::new(job, Placeholders::Inline), SessionValues::new(self, job));
        let insert = &rows.insert;
        let run = Run {
            keyspace: &insert.keyspace,
            parts: &[],
            text: job.text,
            args: &arguments,
            session: &values,
        };
        let unknown =
            || Error::new(ErrorKind::UnknownDatabase, format!("Unknown database '{}'", insert.keyspace));
        let source = InsertSource {
            lexed: job.lexed,
            options: &options,
            keyspace: snapshot.topology.keyspace(&insert.keyspace).ok_or_else(unknown)?,
            zero_is_a_value: options.mode.contains(SqlMode::NO_AUTO_VALUE_ON_ZERO),
        };
        let mut placed = batch.placed(&run, &source);
        let mut inner = Inner::new(self, &mut *job.session, &snapshot, needs);
        inner.place_file_rows(insert, &mut placed).await?;
        let own =
            new.map_or(insert.lookups.len() - insert.keys_over_shards().len(), |new| new.own_lookups(insert));
        inner.check_file_rows(insert, own, &mut placed).await?;
        let lacking = match new {
            Some(new) => self.lacking_parents(job, insert, new, &placed).await?,
            None => vec![None; placed.row_count()],
        };
        self.clear_way_of_file(job, (insert, new), &placed, loaded).await?;
        let mut inner = Inner::new(self, &mut *job.session, &snapshot, needs);
        let added = inner.add_file_entries(insert, own, &mut placed).await?;
        let part = FilePart { rows, text, batch, placed: &placed, keyspace: source.keyspace };
        let mut was_left_out = placed.row_count() > batch.sent_count(&placed);
        let mut start = 0;
        while let Some(first) = lacking.get(start) {
            let end = lacking[start..].iter().position(|link| link.is_some() != first.is_some());
            let end = end.map_or(lacking.len(), |length| start + length);
            match first {
                None => was_left_out |= self.send_part(job, &part, start..end, loaded).await?,
                Some(_) => {
                    for (row, link) in lacking.iter().enumerate().take(end).skip(start) {
                        if let Some(link) = *link {
                            self.leave_out_orphan(job, &part, (row, link), loaded).await?;
                        }
                    }
                }
            }
            start = end;
        }
        if was_left_out {
            Inner::new(self, &mut *job.session, &snapshot, needs).forget_unused(insert, added).await?;
        }
        loaded.first_number = loaded.first_number.or(placed.first_number());
        let skipped = batch.skipped(&placed, &mut loaded.diagnostics);
        loaded.outcomes.extend(skipped);
        // What is held does not grow with the file.
        loaded.outcomes = vec![engine::sum(std::mem::take(&mut loaded.outcomes))];
        Ok(())
    }

    /// Sends some rows to their shards; tells whether rows of them were left out there.
    pub(super) async fn send_part(
        &self,
        job: &mut Job<'_>,
        part: &FilePart<'_>,
        rows: Range<usize>,
        loaded: &mut Loaded,
    ) -> Result<bool> {
        let needs = job.needs();
        let parts = part.batch.parts(part.placed, part.keyspace, rows);
        let files: Vec<_> = parts.iter().map(|part| (part.target.clone(), part.bytes.as_slice())).collect();
        let last_row = (0..parts.len()).max_by_key(|index| parts[*index].numbers.last().copied());
        let last_row = last_row.filter(|_| crate::executor::variables::are_named(job));
        let (outcomes, said) = self.send_files(job, &needs, part.text, &files, last_row).await?;
        part.batch.refuse_changed_keys(&said)?;
        let warned = said.iter().zip(&parts).map(|(said, part)| (said, part.numbers.as_slice()));
        let copies = if part.rows.insert.is_copied { 1 } else { usize::MAX };
        for entry in crate::executor::row_numbers::in_order(warned.take(copies)) {
            loaded.diagnostics.push(entry);
        }
        let was_left_out = outcomes.iter().any(|outcome| super::number_in(outcome, "Skipped") > 0);
        loaded.outcomes.extend(outcomes.into_iter().take(copies));
        Ok(was_left_out)
    }

    /// The character set of the file.
    async fn file_charset(&self, job: &mut Job<'_>, rows: &LoadRows) -> Result<FileCharset> {
        let name = match &rows.charset {
            Some(name) => name.to_string(),
            None => {
                let (snapshot, needs) = (job.snapshot.clone(), job.needs());
                let target = place::any_shard(&snapshot, &rows.insert.keyspace, job.session)?;
                let mut inner = Inner::new(self, &mut *job.session, &snapshot, needs);
                let held = inner.rows_at(&target, b"select @@character_set_database").await?;
                held.column(0)
                    .next()
                    .map_or_else(String::new, |name| String::from_utf8_lossy(name).into_owned())
            }
        };
        FileCharset::named(&name)
    }
}

/// Rows of a batch that have their places.
#[derive(Clone, Copy)]
pub(super) struct FilePart<'a> {
    pub(super) rows: &'a LoadRows,
    /// The statement for servers.
    pub(super) text: &'a [u8],
    pub(super) batch: &'a Batch<'a>,
    pub(super) placed: &'a InsertBatch<'a>,
    pub(super) keyspace: &'a Keyspace,
}

/// What was loaded so far.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) outcome: WriteOutcome,
    pub(super) outcomes: Vec<WriteOutcome>,
    pub(super) diagnostics: Diagnostics,
    row_count: u64,
    first_number: Option<u64>,
}

/// Which bytes of a file are characters as the router has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileCharset {
    /// The same bytes as in utf8mb4.
    is_utf8: bool,
}

impl FileCharset {
    fn named(name: &str) -> Result<Self> {
        if ["ascii", "binary", "utf8", "utf8mb3", "utf8mb4"].contains(&name) {
            return Ok(Self { is_utf8: true });
        }
        let is_single_byte =
            ["latin", "cp125", "cp85", "koi8", "mac", "armscii8", "dec8", "geostd8", "greek", "hebrew"]
                .iter()
                .chain(&["hp8", "keybcs2", "tis620", "swe7"])
                .any(|known| name.starts_with(known));
        // 7-bit sets with other letters in the places of brackets are no ASCII.
        if is_single_byte && name != "swe7" {
            return Ok(Self { is_utf8: false });
        }
        Err(Error::unsupported(format!(
            "LOAD DATA over several shards of a file in the character set {name}"
        )))
    }

    /// The value that a field's column will have.
    fn value_of(self, value: FieldValue, field: &LookedAt, row: u64) -> Result<Value> {
        let refuse = |what: &str| {
            Err(Error::unsupported(format!(
                "row {row} of a file over several shards, which {what} {}",
                field.column
            )))
        };
        let text = match value {
            FieldValue::Missing => return refuse("has no field for"),
            FieldValue::Null => return Ok(Value::Null),
            FieldValue::Text(text) => text,
        };
        if !self.is_utf8 && !text.is_ascii() {
            return refuse("has another character set's text for");
        }
        match field.takes {
            Takes::Integers => {
                let digits = std::str::from_utf8(&text).unwrap_or_default().trim_matches(' ');
                if let Ok(number) = digits.parse::<i64>() {
                    return Ok(Value::Int(number));
                }
                match digits.parse::<u64>() {
                    Ok(number) => Ok(Value::UInt(number)),
                    Err(_) => refuse("has no whole number for"),
                }
            }
            Takes::Texts(length_max) => {
                let length = std::str::from_utf8(&text).map_or(text.len(), |text| text.chars().count());
                if length_max > 0 && length > length_max as usize {
                    return refuse("has a text that is too long for");
                }
                Ok(Value::Text(text.into()))
            }
            Takes::Unknown => Ok(Value::Text(text.into())),
            Takes::Other => refuse("has a text that may be stored differently in"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_columns_store() {
        let check = |charset: &str, takes: Takes, text: &str, expected: Option<Value>| {
            let field = LookedAt { position: 0, column: "c".into(), takes };
            let value = FieldValue::Text(text.as_bytes().to_vec());
            let found = FileCharset::named(charset).unwrap().value_of(value, &field, 1);
            assert_eq!(found.ok(), expected, "{text}");
        };
        check("utf8mb4", Takes::Integers, "007", Some(Value::Int(7)));
        check("utf8mb4", Takes::Integers, "18446744073709551615", Some(Value::UInt(u64::MAX)));
        check("utf8mb4", Takes::Integers, "7.5", None);
        check("utf8mb4", Takes::Texts(2), "äö", Some(Value::text("äö")));
        check("utf8mb4", Takes::Texts(2), "abc", None);
        check("latin1", Takes::Texts(0), "abc", Some(Value::text("abc")));
        check("latin1", Takes::Texts(0), "ä", None);
        check("utf8mb4", Takes::Other, "1.0", None);
        assert!(FileCharset::named("sjis").is_err());
    }
}
