//! Combined rows whose rest is left to a server: expressions over aggregates, windows over groups.

use super::{Primitive, Template};

/// Puts the rows of a tree into a temporary table on one server, which evaluates the rest of the query over them.
///
/// It is how [`super::Gather`] works, but for rows that the shards and the router have combined before, so
/// that there are few.
#[derive(Clone, Debug, PartialEq)]
pub struct Finish {
    /// A query without rows whose columns are those of the rows, for a server to make the table from.
    pub definition: Template,
    /// The statement itself without rows, for its columns as a server describes them.
    pub description: Template,
    /// What gives the rows.
    pub rows: Box<Primitive>,
    /// The rest of the query, over the table [`super::Piece::Gathered`] 0.
    pub query: Template,
    /// Averages are computed with as a sum divided by a count: MySQL rounds that, but not
    /// an average.
    pub divides: bool,
    /// Quotients are summed up: MariaDB has more digits of their sum inside of an expression than it shows.
    pub sums_quotients: bool,
}
