//! The tables that a query gathers: their definitions, as a shard has them, and which of their columns it needs.

use std::collections::HashMap;

use super::super::Executor;
use super::super::job::Job;
use super::super::place;
use super::{keyspace, load_settings};
use crate::backend::BackendConnection;
use crate::backend::pool::{Needs, PooledConnection};
use crate::error::{Error, Result};
use crate::plan::primitive::{Gather, GatherInput, Piece};
use crate::session::transaction::Pin;
use crate::sql::TableDefinition;
use crate::sql::ident::quoted;
use crate::topology::Snapshot;

/// Longest name of a table.
const NAME_CHARS_MAX: usize = 64;

/// A table that is gathered for one reference to it.
#[derive(Debug)]
pub(super) struct GatheredTable {
    /// The temporary table's name, or the table's own if that is read as it is.
    pub(super) name: String,
    /// The host has the table and reads it as it is.
    pub(super) stays: bool,
    /// The table whose rows it has.
    pub(super) original: Box<str>,
    /// The database of that table.
    pub(super) database: String,
    pub(super) definition: TableDefinition,
    /// Positions of the columns that get values.
    pub(super) filled: Vec<usize>,
    /// The filters that are certainly about this table, by their position.
    pub(super) filters: Vec<usize>,
}

impl GatheredTable {
    pub(super) fn quoted_name(&self) -> String {
        quoted(&self.name)
    }

    /// Do its rows meet the filter with this number?
    pub(super) fn is_filtered_by(&self, filter: u32) -> bool {
        self.filters.contains(&(filter as usize))
    }

    /// The statement that makes it.
    pub(super) fn create(&self, is_unique: bool) -> String {
        let is_filled = |column: &crate::sql::TableColumn| {
            self.filled.iter().any(|at| self.definition.columns[*at].name == column.name)
        };
        self.definition.temporary(&self.name, is_unique, &is_filled)
    }
}

impl Executor {
    /// One for each input.
    pub(super) async fn gathered_tables(
        &self,
        job: &mut Job<'_>,
        gather: &Gather,
        snapshot: &Snapshot,
        host: &mut PooledConnection,
    ) -> Result<Vec<GatheredTable>> {
        let definitions = self.definitions(job, gather, snapshot, host).await?;
        let mut tables = Vec::with_capacity(gather.inputs.len());
        for (index, input) in gather.inputs.iter().enumerate() {
            let stays = stays(job, gather, input, snapshot)?;
            let definition = definition_of(&definitions, input)
                .ok_or_else(|| Error::bug("a table without definition"))?
                .clone();
            let rivals: Vec<&TableDefinition> = input
                .rivals
                .iter()
                .filter_map(|rival| definition_of(&definitions, gather.inputs.get(*rival as usize)?))
                .collect();
            let is_wanted = |name: &str| {
                // Rows lie in the order of their primary key, as in the table itself.
                let is_key = || definition.primary_key().iter().any(|key| **key == *name);
                input
                    .columns
                    .as_ref()
                    .is_none_or(|names| names.iter().any(|wanted| **wanted == *name.to_lowercase()))
                    || is_key()
            };
            let filled =
                (0..definition.columns.len()).filter(|at| is_wanted(&definition.columns[*at].name)).collect();
            let filters = (0..input.filters.len()).filter(|at| {
                let filter = &input.filters[*at];
                filter.columns.iter().all(|name| {
                    let is_rival = || rivals.iter().any(|rival| rival.column(name).is_some());
                    definition.column(name).is_some() && (filter.is_qualified || !is_rival())
                })
            });
            let mut filters: Vec<usize> = filters.collect();
            if job.execution.is_some() {
                filters = self.filters_of_years(job, input, &definition, filters)?;
            }
            let name: String =
                format!("sg_{}_{}", index + 1, input.table).chars().take(NAME_CHARS_MAX).collect();
            let database = keyspace(snapshot, &input.keyspace)?.db_name().to_owned();
            tables.push(GatheredTable {
                name: if stays { input.table.to_string() } else { name },
                stays,
                original: input.table.clone(),
                database,
                definition,
                filled,
                filters,
            });
        }
        Ok(tables)
    }

    /// Those filters in which a parameter is not compared with a YEAR that would be another one as a literal.
    fn filters_of_years(
        &self,
        job: &Job<'_>,
        input: &GatherInput,
        definition: &TableDefinition,
        mut filters: Vec<usize>,
    ) -> Result<Vec<usize>> {
        let is_year = |name: &str| definition.column(name).is_some_and(|column| &*column.type_name == "year");
        let mut kept = Vec::with_capacity(filters.len());
        for at in filters.drain(..) {
            let filter = &input.filters[at];
            let arguments = filter.text.pieces.iter().filter_map(|piece| match piece {
                Piece::Arg(index) | Piece::List(index) | Piece::ListForShard(index) => Some(*index),
                _ => None,
            });
            let arguments: Vec<u32> = arguments.collect();
            let has_year = filter.columns.iter().any(|name| is_year(name));
            if !has_year || !super::super::years::change(job, &arguments)? {
                kept.push(at);
            }
        }
        Ok(kept)
    }

    /// The definitions of all tables, from any shard of their keyspaces.
    async fn definitions<'g>(
        &self,
        job: &mut Job<'_>,
        gather: &'g Gather,
        snapshot: &Snapshot,
        host: &mut PooledConnection,
    ) -> Result<HashMap<(&'g str, &'g str), TableDefinition>> {
        let mut found = HashMap::new();
        let mut wanted: Vec<(&str, &str)> =
            gather.inputs.iter().map(|input| (input.keyspace.as_str(), &*input.table)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut other: Option<(&str, PooledConnection)> = None;
        for (name, table) in wanted {
            let connection: &mut BackendConnection = if name == gather.host.as_str() {
                host
            } else {
                if other.as_ref().is_none_or(|(known, _)| *known != name) {
                    let keyspace = keyspace(snapshot, name)?;
                    let shard = keyspace.shards().first();
                    let shard =
                        shard.ok_or_else(|| Error::bug(format!("the keyspace {name} has no shard")))?;
                    let target = place::target(job.session, keyspace, shard.name().clone());
                    let settings = load_settings();
                    let needs = Needs { flavor: job.flavor(), settings: settings.hash() };
                    let mut connection = self.gateway().acquire(&target, &needs).await?;
                    connection.sync_settings(&settings);
                    super::super::exchange::settle(&mut connection).await?;
                    other = Some((name, connection));
                }
                match &mut other {
                    Some((_, connection)) => connection,
                    None => return Err(Error::bug("a connection that was just made is gone")),
                }
            };
            found.insert((name, table), definition(connection, table).await?);
        }
        Ok(found)
    }
}

fn definition_of<'d>(
    definitions: &'d HashMap<(&'d str, &'d str), TableDefinition>,
    input: &'d GatherInput,
) -> Option<&'d TableDefinition> {
    definitions.get(&(input.keyspace.as_str(), &*input.table))
}

/// The table's definition, as the server tells it.
pub(super) async fn definition(connection: &mut BackendConnection, table: &str) -> Result<TableDefinition> {
    let result = connection.query_all(&format!("SHOW CREATE TABLE {}", quoted(table))).await?;
    let unsupported = || Error::unsupported(format!("a query over several shards with the view {table}"));
    let text = result.value(0, "Create Table").ok_or_else(unsupported)?;
    let not_understood =
        || Error::unsupported(format!("gathering rows of the table {table}, whose definition is unknown"));
    TableDefinition::parse(text).ok_or_else(not_understood)
}

/// Can the host read the table as it is? Inside of a transaction or under locks it cannot: its connection is not the
/// session's.
fn stays(job: &Job<'_>, gather: &Gather, input: &GatherInput, snapshot: &Snapshot) -> Result<bool> {
    let has_all = input.is_everywhere || keyspace(snapshot, &input.keyspace)?.shards().len() == 1;
    Ok(has_all
        && input.keyspace == gather.host
        && input.lock.is_empty()
        && !job.session.transaction.is_active()
        && job.session.transaction.pins().all(|(_, pin)| pin != Pin::TableLock))
}
