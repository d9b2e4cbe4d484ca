//! Conditions that may be checked where a table's rows are, before anything else sees them: made of columns,
//! constants and functions that give the same for the same arguments.

use super::walk::{self, Part, bare};
use crate::error::Result;
use crate::plan::primitive::{Piece, Template};
use crate::sql::SqlMode;
use crate::sql::ast::{BinaryOperator, Expr, FunctionArguments, ObjectName, UnaryOperator};

/// The columns that a condition names.
#[derive(Debug, Default)]
pub(crate) struct Names<'e> {
    pub(crate) qualifiers: Vec<&'e str>,
    pub(crate) columns: Vec<&'e str>,
    pub(crate) is_qualified: bool,
}

/// Functions that depend on nothing but their arguments.
const FUNCTIONS: [&str; 62] = [
    "abs",
    "ascii",
    "bin",
    "bit_length",
    "ceil",
    "ceiling",
    "char_length",
    "character_length",
    "coalesce",
    "concat",
    "concat_ws",
    "conv",
    "crc32",
    "date",
    "date_add",
    "date_format",
    "date_sub",
    "datediff",
    "day",
    "dayofmonth",
    "dayofweek",
    "dayofyear",
    "elt",
    "field",
    "find_in_set",
    "floor",
    "greatest",
    "hex",
    "hour",
    "if",
    "ifnull",
    "instr",
    "isnull",
    "json_contains",
    "json_extract",
    "json_unquote",
    "lcase",
    "least",
    "left",
    "length",
    "locate",
    "lower",
    "lpad",
    "ltrim",
    "md5",
    "minute",
    "mod",
    "month",
    "nullif",
    "pow",
    "quarter",
    "replace",
    "reverse",
    "right",
    "round",
    "second",
    "substr",
    "substring",
    "trim",
    "ucase",
    "upper",
    "year",
];

/// Does the function depend on nothing but its arguments? Its name is in lower case.
pub(crate) fn is_pure(name: &str) -> bool {
    FUNCTIONS.contains(&name)
}

/// The columns of a condition that may be checked early; `None` if it may not, or names no column.
pub(crate) fn names(expr: &Expr) -> Result<Option<Names<'_>>> {
    let mut names = Names { is_qualified: true, ..Names::default() };
    let fits = collect(expr, &mut names)?;
    Ok((fits && !names.columns.is_empty()).then_some(names))
}

fn collect<'e>(expr: &'e Expr, names: &mut Names<'e>) -> Result<bool> {
    match expr {
        Expr::Identifier(name) => {
            let is_variable = name.quote_style.is_none() && name.value.starts_with('@');
            names.columns.push(&name.value);
            names.is_qualified = false;
            Ok(!is_variable && !name.value.eq_ignore_ascii_case("default"))
        }
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [table, column] if !table.value.starts_with('@') => {
                names.qualifiers.push(&table.value);
                names.columns.push(&column.value);
                Ok(true)
            }
            _ => Ok(false),
        },
        Expr::Function(function) => {
            let is_plain = function.over.is_none()
                && function.filter.is_none()
                && function.within_group.is_empty()
                && matches!(&function.args, FunctionArguments::List(list) if list.clauses.is_empty());
            let is_known =
                walk::function_name(function).is_some_and(|name| FUNCTIONS.contains(&name.as_str()));
            Ok(is_plain && is_known && collect_parts(expr, names)?)
        }
        _ if is_date(expr) => Ok(true),
        Expr::BinaryOp { op, .. } => {
            let is_known = matches!(
                op,
                BinaryOperator::And
                    | BinaryOperator::Or
                    | BinaryOperator::Xor
                    | BinaryOperator::Eq
                    | BinaryOperator::NotEq
                    | BinaryOperator::Lt
                    | BinaryOperator::LtEq
                    | BinaryOperator::Gt
                    | BinaryOperator::GtEq
                    | BinaryOperator::Plus
                    | BinaryOperator::Minus
                    | BinaryOperator::Multiply
                    | BinaryOperator::Divide
                    | BinaryOperator::Modulo
                    | BinaryOperator::Spaceship
            );
            Ok(is_known && collect_parts(expr, names)?)
        }
        Expr::MatchAgainst { columns, opt_search_modifier: modifier, .. } => {
            let fits = columns.iter().all(|column| searched(column, names));
            Ok(fits && super::relevance::is_own_affair(modifier.as_ref()))
        }
        Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Not | UnaryOperator::Plus, .. }
        | Expr::Value(_)
        | Expr::Nested(_)
        | Expr::IsFalse(_)
        | Expr::IsNotFalse(_)
        | Expr::IsTrue(_)
        | Expr::IsNotTrue(_)
        | Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::Between { .. }
        | Expr::InList { .. }
        | Expr::Like { .. }
        | Expr::Tuple(_) => collect_parts(expr, names),
        _ => Ok(false),
    }
}

/// Is it a date that the text gives, or one so many days from it?
fn is_date(expr: &Expr) -> bool {
    let is_given = |expr: &Expr| matches!(bare(expr), Expr::TypedString(_));
    let is_length = |expr: &Expr| matches!(bare(expr), Expr::Interval(interval) if matches!(*interval.value, Expr::Value(_)));
    match expr {
        Expr::BinaryOp { left, op: BinaryOperator::Plus | BinaryOperator::Minus, right } => {
            is_given(left) && is_length(right)
        }
        other => is_given(other),
    }
}

/// Notes a column that a search looks into.
fn searched<'e>(column: &'e ObjectName, names: &mut Names<'e>) -> bool {
    let parts: Option<Vec<_>> = column.0.iter().map(|part| part.as_ident()).collect();
    match parts.as_deref() {
        Some([column]) => {
            names.columns.push(&column.value);
            names.is_qualified = false;
        }
        Some([table, column]) => {
            names.qualifiers.push(&table.value);
            names.columns.push(&column.value);
        }
        _ => return false,
    }
    true
}

fn collect_parts<'e>(expr: &'e Expr, names: &mut Names<'e>) -> Result<bool> {
    let mut fits = true;
    walk::parts(expr, &mut |part| {
        match part {
            Part::Expr(part) => fits = fits && collect(part, names)?,
            Part::Query(_) => fits = false,
        }
        Ok(())
    })?;
    Ok(fits)
}

/// Is it certain that the condition does not hold for a row of NULLs?
pub(crate) fn rejects_null(expr: &Expr) -> bool {
    let is_column = |expr: &Expr| matches!(bare(expr), Expr::Identifier(_) | Expr::CompoundIdentifier(_));
    match bare(expr) {
        Expr::BinaryOp { left, op, right } => {
            matches!(
                op,
                BinaryOperator::Eq
                    | BinaryOperator::NotEq
                    | BinaryOperator::Lt
                    | BinaryOperator::LtEq
                    | BinaryOperator::Gt
                    | BinaryOperator::GtEq
            ) && (is_column(left) || is_column(right))
        }
        Expr::InList { expr, negated: false, .. }
        | Expr::Between { expr, negated: false, .. }
        | Expr::Like { expr, negated: false, .. } => is_column(expr),
        _ => false,
    }
}

/// The condition's text.
pub(crate) fn text(expr: &Expr, mode: SqlMode) -> Template {
    let mut text = Template::default();
    for piece in crate::sql::render::expression_in(expr, mode).pieces() {
        match piece {
            crate::sql::Piece::Arg(index) => text.pieces.push(Piece::Arg(*index)),
            crate::sql::Piece::ListArg(index) => text.pieces.push(Piece::List(*index)),
            crate::sql::Piece::Text(part) => text.push_text(part),
            // Values that plans make while they run: the client's text has none.
            crate::sql::Piece::Bind(_) | crate::sql::Piece::BindList(_) => {}
        }
    }
    text
}
