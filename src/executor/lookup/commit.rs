//! The order in which rows and the entries of consistent lookup vindexes are committed: no row is ever without its entry,
//! whatever fails or crashes in between. Entries without a row are allowed; they are repaired when their value is used.
//!
//! ```text
//!   rows that gave values away ─▶ added entries ─▶ all other rows ─▶ entries without rows are taken away
//! ```
//! A row can only give a value away early if its shard has no row that needs an entry; otherwise the entries go first.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::{BoxFuture, join_all};
use tokio::time::timeout;

use super::super::Executor;
use super::super::commit::{commit_one, non_atomic, roll_back};
use super::super::inner::Inner;
use super::entries::OwnedLookup;
use crate::engine::{LookupEntry, LookupTable};
use crate::error::{Error, ErrorKind, Result};
use crate::gateway::Target;
use crate::limits::LOOKUP_REMOVAL_TIME;
use crate::session::Session;
use crate::session::beside::{AtEntries, Beside, Unneeded};
use crate::session::transaction::ShardSession;
use crate::topology::{KeyspaceId, Snapshot};
use crate::twopc::FaultPoint;

/// Entries that are taken away in one transaction.
const REMOVALS_PER_TRANSACTION: usize = 100;

/// Nobody who has just committed waits for others.
const LOCK_AT_ONCE: &str = " for update nowait";

impl Executor {
    /// Commits what is added beside, before anything else. If that fails, everything is rolled back.
    pub(in super::super) async fn commit_entries_first(
        &self,
        session: &mut Session,
        beside: &mut Beside,
    ) -> Result<()> {
        let Err(error) = self.commit_entries(beside).await else { return Ok(()) };
        self.rollback(session).await;
        Err(rolled_back(error))
    }

    /// Commits entries and rows in their order; mode MULTI.
    pub(in super::super) async fn commit_with_entries(
        &self,
        session: &mut Session,
        beside: &mut Beside,
    ) -> Result<()> {
        let is_early = |shard: &ShardSession| shard.has_written && beside.commits_early(&shard.target);
        let participants = session.transaction.shards.iter_mut().filter(|shard| shard.in_transaction);
        let (mut shards, later): (Vec<&mut ShardSession>, Vec<&mut ShardSession>) =
            participants.partition(|shard| is_early(shard));
        let early_count = shards.len();
        shards.extend(later);
        shards[early_count..].sort_by_key(|shard| !shard.has_written);
        let written = shards.iter().filter(|shard| shard.has_written).count();
        if early_count == 0 {
            self.commit_entries_first(session, beside).await?;
            return self.commit_rows(session, written).await;
        }
        let mut outcomes = Vec::with_capacity(shards.len());
        for shard in &mut shards[..early_count] {
            let outcome = commit_one(shard).await;
            let is_first = outcomes.is_empty();
            if is_first && let Err(error) = outcome {
                join_all(shards.iter_mut().skip(1).map(|shard| roll_back(shard))).await;
                return Err(error);
            }
            outcomes.push(outcome);
        }
        let failed = outcomes.iter().find_map(|outcome| outcome.as_ref().err()).cloned();
        let entries = match failed {
            Some(error) => Err(error),
            None => self.commit_entries(beside).await,
        };
        let later = &mut shards[early_count..];
        match entries {
            Ok(()) => outcomes.extend(join_all(later.iter_mut().map(|shard| commit_one(shard))).await),
            Err(error) => {
                join_all(later.iter_mut().map(|shard| roll_back(shard))).await;
                let refused = Error::from_backend(error.errno(), error.sqlstate(), error.message());
                outcomes.extend(later.iter().map(|_| Err(refused.clone())));
            }
        }
        let all = shards.iter().map(|shard| &**shard).zip(outcomes).filter(|(shard, _)| shard.has_written);
        let mut all: Vec<(&ShardSession, Result<()>)> = all.collect();
        let rest = all.split_off(1);
        let Some((first, _)) = all.first() else { return Err(Error::bug("a commit of nothing")) };
        let outcome = non_atomic(first, &rest);
        self.count_commit(&outcome, written);
        outcome
    }

    /// After the rows: gives up what was only locked, and takes entries away that no row needs.
    pub(in super::super) fn end_beside<'a>(
        &'a self,
        session: &'a mut Session,
        mut beside: Beside,
        is_committed: bool,
    ) -> BoxFuture<'a, ()> {
        // Of a known type: what it runs may commit in turn.
        Box::pin(async move {
            let open = beside.transaction.shards.iter_mut().filter(|shard| shard.in_transaction);
            join_all(open.map(roll_back)).await;
            let removed = beside.take_removed();
            let needs = beside.needs;
            drop(beside);
            if !is_committed || removed.is_empty() {
                return;
            }
            self.faults().pass(FaultPoint::BeforeRemoval).await;
            let removal = self.remove_all(session, needs, &removed);
            if timeout(LOOKUP_REMOVAL_TIME, removal).await.is_err() {
                // What was begun: its connections are in the middle of something.
                self.recover(session).await;
                session.beside = None;
            }
        })
    }

    /// What cannot be taken away now stays, which does no harm.
    async fn remove_all(
        &self,
        session: &mut Session,
        needs: crate::backend::pool::Needs,
        removed: &[Unneeded],
    ) {
        for chunk in removed.chunks(REMOVALS_PER_TRANSACTION) {
            let all: Vec<&Unneeded> = chunk.iter().collect();
            let Err(error) = self.remove_at_once(session, needs, &all).await else { continue };
            if error.kind().is_some() {
                return;
            }
            for entry in all {
                // A server's refusal concerns the entry that somebody else is at; anything else all of them.
                let outcome = self.remove_at_once(session, needs, &[entry]).await;
                if outcome.is_err_and(|error| error.kind().is_some()) {
                    return;
                }
            }
        }
    }

    /// Commits what was written beside; the rest stays locked.
    async fn commit_entries(&self, beside: &mut Beside) -> Result<()> {
        let shards = beside.transaction.shards.iter_mut();
        let written: Vec<_> = shards.filter(|shard| shard.in_transaction && shard.has_written).collect();
        if written.is_empty() {
            return Ok(());
        }
        let outcomes = join_all(written.into_iter().map(|shard| async {
            let outcome = commit_one(shard).await;
            shard.in_transaction = outcome.is_err();
            outcome
        }))
        .await;
        self.faults().pass(FaultPoint::AfterEntries).await;
        outcomes.into_iter().collect()
    }

    /// Takes entries away that no row needs, in one transaction, without waiting for anybody.
    async fn remove_at_once(
        &self,
        session: &mut Session,
        needs: crate::backend::pool::Needs,
        entries: &[&Unneeded],
    ) -> Result<()> {
        let snapshot = self.snapshot();
        let outcome = {
            let mut at_entries = AtEntries::enter(session, needs);
            let mut inner = Inner::new(self, at_entries.session(), &snapshot, needs);
            let mut outcome = Ok(());
            for of_one_vindex in entries.chunk_by(|one, next| one.is_of_the_vindex_of(next)) {
                if outcome.is_ok() {
                    outcome = inner.remove_noted(of_one_vindex, &snapshot).await;
                }
            }
            outcome
        };
        let Some(mut beside) = session.beside.take() else { return outcome };
        let shards = beside.transaction.shards.iter_mut().filter(|shard| shard.in_transaction);
        match outcome {
            Ok(()) => join_all(shards.map(|shard| async {
                let outcome = commit_one(shard).await;
                if outcome.is_err() {
                    shard.connection.condemn();
                }
                outcome
            }))
            .await
            .into_iter()
            .collect(),
            Err(error) => {
                join_all(shards.map(roll_back)).await;
                Err(error)
            }
        }
    }
}

impl Inner<'_> {
    /// Notes entries that have lost an owner, if their table is kept beside.
    pub(super) fn note_removed(
        &mut self,
        lookup: OwnedLookup<'_>,
        table: &LookupTable<'_>,
        entries: &[LookupEntry],
    ) -> bool {
        if self.side(table, true) != super::Side::Beside {
            return false;
        }
        let needs = self.needs;
        let mut at_entries = AtEntries::enter(&mut *self.session, needs);
        let beside = at_entries.session().beside.as_mut();
        if let Some(beside) = beside {
            for entry in entries {
                beside.note_removed(Unneeded {
                    keyspace: lookup.owner.keyspace.clone(),
                    table: lookup.owner.name.as_str().into(),
                    vindex: lookup.used.vindex.name().into(),
                    columns: lookup.used.columns.iter().map(|column| column.as_str().into()).collect(),
                    values: entry.values.clone(),
                    id: entry.id.clone(),
                });
            }
        }
        true
    }

    /// Notes where rows are that need these entries.
    pub(super) fn note_owners(
        &mut self,
        lookup: OwnedLookup<'_>,
        table: &LookupTable<'_>,
        entries: &[&LookupEntry],
    ) -> Result<()> {
        if self.side(table, true) != super::Side::Beside {
            return Ok(());
        }
        let mut targets: Vec<Target> = Vec::new();
        for entry in entries {
            if let Some(target) = self.target_of(&lookup.owner.keyspace, &entry.id)?
                && !targets.contains(&target)
            {
                targets.push(target);
            }
        }
        let needs = self.needs;
        drop(AtEntries::enter(&mut *self.session, needs));
        if let Some(beside) = &mut self.session.beside {
            targets.iter().for_each(|target| beside.note_taker(target));
        }
        Ok(())
    }

    /// Notes that an entry for a row at this place leads elsewhere now.
    pub(super) fn note_giver(&mut self, lookup: OwnedLookup<'_>, place: &KeyspaceId) -> Result<()> {
        if let Some(target) = self.target_of(&lookup.owner.keyspace, place)?
            && let Some(beside) = &mut self.session.beside
        {
            beside.note_giver(&target);
        }
        Ok(())
    }

    /// Takes entries of one vindex away that no row needs. They are locked meanwhile: whoever needs one again waits, or is
    /// seen.
    async fn remove_noted(&mut self, entries: &[&Unneeded], snapshot: &Arc<Snapshot>) -> Result<()> {
        let Some(first) = entries.first() else { return Ok(()) };
        let tablet_type = self.session.target.tablet_type;
        let found = snapshot.vschema.find_table(Some(first.keyspace.as_str()), &first.table, tablet_type)?;
        let mut used = found.table.column_vindexes.iter();
        let is_same = |used: &&crate::vschema::ColumnVindex| {
            used.vindex.name() == &*first.vindex
                && used.columns.len() == first.columns.len()
                && used.columns.iter().zip(&first.columns).all(|(column, known)| column.as_str() == &**known)
        };
        // The VSchema has changed meanwhile.
        let Some(used) = used.find(is_same) else { return Ok(()) };
        let lookup = OwnedLookup { owner: &found.table, used };
        let table = self.lookup_table(&first.keyspace, &used.vindex)?;
        let entry_of = |entry: &&Unneeded| LookupEntry { values: entry.values.clone(), id: entry.id.clone() };
        let entries: Vec<LookupEntry> = entries.iter().map(entry_of).collect();
        let entries: Vec<&LookupEntry> = entries.iter().collect();
        let known = self.rows(&table.find_entries(&entries, LOCK_AT_ONCE)?).await?;
        let places: HashSet<KeyspaceId> =
            known.column(0).filter_map(|stored| table.spec.place_of(stored)).collect();
        let there: Vec<&LookupEntry> =
            entries.into_iter().filter(|entry| places.contains(&entry.id)).collect();
        self.remove_unneeded(lookup, &table, &there, LOCK_AT_ONCE).await
    }
}

/// What the client is told when the entries could not be committed. A server's own words stay as they are.
fn rolled_back(error: Error) -> Error {
    if error.kind().is_none() {
        return error;
    }
    let text = format!(
        "the transaction was rolled back on all shards, because entries of its lookup vindexes could not be committed: {error}"
    );
    Error::new(ErrorKind::CommitRolledBack, text)
}
