//! What a change of rows has to know about a table and the VSchema does not say: its keys and its columns.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Executor;
use super::job::Job;
use crate::backend::Flavor;
use crate::backend::pool::{Needs, PooledConnection};
use crate::error::{Error, ErrorKind, Result};
use crate::gateway::Target;
use crate::limits::TABLE_SHAPES_KEPT_MAX;
use crate::schema::{self, Generation, KeyKind, Relation};
use crate::sql::ident::quoted;
use crate::topology::{Destination, KeyspaceName};
use crate::value::quote_string;
use crate::vschema::Table;

/// A shape is asked for anew after this: tables change behind the router's back too.
const SHAPE_AGE_MAX: Duration = Duration::from_secs(5);

/// The columns and unique keys of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TableShape {
    /// In the order of the table.
    pub(super) columns: Vec<ShapeColumn>,
    /// PRIMARY first.
    pub(super) unique: Vec<UniqueKey>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ShapeColumn {
    pub(super) name: Box<str>,
    /// The type's word, in lower case: `bigint`.
    pub(super) data_type: Box<str>,
    /// The server computes it.
    pub(super) is_generated: bool,
    pub(super) is_auto_increment: bool,
}

/// A primary or unique key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UniqueKey {
    pub(super) name: Box<str>,
    /// Empty for parts that are expressions or only the beginning of a column.
    pub(super) columns: Vec<Box<str>>,
    /// NULLs may repeat.
    pub(super) is_nullable: bool,
}

/// Shapes that were asked for lately.
#[derive(Debug, Default)]
pub(super) struct TableShapes {
    known: Mutex<HashMap<ShapeName, AgedShape>>,
}

/// Keyspace and table.
type ShapeName = (KeyspaceName, Box<str>);

/// A shape and when it was asked for.
type AgedShape = (Instant, Arc<TableShape>);

impl TableShape {
    /// The shape of a table that the tracker has seen.
    fn of_relation(relation: &Relation) -> Self {
        if relation.is_view() {
            return Self::default();
        }
        let column = |column: &schema::Column| ShapeColumn {
            name: column.name.as_str().into(),
            data_type: column
                .sql_type
                .split(|c: char| !c.is_alphanumeric())
                .next()
                .unwrap_or_default()
                .into(),
            is_generated: column.generation == Generation::Expression,
            is_auto_increment: column.generation == Generation::AutoIncrement,
        };
        let is_nullable = |name: &str| relation.column(name).is_none_or(|column| column.is_nullable);
        let key = |key: &schema::Key| {
            let whole = |part: &schema::KeyPart| part.column.clone().filter(|_| !part.is_prefix);
            let names = key
                .parts
                .iter()
                .map(|part| whole(part).map_or(String::new(), |name| name.as_str().to_owned()));
            let columns: Vec<Box<str>> = names.map(Into::into).collect();
            UniqueKey {
                name: key.name.clone(),
                is_nullable: columns.iter().any(|name| is_nullable(name)),
                columns,
            }
        };
        let unique = relation.keys.iter().filter(|key| key.kind != KeyKind::Index);
        Self { columns: relation.columns.iter().map(column).collect(), unique: unique.map(key).collect() }
    }

    /// Columns that tell each row from all others.
    pub(super) fn row_key(&self) -> Option<&[Box<str>]> {
        let key =
            self.unique.iter().find(|key| !key.is_nullable && !key.columns.iter().any(|c| c.is_empty()));
        key.map(|key| key.columns.as_slice())
    }

    /// The column of that name.
    pub(super) fn column(&self, name: &str) -> Option<&ShapeColumn> {
        self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))
    }
}

impl Executor {
    /// The shape of a table, as the tracker has seen it, or else from its keyspace's first shard.
    pub(super) async fn table_shape(&self, job: &Job<'_>, table: &Table) -> Result<Arc<TableShape>> {
        if let Some(relation) = job.snapshot.schemas.relation(&table.keyspace, &table.name) {
            return Ok(Arc::new(TableShape::of_relation(relation)));
        }
        let name = (table.keyspace.clone(), Box::<str>::from(table.name.as_str()));
        {
            let known = self.shapes.known.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = known.get(&name).filter(|(since, _)| since.elapsed() < SHAPE_AGE_MAX);
            if let Some((_, shape)) = fresh {
                return Ok(shape.clone());
            }
        }
        let shape = Arc::new(self.ask_shape(job, table).await?);
        let mut known = self.shapes.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= TABLE_SHAPES_KEPT_MAX {
            known.clear();
        }
        known.insert(name, (Instant::now(), shape.clone()));
        Ok(shape)
    }

    /// Forgets all shapes: a statement changes tables.
    pub(super) fn forget_shapes(&self) {
        self.shapes.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The unique keys in the order in which a server looks for duplicates.
    pub(super) async fn unique_in_order(
        &self,
        job: &Job<'_>,
        table: &Table,
        shape: &TableShape,
    ) -> Result<Vec<UniqueKey>> {
        let mut keys = shape.unique.clone();
        if keys.iter().filter(|key| *key.name != *"PRIMARY").count() > 1 {
            // No table of information_schema tells it on both engines; this statement's rows do by their order.
            let mut connection = self.shape_connection(job, table).await?;
            let rows = connection.query_all(&format!("show index from {}", quoted(&table.name))).await?.rows;
            const KEY_NAME: usize = 2;
            keys.sort_by_key(|key| rows.iter().position(|row| field(row, KEY_NAME) == *key.name));
        }
        Ok(keys)
    }

    /// Do foreign keys refer to the table?
    pub(super) async fn is_referenced(&self, job: &Job<'_>, table: &Table) -> Result<bool> {
        let mut connection = self.shape_connection(job, table).await?;
        let query = format!(
            "select 1 from information_schema.key_column_usage \
             where referenced_table_schema = database() and referenced_table_name = {} limit 1",
            name_literal(table)
        );
        Ok(!connection.query_all(&query).await?.rows.is_empty())
    }

    async fn ask_shape(&self, job: &Job<'_>, table: &Table) -> Result<TableShape> {
        let mut connection = self.shape_connection(job, table).await?;
        let of_table = format!("where table_schema = database() and table_name = {}", name_literal(table));
        let columns = format!(
            "select column_name, data_type, extra from information_schema.columns {of_table} order by ordinal_position"
        );
        let keys = format!(
            "select index_name, if(sub_part is null, column_name, ''), nullable from information_schema.statistics {of_table} \
             and non_unique = 0 order by index_name <> 'PRIMARY', index_name, seq_in_index"
        );
        let columns = connection.query_all(&columns).await?.rows;
        let keys = connection.query_all(&keys).await?.rows;
        Ok(TableShape { columns: columns.iter().map(|row| column(row)).collect(), unique: unique(&keys) })
    }

    async fn shape_connection(&self, job: &Job<'_>, table: &Table) -> Result<PooledConnection> {
        let unknown =
            || Error::new(ErrorKind::UnknownDatabase, format!("Unknown database '{}'", table.keyspace));
        let keyspace = job.snapshot.topology.keyspace(&table.keyspace).ok_or_else(unknown)?;
        let shards = keyspace.resolve(&Destination::AnyShard)?;
        let shard = shards.first().ok_or_else(|| Error::bug("AnyShard gave no shard"))?;
        let target = Target::primary(table.keyspace.clone(), shard.name().clone());
        let flavor = Flavor { deprecate_eof: true, found_rows: false };
        self.gateway().acquire(&target, &Needs { flavor, settings: 0 }).await
    }
}

fn name_literal(table: &Table) -> String {
    let mut name = Vec::new();
    quote_string(table.name.as_bytes(), &mut name, false);
    String::from_utf8_lossy(&name).into_owned()
}

type Row = [Option<Vec<u8>>];

fn field(row: &Row, index: usize) -> String {
    row.get(index)
        .and_then(|field| field.as_deref())
        .map_or_else(String::new, |field| String::from_utf8_lossy(field).into_owned())
}

fn column(row: &Row) -> ShapeColumn {
    let extra = field(row, 2).to_ascii_lowercase();
    ShapeColumn {
        is_auto_increment: extra.contains("auto_increment"),
        name: field(row, 0).into(),
        data_type: field(row, 1).to_ascii_lowercase().into(),
        // MySQL calls a default that is an expression DEFAULT_GENERATED.
        is_generated: extra.contains("virtual") || extra.contains("stored") || extra.contains("persistent"),
    }
}

fn unique(rows: &[Vec<Option<Vec<u8>>>]) -> Vec<UniqueKey> {
    let mut keys: Vec<UniqueKey> = Vec::new();
    for row in rows {
        let (name, column) = (field(row, 0), field(row, 1));
        let is_nullable = field(row, 2).eq_ignore_ascii_case("yes");
        match keys.last_mut().filter(|key| *key.name == *name) {
            Some(key) => {
                key.columns.push(column.into());
                key.is_nullable |= is_nullable;
            }
            None => keys.push(UniqueKey { name: name.into(), columns: vec![column.into()], is_nullable }),
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_key_without_null_tells_rows_apart() {
        let row =
            |parts: [&str; 3]| parts.iter().map(|part| Some(part.as_bytes().to_vec())).collect::<Vec<_>>();
        let check = |rows: &[[&str; 3]], expected: Option<&[&str]>| {
            let rows: Vec<_> = rows.iter().map(|parts| row(*parts)).collect();
            let shape = TableShape { columns: Vec::new(), unique: unique(&rows) };
            let found = shape.row_key().map(|key| key.iter().map(|name| &**name).collect::<Vec<_>>());
            assert_eq!(found.as_deref(), expected);
        };
        check(&[["PRIMARY", "a", ""], ["PRIMARY", "b", ""], ["u", "c", ""]], Some(&["a", "b"]));
        check(&[["u", "a", "YES"], ["v", "b", ""]], Some(&["b"]));
        check(&[["u", "a", ""], ["u", "b", "YES"]], None);
        check(&[["u", "", ""]], None);
        check(&[], None);
    }
}
