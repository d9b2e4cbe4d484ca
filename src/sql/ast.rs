//! The AST as the other rooms see it: the parser crate's types, and what MySQL adds to reading them.
//!
//! How MySQL's forms are represented where the types alone do not say it:
//! - `@x`, `@@x`, `DEFAULT`: an unquoted [`Ident`] with exactly that text;
//! - `CURRENT_USER` and the like: a [`Function`] with [`FunctionArguments::None`];
//! - types of `CAST` and `CONVERT`: [`DataType::Custom`] with their source text;
//! - `BINARY a`: a cast to [`DataType::Binary`]; `a SOUNDS LIKE b`: [`BinaryOperator::Custom`];
//! - `UPDATE a, b`: cross joins; `DELETE FROM a USING …`: as `DELETE a FROM …`;
//! - `UPDATE IGNORE`: `or`; `LOW_PRIORITY`, `QUICK`, `DELETE IGNORE`: see [`MODIFIER`];
//! - `SELECT NEXT n VALUES FROM seq`: a call of `NEXT_VALUES`.

pub use sqlparser::ast::*;
pub use sqlparser::tokenizer::Location;

/// Prefix of those entries of `optimizer_hints` that are no hints but words behind the verb.
pub const MODIFIER: &str = "modifier";

/// Name of the call that stands for `NEXT n VALUES`; without arguments it is `NEXT VALUE`.
pub const NEXT_VALUES: &str = "NEXT_VALUES";
