//! Statements that the router itself runs on behalf of a client's: in the client's session and transaction, planned
//! like any other, their rows kept in memory within limits.

use std::sync::Arc;

use super::Executor;
use super::arguments::Arguments;
use super::lookup::Lock;
use super::place;
use super::planned::route_keyspace;
use super::scatter::{SequenceAccess, ShardAccess};
use super::select_limit;
use super::session_values::SessionValues;
use crate::backend::pool::Needs;
use crate::engine::{
    self, FoundPlaces, InsertSource, ResultSink, Run, ShardPart, Shards, StreamEnd, WriteOutcome,
};
use crate::error::{Error, ErrorKind, Result};
use crate::gateway::Target;
use crate::limits::{OPERATOR_BYTES_MAX, OPERATOR_ROWS_MAX};
use crate::plan::primitive::{EachShard, Insert, Primitive, Query, Route, Several};
use crate::session::Session;
use crate::sql::{Lexed, SqlMode};
use crate::topology::{Keyspace, KeyspaceName, Snapshot};
use crate::wire::row::text_fields;
use crate::wire::{ColumnDefinition, Malformed};

/// Lookup tables that are themselves found by lookup tables, and so on.
const DEPTH_MAX: u8 = 4;

/// A session that runs statements for the router.
pub(super) struct Inner<'a> {
    pub(super) executor: &'a Executor,
    pub(super) session: &'a mut Session,
    pub(super) snapshot: &'a Arc<Snapshot>,
    pub(super) needs: Needs,
    depth: u8,
}

/// A result that is held in memory.
#[derive(Debug, Default)]
pub(super) struct HeldRows {
    pub(super) columns: Vec<ColumnDefinition>,
    pub(super) rows: Vec<Vec<Option<Vec<u8>>>>,
    pub(super) bytes: usize,
}

impl<'a> Inner<'a> {
    pub(super) fn new(
        executor: &'a Executor,
        session: &'a mut Session,
        snapshot: &'a Arc<Snapshot>,
        needs: Needs,
    ) -> Self {
        Self { executor, session, snapshot, needs, depth: 0 }
    }

    /// The rows of a query.
    pub(super) async fn rows(&mut self, text: &[u8]) -> Result<HeldRows> {
        let mut held = HeldRows::default();
        self.query(text, &mut held).await?;
        Ok(held)
    }

    /// Gives the rows of a query to `sink`; returns their number.
    pub(super) async fn query<S: ResultSink>(&mut self, text: &[u8], sink: &mut S) -> Result<u64> {
        let before = select_limit::lift(self.session);
        let outcome = self.whole_query(text, sink).await;
        self.session.settings_override = before;
        outcome
    }

    async fn whole_query<S: ResultSink>(&mut self, text: &[u8], sink: &mut S) -> Result<u64> {
        let lexed = self.lexed(text)?;
        let plan = self.executor.plan_of(self.session, self.snapshot, text, &lexed)?;
        let Primitive::Route(route) = &plan.root else {
            return Err(Error::unsupported("rows of this query for another statement"));
        };
        let arguments = Arguments::of_text(self.session, text, &lexed);
        let values = SessionValues::of(self.executor, self.session, self.snapshot);
        let known = self.known_places(route, &arguments, &lexed).await?;
        let (keyspace, parts) = self.parts(route, &arguments, &known)?;
        let single = Primitive::EachShard(EachShard { query: route.query.clone(), helpers: 0, typed: None });
        let tree = match &route.several {
            _ if parts.len() == 1 => &single,
            Several::Combine(tree) => tree,
            several => return Err(refusal(several)),
        };
        let run = Run { keyspace: keyspace.name(), parts: &parts, text, args: &arguments, session: &values };
        let outcome = engine::execute(tree, &run, &mut self.access(), sink).await;
        self.executor.recover(self.session).await;
        outcome
    }

    /// Runs a change of rows. Its warnings are not the client's business.
    pub(super) async fn change(&mut self, text: &[u8]) -> Result<WriteOutcome> {
        let diagnostics = std::mem::take(&mut self.session.diagnostics);
        let outcome = Box::pin(self.change_with_warnings(text)).await;
        self.session.diagnostics = diagnostics;
        outcome
    }

    async fn change_with_warnings(&mut self, text: &[u8]) -> Result<WriteOutcome> {
        let lexed = self.lexed(text)?;
        let plan = self.executor.plan_of(self.session, self.snapshot, text, &lexed)?;
        let arguments = Arguments::of_text(self.session, text, &lexed);
        let values = SessionValues::of(self.executor, self.session, self.snapshot);
        let route = match &plan.root {
            Primitive::Route(route) => route,
            Primitive::Insert(insert) => return self.insert(insert, text, &lexed, &arguments, &values).await,
            other => return Err(Error::bug(format!("a change whose plan is {other:?}"))),
        };
        let known = self.known_places(route, &arguments, &lexed).await?;
        let (keyspace, parts) = self.parts(route, &arguments, &known)?;
        let (query, is_same): (&Query, bool) = match &route.several {
            _ if parts.len() == 1 => (&route.query, false),
            Several::Write(query) => (query, false),
            Several::WriteSame(query) => (query, true),
            several => return Err(refusal(several)),
        };
        let run = Run { keyspace: keyspace.name(), parts: &parts, text, args: &arguments, session: &values };
        engine::write(query, is_same, &run, &mut self.access()).await
    }

    async fn insert(
        &mut self,
        insert: &Insert,
        text: &[u8],
        lexed: &Lexed,
        arguments: &Arguments<'_>,
        values: &SessionValues,
    ) -> Result<WriteOutcome> {
        if insert.asks_tables() {
            return Err(Error::unsupported("a lookup table that has lookup vindexes of its own"));
        }
        let options = self.session.settings.lex_options();
        let source = InsertSource {
            lexed,
            options: &options,
            keyspace: self.keyspace(&insert.keyspace)?,
            zero_is_a_value: options.mode.contains(SqlMode::NO_AUTO_VALUE_ON_ZERO),
        };
        let run = Run { keyspace: &insert.keyspace, parts: &[], text, args: arguments, session: values };
        let mut sequences = SequenceAccess { executor: self.executor, snapshot: self.snapshot };
        engine::insert(insert, &run, &source, &mut self.access(), &mut sequences).await
    }

    /// The rows that one server has for a text that it takes as it is.
    pub(super) async fn rows_at(&mut self, target: &Target, text: &[u8]) -> Result<HeldRows> {
        let keyspace = self.keyspace(&target.keyspace)?;
        let gone = || Error::bug(format!("{target} is gone from its own snapshot"));
        let shard = keyspace.shard(&target.shard).ok_or_else(gone)?;
        let parts = [ShardPart { shard, items: None }];
        let lexed = Lexed::new();
        let arguments = Arguments::of_text(self.session, text, &lexed);
        let values = SessionValues::of(self.executor, self.session, self.snapshot);
        let run = Run { keyspace: keyspace.name(), parts: &parts, text, args: &arguments, session: &values };
        let tree = Primitive::EachShard(EachShard { query: Query::Original, helpers: 0, typed: None });
        let mut held = HeldRows::default();
        let before = select_limit::lift(self.session);
        let outcome = engine::execute(&tree, &run, &mut self.access(), &mut held).await;
        self.session.settings_override = before;
        self.executor.recover(self.session).await;
        outcome.map(|_| held)
    }

    /// The shards of the session's statement.
    pub(super) fn access(&mut self) -> ShardAccess<'_> {
        ShardAccess {
            executor: self.executor,
            session: &mut *self.session,
            needs: self.needs,
            is_transactional: true,
        }
    }

    /// A keyspace of the statement's snapshot.
    pub(super) fn keyspace(&self, name: &KeyspaceName) -> Result<&'a Keyspace> {
        let unknown = || Error::new(ErrorKind::UnknownDatabase, format!("Unknown database '{name}'"));
        self.snapshot.topology.keyspace(name).ok_or_else(unknown)
    }

    /// Is a backslash in a string an ordinary character for this session's servers?
    pub(super) fn no_backslash_escapes(&self) -> bool {
        self.session.settings.lex_options().mode.contains(SqlMode::NO_BACKSLASH_ESCAPES)
    }

    fn lexed(&self, text: &[u8]) -> Result<Lexed> {
        let mut lexed = Lexed::new();
        crate::sql::lex(text, 0, &self.session.settings.lex_options(), &mut lexed)?;
        Ok(lexed)
    }

    /// What lookup tables say about the routing of an inner statement.
    async fn known_places<'p>(
        &mut self,
        route: &'p Route,
        arguments: &Arguments<'_>,
        lexed: &Lexed,
    ) -> Result<Vec<FoundPlaces<'p>>> {
        let lock = Lock { is_write: !lexed.is_read_only_query() };
        if !route.routing.asks_tables() {
            return Ok(Vec::new());
        }
        if self.depth >= DEPTH_MAX {
            return Err(Error::unsupported("lookup tables that are found by lookup tables in turn"));
        }
        self.depth += 1;
        let known = Box::pin(self.find_places(route, arguments, lock)).await;
        self.depth -= 1;
        known
    }

    /// The keyspace and the shards of a route.
    fn parts(
        &self,
        route: &Route,
        arguments: &Arguments<'_>,
        known: &[FoundPlaces<'_>],
    ) -> Result<(&'a Keyspace, Vec<ShardPart<'a>>)> {
        let snapshot: &'a Snapshot = self.snapshot;
        let keyspace = route_keyspace(self.session, snapshot, route, arguments)?;
        let parts = match engine::resolve_with(&route.routing, keyspace, arguments, known)? {
            Shards::These(parts) => parts.into_vec(),
            Shards::Any => {
                let target = place::any_shard(snapshot, keyspace.name(), self.session)?;
                let gone = || Error::bug(format!("{target} is gone from its own snapshot"));
                vec![ShardPart { shard: keyspace.shard(&target.shard).ok_or_else(gone)?, items: None }]
            }
        };
        Ok((keyspace, parts))
    }
}

fn refusal(several: &Several) -> Error {
    match several {
        Several::Unsupported(what) => Error::unsupported(what.as_ref()),
        _ => Error::unsupported("this statement over several shards"),
    }
}

impl HeldRows {
    /// The values of a column, without NULLs.
    pub(super) fn column(&self, index: usize) -> impl Iterator<Item = &[u8]> {
        self.rows.iter().filter_map(move |row| row.get(index)?.as_deref())
    }
}

impl ResultSink for HeldRows {
    async fn columns(&mut self, columns: &[ColumnDefinition]) -> Result<()> {
        self.columns = columns.to_vec();
        Ok(())
    }

    async fn row(&mut self, row: &[u8]) -> Result<()> {
        self.bytes += row.len();
        if self.rows.len() >= OPERATOR_ROWS_MAX || self.bytes > OPERATOR_BYTES_MAX {
            let text = format!(
                "a statement may hold at most {OPERATOR_ROWS_MAX} rows and {OPERATOR_BYTES_MAX} bytes in memory"
            );
            return Err(Error::new(ErrorKind::LimitExceeded, text));
        }
        let fields: std::result::Result<Vec<_>, Malformed> =
            text_fields(row).map(|field| field.map(|field| field.map(<[u8]>::to_vec))).collect();
        self.rows.push(fields.map_err(Malformed::into_backend_error)?);
        Ok(())
    }

    async fn finish(&mut self, _: StreamEnd) -> Result<()> {
        Ok(())
    }
}
