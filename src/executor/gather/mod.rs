//! Gather and delegate: rows of each table reference of a query are copied into a temporary table at one server, the
//! host, and the host evaluates the query there. So a query that no shard can answer alone has MySQL's own answer.
//!
//! The host's connection comes from a pool, is marked as having temporary tables before the first one is made, and
//! goes back only when they are dropped; however the statement ends, the pool resets or closes it otherwise. Shards
//! are read through the session's own connections where it has a transaction, so that it reads its own changes.

mod answer;
mod finish;
mod join;
mod load;
mod reduce;
mod table;

use super::Executor;
use super::arguments::{Arguments, Placeholders};
use super::exchange::Lease;
use super::job::Job;
use super::place;
use super::prepared::Described;
use super::session_values::SessionValues;
use crate::backend::pool::{Needs, PooledConnection};
use crate::backend::{Names, SessionSettings, SessionState};
use crate::engine;
use crate::error::{ERRNO_DUPLICATE_ENTRY, ERRNO_MIXED_COLLATIONS, Error, ErrorKind, Result};
use crate::plan::primitive::{Gather, Piece, Routing, Template};
use crate::session::diagnostics::{Diagnostic, Level};
use crate::session::transaction::Pin;
use crate::sql::{Arg, ArgKind, Directives, syntax_error};
use crate::topology::{Keyspace, KeyspaceName, Snapshot};
use crate::wire::{ColumnDefinition, ReplySummary};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) use finish::Finished;
use load::{Gathered, Load};
use reduce::Values;
use table::GatheredTable;

const SEARCH: &str = "MATCH … AGAINST in gathered rows: they have no full-text index, whose relevance depends on all rows \
                      of a table";

/// Counters of what was gathered.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    statements: AtomicU64,
    rows: AtomicU64,
}

impl Numbers {
    fn add(&self, gathered: Gathered) {
        self.statements.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(gathered.rows, Ordering::Relaxed);
    }

    /// Statements, and rows for them.
    pub(super) fn load(&self) -> (u64, u64) {
        (self.statements.load(Ordering::Relaxed), self.rows.load(Ordering::Relaxed))
    }
}

/// What the host's connection is like while tables are made and filled: values must arrive as they are.
fn load_settings() -> Arc<SessionSettings> {
    let mode = "'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION'";
    let variables = [("sql_mode", mode), ("foreign_key_checks", "0"), ("time_zone", "'+00:00'")];
    SessionSettings::new(variables, Some(Names { charset: "utf8mb4".into(), collation: None }))
}

impl Executor {
    /// Runs a query for which rows must be gathered.
    pub(super) async fn gather(&self, job: &mut Job<'_>, gather: &Gather) -> Result<()> {
        self.gather_or_join(job, gather, true).await
    }

    /// Runs a query whose rows are gathered, even if the router could join them.
    pub(super) async fn gather_rows(&self, job: &mut Job<'_>, gather: &Gather) -> Result<()> {
        self.gather_or_join(job, gather, false).await
    }

    async fn gather_or_join(&self, job: &mut Job<'_>, gather: &Gather, may_join: bool) -> Result<()> {
        if let Some(pin) = job.session.transaction.pin_next.take() {
            return Err(Error::unsupported(format!(
                "a statement that leaves a {pin} behind, over several shards"
            )));
        }
        if job.session.target.system_database.is_some() {
            return Err(Error::unsupported(format!("{} in a system database", gather.reason)));
        }
        if job.session.transaction.pins().any(|(_, pin)| pin == Pin::TemporaryTable) {
            // The host would not see them.
            return Err(Error::unsupported(format!("{} beside temporary tables", gather.reason)));
        }
        if gather.inputs.iter().any(|input| input.routing == Routing::Scatter && input.reducers.is_empty()) {
            self.check_scatter(job)?;
        }
        let is_open = |arg: &&Arg| matches!(arg.kind, ArgKind::Placeholder(_));
        if let Some(arg) = job.lexed.args.iter().find(is_open).filter(|_| job.execution.is_none()) {
            return Err(syntax_error(job.text, arg.span.range().start));
        }
        if may_join && Box::pin(self.join_instead(job, gather)).await? {
            return Ok(());
        }
        let directives = job.lexed.directive.map(|span| Directives::parse(span.of(job.text)));
        let directive = directives.and_then(|directives| directives.allow_gather);
        if !directive.unwrap_or(job.session.settings.allow_gather) {
            return Err(Error::unsupported(format!("{} (allow_gather is off)", gather.reason)));
        }
        let mut outcome = self.try_gather(job, gather, true).await;
        if matches!(&outcome, Err(error) if is_duplicate(error)) {
            // A key that is unique on each shard only.
            self.recover(job.session).await;
            outcome = self.try_gather(job, gather, false).await;
        }
        self.recover(job.session).await;
        let gathered = outcome?;
        self.gathers.add(gathered);
        Ok(())
    }

    async fn try_gather(&self, job: &mut Job<'_>, gather: &Gather, is_unique: bool) -> Result<Gathered> {
        let snapshot = job.snapshot.clone();
        let mut host = self.host(job, &gather.host, &snapshot).await?;
        let tables = self.gathered_tables(job, gather, &snapshot, &mut host).await?;
        let mut gathered = Gathered::default();
        let outcome = self.fill_and_answer(job, gather, &tables, &mut host, is_unique, &mut gathered).await;
        let summary = outcome.map_err(|error| with_own_names(error, &tables))?;
        let names: Vec<String> = made(&tables).map(GatheredTable::quoted_name).collect();
        self.put_away(job, host, &summary, &names).await?;
        Ok(gathered)
    }

    /// Takes note of the answer, drops the tables and gives the host's connection back.
    async fn put_away(
        &self,
        job: &mut Job<'_>,
        host: PooledConnection,
        summary: &ReplySummary,
        names: &[String],
    ) -> Result<()> {
        let mut lease = Lease::Transient(host);
        self.after_statement(job, &mut lease, false, Some(summary)).await;
        let Lease::Transient(mut host) = lease else {
            return Err(Error::bug("a host that was not borrowed"));
        };
        // The client has its answer. A connection that keeps its mark is reset by its pool.
        if names.is_empty()
            || host.execute(&format!("DROP TEMPORARY TABLE {}", names.join(", "))).await.is_ok()
        {
            host.unmark(SessionState::TEMPORARY_TABLE);
        }
        Ok(())
    }

    async fn fill_and_answer(
        &self,
        job: &mut Job<'_>,
        gather: &Gather,
        tables: &[GatheredTable],
        host: &mut PooledConnection,
        is_unique: bool,
        gathered: &mut Gathered,
    ) -> Result<ReplySummary> {
        let placeholders = match gather.repeats_arguments {
            true => Placeholders::Inline,
            false => Placeholders::Keep,
        };
        let text = self.delegated_text(job, gather, tables, placeholders)?;
        self.fill(job, gather, tables, host, is_unique, gathered).await?;
        if job.session.settings.gather_notes {
            let Gathered { rows, bytes } = *gathered;
            let (host, reason) = (&gather.host, &gather.reason);
            let message =
                format!("{rows} rows ({bytes} bytes) were gathered at one server of {host}: {reason}");
            let code = ErrorKind::Other.errno();
            job.session.diagnostics.push(Diagnostic {
                level: Level::Note,
                code,
                message: message.into_bytes(),
            });
        }
        let rename = |columns: &mut [ColumnDefinition]| {
            columns.iter_mut().for_each(|column| answer::rename(column, tables));
        };
        self.answer(job, &text, placeholders, &rename, host).await
    }

    /// Makes the tables and copies the rows.
    async fn fill(
        &self,
        job: &mut Job<'_>,
        gather: &Gather,
        tables: &[GatheredTable],
        host: &mut PooledConnection,
        is_unique: bool,
        gathered: &mut Gathered,
    ) -> Result<()> {
        let mut values = Values::default();
        self.values_at_host(job, gather, tables, &mut values, host).await?;
        let mut left: Vec<usize> = (0..tables.len()).filter(|index| !tables[*index].stays).collect();
        while let Some(index) = values.next(gather, &left) {
            left.retain(|other| *other != index);
            host.execute(&tables[index].create(is_unique)).await?;
            let wanted = values.begin(gather, index, &tables[index]);
            let restriction = values.restriction(gather, index, tables);
            let mut load = Load { gather, index, tables, restriction, wanted, values: &mut values, gathered };
            self.load(job, &mut load, host).await?;
            self.recover(job.session).await;
        }
        Ok(())
    }

    /// Prepares a query for which rows must be gathered, over empty tables, only to learn what it is.
    pub(super) async fn describe_gathered(&self, job: &mut Job<'_>, gather: &Gather) -> Result<Described> {
        let snapshot = job.snapshot.clone();
        let mut host = self.host(job, &gather.host, &snapshot).await?;
        let tables = self.gathered_tables(job, gather, &snapshot, &mut host).await?;
        for table in made(&tables) {
            host.execute(&table.create(true)).await?;
        }
        let text = self.delegated_text(job, gather, &tables, Placeholders::Keep)?;
        host.sync_settings(job.session.statement_settings());
        super::exchange::settle(&mut host).await?;
        let prepared = host.prepare(&text).await.map_err(|error| with_own_names(error, &tables))?;
        let prepared = Arc::new(prepared.with_columns(&|column| answer::rename(column, &tables)));
        // The client knows of the parameters in its own text, not of copies.
        let own = u16::try_from(job.lexed.placeholder_count).unwrap_or(u16::MAX);
        let prepared = match prepared.parameter_count {
            count if count > own => Arc::new(prepared.with_parameters(own)),
            _ => prepared,
        };
        // Dropping the connection here has its pool reset it.
        Ok(Described::Server(prepared))
    }

    /// Explains a query for which rows must be gathered, over empty tables; if it `runs`, over the rows.
    pub(super) async fn explain_gathered(
        &self,
        job: &mut Job<'_>,
        prefix: &[u8],
        gather: &Gather,
        runs: bool,
    ) -> Result<()> {
        let mut outcome = self.try_to_explain(job, prefix, gather, runs.then_some(true)).await;
        if matches!(&outcome, Err(error) if runs && is_duplicate(error)) {
            self.recover(job.session).await;
            outcome = self.try_to_explain(job, prefix, gather, Some(false)).await;
        }
        self.recover(job.session).await;
        outcome
    }

    /// `filled`: with rows, and whether keys are unique.
    async fn try_to_explain(
        &self,
        job: &mut Job<'_>,
        prefix: &[u8],
        gather: &Gather,
        filled: Option<bool>,
    ) -> Result<()> {
        let snapshot = job.snapshot.clone();
        let mut host = self.host(job, &gather.host, &snapshot).await?;
        let tables = self.gathered_tables(job, gather, &snapshot, &mut host).await?;
        match filled {
            Some(is_unique) => {
                let mut gathered = Gathered::default();
                self.fill(job, gather, &tables, &mut host, is_unique, &mut gathered).await?;
            }
            None => {
                for table in made(&tables) {
                    host.execute(&table.create(true)).await?;
                }
            }
        }
        let text = [prefix, &self.delegated_text(job, gather, &tables, Placeholders::Keep)?].concat();
        let outcome = self.answer(job, &text, Placeholders::Keep, &|_| {}, &mut host).await;
        let summary = outcome.map_err(|error| with_own_names(error, &tables))?;
        let names: Vec<String> = made(&tables).map(GatheredTable::quoted_name).collect();
        self.put_away(job, host, &summary, &names).await
    }

    /// The query over the gathered tables.
    fn delegated_text(
        &self,
        job: &Job<'_>,
        gather: &Gather,
        tables: &[GatheredTable],
        placeholders: Placeholders,
    ) -> Result<Vec<u8>> {
        let name = |index: u32| match tables.get(index as usize) {
            Some(table) => Ok(table.quoted_name()),
            None => Err(Error::bug(format!("no table is gathered with the number {index}"))),
        };
        let mut template = Template::default();
        for piece in &gather.query.pieces {
            match piece {
                Piece::Gathered(index) => template.push_text(name(*index)?.as_bytes()),
                Piece::Search { input, filter, text } => match tables.get(*input as usize) {
                    Some(table) if table.stays => template.pieces.extend(text.iter().cloned()),
                    Some(table) if filter.is_some_and(|filter| table.is_filtered_by(filter)) => {
                        put_true(text, &mut template);
                    }
                    _ => return Err(Error::unsupported(SEARCH)),
                },
                Piece::Text(text) => template.push_text(text),
                other => template.pieces.push(other.clone()),
            }
        }
        let arguments = Arguments::new(job, placeholders);
        let values = SessionValues::new(self, job);
        let mut text = Vec::with_capacity(job.text.len() + 256);
        engine::render(&template, &arguments, &values, None, b"", &mut text)?;
        Ok(text)
    }

    /// A connection to a server of the host keyspace, ready for tables to be made.
    async fn host(
        &self,
        job: &Job<'_>,
        name: &KeyspaceName,
        snapshot: &Snapshot,
    ) -> Result<PooledConnection> {
        let keyspace = keyspace(snapshot, name)?;
        let shards = keyspace.shards();
        // Sessions differ in their host, so that none of several shards has all the work.
        let shard = shards.get(job.session.identity.connection_id as usize % shards.len().max(1));
        let shard = shard.ok_or_else(|| Error::bug(format!("the keyspace {name} has no shard")))?;
        let target = place::target(job.session, keyspace, shard.name().clone());
        let settings = load_settings();
        let needs = Needs { flavor: job.flavor(), settings: settings.hash() };
        let mut host = self.gateway().acquire(&target, &needs).await?;
        if job.session.is_watched {
            job.session.returns.note_used(&host);
        }
        host.mark(SessionState::TEMPORARY_TABLE);
        host.sync_settings(&settings);
        super::exchange::settle(&mut host).await?;
        Ok(host)
    }
}

/// Can a query that shards and router were to combine only be gathered? That is also so where a collation is too weak for
/// the columns that the router adds, as that of a stored function's result.
pub(super) fn is_left_to_a_server(error: &Error) -> bool {
    error.kind() == Some(ErrorKind::Unsupported)
        || error.kind().is_none() && error.errno() == ERRNO_MIXED_COLLATIONS
}

fn is_duplicate(error: &Error) -> bool {
    error.errno() == ERRNO_DUPLICATE_ENTRY && error.kind().is_none()
}

fn keyspace<'s>(snapshot: &'s Snapshot, name: &str) -> Result<&'s Keyspace> {
    let unknown = || Error::new(ErrorKind::UnknownDatabase, format!("Unknown database '{name}'"));
    snapshot.topology.keyspace(name).ok_or_else(unknown)
}

/// The temporary tables.
fn made(tables: &[GatheredTable]) -> impl Iterator<Item = &GatheredTable> {
    tables.iter().filter(|table| !table.stays)
}

/// What is always true, with the arguments of `text`: parameters must stay as many as they are.
fn put_true(text: &[Piece], template: &mut Template) {
    template.push_text(b"(1");
    for argument in text.iter().filter(|piece| matches!(piece, Piece::Arg(_))) {
        template.push_text(b" or ");
        template.pieces.push(argument.clone());
        template.push_text(b" is null");
    }
    template.push_text(b")");
}

/// A server's error with the names that the client knows.
fn with_own_names(error: Error, tables: &[GatheredTable]) -> Error {
    if error.kind().is_some() {
        return error;
    }
    let text = String::from_utf8_lossy(error.message()).into_owned();
    let renamed =
        made(tables).fold(text.clone(), |text, table| text.replace(table.name.as_str(), &table.original));
    if renamed == text {
        return error;
    }
    Error::from_backend(error.errno(), error.sqlstate(), renamed.as_bytes())
}
