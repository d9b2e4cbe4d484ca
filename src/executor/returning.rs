//! Changes that return rows: `INSERT … RETURNING` and `REPLACE … RETURNING` of rows that belong to shards, in the order
//! of the statement, and changes that several shards do, `DELETE … RETURNING` and those of reference tables.
//!
//! <https://mariadb.com/kb/en/insertreturning/>; MySQL has no such thing.

use super::Executor;
use super::arguments::{Arguments, Placeholders};
use super::exchange::{Lease, settle};
use super::inner::{HeldRows, Inner};
use super::job::Job;
use super::lookup::{OwnedLookup, Owners, used_by};
use super::scatter::{ClientRows, SequenceAccess};
use super::session_values::SessionValues;
use super::two_phase::check_write;
use crate::engine::{InsertBatch, InsertSource, ResultSink, Run, ShardPart, StreamEnd};
use crate::error::{Error, Result};
use crate::gateway::Target;
use crate::plan::primitive::{Insert, InsertRows, Query};
use crate::topology::KeyspaceName;
use crate::wire::row::put_text_field;

impl Executor {
    /// Runs the statement and replies with its rows.
    pub(super) async fn insert_returning(
        &self,
        job: &mut Job<'_>,
        insert: &Insert,
        run: &Run<'_>,
        source: &InsertSource<'_>,
        has_followed_keys: bool,
    ) -> Result<()> {
        let has_owned = insert.lookups.iter().any(|lookup| lookup.is_owned);
        let is_several_steps = !insert.keys_over_shards().is_empty()
            || insert.is_copied
            || insert.is_ignore
            || has_followed_keys
            || has_owned && insert.updated.is_some();
        if is_several_steps || !matches!(insert.rows, InsertRows::Values { .. }) {
            return Err(Error::unsupported("RETURNING of this form of INSERT over several shards"));
        }
        let mut batch = InsertBatch::read(insert, run, source)?;
        let steps = self.begin_steps(job.session).await?;
        let outcome = self.insert_and_return(job, insert, &mut batch).await;
        let parts = self.end_compound(job.session, steps, outcome).await?;
        if let Some(number) = batch.first_number() {
            job.session.last_insert_id = number;
        }
        let order: Vec<usize> = match parts.as_slice() {
            [(shard, held)] => vec![*shard; held.rows.len()],
            _ => (0..batch.row_count()).filter_map(|row| batch.shard_of(row)).collect(),
        };
        reply(job, insert.keyspace.as_str(), &parts, &order).await
    }

    /// Sends a change to each shard and replies with the rows of all of them, or of one if it `is_same` everywhere.
    pub(super) async fn write_returning(
        &self,
        job: &mut Job<'_>,
        keyspace: &KeyspaceName,
        shards: &[ShardPart<'_>],
        (query, is_same): (&Query, bool),
    ) -> Result<()> {
        let texts = {
            let (arguments, values) =
                (Arguments::new(job, Placeholders::Inline), SessionValues::new(self, job));
            let text = arguments.inline()?;
            let run = Run { keyspace, parts: shards, text: &text, args: &arguments, session: &values };
            run.queries(query)?
        };
        let texts: Vec<(Target, Vec<u8>)> = texts
            .into_iter()
            .map(|query| (Target::primary(keyspace.clone(), query.shard), query.text))
            .collect();
        let steps = self.begin_steps(job.session).await?;
        let outcome = self.change_and_return(job, &texts).await;
        let mut parts = self.end_compound(job.session, steps, outcome).await?;
        if is_same {
            parts.truncate(1);
        }
        let order: Vec<usize> =
            parts.iter().flat_map(|(shard, held)| vec![*shard; held.rows.len()]).collect();
        reply(job, keyspace.as_str(), &parts, &order).await
    }

    /// The rows of each text, by its index.
    async fn change_and_return(
        &self,
        job: &mut Job<'_>,
        texts: &[(Target, Vec<u8>)],
    ) -> Result<Vec<(usize, HeldRows)>> {
        let targets: Vec<Target> = texts.iter().map(|(target, _)| target.clone()).collect();
        check_write(job.session, &targets)?;
        let (snapshot, needs) = (job.snapshot.clone(), job.needs());
        let mut inner = Inner::new(self, &mut *job.session, &snapshot, needs);
        let mut parts = Vec::with_capacity(texts.len());
        for (index, (target, text)) in texts.iter().enumerate() {
            parts.push((index, inner.changed_rows_at(target, text).await?));
        }
        Ok(parts)
    }

    /// Each shard's rows, by the shard's index.
    async fn insert_and_return(
        &self,
        job: &mut Job<'_>,
        insert: &Insert,
        batch: &mut InsertBatch<'_>,
    ) -> Result<Vec<(usize, HeldRows)>> {
        let (snapshot, needs) = (job.snapshot.clone(), job.needs());
        let mut inner = Inner::new(self, &mut *job.session, &snapshot, needs);
        inner.fill_in(insert, batch).await?;
        let mut sequences = SequenceAccess { executor: self, snapshot: &snapshot };
        batch.number(&mut sequences).await?;
        let told = inner.told_places(insert, batch).await?;
        batch.place(&told)?;
        for lookup in insert.lookups.iter().filter(|lookup| !lookup.is_owned) {
            inner.check_unowned(insert, lookup, batch).await?;
        }
        let tablet_type = inner.session.target.tablet_type;
        let found = snapshot.vschema.find_table(Some(&insert.keyspace), &insert.table, tablet_type)?;
        for lookup in insert.lookups.iter().filter(|lookup| lookup.is_owned) {
            let entries = batch.entries(lookup)?.into_iter().map(|(_, entry)| entry).collect();
            let owned = OwnedLookup { owner: &found.table, used: used_by(&found.table, lookup)? };
            inner.add_entries(owned, entries, Owners::Follow).await?;
        }
        let queries = batch.queries(&|_| true)?;
        let shards = inner.keyspace(&insert.keyspace)?.shards();
        let target =
            |shard: &crate::topology::ShardName| Target::primary(insert.keyspace.clone(), shard.clone());
        let targets: Vec<Target> = queries.iter().map(|query| target(&query.shard)).collect();
        check_write(inner.session, &targets)?;
        let mut parts = Vec::with_capacity(queries.len());
        for (query, target) in queries.iter().zip(&targets) {
            let held = inner.changed_rows_at(target, &query.text).await?;
            let index = shards.iter().position(|shard| *shard.name() == query.shard);
            parts.push((index.ok_or_else(|| Error::bug("a shard that is not there"))?, held));
        }
        Ok(parts)
    }
}

impl Inner<'_> {
    /// The rows that a change returns. Whatever becomes of it, the shard counts as written.
    async fn changed_rows_at(&mut self, target: &Target, text: &[u8]) -> Result<HeldRows> {
        let mut lease = self.executor.lease(self.session, target, &self.needs).await?;
        if let Lease::Held(index) = lease {
            self.session.transaction.shards[index].has_written = true;
        }
        settle(lease.connection(&mut self.session.transaction)).await?;
        drop(lease);
        self.rows_at(target, text).await
    }
}

/// Sends the client rows of several shards: of each the next one, in this order of shards.
async fn reply(
    job: &mut Job<'_>,
    keyspace: &str,
    parts: &[(usize, HeldRows)],
    order: &[usize],
) -> Result<()> {
    let renaming = super::renaming::of(job, keyspace);
    let (status, is_binary) = (job.status(), job.session.is_prepared);
    let mut has_begun = false;
    let client = &mut *job.client;
    let mut sink =
        ClientRows { client, status, is_binary, renaming, columns: Vec::new(), has_begun: &mut has_begun };
    let Some((_, first)) = parts.first() else {
        return Err(Error::bug("RETURNING without an answer"));
    };
    sink.columns(&first.columns).await?;
    let mut rows: Vec<_> = parts.iter().map(|(shard, held)| (*shard, held.rows.iter())).collect();
    let mut packet = Vec::new();
    for shard in order {
        let next = rows.iter_mut().find(|(known, _)| known == shard).and_then(|(_, rows)| rows.next());
        let Some(row) = next else { return Err(Error::bug("a row of RETURNING that is not there")) };
        packet.clear();
        row.iter().for_each(|field| put_text_field(&mut packet, field.as_deref()));
        sink.row(&packet).await?;
    }
    sink.finish(StreamEnd { warnings: 0 }).await?;
    job.session.row_count = -1;
    Ok(())
}
