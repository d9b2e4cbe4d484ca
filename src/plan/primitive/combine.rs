//! Primitives that combine rows of several shards. Each has one input; the leaf is [`EachShard`].

use std::fmt;

use super::{ColumnRef, Primitive, Query, RouteValue, SortKey, Template};

/// Sends a query to every shard of the enclosing route.
#[derive(Clone, Debug, PartialEq)]
pub struct EachShard {
    /// The query; its select list ends with the helper columns.
    pub query: Query,
    /// Number of helper columns.
    pub helpers: u32,
    /// The same query for rows in which a key turns out to be of a type that weights do not order: ENUM, SET,
    /// FLOAT. Its weights are [`super::Piece::Weight`]. `None`: there are no weights.
    pub typed: Option<Box<Template>>,
}

/// Merges streams that are each sorted by `keys`. Its input is an [`EachShard`].
#[derive(Clone, Debug, PartialEq)]
pub struct MergeSort {
    /// The order.
    pub keys: Vec<SortKey>,
    /// The streams.
    pub input: Box<Primitive>,
}

/// Sorts all rows in memory; stable.
#[derive(Clone, Debug, PartialEq)]
pub struct Sort {
    /// The order.
    pub keys: Vec<SortKey>,
    /// The rows.
    pub input: Box<Primitive>,
}

/// Skips `offset` rows and lets `count` through.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// Rows to let through; `None` is all.
    pub count: Option<RouteValue>,
    /// Rows to skip before.
    pub offset: Option<RouteValue>,
    /// The rows.
    pub input: Box<Primitive>,
}

/// Lets each distinct row through once. The first of equal rows is the one that stays.
#[derive(Clone, Debug, PartialEq)]
pub struct Distinct {
    /// One key per visible column; without any, rows are equal when their bytes are.
    pub keys: Vec<SortKey>,
    /// Every column is a key; columns whose values do not say by themselves which are equal are refused.
    pub is_by_value: bool,
    /// The rows.
    pub input: Box<Primitive>,
}

/// Drops the helper columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Truncate {
    /// Number of helper columns at the end of the input's rows.
    pub helpers: u32,
    /// The rows.
    pub input: Box<Primitive>,
}

/// Combines groups that the shards have grouped already. The input is sorted by the group keys, then by the
/// distinct keys. Columns that are not named in `columns` keep the value of the group's first row.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// What makes a group; empty for a scalar aggregate, which has exactly one row even without input.
    pub group: Vec<SortKey>,
    /// Expressions of `DISTINCT` aggregates: each combination counts once.
    pub distinct: Vec<SortKey>,
    /// How columns are combined.
    pub columns: Vec<AggregateColumn>,
    /// Without GROUP BY: one row, also of nothing.
    pub is_scalar: bool,
    /// The rows.
    pub input: Box<Primitive>,
}

/// How one column of an [`Aggregate`] comes to be.
#[derive(Clone, Debug, PartialEq)]
pub struct AggregateColumn {
    /// The column.
    pub column: ColumnRef,
    /// The function.
    pub function: AggregateFunction,
    /// Counts only rows whose distinct keys differ from the row before.
    pub is_distinct: bool,
}

/// How partial results are combined.
#[derive(Clone, Debug, PartialEq)]
pub enum AggregateFunction {
    /// Sum by count, of the two helper columns; the scale is the column's own.
    Avg {
        /// The partial sums.
        sum: ColumnRef,
        /// The partial counts.
        count: ColumnRef,
        /// With the digits that it is compared with, which are more than it shows.
        is_exact: bool,
    },
    /// Counts are added up; nothing is 0.
    Count,
    /// The largest; its weight and pad columns go with it.
    Max {
        /// How values are compared.
        key: SortKey,
    },
    /// The smallest; its weight and pad columns go with it.
    Min {
        /// How values are compared.
        key: SortKey,
    },
    /// Sums are added up; nothing is NULL.
    Sum,
    /// The same for quotients: those of a helper column, which have more digits, are added up, and the sum has as many as
    /// the column shows.
    SumOfQuotients {
        /// The partial sums.
        parts: ColumnRef,
    },
}

/// Keeps rows for which the predicate is true.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    /// What must hold.
    pub predicate: Predicate,
    /// The rows.
    pub input: Box<Primitive>,
}

/// A condition that is true, false or unknown (NULL), as SQL's are.
#[derive(Clone, Debug, PartialEq)]
pub enum Predicate {
    /// All are true.
    And(Vec<Predicate>),
    /// A comparison.
    Compare(Condition),
    /// The column is NULL.
    IsNull(ColumnRef),
    /// It is false.
    Not(Box<Predicate>),
    /// One is true.
    Or(Vec<Predicate>),
}

/// A numeric comparison of a column with a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// The column.
    pub column: ColumnRef,
    /// The operator, column on its left.
    pub comparison: Comparison,
    /// The value.
    pub value: RouteValue,
}

/// A comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `<>`
    NotEqual,
}

impl Comparison {
    /// The operator with its sides exchanged.
    #[must_use]
    pub fn flipped(self) -> Self {
        match self {
            Self::Equal | Self::NotEqual => self,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
        }
    }
}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, parts: &[Self], word: &str| {
            for (index, part) in parts.iter().enumerate() {
                write!(f, "{}{part}", if index == 0 { "(" } else { word })?;
            }
            f.write_str(")")
        };
        match self {
            Self::And(parts) => list(f, parts, " and "),
            Self::Compare(condition) => {
                write!(f, "{} {} {}", condition.column, condition.comparison, condition.value)
            }
            Self::IsNull(column) => write!(f, "{column} is null"),
            Self::Not(inner) => write!(f, "not {inner}"),
            Self::Or(parts) => list(f, parts, " or "),
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::NotEqual => "<>",
        })
    }
}

impl fmt::Display for AggregateColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let distinct = if self.is_distinct { "distinct " } else { "" };
        match &self.function {
            AggregateFunction::Avg { sum, count, is_exact } => {
                let exact = if *is_exact { " exact" } else { "" };
                write!(f, "avg({distinct}{}: {sum}/{count}{exact})", self.column)
            }
            AggregateFunction::Count => write!(f, "count({distinct}{})", self.column),
            AggregateFunction::Max { key } => write!(f, "max({key})"),
            AggregateFunction::Min { key } => write!(f, "min({key})"),
            AggregateFunction::Sum => write!(f, "sum({distinct}{})", self.column),
            AggregateFunction::SumOfQuotients { parts } => write!(f, "sum({}: {parts})", self.column),
        }
    }
}
