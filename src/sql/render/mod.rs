//! AST -> MySQL text. Placeholders become the holes of a [`Template`].
//!
//! The crate's own printing is for all dialects at once; this one writes what MySQL and MariaDB both read as the
//! same tree: parentheses where operators need them, quotes around reserved names, strings escaped as the
//! session's `sql_mode` wants it.

use super::ast::{Expr, Query, SelectItem, Statement};
use super::options::SqlMode;
use super::template::Template;

mod expression;
mod function;
mod query;
mod table;
mod write;
mod writer;

use writer::Writer;

/// The text of a statement: a query, `INSERT`, `UPDATE` or `DELETE`.
pub fn statement(statement: &Statement) -> Template {
    statement_in(statement, SqlMode::empty())
}

/// The text of a statement for a session with these flags of `sql_mode`.
pub fn statement_in(statement: &Statement, mode: SqlMode) -> Template {
    let mut writer = Writer::new(mode);
    writer.statement(statement);
    writer.finish()
}

/// The text of a query.
pub fn query(query: &Query) -> Template {
    query_in(query, SqlMode::empty())
}

/// The text of a query for a session with these flags of `sql_mode`.
pub fn query_in(query: &Query, mode: SqlMode) -> Template {
    let mut writer = Writer::new(mode);
    writer.query(query);
    writer.finish()
}

/// The text of an expression.
pub fn expression(expr: &Expr) -> Template {
    expression_in(expr, SqlMode::empty())
}

/// The text of an expression for a session with these flags of `sql_mode`.
pub fn expression_in(expr: &Expr, mode: SqlMode) -> Template {
    let mut writer = Writer::new(mode);
    writer.expression(expr);
    writer.finish()
}

/// The text of a select item, with its alias.
pub fn select_item_in(item: &SelectItem, mode: SqlMode) -> Template {
    let mut writer = Writer::new(mode);
    writer.select_item(item);
    writer.finish()
}

#[cfg(test)]
mod tests;
