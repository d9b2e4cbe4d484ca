//! Tables and views as `information_schema` describes them (MySQL manual: "The INFORMATION_SCHEMA COLUMNS Table",
//! "… STATISTICS Table", "… VIEWS Table").

use super::foreign_key::ForeignKey;
use super::sql_type::column_type;
use crate::vschema::{self, ColumnName, ColumnType, TableName};

/// A table or a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// Its name; case counts.
    pub name: TableName,
    /// All its columns, in order, invisible ones too.
    pub columns: Vec<Column>,
    /// Its keys, the primary key first. Views have none.
    pub keys: Vec<Key>,
    /// Its foreign keys, by name; known only where the VSchema has the router keep them.
    pub foreign_keys: Vec<ForeignKey>,
    /// A view's SELECT as the server keeps it: every name is qualified with the server's database
    /// (`vt_customer`.`t`.`id`), and every output has an alias. `None` for tables.
    pub definition: Option<Box<str>>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: ColumnName,
    /// Its type, as VSchemas name types; `Unspecified` for types that they have no name for.
    pub column_type: ColumnType,
    /// Its type as CREATE TABLE needs it, such as `int(10) unsigned` or `enum('a','b')`; without character set,
    /// collation and NULL.
    pub sql_type: Box<str>,
    /// Character set of strings.
    pub charset: Option<Box<str>>,
    /// Collation of strings.
    pub collation: Option<Box<str>>,
    /// Whether it may be NULL.
    pub is_nullable: bool,
    /// Its default as the server shows it: MariaDB writes an expression (`'x'`, `NULL`), MySQL the value (`x`).
    pub default: Option<Box<str>>,
    /// Where its values come from.
    pub generation: Generation,
    /// Whether `*` leaves it out.
    pub is_invisible: bool,
    /// Characters or bytes, or digits of a number; 0 where a type has none.
    pub size: u32,
    /// Digits behind the point, or of fractions of a second.
    pub scale: u32,
}

/// Where a column's values come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Generation {
    /// From statements.
    #[default]
    None,
    /// From statements, or the next number.
    AutoIncrement,
    /// From an expression over other columns: nobody may write it.
    Expression,
}

/// A key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name; `PRIMARY` for the primary key.
    pub name: Box<str>,
    /// What it promises.
    pub kind: KeyKind,
    /// Its parts, in order.
    pub parts: Vec<KeyPart>,
}

/// What a key promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyKind {
    /// No two rows are equal in it, and none has a NULL in it.
    Primary,
    /// No two rows are equal in it, NULLs aside.
    Unique,
    /// Nothing.
    Index,
}

/// A part of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPart {
    /// The column; `None` for an expression.
    pub column: Option<ColumnName>,
    /// Whether only the first characters count.
    pub is_prefix: bool,
}

impl Relation {
    /// A table without columns, to be filled in.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            columns: Vec::new(),
            keys: Vec::new(),
            foreign_keys: Vec::new(),
            definition: None,
        }
    }

    /// Whether it is a view.
    pub fn is_view(&self) -> bool {
        self.definition.is_some()
    }

    /// The column of that name; ASCII case does not count.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// What `*` shows, in order.
    pub fn visible_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| !column.is_invisible)
    }

    /// The columns of the primary key; `None` if there is none, or if a part of it is not a whole column.
    pub fn primary_key(&self) -> Option<Vec<&ColumnName>> {
        self.keys.iter().find(|key| key.kind == KeyKind::Primary)?.columns()
    }

    /// The columns as the planner's tables hold them.
    pub fn vschema_columns(&self) -> Vec<vschema::Column> {
        let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        let column = |column: &Column| vschema::Column {
            name: column.name.clone(),
            column_type: column.column_type,
            is_invisible: column.is_invisible,
            default: text(&column.default),
            collation: text(&column.collation),
            is_nullable: column.is_nullable,
            size: column.size,
            scale: column.scale,
            values: Vec::new(),
        };
        self.columns.iter().map(column).collect()
    }
}

impl Column {
    /// A nullable column of that type. `data_type` is the bare name (`int`), `sql_type` the whole
    /// (`int(10) unsigned`).
    pub fn new(name: &str, data_type: &str, sql_type: &str) -> Self {
        Self {
            name: name.into(),
            column_type: column_type(data_type, sql_type),
            sql_type: sql_type.into(),
            charset: None,
            collation: None,
            is_nullable: true,
            default: None,
            generation: Generation::None,
            is_invisible: false,
            size: 0,
            scale: 0,
        }
    }

    /// The column for a CREATE TABLE that is to hold its values, NULLs too: name, type, character set and
    /// collation, but neither default nor key.
    pub fn declaration(&self) -> String {
        let name = self.name.as_str().replace('`', "``");
        let mut text = format!("`{name}` {}", self.sql_type);
        // BINARY, JSON and numbers have none, and may not be given one.
        if let (Some(charset), Some(collation)) = (&self.charset, &self.collation) {
            text.push_str(&format!(" character set {charset} collate {collation}"));
        }
        text.push_str(" null");
        text
    }
}

impl Key {
    /// Its columns; `None` if a part of it is not a whole column.
    pub fn columns(&self) -> Option<Vec<&ColumnName>> {
        self.parts.iter().map(|part| part.column.as_ref().filter(|_| !part.is_prefix)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case() {
        let columns = vec![Column::new("Id", "bigint", "bigint(20)")];
        let relation = Relation { columns, ..Relation::new("t") };
        assert!(relation.column("iD").is_some() && relation.column("x").is_none());
    }

    #[test]
    fn a_key_on_less_than_columns_has_none() {
        let part = |column: Option<&str>, is_prefix| KeyPart { column: column.map(Into::into), is_prefix };
        let key = |parts: Vec<KeyPart>| Key { name: "PRIMARY".into(), kind: KeyKind::Primary, parts };
        let columns = |parts| key(parts).columns().map(|columns| columns.len());
        assert_eq!(columns(vec![part(Some("a"), false), part(Some("b"), false)]), Some(2));
        assert_eq!(columns(vec![part(Some("a"), false), part(Some("b"), true)]), None);
        assert_eq!(columns(vec![part(None, false)]), None);
    }

    #[test]
    fn declarations_can_be_sent() {
        let mut column = Column::new("a`b", "varchar", "varchar(20)");
        column.charset = Some("latin1".into());
        column.collation = Some("latin1_bin".into());
        assert_eq!(column.declaration(), "`a``b` varchar(20) character set latin1 collate latin1_bin null");
        assert_eq!(Column::new("n", "int", "int unsigned").declaration(), "`n` int unsigned null");
    }
}
