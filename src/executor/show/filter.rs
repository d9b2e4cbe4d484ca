//! `LIKE` and `WHERE` on results that the router makes itself.
//!
//! Such results are small and all text, so a small evaluator answers: comparisons, `LIKE`, `IN`, `IS NULL`,
//! `AND`, `OR`, `NOT`. It needs no server, because `show vitess_tablets` has to work when all are down.

use super::like::like;
use crate::error::{Error, ErrorKind, Result};
use crate::executor::table::Table;
use crate::sql::ast::{BinaryOperator, Expr, UnaryOperator, Value};

/// Keeps the rows whose cell in `column` matches the pattern.
pub(super) fn keep_like(table: &mut Table, column: usize, pattern: &str) {
    table.rows.retain(|row| {
        row.get(column)
            .and_then(Option::as_deref)
            .is_some_and(|cell| like(pattern, &String::from_utf8_lossy(cell)))
    });
}

/// Keeps the rows for which the condition is true.
pub(super) fn keep_where(table: &mut Table, condition: &Expr) -> Result<()> {
    let mut kept = Vec::with_capacity(table.rows.len());
    for row in std::mem::take(&mut table.rows) {
        let cell = |name: &str| {
            let index = table.names.iter().position(|column| column.eq_ignore_ascii_case(name));
            let unknown =
                || Error::new(ErrorKind::UnknownColumn, format!("Unknown column '{name}' in 'where clause'"));
            let index = index.ok_or_else(unknown)?;
            Ok(row[index].as_ref().map(|cell| String::from_utf8_lossy(cell).into_owned()))
        };
        if truth(condition, &cell)? == Some(true) {
            kept.push(row);
        }
    }
    table.rows = kept;
    Ok(())
}

type Cells<'a> = &'a dyn Fn(&str) -> Result<Option<String>>;

/// Three-valued logic: `None` is unknown.
fn truth(expr: &Expr, cells: Cells<'_>) -> Result<Option<bool>> {
    match expr {
        Expr::Nested(inner) => truth(inner, cells),
        Expr::UnaryOp { op: UnaryOperator::Not | UnaryOperator::BangNot, expr } => {
            Ok(truth(expr, cells)?.map(|truth| !truth))
        }
        Expr::IsNull(expr) => Ok(Some(scalar(expr, cells)?.is_none())),
        Expr::IsNotNull(expr) => Ok(Some(scalar(expr, cells)?.is_some())),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            Ok(match (truth(left, cells)?, truth(right, cells)?) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            })
        }
        Expr::BinaryOp { left, op: BinaryOperator::Or, right } => {
            Ok(match (truth(left, cells)?, truth(right, cells)?) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            })
        }
        Expr::BinaryOp { left, op, right } => {
            let (Some(left), Some(right)) = (scalar(left, cells)?, scalar(right, cells)?) else {
                return Ok(None);
            };
            compare(op, &left, &right).map(Some)
        }
        Expr::Like { negated, expr, pattern, escape_char: None, .. } => {
            let (Some(text), Some(pattern)) = (scalar(expr, cells)?, scalar(pattern, cells)?) else {
                return Ok(None);
            };
            Ok(Some(like(&pattern, &text) != *negated))
        }
        Expr::InList { expr, list, negated } => {
            let Some(wanted) = scalar(expr, cells)? else { return Ok(None) };
            for item in list {
                if scalar(item, cells)?.is_some_and(|item| order(&item, &wanted).is_eq()) {
                    return Ok(Some(!negated));
                }
            }
            Ok(Some(*negated))
        }
        other => Err(unsupported(other)),
    }
}

fn scalar(expr: &Expr, cells: Cells<'_>) -> Result<Option<String>> {
    match expr {
        Expr::Nested(inner) => scalar(inner, cells),
        Expr::Identifier(name) => cells(&name.value),
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => Ok(Some(text.clone())),
            Value::Number(number, _) => Ok(Some(number.to_string())),
            Value::Null => Ok(None),
            _ => Err(unsupported(expr)),
        },
        other => Err(unsupported(other)),
    }
}

fn compare(op: &BinaryOperator, left: &str, right: &str) -> Result<bool> {
    let order = order(left, right);
    Ok(match op {
        BinaryOperator::Eq | BinaryOperator::Spaceship => order.is_eq(),
        BinaryOperator::NotEq => order.is_ne(),
        BinaryOperator::Lt => order.is_lt(),
        BinaryOperator::LtEq => order.is_le(),
        BinaryOperator::Gt => order.is_gt(),
        BinaryOperator::GtEq => order.is_ge(),
        other => return Err(Error::unsupported(format!("operator {other} in the WHERE of this SHOW"))),
    })
}

/// Without regard to case, as the results' collation has it.
fn order(left: &str, right: &str) -> std::cmp::Ordering {
    left.to_lowercase().cmp(&right.to_lowercase())
}

fn unsupported(expr: &Expr) -> Error {
    Error::unsupported(format!("{expr} in the WHERE of this SHOW"))
}
