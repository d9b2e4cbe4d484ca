//! Lookup vindexes at run time: asking their tables, and keeping them in step with their owners.
//!
//! A lookup table is read and written by statements of the router's own, planned like any other, inside of the session's
//! transaction: so a row can be inserted, changed and deleted in one transaction, each change sees the ones before, and
//! all of it is committed or rolled back together. Tables of consistent vindexes are kept by the transaction beside the
//! session's, and only vindexes with `autocommit` stand outside. Vitess's lookup vindexes are the model: <https://vitess.io/docs/reference/features/vindexes/>.

mod commit;
mod entries;
mod fill_in;
mod insert;

pub(super) use entries::{ENTRIES_PER_STATEMENT, OwnedLookup, Owners};
pub(super) use insert::used_by;

use super::arguments::Arguments;
use super::inner::{HeldRows, Inner};
use super::two_phase::mode_of;
use crate::engine::{self, FoundPlaces, LookupTable};
use crate::error::{Error, Result};
use crate::plan::primitive::Route;
use crate::session::Session;
use crate::session::beside::{AtEntries, Beside};
use crate::session::transaction::{Mode, Pin, Transaction};
use crate::topology::{KeyspaceId, KeyspaceName};
use crate::value::Value;
use crate::vschema::vindex::{ReadLock, VindexDefinition};

/// Whether what a table says must stay true until the transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lock {
    /// The statement writes, or locks rows itself.
    pub(super) is_write: bool,
}

impl Inner<'_> {
    /// What the tables say that the route's lookups ask.
    pub(super) async fn find_places<'p>(
        &mut self,
        route: &'p Route,
        arguments: &Arguments<'_>,
        lock: Lock,
    ) -> Result<Vec<FoundPlaces<'p>>> {
        let owner = route.keyspace.as_ref().ok_or_else(|| Error::bug("a lookup outside of keyspaces"))?;
        let mut found: Vec<FoundPlaces<'p>> = Vec::new();
        for lookup in route.routing.table_lookups() {
            if found.iter().any(|known| known.lookup == lookup) {
                continue;
            }
            let values = engine::values_to_find(lookup, arguments)?;
            let places = self.places_of(owner, &lookup.vindex.0, &values, lock).await?;
            found.push(FoundPlaces { lookup, places });
        }
        Ok(found)
    }

    /// The places of rows with one of these values.
    pub(super) async fn places_of(
        &mut self,
        owner: &KeyspaceName,
        vindex: &VindexDefinition,
        values: &[Value],
        lock: Lock,
    ) -> Result<Vec<KeyspaceId>> {
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let table = self.lookup_table(owner, vindex)?;
        let is_locked = lock.is_write && self.session.transaction.is_active() && !table.spec.autocommit;
        let lock = match table.spec.read_lock {
            ReadLock::Exclusive if is_locked => " for update",
            ReadLock::Shared if is_locked => " lock in share mode",
            _ => NO_LOCK,
        };
        let text = table.find(values, lock)?;
        let rows = self.ask_table(&table, &text, lock != NO_LOCK).await?;
        let mut places: Vec<KeyspaceId> = Vec::new();
        for place in rows.column(0).filter_map(|stored| table.spec.place_of(stored)) {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        Ok(places)
    }

    /// The table of a lookup vindex.
    pub(super) fn lookup_table<'v>(
        &self,
        owner: &KeyspaceName,
        vindex: &'v VindexDefinition,
    ) -> Result<LookupTable<'v>> {
        let spec = vindex.lookup().ok_or_else(|| Error::bug("a vindex without a table"))?;
        let (keyspace, name) = spec.table_name();
        let vschema = &self.snapshot.vschema;
        let tablet_type = self.session.target.tablet_type;
        let is_near =
            keyspace.is_none() && vschema.keyspace(owner).is_some_and(|schema| schema.table(name).is_some());
        let keyspace = if is_near { Some(owner.as_str()) } else { keyspace };
        let found = vschema.find_table(keyspace, name, tablet_type)?;
        let no_backslash_escapes = self.no_backslash_escapes();
        Ok(LookupTable { name: found.table.qualified(), spec, no_backslash_escapes })
    }

    /// The rows of a query on the table.
    async fn ask_table(&mut self, table: &LookupTable<'_>, text: &[u8], locks: bool) -> Result<HeldRows> {
        match self.side(table, locks) {
            Side::Beside => {
                let (executor, snapshot, needs) = (self.executor, self.snapshot, self.needs);
                let mut entries = AtEntries::enter(&mut *self.session, needs);
                Inner::new(executor, entries.session(), snapshot, needs).rows(text).await
            }
            Side::Outside => self.rows_outside(text).await,
            Side::Within => self.rows(text).await,
        }
    }

    /// A change of the table.
    async fn change_table(&mut self, table: &LookupTable<'_>, text: &[u8]) -> Result<engine::WriteOutcome> {
        match self.side(table, true) {
            Side::Beside => {
                let (executor, snapshot, needs) = (self.executor, self.snapshot, self.needs);
                let mut entries = AtEntries::enter(&mut *self.session, needs);
                Inner::new(executor, entries.session(), snapshot, needs).change(text).await
            }
            Side::Outside => self.change_outside(text).await,
            Side::Within => self.change(text).await,
        }
    }

    /// In which transaction a statement on the table runs. One that takes locks begins the one beside.
    fn side(&self, table: &LookupTable<'_>, locks: bool) -> Side {
        let session = &*self.session;
        let spec = table.spec;
        if spec.autocommit {
            return Side::Outside;
        }
        let is_beside = spec.is_consistent
            && session.transaction.is_active()
            && !session.transaction.is_beside
            // Locked tables are this connection's only.
            && session.transaction.pins().all(|(_, pin)| pin != Pin::TableLock)
            // All or nothing in mode TWOPC: there the order does not matter.
            && (session.beside.is_some() || (locks || is_serializable(session)) && mode_of(session) != Mode::TwoPc);
        if is_beside { Side::Beside } else { Side::Within }
    }

    /// The rows of a query outside of the session's transaction.
    async fn rows_outside(&mut self, text: &[u8]) -> Result<HeldRows> {
        let needs = self.needs;
        let mut detached = Detached::new(&mut *self.session);
        Inner::new(self.executor, detached.session(), self.snapshot, needs).rows(text).await
    }

    /// A change outside of the session's transaction.
    async fn change_outside(&mut self, text: &[u8]) -> Result<engine::WriteOutcome> {
        let needs = self.needs;
        let mut detached = Detached::new(&mut *self.session);
        Inner::new(self.executor, detached.session(), self.snapshot, needs).change(text).await
    }
}

/// Does every read lock what it reads?
fn is_serializable(session: &Session) -> bool {
    const NAME: &str = "SERIALIZABLE";
    let of_session = || {
        let settings = session.settings.backend();
        let mut levels = ["transaction_isolation", "tx_isolation"].into_iter();
        levels.any(|name| {
            let level = settings.variable(name).map(|level| level.trim_matches('\''));
            level.is_some_and(|level| level.eq_ignore_ascii_case(NAME))
        })
    };
    session.transaction.characteristics.isolation.map_or_else(of_session, |level| level == NAME)
}

const NO_LOCK: &str = "";

/// In which transaction something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// In the one beside the session's own, which is committed first.
    Beside,
    /// In none of the session's.
    Outside,
    /// In the session's own.
    Within,
}

/// A session whose transaction is put aside; it comes back when this is dropped, however that happens.
struct Detached<'a> {
    session: &'a mut Session,
    transaction: Option<Transaction>,
    beside: Option<Box<Beside>>,
}

impl<'a> Detached<'a> {
    fn new(session: &'a mut Session) -> Self {
        let transaction = Some(std::mem::take(&mut session.transaction));
        let beside = session.beside.take();
        Self { session, transaction, beside }
    }

    fn session(&mut self) -> &mut Session {
        self.session
    }
}

impl Drop for Detached<'_> {
    fn drop(&mut self) {
        if let Some(transaction) = self.transaction.take() {
            self.session.transaction = transaction;
            self.session.beside = self.beside.take();
        }
    }
}
