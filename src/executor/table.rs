//! Small results that the router answers itself, such as `show vitess_tablets`.

use crate::wire::{ColumnDefinition, ColumnFlags, ColumnType};

/// A column of a router-made result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: &'static str,
    pub kind: ColumnKind,
}

/// What a column of a router-made result holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// Numbers of errors, as `SHOW WARNINGS` has them: INT UNSIGNED.
    ErrorNumber,
    /// Signed integers, in decimal.
    Integer,
    /// Text in utf8mb4.
    Text,
    /// Unsigned integers, in decimal.
    Unsigned,
    /// Unsigned integers, never NULL: what the session's functions give.
    UnsignedNotNull,
}

/// One value: text bytes, or NULL.
pub type Cell = Option<Vec<u8>>;

/// A result held in memory; what it lists is bounded by the topology or the session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    pub names: Vec<String>,
    pub kinds: Vec<ColumnKind>,
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty table with these columns.
    pub fn new(columns: &[Column]) -> Self {
        Self {
            names: columns.iter().map(|column| column.name.to_owned()).collect(),
            kinds: columns.iter().map(|column| column.kind).collect(),
            rows: Vec::new(),
        }
    }

    /// An empty table of text columns.
    pub fn of_text<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        Self { kinds: vec![ColumnKind::Text; names.len()], names, rows: Vec::new() }
    }

    /// Adds a row of text cells.
    pub fn push<C: AsRef<[u8]>>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.rows.push(cells.into_iter().map(|cell| Some(cell.as_ref().to_vec())).collect());
    }

    /// The columns as the protocol describes them.
    pub fn definitions(&self) -> Vec<ColumnDefinition> {
        let columns = self.names.iter().zip(&self.kinds);
        columns
            .map(|(name, kind)| match kind {
                ColumnKind::ErrorNumber => {
                    let column = with_flags(name, ColumnFlags::UNSIGNED);
                    ColumnDefinition { column_type: ColumnType::LONG, length: 4, ..column }
                }
                ColumnKind::Integer => ColumnDefinition::integer(name.as_str()),
                ColumnKind::Text => ColumnDefinition::text(name.as_str(), IDENTIFIER_CHARACTERS),
                ColumnKind::Unsigned => with_flags(name, ColumnFlags::UNSIGNED),
                ColumnKind::UnsignedNotNull => {
                    with_flags(name, ColumnFlags::UNSIGNED | ColumnFlags::NOT_NULL)
                }
            })
            .collect()
    }
}

fn with_flags(name: &str, flags: ColumnFlags) -> ColumnDefinition {
    let mut column = ColumnDefinition::integer(name);
    column.flags |= flags;
    column
}

/// Longest identifier in MySQL, in characters.
const IDENTIFIER_CHARACTERS: u32 = 64;
