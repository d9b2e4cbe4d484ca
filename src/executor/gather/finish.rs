//! Rows that shards and router have combined, put into a temporary table at one server that does the rest with them.

use std::sync::Arc;

use super::super::arguments::{Arguments, Placeholders};
use super::super::exchange::settle;
use super::super::job::Job;
use super::super::scatter::ShardAccess;
use super::super::session_values::SessionValues;
use super::super::{Executor, GatherLimits};
use super::load::{Gathered, Loader, Travel, gather_settings};
use super::load_settings;
use super::table::definition;
use crate::backend::pool::PooledConnection;
use crate::backend::{Engine, RowStream, SessionSettings, SessionState};
use crate::engine::{self, ResultSink, Run, ShardPart, StreamEnd};
use crate::error::{Error, Result};
use crate::plan::primitive::{Finish, Piece, Template};
use crate::topology::KeyspaceName;
use crate::wire::{ColumnDefinition, Command};

/// The temporary table.
const TABLE: &str = "sg_groups";

/// What became of the attempt.
pub(in super::super) enum Finished {
    Done,
    /// It cannot be done so, and the client has heard nothing yet.
    Not(Error),
}

impl Executor {
    /// Runs the tree over the shards and the rest of the query over its rows.
    pub(in super::super) async fn finish_groups(
        &self,
        job: &mut Job<'_>,
        keyspace: &KeyspaceName,
        parts: &[ShardPart<'_>],
        finish: &Finish,
    ) -> Result<Finished> {
        let snapshot = job.snapshot.clone();
        let mut host = self.host(job, keyspace, &snapshot).await?;
        let refused = match host.version().engine {
            Engine::MariaDb if finish.sums_quotients => Some("sums of quotients inside of expressions"),
            Engine::MySql if finish.divides => Some("averages inside of expressions"),
            Engine::MariaDb | Engine::MySql => None,
        };
        if let Some(what) = refused {
            host.unmark(SessionState::TEMPORARY_TABLE);
            return Ok(Finished::Not(Error::unsupported(format!("{what} over several shards"))));
        }
        host.sync_settings(job.session.statement_settings());
        settle(&mut host).await?;
        let described = self.columns_of(job, &finish.description, &mut host).await?;
        let mut create = format!("CREATE TEMPORARY TABLE `{TABLE}` AS ").into_bytes();
        create.extend(self.finish_text(job, &finish.definition)?);
        host.queue(&Command::Query(&create));
        host.flush().await?;
        match host.receive_ok().await {
            Ok(_) => {}
            Err(error) if error.kind().is_none() => return Ok(Finished::Not(error)),
            Err(error) => return Err(error),
        }
        let table = definition(&mut host, TABLE).await?;
        let travels: Option<Vec<Travel>> = table.columns.iter().map(Travel::of_combined).collect();
        let Some(travels) = travels else {
            return Ok(Finished::Not(Error::unsupported("groups with values of the type FLOAT")));
        };
        host.sync_settings(&settings_to_load(job));
        settle(&mut host).await?;
        let head = format!("INSERT INTO `{TABLE}` VALUES ").into_bytes();
        let loader = Loader::new(&mut host, head, travels);
        let before = job.session.settings_override.replace(gather_settings(job));
        let outcome = self.load_groups(job, keyspace, parts, finish, loader).await;
        job.session.settings_override = before;
        self.recover(job.session).await;
        match outcome {
            Err(error) if super::is_left_to_a_server(&error) => return Ok(Finished::Not(error)),
            outcome => outcome?,
        }
        let text = self.finish_text(job, &finish.query)?;
        let is_text = job.execution.is_none();
        let describe = |columns: &mut [ColumnDefinition]| {
            let pairs = columns.iter_mut().zip(&described);
            pairs.for_each(|(column, described)| describe(column, described, is_text));
        };
        let summary = self.answer(job, &text, Placeholders::Inline, &describe, &mut host).await?;
        self.put_away(job, host, &summary, &[format!("`{TABLE}`")]).await?;
        Ok(Finished::Done)
    }

    async fn load_groups(
        &self,
        job: &mut Job<'_>,
        keyspace: &KeyspaceName,
        parts: &[ShardPart<'_>],
        finish: &Finish,
        loader: Loader<'_>,
    ) -> Result<()> {
        let needs = job.needs();
        let (arguments, values) = (Arguments::new(job, Placeholders::Inline), SessionValues::new(self, job));
        let run = Run { keyspace, parts, text: job.text, args: &arguments, session: &values };
        let mut access =
            ShardAccess { executor: self, session: &mut *job.session, needs, is_transactional: true };
        let limits = &self.options().gather;
        let mut sink = GroupSink { loader, gathered: Gathered::default(), limits };
        engine::execute(&finish.rows, &run, &mut access, &mut sink).await.map(drop)
    }

    /// The columns of a query, which has no rows. What a server has against the statement, it says here.
    async fn columns_of(
        &self,
        job: &Job<'_>,
        template: &Template,
        host: &mut PooledConnection,
    ) -> Result<Vec<ColumnDefinition>> {
        host.queue(&Command::Query(&self.finish_text(job, template)?));
        host.flush().await?;
        let mut stream = RowStream::open(&mut **host, false).await?;
        let columns = stream.columns().to_vec();
        while stream.next_row().await?.is_some() {}
        Ok(columns)
    }

    fn finish_text(&self, job: &Job<'_>, template: &Template) -> Result<Vec<u8>> {
        let mut named = Template::default();
        for piece in &template.pieces {
            match piece {
                Piece::Gathered(_) => named.push_text(format!("`{TABLE}`").as_bytes()),
                Piece::Text(text) => named.push_text(text),
                other => named.pieces.push(other.clone()),
            }
        }
        let (arguments, values) = (Arguments::new(job, Placeholders::Inline), SessionValues::new(self, job));
        let mut text = Vec::with_capacity(job.text.len() + 256);
        engine::render(&named, &arguments, &values, None, b"", &mut text)?;
        Ok(text)
    }
}

/// As for gathered rows, but points in time come as text in the session's time zone.
fn settings_to_load(job: &Job<'_>) -> Arc<SessionSettings> {
    let load = load_settings();
    let zone = job.session.settings.backend().variable("time_zone");
    let others = load.variables().filter(|(name, _)| *name != "time_zone");
    SessionSettings::new(others.chain(zone.map(|zone| ("time_zone", zone))), load.names().cloned())
}

/// Makes a column look as if it came from the tables themselves. `is_text`: rows show values as text, whatever their
/// types are.
fn describe(column: &mut ColumnDefinition, described: &ColumnDefinition, is_text: bool) {
    let (is, described_as) = (column.column_type, described.column_type);
    let own = column.clone();
    *column = ColumnDefinition { name: own.name, ..described.clone() };
    let is_same = is == described_as
        || is.is_string() && described_as.is_string()
        || is_text && is.is_integer() && described_as.is_integer();
    if !is_same {
        column.column_type = is;
        column.collation = own.collation;
        column.length = own.length;
        column.flags = own.flags;
        column.decimals = own.decimals;
    }
}

/// Rows of groups on their way into the temporary table.
struct GroupSink<'h> {
    loader: Loader<'h>,
    gathered: Gathered,
    limits: &'h GatherLimits,
}

impl ResultSink for GroupSink<'_> {
    async fn columns(&mut self, _: &[ColumnDefinition]) -> Result<()> {
        Ok(())
    }

    async fn row(&mut self, row: &[u8]) -> Result<()> {
        self.gathered.add(row, self.limits)?;
        self.loader.push(row).await
    }

    async fn finish(&mut self, _: StreamEnd) -> Result<()> {
        self.loader.finish().await
    }
}
