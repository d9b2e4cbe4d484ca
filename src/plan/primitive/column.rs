//! References to columns of a shard's rows.

use std::fmt;

/// A column of the rows that shards deliver: those that the client sees come first, helpers behind them.
/// With `*` the number of visible columns is only known when the rows come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnRef {
    /// Counted from the first helper column.
    Helper(u32),
    /// Counted from the first column.
    Visible(u32),
}

/// One key of an order, a grouping or a distinction.
///
/// Numbers and temporal values are compared by value. Strings are compared by the server's own
/// `WEIGHT_STRING()`, which stands in a helper column; a collation that ignores trailing spaces also has
/// the weight of one space in a helper column (empty for others).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortKey {
    /// The column with the value.
    pub column: ColumnRef,
    /// The helper column with the value's weight string.
    pub weight: Option<ColumnRef>,
    /// The helper column with the weight of one space.
    pub pad: Option<ColumnRef>,
    /// Largest first; NULL is smallest.
    pub descending: bool,
}

impl fmt::Display for ColumnRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Helper(index) => write!(f, "h{index}"),
            Self::Visible(index) => write!(f, "{index}"),
        }
    }
}

impl fmt::Display for SortKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.column)?;
        if let Some(weight) = self.weight {
            write!(f, "|{weight}")?;
        }
        if let Some(pad) = self.pad {
            write!(f, "|{pad}")?;
        }
        f.write_str(if self.descending { " desc" } else { "" })
    }
}
