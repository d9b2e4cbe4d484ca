//! Some rows of a file on their way to their shards.

use std::ops::Range;

use futures_util::future::join_all;

use super::send;
use crate::backend::pool::Needs;
use crate::engine::{InsertBatch, InsertSource, LookupEntry, Run, WriteOutcome};
use crate::error::{ERRNO_DUPLICATE_ENTRY, Error, Result};
use crate::executor::Executor;
use crate::executor::inner::Inner;
use crate::executor::job::Job;
use crate::executor::lookup::{ENTRIES_PER_STATEMENT, OwnedLookup, Owners, used_by};
use crate::executor::outcome::collect_warnings;
use crate::executor::scatter::SequenceAccess;
use crate::executor::two_phase::check_write;
use crate::executor::variables;
use crate::executor::write::outcome_of;
use crate::gateway::Target;
use crate::plan::primitive::{Insert, LoadRows};
use crate::session::diagnostics::{Diagnostic, Diagnostics, Level};
use crate::topology::{Keyspace, KeyspaceId};
use crate::value::Value;
use crate::wire::{Command, ReplySummary};

/// Rows that are held in memory.
pub(super) struct Batch<'a> {
    plan: &'a LoadRows,
    positions: Vec<usize>,
    /// Rows of the file before these.
    before: u64,
    bytes: Vec<u8>,
    /// Where each row ends in `bytes`.
    ends: Vec<usize>,
    values: Vec<Vec<Value>>,
}

/// One shard's part of a batch.
pub(super) struct Part {
    pub(super) target: Target,
    pub(super) bytes: Vec<u8>,
    /// The numbers in the file of its rows.
    pub(super) numbers: Vec<u64>,
}

/// Rows that were added to a lookup table, by the lookup's place in the plan.
pub(super) type Added = Vec<(usize, Vec<LookupEntry>)>;

impl<'a> Batch<'a> {
    pub(super) fn new(plan: &'a LoadRows, before: u64) -> Self {
        let positions = plan.looked_at.iter().map(|field| field.position).collect();
        Self { plan, positions, before, bytes: Vec::new(), ends: Vec::new(), values: Vec::new() }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn row_count(&self) -> usize {
        self.ends.len()
    }

    /// The number in the file of the row that comes next.
    pub(super) fn next_number(&self) -> u64 {
        self.before + self.ends.len() as u64 + 1
    }

    pub(super) fn push(&mut self, bytes: &[u8], values: Vec<Value>) {
        self.bytes.extend_from_slice(bytes);
        self.ends.push(self.bytes.len());
        self.values.push(values);
    }

    /// The rows as those of an INSERT, which has the same places.
    pub(super) fn placed<'b>(&'b self, run: &Run<'b>, source: &InsertSource<'b>) -> InsertBatch<'b> {
        InsertBatch::of_file(&self.plan.insert, run, source, &self.positions, &self.values)
    }

    fn row(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[index]]
    }

    /// The files for the shards with these rows, in the order of the shards.
    pub(super) fn parts(
        &self,
        placed: &InsertBatch<'_>,
        keyspace: &Keyspace,
        rows: Range<usize>,
    ) -> Vec<Part> {
        let plan = &self.plan.insert;
        let new = |shard: &crate::topology::Shard| Part {
            target: Target::primary(plan.keyspace.clone(), shard.name().clone()),
            bytes: Vec::new(),
            numbers: Vec::new(),
        };
        let mut parts: Vec<Part> = keyspace.shards().iter().map(new).collect();
        for index in rows {
            let Some(shard) = placed.shard_of(index) else { continue };
            let chosen = if plan.is_copied { 0..parts.len() } else { shard..shard + 1 };
            for part in &mut parts[chosen] {
                part.bytes.extend_from_slice(&self.plan.format.line_start);
                if plan.generated.is_some() {
                    self.write_number(index, placed.number_of(index), &mut part.bytes);
                    part.bytes.extend_from_slice(&self.plan.format.field_end);
                }
                part.bytes.extend_from_slice(self.row(index));
                part.numbers.push(self.before + index as u64 + 1);
            }
        }
        parts.retain(|part| !part.numbers.is_empty());
        parts
    }

    /// The field of the generated column, which comes first.
    fn write_number(&self, index: usize, number: Option<u64>, out: &mut Vec<u8>) {
        let position = self.plan.insert.generated.as_ref().and_then(|generated| generated.position);
        let given = position.and_then(|at| self.positions.binary_search(&(at as usize)).ok());
        match (number, given) {
            (Some(number), _) => out.extend_from_slice(number.to_string().as_bytes()),
            (None, Some(at)) => out.extend_from_slice(&self.values[index][at].as_ref().to_bytes()),
            (None, None) => {}
        }
    }

    /// Rows that have a place.
    pub(super) fn sent_count(&self, placed: &InsertBatch<'_>) -> usize {
        (0..self.row_count()).filter(|index| placed.shard_of(*index).is_some()).count()
    }

    /// What a server would have said of the rows that were left out, because rows on other shards have their values.
    pub(super) fn skipped(
        &self,
        placed: &InsertBatch<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<WriteOutcome> {
        let left_out = (0..self.row_count()).filter(|index| placed.shard_of(*index).is_none());
        for index in left_out {
            let row = self.before + index as u64 + 1;
            let message = format!("Duplicate entry in row {row} at another shard").into_bytes();
            diagnostics.push(Diagnostic { level: Level::Warning, code: ERRNO_DUPLICATE_ENTRY, message });
        }
        let count = self.row_count() - self.sent_count(placed);
        let info = format!("Records: {count}  Deleted: 0  Skipped: {count}  Warnings: {count}");
        let warnings = u32::try_from(count).unwrap_or(u32::MAX);
        (count > 0).then(|| WriteOutcome { warnings, info: info.into_bytes(), ..WriteOutcome::default() })
    }

    /// A server that stores another value than the one that gave the row its place has said so.
    pub(super) fn refuse_changed_keys(&self, said: &[Diagnostics]) -> Result<()> {
        for field in &self.plan.looked_at {
            let name = format!("column '{}'", field.column).to_lowercase();
            let is_named = |message: &[u8]| String::from_utf8_lossy(message).to_lowercase().contains(&name);
            let mut entries = said.iter().flat_map(Diagnostics::entries);
            if let Some(entry) = entries.find(|entry| is_named(&entry.message)) {
                let message = String::from_utf8_lossy(&entry.message);
                return Err(Error::unsupported(format!(
                    "a value of {} that is not stored as it is in the file ({message})",
                    field.column
                )));
            }
        }
        Ok(())
    }
}

impl Executor {
    /// Sends each shard its file, all at the same time; gives what each did and said. `last_row`: user variables go
    /// along, and what they are is read back where the last row is.
    pub(super) async fn send_files(
        &self,
        job: &mut Job<'_>,
        needs: &Needs,
        text: &[u8],
        files: &[(Target, &[u8])],
        last_row: Option<usize>,
    ) -> Result<(Vec<WriteOutcome>, Vec<Diagnostics>)> {
        let targets: Vec<Target> = files.iter().map(|(target, _)| target.clone()).collect();
        check_write(job.session, &targets)?;
        let mut last = None;
        let assignment = last_row.map(|_| variables::assignment(job));
        for (index, target) in targets.iter().enumerate() {
            if let Some(log) = &job.session.query_log {
                log.push(target, text);
            }
            let mut lease = self.lease(job.session, target, needs).await?;
            if let Some(assignment) = &assignment {
                lease.connection(&mut job.session.transaction).queue(&Command::Query(assignment));
            }
            if last_row == Some(index) {
                last = Some(lease);
            }
        }
        let shards = job.session.transaction.shards.iter_mut();
        let sending = shards.filter_map(|shard| {
            let index = targets.iter().position(|target| *target == shard.target)?;
            shard.has_written = true;
            let connection = &mut shard.connection;
            Some(async move {
                let outcome = send(connection, text, files[index].1).await;
                let mut said = Diagnostics::default();
                if outcome.as_ref().is_ok_and(|summary: &ReplySummary| summary.warnings > 0) {
                    collect_warnings(connection, &mut said).await;
                }
                (index, outcome, said)
            })
        });
        let mut sent = join_all(sending).await;
        sent.sort_unstable_by_key(|(index, ..)| *index);
        self.drop_lost_shards(job.session);
        let mut outcomes = Vec::with_capacity(sent.len());
        let mut diagnostics = Vec::with_capacity(sent.len());
        for (_, outcome, said) in sent {
            outcomes.push(outcome_of(&outcome?));
            diagnostics.push(said);
        }
        if let Some(mut lease) = last {
            variables::take_back(job, &mut lease).await?;
        }
        Ok((outcomes, diagnostics))
    }
}

impl Inner<'_> {
    /// Gives rows numbers and places.
    pub(super) async fn place_file_rows(
        &mut self,
        insert: &Insert,
        batch: &mut InsertBatch<'_>,
    ) -> Result<()> {
        self.fill_in(insert, batch).await?;
        let mut sequences = SequenceAccess { executor: self.executor, snapshot: self.snapshot };
        batch.number(&mut sequences).await?;
        let told = self.told_places(insert, batch).await?;
        batch.place(&told)
    }

    /// Rows must be where vindexes that they share say. `own`: so many of the lookups are the table's.
    pub(super) async fn check_file_rows(
        &mut self,
        insert: &Insert,
        own: usize,
        batch: &mut InsertBatch<'_>,
    ) -> Result<()> {
        for lookup in insert.lookups.iter().take(own).filter(|lookup| !lookup.is_owned) {
            self.check_unowned(insert, lookup, batch).await?;
        }
        Ok(())
    }

    /// Adds the rows' rows to lookup tables. A row whose value is taken is left out, as IGNORE does; REPLACE has no such
    /// row.
    pub(super) async fn add_file_entries(
        &mut self,
        insert: &Insert,
        own: usize,
        batch: &mut InsertBatch<'_>,
    ) -> Result<Added> {
        let mut added = Added::new();
        if !insert.lookups.iter().take(own).any(|lookup| lookup.is_owned) {
            return Ok(added);
        }
        let tablet_type = self.session.target.tablet_type;
        let found = self.snapshot.vschema.find_table(Some(&insert.keyspace), &insert.table, tablet_type)?;
        for (index, lookup) in insert.lookups.iter().enumerate().filter(|(_, lookup)| lookup.is_owned) {
            let owned = OwnedLookup { owner: &found.table, used: used_by(&found.table, lookup)? };
            let entries = batch.entries(lookup)?;
            if insert.replaces.is_some() {
                let entries = entries.into_iter().map(|(_, entry)| entry).collect();
                self.add_entries(owned, entries, Owners::Follow).await?;
                continue;
            }
            let mut fresh: Vec<KeyspaceId> = Vec::new();
            let mut new = Vec::new();
            for chunk in entries.chunks(ENTRIES_PER_STATEMENT) {
                let all: Vec<LookupEntry> = chunk.iter().map(|(_, entry)| entry.clone()).collect();
                if self.try_entries(owned, all.clone()).await? {
                    fresh.extend(all.iter().map(|entry| entry.id.clone()));
                    new.extend(all);
                    continue;
                }
                for (row, entry) in chunk {
                    match self.try_entry(owned, entry, &fresh).await? {
                        Some(true) => {
                            fresh.push(entry.id.clone());
                            new.push(entry.clone());
                        }
                        Some(false) => {}
                        None => batch.leave_out(*row),
                    }
                }
            }
            added.push((index, new));
        }
        Ok(added)
    }

    /// Takes rows of lookup tables away that were added for rows which did not come to be.
    pub(super) async fn forget_unused(&mut self, insert: &Insert, added: Added) -> Result<()> {
        let tablet_type = self.session.target.tablet_type;
        let found = self.snapshot.vschema.find_table(Some(&insert.keyspace), &insert.table, tablet_type)?;
        for (index, entries) in added {
            let Some(lookup) = insert.lookups.get(index) else { continue };
            let owned = OwnedLookup { owner: &found.table, used: used_by(&found.table, lookup)? };
            self.remove_entries(owned, entries).await?;
        }
        Ok(())
    }
}
