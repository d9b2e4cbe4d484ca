//! From shards into a temporary table: rows come as text in their columns' own bytes, and leave as literals.
//!
//! One INSERT is on its way while the next one is put together, so memory holds two of them, whatever the number of
//! rows is.

use super::super::arguments::{Arguments, Placeholders};
use super::super::job::Job;
use super::super::place;
use super::super::scatter::{ShardAccess, ShardRows, open_all};
use super::super::session_values::SessionValues;
use super::super::{Executor, GatherLimits};
use super::keyspace;
use super::reduce::{Restriction, Values};
use super::table::GatheredTable;
use crate::backend::SessionSettings;
use crate::backend::pool::PooledConnection;
use crate::engine::{self, RowStream as _, Shards};
use crate::error::{Error, ErrorKind, Result};
use crate::gateway::Target;
use crate::limits::{GATHER_INSERT_BYTES, GATHER_REDUCER_BATCH};
use crate::plan::primitive::{Gather, GatherInput, Routing};
use crate::sql::TableColumn;
use crate::sql::ident::quoted;
use crate::wire::row::text_fields;
use crate::wire::{Command, Malformed};
use std::sync::Arc;

/// How a column's values travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Travel {
    /// As bytes.
    Bytes,
    /// As a number, for types whose text does not show all that they are.
    Computed,
    Json,
    Number,
    /// As text of ASCII characters.
    Plain,
    /// As seconds since 1970, whatever the time zone of the session is.
    Timestamp,
}

impl Travel {
    /// How values get here that were combined before: as the text that they were shown as. `None`: it does not show them.
    pub(super) fn of_combined(column: &TableColumn) -> Option<Self> {
        match Self::of(column) {
            Self::Computed if &*column.type_name == "float" => None,
            Self::Computed => Some(Self::Bytes),
            Self::Timestamp => Some(Self::Plain),
            travel => Some(travel),
        }
    }

    fn of(column: &TableColumn) -> Self {
        match &*column.type_name {
            "bit" | "enum" | "float" | "set" => Self::Computed,
            "bigint" | "dec" | "decimal" | "double" | "int" | "integer" | "mediumint" | "numeric"
            | "real" | "smallint" | "tinyint" | "year" => Self::Number,
            "date" | "datetime" | "inet4" | "inet6" | "time" | "uuid" => Self::Plain,
            "json" => Self::Json,
            "timestamp" => Self::Timestamp,
            _ => Self::Bytes,
        }
    }

    /// The select item that gives the value.
    fn item(self, column: &TableColumn) -> String {
        let name = quoted(&column.name);
        match self {
            Self::Computed if &*column.type_name == "float" => format!("{name}+0e0"),
            Self::Computed => format!("{name}+0"),
            Self::Timestamp => format!("UNIX_TIMESTAMP({name})"),
            Self::Bytes | Self::Json | Self::Number | Self::Plain => name,
        }
    }

    fn put(self, value: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Computed | Self::Number => out.extend_from_slice(value),
            Self::Bytes => put_quoted(b"_binary'", value, out),
            Self::Json => put_quoted(b"_utf8mb4'", value, out),
            Self::Plain => put_quoted(b"'", value, out),
            // There is no such second: it is how the zero date reads.
            Self::Timestamp if value.iter().all(|byte| matches!(byte, b'0' | b'.')) => {
                out.extend_from_slice(b"'0000-00-00 00:00:00'");
            }
            Self::Timestamp => {
                out.extend_from_slice(b"FROM_UNIXTIME(");
                out.extend_from_slice(value);
                out.push(b')');
            }
        }
    }
}

fn put_quoted(before: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(before);
    for byte in value {
        if matches!(byte, b'\'' | b'\\') {
            out.push(*byte);
        }
        out.push(*byte);
    }
    out.push(b'\'');
}

/// Rows on their way into a temporary table.
pub(super) struct Loader<'h> {
    host: &'h mut PooledConnection,
    head: Vec<u8>,
    travels: Vec<Travel>,
    text: Vec<u8>,
    is_waiting: bool,
}

impl<'h> Loader<'h> {
    /// `head` is an INSERT up to its rows.
    pub(super) fn new(host: &'h mut PooledConnection, head: Vec<u8>, travels: Vec<Travel>) -> Self {
        Self { host, head, travels, text: Vec::new(), is_waiting: false }
    }

    /// Takes the payload of a text row; sends what is together when it is enough.
    pub(super) async fn push(&mut self, row: &[u8]) -> Result<()> {
        self.put(row)?;
        if self.text.len() >= GATHER_INSERT_BYTES {
            self.send().await?;
        }
        Ok(())
    }

    /// Sends the rest and waits until all rows are there.
    pub(super) async fn finish(&mut self) -> Result<()> {
        self.send().await?;
        self.settle().await
    }

    fn put(&mut self, row: &[u8]) -> Result<()> {
        if self.text.is_empty() {
            self.text.extend_from_slice(&self.head);
        } else {
            self.text.push(b',');
        }
        self.text.push(b'(');
        let mut fields = text_fields(row);
        for (index, travel) in self.travels.iter().enumerate() {
            if index > 0 {
                self.text.push(b',');
            }
            let short = || Malformed::into_backend_error(Malformed::new("gathered row"));
            match fields.next().ok_or_else(short)?.map_err(Malformed::into_backend_error)? {
                Some(value) => travel.put(value, &mut self.text),
                None => self.text.extend_from_slice(b"NULL"),
            }
        }
        self.text.push(b')');
        Ok(())
    }

    async fn send(&mut self) -> Result<()> {
        if self.text.is_empty() {
            return Ok(());
        }
        self.settle().await?;
        self.host.queue(&Command::Query(&self.text));
        self.text.clear();
        self.host.flush().await?;
        self.is_waiting = true;
        Ok(())
    }

    async fn settle(&mut self) -> Result<()> {
        if std::mem::take(&mut self.is_waiting) {
            self.host.receive_ok().await?;
        }
        Ok(())
    }
}

/// What is needed to load one input.
pub(super) struct Load<'g, 'v> {
    pub(super) gather: &'g Gather,
    /// The input.
    pub(super) index: usize,
    pub(super) tables: &'g [GatheredTable],
    /// The values that its rows must have.
    pub(super) restriction: Option<Restriction<'g>>,
    /// Its columns whose values restrict other inputs.
    pub(super) wanted: Vec<(usize, Box<str>)>,
    pub(super) values: &'v mut Values,
    pub(super) gathered: &'v mut Gathered,
}

/// Some of a restriction's values, and which of them a shard has.
type Batch<'v> = (Chunk<'v>, Option<&'v [u32]>);

/// Some of a restriction's values.
type Chunk<'v> = (&'v Restriction<'v>, &'v [Box<[u8]>]);

/// Rows and bytes that a statement has gathered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gathered {
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

impl Gathered {
    /// Counts one more row, up to the limits.
    pub(super) fn add(&mut self, row: &[u8], limits: &GatherLimits) -> Result<()> {
        self.rows += 1;
        self.bytes += row.len() as u64;
        let too_many = |limit: u64, unit: &str| {
            let text = format!(
                "gathering the tables of a query at one server takes more than {limit} {unit} \
                 (limit: gather.{unit}_max)"
            );
            Err(Error::new(ErrorKind::LimitExceeded, text))
        };
        if self.rows > limits.rows_max {
            return too_many(limits.rows_max, "rows");
        }
        if self.bytes > limits.bytes_max {
            return too_many(limits.bytes_max, "bytes");
        }
        Ok(())
    }
}

impl Executor {
    /// Copies the rows of one input into its temporary table.
    pub(super) async fn load(
        &self,
        job: &mut Job<'_>,
        load: &mut Load<'_, '_>,
        host: &mut PooledConnection,
    ) -> Result<()> {
        let (input, table) = (&load.gather.inputs[load.index], &load.tables[load.index]);
        let columns: Vec<&TableColumn> =
            table.filled.iter().map(|at| &table.definition.columns[*at]).collect();
        let travels: Vec<Travel> = columns.iter().map(|column| Travel::of(column)).collect();
        let items: Vec<String> =
            travels.iter().zip(&columns).map(|(travel, column)| travel.item(column)).collect();
        let names: Vec<String> = columns.iter().map(|column| quoted(&column.name)).collect();
        let items = if items.is_empty() { "1".to_owned() } else { items.join(", ") };
        let head = format!("INSERT INTO {} ({}) VALUES ", table.quoted_name(), names.join(", ")).into_bytes();
        let mut loader = Loader::new(host, head, travels);
        let restriction = load.restriction.take();
        let batches: Vec<Option<Chunk<'_>>> = match &restriction {
            None => vec![None],
            Some(restriction) => {
                let batches = restriction.values.chunks(GATHER_REDUCER_BATCH);
                batches.map(|values| Some((restriction, values))).collect()
            }
        };
        for batch in batches {
            let queries = self.queries(job, input, table, &items, batch)?;
            let mut streams = self.open_streams(job, queries).await?;
            for stream in &mut streams {
                while stream.advance().await? {
                    load.gathered.add(stream.row(), &self.options().gather)?;
                    load.values.note(load.index, &load.wanted, stream.row());
                    loader.push(stream.row()).await?;
                }
            }
            drop(streams);
            self.recover(job.session).await;
        }
        loader.finish().await
    }

    /// The query for each shard that has rows of the input.
    fn queries(
        &self,
        job: &Job<'_>,
        input: &GatherInput,
        table: &GatheredTable,
        items: &str,
        batch: Option<Chunk<'_>>,
    ) -> Result<Vec<(Target, Vec<u8>)>> {
        let keyspace = keyspace(&job.snapshot, &input.keyspace)?;
        let arguments = Arguments::new(job, Placeholders::Inline);
        let by_values = batch
            .filter(|_| input.routing == Routing::Scatter)
            .and_then(|(restriction, values)| restriction.routing(values));
        let routing = by_values.as_ref().unwrap_or(&input.routing);
        let (shards, is_routed) = match engine::resolve(routing, keyspace, &arguments) {
            // The conditions still hold, wherever the rows are.
            Err(error) if error.kind() == Some(ErrorKind::Unsupported) => {
                (engine::resolve(&Routing::Scatter, keyspace, &arguments)?, false)
            }
            resolved => (resolved?, true),
        };
        let text = |list: Option<&[u32]>| -> Result<Vec<u8>> {
            let of_filters = list.filter(|_| is_routed && by_values.is_none());
            let of_values = list.filter(|_| is_routed && by_values.is_some());
            let mut text =
                self.query_text(job, input, table, items, of_filters, batch.map(|batch| (batch, of_values)))?;
            text.extend_from_slice(input.lock.as_bytes());
            Ok(text)
        };
        match shards {
            Shards::Any if by_values.is_some() => Ok(Vec::new()),
            Shards::Any => {
                let target = place::any_shard(&job.snapshot, keyspace.name(), job.session)?;
                Ok(vec![(target, text(None)?)])
            }
            Shards::These(parts) => parts
                .iter()
                .map(|part| {
                    let target = place::target(job.session, keyspace, part.shard.name().clone());
                    Ok((target, text(part.items.as_deref())?))
                })
                .collect(),
        }
    }

    /// `SELECT items FROM …` with the filters that are certainly about the table, and the values that it must have.
    pub(super) fn query_text(
        &self,
        job: &Job<'_>,
        input: &GatherInput,
        table: &GatheredTable,
        items: &str,
        list: Option<&[u32]>,
        batch: Option<Batch<'_>>,
    ) -> Result<Vec<u8>> {
        let arguments = Arguments::new(job, Placeholders::Inline);
        let values = SessionValues::new(self, job);
        let (name, alias) = (quoted(&input.table), quoted(&input.alias));
        let mut text = format!("SELECT {items} FROM {name}{} AS {alias}", input.partitions).into_bytes();
        let mut word: &[u8] = b" WHERE ";
        for filter in &table.filters {
            text.extend_from_slice(word);
            text.push(b'(');
            engine::render(&input.filters[*filter].text, &arguments, &values, list, b"", &mut text)?;
            text.push(b')');
            word = b" AND ";
        }
        if let Some(((restriction, values), items)) = batch {
            text.extend_from_slice(word);
            match items {
                Some(items) => {
                    let own = items.iter().filter_map(|item| values.get(*item as usize));
                    restriction.put_condition(&input.alias, own, &mut text);
                }
                None => restriction.put_condition(&input.alias, values.iter(), &mut text),
            }
        }
        Ok(text)
    }

    async fn open_streams(
        &self,
        job: &mut Job<'_>,
        queries: Vec<(Target, Vec<u8>)>,
    ) -> Result<Vec<ShardRows>> {
        let needs = job.needs();
        let settings = gather_settings(job);
        let mut access =
            ShardAccess { executor: self, session: &mut *job.session, needs, is_transactional: true };
        let mut leases = Vec::with_capacity(queries.len());
        for (target, text) in queries {
            if let Some(log) = &access.session.query_log {
                log.push(&target, &text);
            }
            let mut lease = access.lease(&target).await?;
            lease.sync_settings(&settings);
            leases.push((lease, text));
        }
        open_all(leases, false, &job.session.returns, None).await
    }
}

/// The session's settings, but values come as they are stored, and all of them.
pub(super) fn gather_settings(job: &Job<'_>) -> Arc<SessionSettings> {
    let mut settings = job.session.settings.with_variable("character_set_results", Some("NULL"));
    if settings.backend().variable("sql_select_limit").is_some() {
        settings = settings.with_variable("sql_select_limit", Some(crate::executor::select_limit::NO_LIMIT));
    }
    settings.backend().clone()
}
