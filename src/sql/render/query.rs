//! Queries and their clauses.

use sqlparser::ast::{
    Distinct, Expr, Fetch, GroupByExpr, LimitClause, LockClause, LockType, NonBlock, OffsetRows, OrderByKind,
    Query, Select, SelectInto, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, SetOperator,
    SetQuantifier, Values, With,
};

use super::Writer;
use crate::sql::parse::lock_wait;

impl Writer {
    pub(super) fn query(&mut self, query: &Query) {
        if let Some(with) = &query.with {
            self.with(with);
        }
        self.set_expr(&query.body);
        if let Some(order_by) = &query.order_by {
            self.raw(" ORDER BY ");
            match &order_by.kind {
                OrderByKind::Expressions(items) => self.list(items, Self::order_item),
                other @ OrderByKind::All(_) => self.display(format_args!("{other:?}")),
            }
        }
        if let Some(limit) = &query.limit_clause {
            self.limit_clause(limit);
        }
        if let Some(fetch) = &query.fetch {
            self.fetch(fetch);
        }
        if let Some(into) = last_into(&query.body) {
            self.into(into);
        }
        for lock in &query.locks {
            self.lock(lock);
        }
        if let Some(seconds) = lock_wait(query) {
            self.raw(" WAIT ");
            self.expression(seconds);
        }
    }

    fn with(&mut self, with: &With) {
        self.raw(if with.recursive { "WITH RECURSIVE " } else { "WITH " });
        self.list(&with.cte_tables, |writer, cte| {
            writer.ident(&cte.alias.name);
            writer.column_aliases(&cte.alias.columns);
            writer.raw(" AS ");
            writer.subquery(&cte.query);
        });
        self.raw(" ");
    }

    fn set_expr(&mut self, body: &SetExpr) {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::Query(query) => self.subquery(query),
            SetExpr::SetOperation { left, op, set_quantifier, right } => {
                self.set_operand(left, binding(*op));
                self.raw(match op {
                    SetOperator::Union => " UNION",
                    SetOperator::Except | SetOperator::Minus => " EXCEPT",
                    SetOperator::Intersect => " INTERSECT",
                });
                self.raw(match set_quantifier {
                    SetQuantifier::All | SetQuantifier::AllByName => " ALL ",
                    SetQuantifier::Distinct | SetQuantifier::DistinctByName => " DISTINCT ",
                    SetQuantifier::None | SetQuantifier::ByName => " ",
                });
                self.set_operand(right, binding(*op) + 1);
            }
            SetExpr::Values(values) => self.values(values),
            SetExpr::Insert(statement) | SetExpr::Update(statement) | SetExpr::Delete(statement) => {
                self.statement(statement);
            }
            SetExpr::Table(table) => {
                self.raw("TABLE ");
                let parts = [&table.schema_name, &table.table_name];
                for (index, part) in parts.into_iter().flatten().enumerate() {
                    if index > 0 {
                        self.raw(".");
                    }
                    self.ident(&sqlparser::ast::Ident::with_quote('`', part));
                }
            }
            other @ SetExpr::Merge(_) => self.display(other),
        }
    }

    fn set_operand(&mut self, body: &SetExpr, floor: u8) {
        match body {
            SetExpr::SetOperation { op, .. } if binding(*op) < floor => {
                self.in_parentheses(|writer| writer.set_expr(body));
            }
            _ => self.set_expr(body),
        }
    }

    pub(super) fn values(&mut self, values: &Values) {
        self.raw("VALUES ");
        self.list(&values.rows, |writer, row| {
            if values.explicit_row {
                writer.raw("ROW");
            }
            writer.in_parentheses(|writer| writer.list(&row.content, Self::expression));
        });
    }

    fn select(&mut self, select: &Select) {
        self.raw("SELECT");
        self.hints(&select.optimizer_hints);
        match &select.distinct {
            Some(Distinct::All) => self.raw(" ALL"),
            Some(Distinct::Distinct) => self.raw(" DISTINCT"),
            Some(other @ Distinct::On(_)) => self.display(format_args!(" {other}")),
            None => {}
        }
        self.select_modifiers(select);
        self.raw(" ");
        self.list(&select.projection, Self::select_item);
        if !select.from.is_empty() {
            self.raw(" FROM ");
            self.list(&select.from, Self::table_with_joins);
        }
        self.clause(" WHERE ", select.selection.as_ref());
        if let GroupByExpr::Expressions(items, modifiers) = &select.group_by
            && !items.is_empty()
        {
            self.raw(" GROUP BY ");
            self.list(items, Self::expression);
            if !modifiers.is_empty() {
                self.raw(" WITH ROLLUP");
            }
        }
        self.clause(" HAVING ", select.having.as_ref());
        if !select.named_window.is_empty() {
            self.raw(" WINDOW ");
            self.list(&select.named_window, Self::named_window);
        }
    }

    fn select_modifiers(&mut self, select: &Select) {
        let Some(modifiers) = &select.select_modifiers else { return };
        let words = [
            (modifiers.high_priority, " HIGH_PRIORITY"),
            (modifiers.straight_join, " STRAIGHT_JOIN"),
            (modifiers.sql_small_result, " SQL_SMALL_RESULT"),
            (modifiers.sql_big_result, " SQL_BIG_RESULT"),
            (modifiers.sql_buffer_result, " SQL_BUFFER_RESULT"),
            (modifiers.sql_no_cache, " SQL_NO_CACHE"),
            (modifiers.sql_calc_found_rows, " SQL_CALC_FOUND_ROWS"),
        ];
        for (_, word) in words.iter().filter(|(is_set, _)| *is_set) {
            self.raw(word);
        }
    }

    pub(super) fn select_item(&mut self, item: &SelectItem) {
        match item {
            SelectItem::UnnamedExpr(expr) => self.expression(expr),
            SelectItem::ExprWithAlias { expr, alias } => {
                self.expression(expr);
                self.raw(" AS ");
                if alias.value.is_empty() || alias.value.contains('\0') {
                    // Only a string can be such a name.
                    self.string(&alias.value);
                } else {
                    self.ident(alias);
                }
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                self.object_name(name);
                self.raw(".*");
            }
            SelectItem::Wildcard(_) => self.raw("*"),
            other => self.display(other),
        }
    }

    pub(super) fn clause(&mut self, words: &str, expr: Option<&Expr>) {
        if let Some(expr) = expr {
            self.raw(words);
            self.expression(expr);
        }
    }

    fn limit_clause(&mut self, limit: &LimitClause) {
        match limit {
            LimitClause::OffsetCommaLimit { offset, limit } => {
                self.raw(" LIMIT ");
                self.expression(offset);
                self.raw(", ");
                self.expression(limit);
            }
            LimitClause::LimitOffset { limit, offset, .. } => {
                self.clause(" LIMIT ", limit.as_ref());
                if let Some(offset) = offset {
                    self.raw(" OFFSET ");
                    self.expression(&offset.value);
                    if offset.rows != OffsetRows::None {
                        self.raw(" ROWS");
                    }
                }
            }
        }
    }

    fn fetch(&mut self, fetch: &Fetch) {
        self.raw(" FETCH FIRST ");
        if let Some(quantity) = &fetch.quantity {
            self.expression(quantity);
            self.raw(" ");
        }
        self.raw(if fetch.with_ties { "ROWS WITH TIES" } else { "ROWS ONLY" });
    }

    fn into(&mut self, into: &SelectInto) {
        self.raw(" INTO ");
        self.list(&into.targets, Self::expression);
    }

    fn lock(&mut self, lock: &LockClause) {
        match (lock.lock_type, &lock.of, lock.nonblock) {
            // Both engines know this form; MariaDB does not know FOR SHARE.
            (LockType::Share, None, None) => return self.raw(" LOCK IN SHARE MODE"),
            (LockType::Share, ..) => self.raw(" FOR SHARE"),
            (LockType::Update, ..) => self.raw(" FOR UPDATE"),
        }
        if let Some(of) = &lock.of {
            self.raw(" OF ");
            self.object_name(of);
        }
        match lock.nonblock {
            Some(NonBlock::Nowait) => self.raw(" NOWAIT"),
            Some(NonBlock::SkipLocked) => self.raw(" SKIP LOCKED"),
            None => {}
        }
    }
}

fn binding(op: SetOperator) -> u8 {
    if op == SetOperator::Intersect { 2 } else { 1 }
}

/// `INTO` belongs to the last `SELECT` of a query and is written behind `LIMIT`, where all servers take it.
fn last_into(body: &SetExpr) -> Option<&SelectInto> {
    match body {
        SetExpr::Select(select) => select.into.as_ref(),
        SetExpr::SetOperation { right, .. } => last_into(right),
        _ => None,
    }
}
