//! LOAD DATA LOCAL over shards: the client's file is cut into rows, and each shard gets those that belong to it as a
//! file of its own, batch by batch, in one transaction.

use super::batch::Batch;
use super::{begin, request};
use crate::backend::LoadReply;
use crate::engine::{self, FieldValue, FileRows, InsertSource, NextRow, Run, WriteOutcome};
use crate::error::{Error, ErrorKind, Result};
use crate::executor::Executor;
use crate::executor::arguments::{Arguments, Placeholders};
use crate::executor::inner::Inner;
use crate::executor::job::Job;
use crate::executor::place;
use crate::executor::session_values::SessionValues;
use crate::gateway::Target;
use crate::limits::{LOAD_BATCH_BYTES, LOAD_BATCH_ROWS};
use crate::plan::primitive::{Load, LoadRows, LookedAt, Takes};
use crate::session::diagnostics::Diagnostics;
use crate::sql::SqlMode;
use crate::value::Value;

impl Executor {
    /// Runs the statement and replies.
    pub(super) async fn load_rows(&self, job: &mut Job<'_>, plan: &Load, rows: &LoadRows) -> Result<()> {
        self.refuse_keys_over_shards(job, rows).await?;
        let text = self.load_text(job, &plan.query)?;
        let last_insert_id = job.session.last_insert_id;
        let steps = self.begin_steps(job.session).await?;
        let outcome = self.load_batches(job, rows, &text).await;
        let loaded = self.end_compound(job.session, steps, outcome).await?;
        // What was generated is remembered, but not told.
        job.session.last_insert_id = loaded.first_number.unwrap_or(last_insert_id);
        self.send_outcome(job, &loaded.outcome);
        Ok(())
    }

    /// `REPLACE` does not see rows in the way on other shards.
    async fn refuse_keys_over_shards(&self, job: &Job<'_>, rows: &LoadRows) -> Result<()> {
        let options = job.session.settings.lex_options();
        let load = crate::sql::statement::parse_load(job.text, &options)?;
        let Some(primary) = rows.insert.vindexes.first().filter(|_| load.replaces) else { return Ok(()) };
        let tablet_type = job.session.target.tablet_type;
        let found =
            job.snapshot.vschema.find_table(Some(&rows.insert.keyspace), &rows.insert.table, tablet_type)?;
        let shape = self.table_shape(job, &found.table).await?;
        let has = |columns: &[Box<str>], name: &str| columns.iter().any(|c| c.eq_ignore_ascii_case(name));
        let other = shape.unique.iter().find(|key| !primary.columns.iter().all(|c| has(&key.columns, c)));
        match other {
            Some(key) => Err(Error::unsupported(format!(
                "LOAD DATA … REPLACE with the unique key {}, which does not have the sharding key",
                key.name
            ))),
            None => Ok(()),
        }
    }

    async fn load_batches(&self, job: &mut Job<'_>, rows: &LoadRows, text: &[u8]) -> Result<Loaded> {
        let charset = self.file_charset(job, rows).await?;
        // One server's words about the statement, and about files of clients, before the client sends its own.
        let target = place::any_shard(&job.snapshot, &rows.insert.keyspace, job.session)?;
        let (name, first) = self.try_load(job, &target, text).await?;
        request(job.client, &name).await?;
        let wanted: Vec<usize> = rows.looked_at.iter().map(|field| field.position).collect();
        let mut file = FileRows::new(&rows.format, rows.field_count, &wanted, rows.skipped_lines);
        let mut loaded = Loaded { outcomes: vec![first], ..Loaded::default() };
        let mut has_ended = false;
        while !has_ended {
            let mut batch = Batch::new(rows, loaded.row_count);
            while batch.bytes() < LOAD_BATCH_BYTES && batch.row_count() < LOAD_BATCH_ROWS {
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
            self.load_batch(job, rows, text, &batch, &mut loaded).await?;
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
        rows: &LoadRows,
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
        let added = Inner::new(self, &mut *job.session, &snapshot, needs)
            .place_file_rows(insert, &mut placed)
            .await?;
        let parts = batch.parts(&placed, source.keyspace);
        let files: Vec<_> = parts.iter().map(|part| (part.target.clone(), part.bytes.as_slice())).collect();
        let last_row = (0..parts.len()).max_by_key(|index| parts[*index].numbers.last().copied());
        let last_row = last_row.filter(|_| crate::executor::variables::are_named(job));
        let (outcomes, said) = self.send_files(job, &needs, text, &files, last_row).await?;
        batch.refuse_changed_keys(&said)?;
        let warned = said.iter().zip(&parts).map(|(said, part)| (said, part.numbers.as_slice()));
        let copies = if insert.is_copied { 1 } else { usize::MAX };
        for entry in crate::executor::row_numbers::in_order(warned.take(copies)) {
            loaded.diagnostics.push(entry);
        }
        let was_left_out = |outcome: &WriteOutcome| super::number_in(outcome, "Skipped") > 0;
        if outcomes.iter().any(was_left_out) || placed.row_count() > batch.sent_count(&placed) {
            Inner::new(self, &mut *job.session, &snapshot, needs).forget_unused(insert, added).await?;
        }
        loaded.first_number = loaded.first_number.or(placed.first_number());
        let skipped = batch.skipped(&placed, &mut loaded.diagnostics);
        loaded.outcomes.extend(outcomes.into_iter().take(copies));
        loaded.outcomes.extend(skipped);
        // What is held does not grow with the file.
        loaded.outcomes = vec![engine::sum(std::mem::take(&mut loaded.outcomes))];
        Ok(())
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

/// What was loaded so far.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) outcome: WriteOutcome,
    outcomes: Vec<WriteOutcome>,
    diagnostics: Diagnostics,
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
