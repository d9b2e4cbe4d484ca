//! The transaction beside a session's own, for the tables of consistent lookup vindexes.
//!
//! Entries that rows need are added in it and committed before the rows; entries that rows leave behind are only noted,
//! and taken away after the rows are committed. So whatever crashes in between, no row is without its entry. These are
//! Vitess's sessions `pre` and `post`: <https://vitess.io/docs/reference/features/vindexes/#consistent-lookup-vindexes>.
//!
//! While the router works on such a table, this transaction stands in the place of the session's own.

use super::Session;
use super::lease::Returns;
use super::transaction::{Characteristics, Transaction};
use crate::backend::pool::Needs;
use crate::gateway::Target;
use crate::limits::LOOKUP_REMOVALS_MAX;
use crate::topology::{KeyspaceId, KeyspaceName};
use crate::value::Value;

/// What a session keeps for consistent lookups while a transaction is open.
#[derive(Debug)]
pub struct Beside {
    pub transaction: Transaction,
    pub returns: Returns,
    /// What its connections must be able to do.
    pub needs: Needs,
    /// Entries that may have lost their owners.
    removed: Vec<Unneeded>,
    /// Where owners have given values to owners elsewhere: these commit before the entries do, if they can.
    givers: Vec<Target>,
    /// Where owners of added entries are: these commit after the entries.
    takers: Vec<Target>,
}

/// An entry that has lost an owner, and will be taken away if it has no other.
#[derive(Clone, Debug, PartialEq)]
pub struct Unneeded {
    /// The owner's keyspace and table.
    pub keyspace: KeyspaceName,
    pub table: Box<str>,
    /// The vindex, and which one of the table's it is.
    pub vindex: Box<str>,
    pub columns: Vec<Box<str>>,
    pub values: Vec<Value>,
    pub id: KeyspaceId,
}

impl Unneeded {
    /// Are both entries of one vindex of one table?
    pub fn is_of_the_vindex_of(&self, other: &Self) -> bool {
        (&self.keyspace, &self.table, &self.vindex, &self.columns)
            == (&other.keyspace, &other.table, &other.vindex, &other.columns)
    }
}

impl Beside {
    /// Beside nothing that has happened yet.
    pub fn new(needs: Needs, returns: Returns) -> Self {
        Self {
            transaction: Transaction::beside(),
            returns,
            needs,
            removed: Vec::new(),
            givers: Vec::new(),
            takers: Vec::new(),
        }
    }

    /// Notes an entry to look after. What there is no room for stays in its table, where it does no harm.
    pub fn note_removed(&mut self, entry: Unneeded) {
        if self.removed.len() < LOOKUP_REMOVALS_MAX {
            self.removed.push(entry);
        }
    }

    /// Everything noted so far, each once.
    pub fn take_removed(&mut self) -> Vec<Unneeded> {
        let mut removed: Vec<Unneeded> = Vec::new();
        for entry in std::mem::take(&mut self.removed) {
            // Those of one row follow each other; the others are worth no search.
            if removed.last() != Some(&entry) {
                removed.push(entry);
            }
        }
        removed
    }

    /// An owner at `target` needs an entry that was added.
    pub fn note_taker(&mut self, target: &Target) {
        if !self.takers.contains(target) {
            self.takers.push(target.clone());
        }
    }

    /// An owner at `target` has lost an entry, which leads elsewhere now.
    pub fn note_giver(&mut self, target: &Target) {
        if !self.givers.contains(target) {
            self.givers.push(target.clone());
        }
    }

    /// Should this shard's rows be committed before the entries are?
    pub fn commits_early(&self, target: &Target) -> bool {
        self.givers.contains(target) && !self.takers.contains(target)
    }
}

/// A session in whose place of a transaction the one beside stands; its own comes back when this is dropped.
pub struct AtEntries<'a> {
    session: &'a mut Session,
}

impl<'a> AtEntries<'a> {
    /// Begins the transaction beside if there is none yet.
    pub fn enter(session: &'a mut Session, needs: Needs) -> Self {
        let Session { beside, transaction, returns, .. } = &mut *session;
        let beside = beside.get_or_insert_with(|| Box::new(Beside::new(needs, returns.of_same_statement())));
        if !beside.transaction.is_active() {
            beside.transaction.characteristics =
                Characteristics { consistent_snapshot: false, ..transaction.characteristics.clone() };
            beside.transaction.open();
        }
        // For shards that join it later.
        beside.transaction.savepoints.clone_from(&transaction.savepoints);
        swap(session);
        Self { session }
    }

    pub fn session(&mut self) -> &mut Session {
        self.session
    }
}

impl Drop for AtEntries<'_> {
    fn drop(&mut self) {
        swap(self.session);
        let lost = self.session.beside.as_ref().and_then(|beside| beside.transaction.broken_by().cloned());
        if let Some(cause) = lost
            && self.session.transaction.is_active()
        {
            self.session.transaction.break_off(cause);
        }
    }
}

fn swap(session: &mut Session) {
    if let Some(beside) = &mut session.beside {
        std::mem::swap(&mut session.transaction, &mut beside.transaction);
        std::mem::swap(&mut session.returns, &mut beside.returns);
    }
}
