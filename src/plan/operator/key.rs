//! Keys for comparing expressions of shards' rows as the servers do.

use std::ops::Range;

use super::Horizon;
use crate::error::{Error, Result};
use crate::plan::primitive::{ColumnRef, Piece, SortKey};
use crate::plan::semantics::walk;
use crate::sql::ast::{Expr, Ident};
use crate::vschema::ColumnType;

impl Horizon<'_> {
    /// Is it a column (or the smallest or largest value of one) whose type the VSchema knows to need no weights?
    fn is_known_number(&self, expr: &Expr) -> bool {
        let scope = &self.scope;
        match walk::bare(expr) {
            Expr::Identifier(name) => is_by_value(scope.column_type(std::slice::from_ref(name))),
            Expr::CompoundIdentifier(names) => is_by_value(scope.column_type(names)),
            Expr::Function(function) if walk::is_aggregate(expr) => {
                let is_extreme =
                    walk::function_name(function).is_some_and(|name| name == "min" || name == "max");
                let mut argument = None;
                let seen = walk::parts(expr, &mut |part| {
                    if let walk::Part::Expr(part) = part {
                        argument = Some(part);
                    }
                    Ok(())
                });
                is_extreme && seen.is_ok() && argument.is_some_and(|argument| self.is_known_number(argument))
            }
            _ => false,
        }
    }

    /// Is it MIN or MAX of an ENUM or SET? They are found by their text but sorted by their numbers, if the server has put
    /// its groups into a temporary table: only one that does the whole statement knows.
    fn is_extreme_of_set(&self, expr: &Expr) -> bool {
        let Expr::Function(function) = expr else { return false };
        let name = walk::function_name(function);
        if function.over.is_some() || !name.is_some_and(|name| name == "min" || name == "max") {
            return false;
        }
        let is_set = |part: &Expr| {
            let column_type = match walk::bare(part) {
                Expr::Identifier(name) => self.scope.column_type(std::slice::from_ref(name)),
                Expr::CompoundIdentifier(names) => self.scope.column_type(names),
                _ => return false,
            };
            matches!(column_type, ColumnType::Enum | ColumnType::Set)
        };
        let mut found = false;
        let seen = walk::parts(expr, &mut |part| {
            found |= matches!(part, walk::Part::Expr(part) if is_set(part));
            Ok(())
        });
        found || seen.is_err()
    }

    /// The same for a part of an expression.
    pub(crate) fn has_extreme_of_set(&self, expr: &Expr) -> Result<bool> {
        walk::any(expr, &mut |part| self.is_extreme_of_set(part))
    }

    /// A key on an expression whose value stands in `column`.
    ///
    /// The expression's type is not known here, so the servers' `WEIGHT_STRING()` is asked for alongside, and
    /// the weight of one space where the collation ignores trailing spaces; both are NULL or unused for
    /// numbers. Of a grouped SELECT they are wrapped in MIN: they are the same for the whole group, but
    /// `ONLY_FULL_GROUP_BY` does not know that.
    pub(crate) fn sort_key(
        &mut self,
        expr: &Expr,
        range: &Range<usize>,
        column: ColumnRef,
    ) -> Result<SortKey> {
        if self.is_extreme_of_set(walk::bare(expr)) {
            return Err(Error::unsupported(
                "an order by the smallest or largest ENUM or SET over several shards",
            ));
        }
        if is_number(expr) || self.is_known_number(expr) {
            return Ok(SortKey { column, weight: None, pad: None, descending: false });
        }
        let text = self.pieces(range);
        Ok(self.weight_key(text, walk::has_aggregate(expr)?, column))
    }

    /// A key on a name that may be a column's or an alias: what the servers take it for is only known to them.
    /// A sub-query in the select list sees both, columns first, as GROUP BY and expressions in ORDER BY do.
    pub(crate) fn name_key(&mut self, range: &Range<usize>) -> SortKey {
        let mut text = vec![Piece::text("(select ")];
        text.extend(self.pieces(range));
        text.push(Piece::text(")"));
        let text = joined(text);
        let column = self.helper(text.clone());
        self.weight_key(text, false, column)
    }

    fn weight_key(&mut self, text: Vec<Piece>, has_aggregate: bool, column: ColumnRef) -> SortKey {
        let needs_min = self.shape.is_aggregated && !has_aggregate;
        let call = |parts: &[Option<&str>]| {
            let mut pieces = Vec::new();
            pieces.extend(needs_min.then(|| Piece::text("min(")));
            for part in parts {
                match part {
                    Some(sql) => pieces.push(Piece::text(sql)),
                    None => pieces.extend(text.iter().cloned()),
                }
            }
            pieces.extend(needs_min.then(|| Piece::text(")")));
            joined(pieces)
        };
        let weight = call(&[Some("weight_string("), None, Some(")")]);
        let pad = call(&[
            Some("if(concat(left("),
            None,
            Some(",0),'a')=concat(left("),
            None,
            Some(",0),'a '),weight_string(concat(left("),
            None,
            Some(",0),' ')),'')"),
        ]);
        let (weight, pad) = (self.helper(weight), self.helper(pad));
        // The largest ENUM value of a group is found by its text, so its number orders nothing.
        if let ColumnRef::Helper(helper) = weight
            && !has_aggregate
            && !self.weights.iter().any(|(known, _)| *known == helper)
        {
            self.weights.push((helper, Piece::Weight { helper, text, is_minimum: needs_min }));
        }
        SortKey { column, weight: Some(weight), pad: Some(pad), descending: false }
    }

    /// Does the expression mention an alias of the select list that may be a column as well?
    pub(crate) fn mentions_alias(&self, expr: &Expr) -> Result<bool> {
        walk::any(expr, &mut |part| match part {
            Expr::Identifier(name) => {
                self.aliased(name).is_some_and(|index| !self.is_alias_of_itself(name, index))
            }
            _ => false,
        })
    }

    /// `t.name as name`: alias and column are the same.
    fn is_alias_of_itself(&self, name: &Ident, item: usize) -> bool {
        let column = match self.items[item].expr.map(walk::bare) {
            Some(Expr::Identifier(column)) => Some(column),
            Some(Expr::CompoundIdentifier(names)) => names.last(),
            _ => None,
        };
        column.is_some_and(|column| column.value.eq_ignore_ascii_case(&name.value))
    }
}

/// Functions whose results are numbers whatever their arguments are.
const NUMBERS: [&str; 21] = [
    "ascii",
    "avg",
    "bit_count",
    "char_length",
    "count",
    "crc32",
    "datediff",
    "day",
    "dayofmonth",
    "dayofweek",
    "dayofyear",
    "hour",
    "length",
    "minute",
    "month",
    "quarter",
    "second",
    "sum",
    "week",
    "weekday",
    "year",
];

fn is_number(expr: &Expr) -> bool {
    match walk::bare(expr) {
        Expr::Function(function) => {
            walk::function_name(function).is_some_and(|name| NUMBERS.contains(&name.as_str()))
        }
        Expr::Cast { data_type, .. } => {
            let name = data_type.to_string().to_ascii_lowercase();
            ["date", "decimal", "double", "signed", "time", "unsigned", "year"]
                .iter()
                .any(|t| name.starts_with(t))
        }
        _ => false,
    }
}

/// Types that are compared by value.
fn is_by_value(column_type: ColumnType) -> bool {
    use ColumnType as T;
    column_type.is_integral()
        || matches!(column_type, T::Float64 | T::Timestamp | T::Date | T::Time | T::DateTime | T::Decimal)
}

/// Neighbouring texts as one, so that equal texts are equal pieces.
pub(crate) fn joined(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut template = crate::plan::primitive::Template::default();
    for piece in pieces {
        match piece {
            Piece::Text(text) => template.push_text(&text),
            other => template.pieces.push(other),
        }
    }
    template.pieces
}
