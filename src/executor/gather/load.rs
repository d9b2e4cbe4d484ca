//! From shards into a temporary table: rows come as text in their columns' own bytes, and leave as literals.
//!
//! One INSERT is on its way while the next one is put together, so memory holds two of them, whatever the number of
//! rows is.

use super::super::arguments::{Arguments, Placeholders};
use super::super::job::Job;
use super::super::place;
use super::super::scatter::{ShardAccess, ShardRows};
use super::super::session_values::SessionValues;
use super::super::{Executor, GatherLimits};
use super::keyspace;
use super::table::GatheredTable;
use crate::backend::SessionSettings;
use crate::backend::pool::PooledConnection;
use crate::engine::{self, RowStream as _, Shards};
use crate::error::{Error, ErrorKind, Result};
use crate::gateway::Target;
use crate::limits::GATHER_INSERT_BYTES;
use crate::plan::primitive::{GatherInput, Routing};
use crate::sql::TableColumn;
use crate::sql::ident::quoted;
use crate::wire::row::text_fields;
use crate::wire::{Command, Malformed};
use futures_util::future::try_join_all;
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
        input: &GatherInput,
        table: &GatheredTable,
        host: &mut PooledConnection,
        gathered: &mut Gathered,
    ) -> Result<()> {
        let columns: Vec<&TableColumn> =
            table.filled.iter().map(|at| &table.definition.columns[*at]).collect();
        let travels: Vec<Travel> = columns.iter().map(|column| Travel::of(column)).collect();
        let items: Vec<String> =
            travels.iter().zip(&columns).map(|(travel, column)| travel.item(column)).collect();
        let names: Vec<String> = columns.iter().map(|column| quoted(&column.name)).collect();
        let items = if items.is_empty() { "1".to_owned() } else { items.join(", ") };
        let queries = self.queries(job, input, table, &items)?;
        let head = format!("INSERT INTO {} ({}) VALUES ", table.quoted_name(), names.join(", ")).into_bytes();
        let mut loader = Loader::new(host, head, travels);
        let mut streams = self.open_streams(job, queries).await?;
        for stream in &mut streams {
            while stream.advance().await? {
                gathered.add(stream.row(), &self.options().gather)?;
                loader.push(stream.row()).await?;
            }
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
    ) -> Result<Vec<(Target, Vec<u8>)>> {
        let keyspace = keyspace(&job.snapshot, &input.keyspace)?;
        let arguments = Arguments::new(job, Placeholders::Inline);
        let values = SessionValues::new(self, job);
        let shards = match engine::resolve(&input.routing, keyspace, &arguments) {
            // The filter still holds, wherever its rows are.
            Err(error) if error.kind() == Some(ErrorKind::Unsupported) => {
                engine::resolve(&Routing::Scatter, keyspace, &arguments)?
            }
            resolved => resolved?,
        };
        let text = |list: Option<&[u32]>| -> Result<Vec<u8>> {
            let mut text = format!(
                "SELECT {items} FROM {}{} AS {}",
                quoted(&input.table),
                input.partitions,
                quoted(&input.alias)
            )
            .into_bytes();
            for (index, filter) in table.filters.iter().enumerate() {
                text.extend_from_slice(if index == 0 { b" WHERE (" } else { b" AND (" });
                engine::render(&input.filters[*filter].text, &arguments, &values, list, b"", &mut text)?;
                text.push(b')');
            }
            text.extend_from_slice(input.lock.as_bytes());
            Ok(text)
        };
        match shards {
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
            let mut lease = access.lease(&target).await?;
            lease.sync_settings(&settings);
            leases.push((lease, text));
        }
        let returns = job.session.returns.clone();
        try_join_all(leases.into_iter().map(|(lease, text)| ShardRows::open(lease, text, returns.clone())))
            .await
    }
}

/// The session's settings, but values come as they are stored, and all of them.
pub(super) fn gather_settings(job: &Job<'_>) -> Arc<SessionSettings> {
    let mut settings = job.session.settings.with_variable("character_set_results", Some("NULL"));
    if settings.backend().variable("sql_select_limit").is_some() {
        settings = settings.with_variable("sql_select_limit", Some("18446744073709551615"));
    }
    settings.backend().clone()
}
