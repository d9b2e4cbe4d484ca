//! The direct parts of an expression: sub-expressions and sub-queries.
//!
//! Closed on purpose: an expression that is not listed here is refused, so nothing is overlooked.

use crate::error::{Error, Result};
use crate::sql::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, Query, WindowType,
};

/// A part of an expression.
pub(crate) enum Part<'a> {
    Expr(&'a Expr),
    Query(&'a Query),
}

/// Calls `visit` for each direct part of `expr`.
pub(crate) fn parts<'a>(expr: &'a Expr, visit: &mut dyn FnMut(Part<'a>) -> Result<()>) -> Result<()> {
    let mut each = |exprs: &[&'a Expr]| exprs.iter().try_for_each(|expr| visit(Part::Expr(expr)));
    match expr {
        Expr::Identifier(_)
        | Expr::CompoundIdentifier(_)
        | Expr::Value(_)
        | Expr::TypedString(_)
        | Expr::MatchAgainst { .. }
        | Expr::Wildcard(_)
        | Expr::QualifiedWildcard(..) => Ok(()),
        Expr::IsFalse(e)
        | Expr::IsNotFalse(e)
        | Expr::IsTrue(e)
        | Expr::IsNotTrue(e)
        | Expr::IsNull(e)
        | Expr::IsNotNull(e)
        | Expr::IsUnknown(e)
        | Expr::IsNotUnknown(e)
        | Expr::Nested(e)
        | Expr::UnaryOp { expr: e, .. }
        | Expr::Cast { expr: e, .. }
        | Expr::Convert { expr: e, .. }
        | Expr::Extract { expr: e, .. }
        | Expr::Ceil { expr: e, .. }
        | Expr::Floor { expr: e, .. }
        | Expr::Collate { expr: e, .. }
        | Expr::Prefixed { value: e, .. } => each(&[e]),
        Expr::IsDistinctFrom(a, b)
        | Expr::IsNotDistinctFrom(a, b)
        | Expr::BinaryOp { left: a, right: b, .. }
        | Expr::Position { expr: a, r#in: b } => each(&[a, b]),
        Expr::Interval(interval) => each(&[&interval.value]),
        Expr::MemberOf(member) => each(&[&member.value, &member.array]),
        Expr::Between { expr, low, high, .. } => each(&[expr, low, high]),
        Expr::Like { expr, pattern, escape_char, .. } => {
            each(&[expr, pattern])?;
            escape_char.iter().try_for_each(|escape| each(&[escape]))
        }
        Expr::RLike { expr, pattern, .. } => each(&[expr, pattern]),
        Expr::Substring { expr, substring_from, substring_for, .. } => {
            each(&[expr])?;
            substring_from.iter().chain(substring_for).try_for_each(|part| each(&[part]))
        }
        Expr::Trim { expr, trim_what, .. } => {
            each(&[expr])?;
            trim_what.iter().try_for_each(|what| each(&[what]))
        }
        Expr::Tuple(items) => items.iter().try_for_each(|item| each(&[item])),
        Expr::InList { expr, list, .. } => {
            each(&[expr])?;
            list.iter().try_for_each(|item| each(&[item]))
        }
        Expr::Case { operand, conditions, else_result, .. } => {
            operand.iter().chain(else_result).try_for_each(|part| each(&[part]))?;
            conditions.iter().try_for_each(|when| each(&[&when.condition, &when.result]))
        }
        Expr::InSubquery { expr, subquery, .. } => {
            each(&[expr])?;
            visit(Part::Query(subquery))
        }
        Expr::Exists { subquery, .. } | Expr::Subquery(subquery) => visit(Part::Query(subquery)),
        Expr::AnyOp { left, right, .. } | Expr::AllOp { left, right, .. } => each(&[left, right]),
        Expr::Function(function) => function_parts(function, visit),
        other => Err(Error::unsupported(format!("the expression {other}"))),
    }
}

fn function_parts<'a>(function: &'a Function, visit: &mut dyn FnMut(Part<'a>) -> Result<()>) -> Result<()> {
    match &function.args {
        FunctionArguments::None => {}
        FunctionArguments::Subquery(query) => visit(Part::Query(query))?,
        FunctionArguments::List(list) => {
            for arg in &list.args {
                let (FunctionArg::Unnamed(arg)
                | FunctionArg::Named { arg, .. }
                | FunctionArg::ExprNamed { arg, .. }) = arg;
                if let FunctionArgExpr::Expr(expr) = arg {
                    visit(Part::Expr(expr))?;
                }
            }
            for clause in &list.clauses {
                if let FunctionArgumentClause::OrderBy(keys) = clause {
                    keys.iter().try_for_each(|key| visit(Part::Expr(&key.expr)))?;
                }
            }
        }
    }
    if let Some(WindowType::WindowSpec(window)) = &function.over {
        window.partition_by.iter().try_for_each(|expr| visit(Part::Expr(expr)))?;
        window.order_by.iter().try_for_each(|key| visit(Part::Expr(&key.expr)))?;
    }
    if let Some(filter) = &function.filter {
        visit(Part::Expr(filter))?;
    }
    function.within_group.iter().try_for_each(|key| visit(Part::Expr(&key.expr)))
}

/// Does `test` hold for `expr` or a part of it? Sub-queries are not entered.
pub(crate) fn any(expr: &Expr, test: &mut dyn FnMut(&Expr) -> bool) -> Result<bool> {
    if test(expr) {
        return Ok(true);
    }
    let mut found = false;
    parts(expr, &mut |part| {
        if let Part::Expr(part) = part {
            found = found || any(part, test)?;
        }
        Ok(())
    })?;
    Ok(found)
}

/// The expression without parentheses around it.
pub(crate) fn bare(mut expr: &Expr) -> &Expr {
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}

/// The name of a function that is called without qualifier, in lower case.
pub(crate) fn function_name(function: &Function) -> Option<String> {
    match function.name.0.as_slice() {
        [part] => part.as_ident().map(|ident| ident.value.to_ascii_lowercase()),
        _ => None,
    }
}

/// Is it an aggregate function (not a window function) that MySQL or MariaDB knows?
pub(crate) fn is_aggregate(expr: &Expr) -> bool {
    const NAMES: [&str; 23] = [
        "any_value",
        "avg",
        "bit_and",
        "bit_or",
        "bit_xor",
        "count",
        "group_concat",
        "json_arrayagg",
        "json_objectagg",
        "max",
        "min",
        "std",
        "stddev",
        "stddev_pop",
        "stddev_samp",
        "sum",
        "var_pop",
        "var_samp",
        "variance",
        "median",
        "percentile_cont",
        "percentile_disc",
        "st_collect",
    ];
    matches!(expr, Expr::Function(function) if function.over.is_none()
        && function_name(function).is_some_and(|name| NAMES.contains(&name.as_str())))
}

/// Is it called with DISTINCT?
pub(crate) fn is_distinct(function: &Function) -> bool {
    matches!(&function.args, FunctionArguments::List(list)
        if list.duplicate_treatment == Some(DuplicateTreatment::Distinct))
}

/// Does it contain an aggregate function outside of sub-queries?
pub(crate) fn has_aggregate(expr: &Expr) -> Result<bool> {
    any(expr, &mut is_aggregate)
}

/// Does it contain a window function outside of sub-queries?
pub(crate) fn has_window(expr: &Expr) -> Result<bool> {
    any(expr, &mut |expr| matches!(expr, Expr::Function(function) if function.over.is_some()))
}

/// Does it contain a sub-query?
pub(crate) fn has_subquery(expr: &Expr) -> Result<bool> {
    let mut found = false;
    parts(expr, &mut |part| {
        match part {
            Part::Query(_) => found = true,
            Part::Expr(part) => found = found || has_subquery(part)?,
        }
        Ok(())
    })?;
    Ok(found)
}
