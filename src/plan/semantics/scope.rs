//! Names to tables: what a query block sees in its FROM clause and around it.
//!
//! Columns of most tables are unknown here; known are those that the VSchema names. A valid statement names
//! every column unambiguously, so a name that exactly one table is known to have belongs to that table.

use crate::sql::ast::Ident;
use crate::vschema::ColumnType;

/// A column of a sharded table that a vindex may use.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct KeyColumn {
    /// The table instance.
    pub(crate) instance: usize,
    /// The column, as the VSchema writes it.
    pub(crate) name: Box<str>,
}

/// An output column of a derived table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Output {
    /// Its name; empty when it has none that can be referred to.
    pub(crate) name: Box<str>,
    /// The table's column that it is, if that decides a shard.
    pub(crate) key: Option<KeyColumn>,
    /// Its type, if it is known.
    pub(crate) column_type: ColumnType,
    /// `*` leaves it out.
    pub(crate) is_invisible: bool,
}

/// The columns that a table is known to have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Columns {
    pub(crate) known: Vec<Output>,
    /// There may be others.
    pub(crate) is_open: bool,
}

/// Something in a FROM clause.
#[derive(Clone, Debug)]
pub(crate) struct TableSource {
    /// The name it is referred to by.
    pub(crate) name: Box<str>,
    /// Its columns.
    pub(crate) columns: Columns,
    /// Columns that `USING` or `NATURAL` made one with another table's; their unqualified name means that one.
    pub(crate) merged: Vec<Box<str>>,
}

/// What a query block sees.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope<'p> {
    pub(crate) sources: Vec<TableSource>,
    pub(crate) parent: Option<&'p Scope<'p>>,
}

/// What a column name means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resolved {
    /// A column that decides a shard.
    Key(KeyColumn),
    /// A column of the source with this index, nothing special.
    Plain,
    /// Not known.
    Unknown,
}

impl Columns {
    /// What `*` shows, in order, as far as it is known.
    pub(crate) fn visible(&self) -> impl Iterator<Item = &Output> {
        self.known.iter().filter(|column| !column.is_invisible)
    }

    fn find(&self, name: &str) -> Option<&Output> {
        self.known.iter().find(|column| column.name.eq_ignore_ascii_case(name))
    }
}

impl TableSource {
    /// Does the unqualified name mean another table's column, with which this one's was joined?
    pub(crate) fn has_merged(&self, name: &str) -> bool {
        self.merged.iter().any(|merged| merged.eq_ignore_ascii_case(name))
    }
}

impl<'p> Scope<'p> {
    pub(crate) fn new(parent: Option<&'p Scope<'p>>) -> Self {
        Self { sources: Vec::new(), parent }
    }

    /// Looks up `column` or `table.column`; longer names have had their keyspace taken off.
    pub(crate) fn resolve(&self, names: &[Ident]) -> Resolved {
        match names {
            [column] => self.resolve_unqualified(&column.value),
            [table, column] | [_, table, column] => self.resolve_qualified(&table.value, &column.value),
            _ => Resolved::Unknown,
        }
    }

    /// The type of a column of this block, as far as it is known.
    pub(crate) fn column_type(&self, names: &[Ident]) -> ColumnType {
        let column = match names {
            [column] => {
                let is_own = |source: &&TableSource| !source.has_merged(&column.value);
                let mut owners = self
                    .sources
                    .iter()
                    .filter(is_own)
                    .filter_map(|source| source.columns.find(&column.value));
                owners.next().filter(|_| owners.next().is_none())
            }
            [table, column] | [_, table, column] => {
                self.source(&table.value).and_then(|source| source.columns.find(&column.value))
            }
            _ => None,
        };
        column.map_or(ColumnType::default(), |column| column.column_type)
    }

    fn resolve_qualified(&self, table: &str, column: &str) -> Resolved {
        match self.sources.iter().find(|source| &*source.name == table) {
            Some(source) => match source.columns.find(column) {
                Some(Output { key: Some(key), .. }) => Resolved::Key(key.clone()),
                Some(_) => Resolved::Plain,
                None => Resolved::Unknown,
            },
            None => self.parent.map_or(Resolved::Unknown, |parent| parent.resolve_qualified(table, column)),
        }
    }

    fn resolve_unqualified(&self, column: &str) -> Resolved {
        let is_own = |source: &&TableSource| !source.has_merged(column);
        let owners = self.sources.iter().filter(is_own).filter_map(|source| source.columns.find(column));
        let mut owners = owners.fuse();
        match (owners.next(), owners.next()) {
            (Some(Output { key: Some(key), .. }), None) => Resolved::Key(key.clone()),
            (Some(_), None) => Resolved::Plain,
            (Some(_), Some(_)) => Resolved::Unknown,
            (None, _) if self.sources.iter().any(|source| source.columns.is_open) => Resolved::Unknown,
            (None, _) => self.parent.map_or(Resolved::Unknown, |parent| parent.resolve_unqualified(column)),
        }
    }

    /// The source with that name in this block.
    pub(crate) fn source(&self, name: &str) -> Option<&TableSource> {
        self.sources.iter().find(|source| &*source.name == name)
    }
}
