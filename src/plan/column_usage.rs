//! Which columns a statement uses for what, as JSON: for choosing sharding keys (`VEXPLAIN KEYS` of Vitess).
//!
//! Looks at the syntax tree alone and knows no tables: a column without qualifier belongs to the only table, or to none.

use std::collections::BTreeSet;

use serde_json::json;

use crate::error::Result;
use crate::sql::ast::{
    BinaryOperator, Expr, GroupByExpr, JoinConstraint, JoinOperator, Query, Select, SelectItem, SetExpr,
    Statement, TableFactor, TableWithJoins,
};
use crate::sql::{LexOptions, Lexed, StatementKind};

/// The JSON text.
pub fn column_usage(text: &[u8], options: &LexOptions) -> Result<String> {
    let mut lexed = Lexed::new();
    crate::sql::lex(text, 0, options, &mut lexed)?;
    let statement = crate::sql::parse(text, &lexed, options).map_err(|failure| failure.to_error(text))?;
    let mut usage = Usage::default();
    match &statement {
        Statement::Query(query) => usage.query(query),
        Statement::Update(update) => {
            usage.tables(std::slice::from_ref(&update.table));
            update.selection.iter().for_each(|expr| usage.condition(expr));
        }
        Statement::Delete(delete) => {
            let (crate::sql::ast::FromTable::WithFromKeyword(from)
            | crate::sql::ast::FromTable::WithoutKeyword(from)) = &delete.from;
            usage.tables(from);
            delete.selection.iter().for_each(|expr| usage.condition(expr));
        }
        _ => {}
    }
    let kind = match lexed.kind {
        StatementKind::Delete => "DELETE",
        StatementKind::Insert => "INSERT",
        StatementKind::Replace => "REPLACE",
        StatementKind::Update => "UPDATE",
        _ => "SELECT",
    };
    let names: BTreeSet<&String> = usage.tables.iter().map(|(_, name)| name).collect();
    let value = json!({
        "statementType": kind,
        "tableName": names,
        "groupingColumns": usage.grouping,
        "joinPredicates": usage.joins,
        "filterColumns": usage.filters,
        "selectColumns": usage.selected,
    });
    Ok(format!("{value:#}"))
}

#[derive(Default)]
struct Usage {
    /// Alias and name.
    tables: Vec<(String, String)>,
    grouping: BTreeSet<String>,
    joins: BTreeSet<String>,
    filters: BTreeSet<String>,
    selected: BTreeSet<String>,
}

impl Usage {
    fn query(&mut self, query: &Query) {
        self.body(&query.body);
    }

    fn body(&mut self, body: &SetExpr) {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::Query(query) => self.query(query),
            SetExpr::SetOperation { left, right, .. } => {
                self.body(left);
                self.body(right);
            }
            _ => {}
        }
    }

    fn select(&mut self, select: &Select) {
        self.tables(&select.from);
        for item in &select.projection {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                for name in self.columns_in(expr) {
                    self.selected.insert(name);
                }
            }
        }
        if let GroupByExpr::Expressions(exprs, _) = &select.group_by {
            for name in exprs.iter().filter_map(|expr| self.column(expr)).collect::<Vec<_>>() {
                self.grouping.insert(name);
            }
        }
        select.selection.iter().for_each(|expr| self.condition(expr));
    }

    fn tables(&mut self, from: &[TableWithJoins]) {
        for item in from {
            self.table(&item.relation);
            item.joins.iter().for_each(|join| self.table(&join.relation));
        }
        for join in from.iter().flat_map(|item| &item.joins) {
            let (JoinOperator::Join(constraint)
            | JoinOperator::Inner(constraint)
            | JoinOperator::Left(constraint)
            | JoinOperator::LeftOuter(constraint)
            | JoinOperator::Right(constraint)
            | JoinOperator::RightOuter(constraint)
            | JoinOperator::StraightJoin(constraint)
            | JoinOperator::CrossJoin(constraint)) = &join.join_operator
            else {
                continue;
            };
            if let JoinConstraint::On(expr) = constraint {
                self.condition(expr);
            }
        }
    }

    fn table(&mut self, factor: &TableFactor) {
        match factor {
            TableFactor::Table { name, alias, .. } => {
                let name = name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.clone());
                let name = name.unwrap_or_default();
                let alias = alias.as_ref().map_or_else(|| name.clone(), |alias| alias.name.value.clone());
                self.tables.push((alias, name));
            }
            TableFactor::Derived { subquery, .. } => self.query(subquery),
            TableFactor::NestedJoin { table_with_joins, .. } => {
                self.tables(std::slice::from_ref(table_with_joins));
            }
            _ => {}
        }
    }

    /// Comparisons that must all hold.
    fn condition(&mut self, expr: &Expr) {
        match expr {
            Expr::Nested(inner) => self.condition(inner),
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                self.condition(left);
                self.condition(right);
            }
            Expr::BinaryOp { left, op, right } => match (self.column(left), self.column(right)) {
                (Some(left), Some(right)) => {
                    self.joins.insert(format!("{left} {op} {right}"));
                }
                (Some(column), None) | (None, Some(column)) => {
                    self.filters.insert(format!("{column} {op}"));
                }
                (None, None) => {}
            },
            Expr::InList { expr, .. } => self.filter(expr, "in"),
            Expr::Between { expr, .. } => self.filter(expr, "between"),
            Expr::Like { expr, .. } => self.filter(expr, "like"),
            Expr::IsNull(expr) => self.filter(expr, "is null"),
            Expr::IsNotNull(expr) => self.filter(expr, "is not null"),
            _ => {}
        }
    }

    fn filter(&mut self, expr: &Expr, operator: &str) {
        if let Some(column) = self.column(expr) {
            self.filters.insert(format!("{column} {operator}"));
        }
    }

    fn column(&self, expr: &Expr) -> Option<String> {
        match expr {
            Expr::Nested(inner) => self.column(inner),
            Expr::Identifier(ident) => Some(match self.tables.as_slice() {
                [(_, table)] => format!("{table}.{}", ident.value),
                _ => ident.value.clone(),
            }),
            Expr::CompoundIdentifier(parts) => {
                let [.., qualifier, column] = parts.as_slice() else { return None };
                let known =
                    self.tables.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(&qualifier.value));
                let table = known.map_or(&qualifier.value, |(_, name)| name);
                Some(format!("{table}.{}", column.value))
            }
            _ => None,
        }
    }

    fn columns_in(&self, expr: &Expr) -> Vec<String> {
        let mut found = Vec::new();
        let mut visit = |part: &Expr| {
            found.extend(self.column(part));
            false
        };
        // What is not walked through is not listed.
        let _ = super::semantics::walk::any(expr, &mut visit);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_sorted_by_use() {
        let text = b"select a.x, count(*) from t a join u on a.id = u.t_id where u.y = 5 and a.z in (1, 2) group by a.x";
        let json: serde_json::Value =
            serde_json::from_str(&column_usage(text, &LexOptions::default()).unwrap()).unwrap();
        assert_eq!(json["statementType"], "SELECT");
        assert_eq!(json["tableName"], json!(["t", "u"]));
        assert_eq!(json["groupingColumns"], json!(["t.x"]));
        assert_eq!(json["joinPredicates"], json!(["t.id = u.t_id"]));
        assert_eq!(json["filterColumns"], json!(["t.z in", "u.y ="]));
        assert_eq!(json["selectColumns"], json!(["t.x"]));
        let json =
            column_usage(b"update t set a = 1 where b between 1 and 2", &LexOptions::default()).unwrap();
        assert!(json.contains("\"t.b between\""), "{json}");
    }
}
