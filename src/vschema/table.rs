//! Tables and columns as the planner sees them.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use super::ColumnType;
use super::vindex::VindexDefinition;
use crate::topology::{KeyspaceId, KeyspaceName};

/// A table's name; case counts, as on MySQL servers on Linux. Cloning it copies no text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName(Arc<str>);

/// A column's name; ASCII case does not count. Cloning it copies no text.
#[derive(Clone)]
pub struct ColumnName(Arc<str>);

/// The full name of a table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QualifiedTable {
    /// Its keyspace.
    pub keyspace: KeyspaceName,
    /// Its name there.
    pub table: TableName,
}

/// A table of a VSchema, or one of an unsharded keyspace that the VSchema does not list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The keyspace that it is in.
    pub keyspace: KeyspaceName,
    /// Its name there.
    pub name: TableName,
    /// How its rows are spread.
    pub kind: TableKind,
    /// Whether its keyspace is sharded.
    pub is_keyspace_sharded: bool,
    /// The one place of all its rows, also of a pinned sequence.
    pub pinned: Option<KeyspaceId>,
    /// The columns that decide where rows are, in the order of the VSchema; the first is the primary vindex.
    /// Empty unless `kind` is `Sharded`.
    pub column_vindexes: Vec<ColumnVindex>,
    /// The same, cheapest first, with an entry more for each number of leading columns that a partial vindex
    /// can do with.
    pub ordered_vindexes: Vec<ColumnVindex>,
    /// The column that is filled from a sequence.
    pub auto_increment: Option<AutoIncrement>,
    /// Known columns, in order.
    pub columns: Vec<Column>,
    /// Whether `columns` is complete.
    pub column_list_authoritative: bool,
    /// Reference tables in other keyspaces that are copies of this table.
    pub referenced_by: Vec<QualifiedTable>,
}

/// How a table's rows are spread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// All rows are at one place of a sharded keyspace.
    Pinned(KeyspaceId),
    /// Every shard has all rows.
    Reference {
        /// The table that this one is a copy of; writes go there.
        source: Option<QualifiedTable>,
    },
    /// A sequence: one row that numbers are taken from.
    Sequence,
    /// By vindex.
    Sharded,
    /// The keyspace has one shard.
    Unsharded,
}

/// The use of a vindex for columns of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnVindex {
    /// The columns whose values are mapped, in the vindex's order.
    pub columns: Vec<ColumnName>,
    /// The vindex.
    pub vindex: Arc<VindexDefinition>,
    /// How dear it is.
    pub cost: u32,
    /// Whether equal values mean one place.
    pub is_unique: bool,
    /// Whether writes to the table keep the lookup table up to date.
    pub is_owned: bool,
    /// Whether only the leading columns of the vindex are here, so that values map to a range.
    pub is_partial: bool,
}

/// The column that is filled from a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AutoIncrement {
    /// The column.
    pub column: ColumnName,
    /// The sequence, after routing rules.
    pub sequence: QualifiedTable,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: ColumnName,
    /// Its type, if known.
    pub column_type: ColumnType,
    /// Whether `*` leaves it out.
    pub is_invisible: bool,
    /// SQL text of its default.
    pub default: Option<String>,
    /// Its collation, if known.
    pub collation: Option<String>,
    /// Whether it may be NULL.
    pub is_nullable: bool,
    /// Its length, 0 if unknown.
    pub size: u32,
    /// Its digits behind the point.
    pub scale: u32,
    /// Members of an ENUM or SET.
    pub values: Vec<String>,
}

impl Table {
    /// A table of an unsharded keyspace about which nothing more is known.
    pub fn unsharded(keyspace: KeyspaceName, name: &str) -> Self {
        Self {
            keyspace,
            name: name.into(),
            kind: TableKind::Unsharded,
            is_keyspace_sharded: false,
            pinned: None,
            column_vindexes: Vec::new(),
            ordered_vindexes: Vec::new(),
            auto_increment: None,
            columns: Vec::new(),
            column_list_authoritative: false,
            referenced_by: Vec::new(),
        }
    }

    /// The vindex that places the rows.
    pub fn primary_vindex(&self) -> Option<&ColumnVindex> {
        self.column_vindexes.first()
    }

    /// Its full name.
    pub fn qualified(&self) -> QualifiedTable {
        QualifiedTable { keyspace: self.keyspace.clone(), table: self.name.clone() }
    }

    /// The column of that name, if it is known.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Whether it has a lookup vindex that writes must keep up to date.
    pub fn has_owned_lookups(&self) -> bool {
        self.column_vindexes.iter().any(|vindex| vindex.is_owned)
    }
}

impl TableName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ColumnName {
    /// The name as written in the VSchema.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for TableName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Deref for ColumnName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for TableName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&str> for TableName {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl From<&str> for ColumnName {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl PartialEq<str> for TableName {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for TableName {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

impl PartialEq for ColumnName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for ColumnName {}

impl PartialEq<str> for ColumnName {
    fn eq(&self, other: &str) -> bool {
        self.0.eq_ignore_ascii_case(other)
    }
}

impl PartialEq<&str> for ColumnName {
    fn eq(&self, other: &&str) -> bool {
        self.0.eq_ignore_ascii_case(other)
    }
}

impl Hash for ColumnName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.bytes().for_each(|byte| state.write_u8(byte.to_ascii_lowercase()));
        state.write_u8(0xff);
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for ColumnName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ColumnName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for QualifiedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.keyspace, self.table)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn case_counts_for_tables_only() {
        assert_ne!(TableName::from("User"), TableName::from("user"));
        assert_eq!(ColumnName::from("Id"), ColumnName::from("iD"));
        assert_eq!(ColumnName::from("Id"), "ID");
        let names: HashSet<ColumnName> = ["Id".into(), "ID".into(), "id2".into()].into();
        assert_eq!(names.len(), 2);
    }
}
